"""Changes of versions, as whoever asks for them and whoever leaves sees them."""

from __future__ import annotations

import asyncio
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing

import pytest

from gateway.auth.caller import Caller, Scope
from gateway.background.jobs import Step
from gateway.renders.registry import SubmitOptions
from gateway.rollout.administration import MAX_CHANGES, MAX_LONG
from gateway.settings import Settings
from gateway.triton.inference import ServedModel
from pipeline.errors import InvalidRequest, NotFound
from pipeline.request import RenderRequest
from tests.gateway.fakes import staged
from tests.gateway.versioned import MODEL, versioned
from tests.versions.engines import describe, write_version
from versions import aliases, canary, gates, history, repositories, sources
from versions.aliases import Aliases
from versions.errors import Busy, Declined
from versions.locks import PUBLISHING, operating
from versions.operations import Outcome

ADA = Caller("key:ada", frozenset({Scope.ADMIN}))
FORCED = {"force": True, "why": "a test"}


@pytest.fixture
def settings(tmp_path):
    return Settings(
        library=tmp_path / "library", audit=tmp_path / "audit.log", incoming=tmp_path / "incoming",
        repository=versioned(tmp_path / "repository"),
    )  # fmt: skip


@pytest.fixture
async def stage(settings):
    async with staged(settings) as stage:
        yield stage


@pytest.fixture
def ruled(stage):
    return stage.parts.administration


@pytest.fixture
def of(settings):
    return lambda: aliases.read(settings.repository).of(MODEL)


@pytest.fixture
def audited(settings):
    def read():
        lines = map(json.loads, settings.audit.read_text().splitlines())
        return [(line["action"], line["ids"], line["outcome"]) for line in lines]

    return read


@pytest.fixture
def new(settings, monkeypatch):
    """An engine to publish. It is tried in no process; those processes have tests of their own."""
    monkeypatch.setattr(sources, "try_one", lambda *arguments: None)
    return write_version(settings.incoming / "new", MODEL, seed=9)


class Held:
    """Something in a thread that waits to be let go on."""

    def __init__(self, then=lambda *arguments: None):
        self.inside = asyncio.Event()
        self.go_on = threading.Event()
        self._then = then
        self._loop = asyncio.get_running_loop()

    def __call__(self, *arguments):
        self._loop.call_soon_threadsafe(self.inside.set)
        assert self.go_on.wait(30)
        return self._then(*arguments)


@pytest.fixture
async def held(stage, monkeypatch):
    """Holds a promotion, which has the lock by then."""
    held = Held(gates.why_not)
    monkeypatch.setattr(gates, "why_not", held)
    yield held
    held.go_on.set()


async def all_of(steps):
    return [step async for step in steps]


async def left(ruled):
    """What was in progress has ended, after its caller has left."""
    if ruled._changing:
        await asyncio.wait(set(ruled._changing))


# looking


async def test_loaded_is_what_triton_says(stage, ruled, monkeypatch):
    ready = [(MODEL, "1"), ("clip_text", "1"), ("clip_image", "1"), ("clip_text", "2")]
    models = [ServedModel(*each, ready=True) for each in ready]

    async def told():
        return "2.51.0", (*models, ServedModel(MODEL, "2", ready=False))

    monkeypatch.setattr(stage.painter, "served", told)
    listed = (await ruled.overview()).versions
    assert {(each.model, each.version) for each in listed if each.loaded} == {
        (MODEL, 1), ("clip", 1),
    }  # fmt: skip
    assert {each.model for each in listed} > {MODEL, "unet", "clip"}
    with pytest.raises(InvalidRequest, match="unet"):
        await ruled.overview("nonsense")


async def test_the_renders_of_a_canary_are_counted(stage, ruled, sketch, settings):
    painter = stage.painter
    wanted = canary.Canary(0.25, 0.5, canary.Bounds(least_renders=3), why="a try")
    assert "25%" in (await ruled.set_canary(ADA, wanted, force=True)).said[0]
    painter.served_versions.by_alias = aliases.read(settings.repository).served_versions()
    painter.served_versions.canary = canary.read(settings.repository)
    for number in range(3):
        request = {"sketch": sketch, "prompt": f"house {number}", "num_inference_steps": 1}
        await painted(stage, **request)
    found = await ruled.overview()
    assert (found.canary.share, found.canary.shadow, found.canary.who) == (0.25, 0.5, ADA.id)
    assert found.canary.bounds == canary.Bounds(0.02, 1.5, 0.05, 3)
    assert found.counts.candidate_renders + found.counts.champion_renders >= 3
    assert found.counts.failed_renders == 0


async def painted(stage, **fields):
    render = await stage.parts.renders.begin(RenderRequest(**fields), ADA, SubmitOptions())
    async with aclosing(render.follow()) as events:
        await all_of(events)


async def test_versions_that_are_not_there_are_not_compared(ruled):
    assert (await ruled.compared(MODEL, "2", "2")).differences == []
    for names, error, words in (
        (("newest", "1"), InvalidRequest, "one is 'newest'"),
        (("1", "9" * 30), InvalidRequest, "other is"),
        (("1", "9"), NotFound, "no version 9"),
        (("previous", "1"), NotFound, "no previous version"),
    ):
        with pytest.raises(error, match=words):
            await ruled.compared(MODEL, *names)


# changes that take a moment


async def test_who_did_what_is_written_down(ruled, of, audited, settings):
    promoted = await ruled.promote(ADA, MODEL, **FORCED)
    assert (promoted.changed, promoted.model, promoted.version) == (True, MODEL, 2)
    assert promoted.said == (f"{MODEL} 2 is the champion, and 1 the previous one.",)
    assert promoted.served_versions["champion"][MODEL] == 2
    assert (await ruled.rollback(ADA, MODEL, why="too sharp")).version == 1
    assert of() == Aliases(champion=1, previous=2)
    entries = history.read(settings.repository)
    assert [(each.action, each.who, each.why) for each in entries] == [
        ("promote", ADA.id, "a test"), ("rollback", ADA.id, "too sharp"),
    ]  # fmt: skip
    with pytest.raises(Declined, match="the champion version"):
        await ruled.retire(ADA, MODEL, 1)
    ids = {"model": MODEL, "version": "2"}
    one = {**ids, "version": "1"}
    assert audited() == [
        ("promote", ids, "done"), ("rollback", one, "done"), ("retire", one, "failed_precondition"),
    ]  # fmt: skip


async def test_of_two_at_once_one_wins_and_the_other_is_told(ruled, held, of, audited):
    first = asyncio.create_task(ruled.promote(ADA, MODEL, 2, **FORCED))
    await held.inside.wait()
    with pytest.raises(Busy, match=f"is at promote of {MODEL}"):
        await ruled.promote(ADA, MODEL, 3, **FORCED)
    held.go_on.set()
    assert (await first).version == 2
    assert of().champion == 2
    assert [outcome for *_, outcome in audited()] == ["aborted", "done"]


async def test_a_change_is_done_and_noted_when_its_caller_leaves(ruled, held, audited):
    call = asyncio.create_task(ruled.promote(ADA, MODEL, 2, **FORCED))
    await held.inside.wait()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    (task,) = ruled._changing
    held.go_on.set()
    assert (await task).version == 2
    assert audited() == [("promote", {"model": MODEL, "version": "2"}, "done")]


async def test_a_store_that_hangs_leaves_the_shared_threads_to_renders(ruled, monkeypatch):
    began, go_on = threading.Barrier(MAX_CHANGES + 1), threading.Event()

    def change(_self, _change, **_options):
        began.wait(10)
        assert go_on.wait(30)
        return Outcome(changed=True, said=("It is done.",))

    monkeypatch.setattr(repositories.LocalRepository, "change", change)
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(1))
    running = [asyncio.create_task(ruled.rollback(ADA, MODEL)) for _ in range(MAX_CHANGES)]
    try:
        # When all of them hang, this one thread is still free.
        await asyncio.to_thread(began.wait, 10)
        with pytest.raises(Busy, match="4 changes of versions run"):
            await ruled.rollback(ADA, MODEL)
    finally:
        go_on.set()
    assert {outcome.said for outcome in await asyncio.gather(*running)} == {("It is done.",)}


# publishing


async def test_an_engine_is_published_step_by_step(ruled, new, of, audited):
    *steps, change = await all_of(ruled.publish(ADA, MODEL, "new", why="sharper"))
    assert {type(step) for step in steps} == {Step}
    assert "copying model.onnx" in {step.doing for step in steps}
    size = (new / "model.onnx").stat().st_size
    assert all(0 <= step.done <= step.total <= size for step in steps)
    assert change.said == (
        f"{MODEL} 4 is published, and the candidate.",
        f"{MODEL} 2 is no longer the candidate; its files stay.",
    )
    assert of() == Aliases(champion=1, candidate=4)
    ids = {"model": MODEL, "source": "new", "version": "4"}
    assert audited() == [("publish", ids, "done")]


async def test_a_dry_run_publishes_nothing(ruled, new, of, audited, settings):
    *_, change = await all_of(ruled.publish(ADA, MODEL, "new", dry_run=True))
    assert (change.changed, change.would_change, change.version) == (False, True, 4)
    assert "would be published" in change.said[0]
    assert (of().candidate, history.read(settings.repository)) == (2, [])
    assert audited()[0][1]["dry_run"] == "true"


@pytest.mark.parametrize(
    ("source", "error", "words"),
    [
        ("../new", InvalidRequest, "below MAQUETTE_INCOMING"),
        ("nowhere", NotFound, "is not a folder"),
        ("new", Declined, "is not the file that its manifest names"),
    ],
)
async def test_what_may_not_be_published_is_told(source, error, words, ruled, new, settings):
    describe(new, MODEL, files={"model.onnx": "0" * 64})
    with pytest.raises(error, match=words):
        await all_of(ruled.publish(ADA, MODEL, source))
    assert history.read(settings.repository) == []
    assert not (settings.repository / MODEL / "4").exists()


async def test_another_publish_is_told_of(ruled, new, settings):
    with (
        operating(settings.repository, "eve", "publish of unet", PUBLISHING),
        pytest.raises(Busy, match="eve is at publish of unet"),
    ):
        await all_of(ruled.publish(ADA, MODEL, "new"))


async def test_who_leaves_publishes_nothing(ruled, new, of, audited, settings, monkeypatch):
    held = Held()
    monkeypatch.setattr(sources, "try_one", held)
    async with aclosing(ruled.publish(ADA, MODEL, "new")) as steps:
        assert (await anext(steps)).doing == "copying model.onnx"
        await held.inside.wait()
    held.go_on.set()
    await left(ruled)
    assert of().candidate == 2
    assert history.read(settings.repository) == []
    assert {path.name for path in (settings.repository / MODEL).iterdir()} == {
        "1", "2", "3", "aliases.json",
    }  # fmt: skip
    assert [outcome for *_, outcome in audited()] == ["cancelled"]
    *_, change = await all_of(ruled.publish(ADA, MODEL, "new"))
    assert change.version == 4


async def test_so_many_and_no_more_are_published_at_once(ruled, audited, new, monkeypatch):
    go_on, threads = threading.Event(), []

    def publish(*_arguments, report, **_options):
        threads.append(threading.current_thread().name)
        report("copying", 0, 1)
        assert go_on.wait(30)
        return Outcome(changed=True, said=("It is published.",))

    monkeypatch.setattr(repositories, "publish", publish)
    running = [ruled.publish(ADA, MODEL, "new") for _ in range(MAX_LONG)]
    try:
        for steps in running:
            assert (await anext(steps)).doing == "copying"
        with pytest.raises(Busy, match="4 publications run"):
            await all_of(ruled.publish(ADA, MODEL, "new"))
    finally:
        go_on.set()
    for steps in running:
        assert (await all_of(steps))[-1].said == ("It is published.",)
    # Not in those that renders need.
    assert len(set(threads)) == MAX_LONG
    assert all(name.startswith("long-work") for name in threads)
    outcomes = [outcome for *_, outcome in audited()]
    assert sorted(outcomes) == ["aborted", *["done"] * MAX_LONG]
