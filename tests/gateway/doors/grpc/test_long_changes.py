"""Publishing, gates, comparisons and the history through the gRPC door."""

from __future__ import annotations

import asyncio
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields

import grpc
import pytest

from gateway.rollout.administration import MAX_CHANGES, MAX_LONG, MAX_REASON
from maquette.client import (
    Canary,
    CanaryBounds,
    Change,
    Client,
    Comparison,
    GateVerdict,
    PastChange,
    VersionDifference,
    VersionStep,
)
from maquette.v1 import maquette_pb2 as pb
from maquette.v1.maquette_pb2_grpc import MaquetteServiceStub
from pipeline.errors import StageFailed, Unavailable
from tests.gateway.doors.grpc.conftest import refused
from tests.gateway.versioned import MODEL
from tests.versions.engines import describe, write_version
from versions import aliases, canary, history, repositories, sources
from versions.aliases import Aliases
from versions.locks import PUBLISHING, operating
from versions.operations import Outcome

CODE = grpc.StatusCode


@pytest.fixture
def untried(monkeypatch):
    """Engines are tried in no process; those processes have tests of their own."""
    monkeypatch.setattr(sources, "try_one", lambda *arguments: None)


@pytest.fixture
def new(door, untried):
    return write_version(door.settings.incoming / "new", MODEL, seed=9)


@pytest.fixture
def candidate(door):
    """What the aliases name is served."""
    painter = door.stage.painter
    painter.served_versions.by_alias = aliases.read(door.repository).served_versions()
    return painter


class Held:
    """Something in a thread that waits to be let go on."""

    def __init__(self):
        self.inside = asyncio.Event()
        self.go_on = threading.Event()
        self._loop = asyncio.get_running_loop()

    def __call__(self, *arguments):
        self._loop.call_soon_threadsafe(self.inside.set)
        assert self.go_on.wait(30)


async def all_of(steps):
    return [step async for step in steps]


async def left(door):
    """What was in progress has ended, after its caller has left."""
    tasks = set(door.stage.parts.administration._changing)
    if tasks:
        await asyncio.wait(tasks)


# publish


async def test_an_engine_is_published_step_by_step(door, client, new):
    *steps, change = await all_of(client.publish(MODEL, "new", why="sharper"))
    assert {type(step) for step in steps} == {VersionStep}
    assert "copying model.onnx" in {step.doing for step in steps}
    size = (new / "model.onnx").stat().st_size
    assert all(0 <= step.done <= step.total <= size for step in steps)
    assert (change.changed, change.model, change.version) == (True, MODEL, 4)
    assert change.said == (
        f"{MODEL} 4 is published, and the candidate.",
        f"{MODEL} 2 is no longer the candidate; its files stay.",
    )
    assert door.of() == Aliases(champion=1, candidate=4)
    (entry,) = history.read(door.repository)
    assert (entry.action, entry.who, entry.why) == ("publish", door.who, "sharper")
    ids = {"model": MODEL, "source": "new", "version": "4"}
    assert door.audited() == [("publish", ids, "done")]


async def test_a_dry_run_publishes_nothing(door, client, new):
    *_, change = await all_of(client.publish(MODEL, "new", dry_run=True))
    assert (change.changed, change.would_change, change.version) == (False, True, 4)
    assert "would be published" in change.said[0]
    assert (door.of().candidate, history.read(door.repository)) == (2, [])
    assert door.audited()[0][1]["dry_run"] == "true"


@pytest.mark.parametrize(
    ("source", "code", "words"),
    [
        ("../new", CODE.INVALID_ARGUMENT, "below MAQUETTE_INCOMING"),
        ("", CODE.INVALID_ARGUMENT, "Say where the engine is"),
        ("gopher://x", CODE.INVALID_ARGUMENT, "gopher://x"),
        ("nowhere", CODE.NOT_FOUND, "is not a folder"),
        ("new", CODE.FAILED_PRECONDITION, "is not the file that its manifest names"),
    ],
)
async def test_what_may_not_be_published_is_told(source, code, words, door, client, new):
    describe(new, MODEL, files={"model.onnx": "0" * 64})
    found, sentence = await refused(all_of(client.publish(MODEL, source)))
    assert (found, words in sentence) == (code, True), sentence
    assert history.read(door.repository) == []
    assert not (door.repository / MODEL / "4").exists()
    assert door.audited()[0][2] == code.name.lower()


async def test_another_publish_is_told_of(door, client, new):
    with operating(door.repository, "eve", "publish of unet", PUBLISHING):
        code, sentence = await refused(all_of(client.publish(MODEL, "new")))
    assert code is CODE.ABORTED
    assert "eve is at publish of unet" in sentence


async def test_who_leaves_publishes_nothing(door, client, new, monkeypatch):
    held = Held()
    monkeypatch.setattr(sources, "try_one", held)
    steps = client.publish(MODEL, "new")
    assert (await anext(steps)).doing == "copying model.onnx"
    await held.inside.wait()
    await steps.aclose()
    await ended_waiting(door)
    held.go_on.set()
    await left(door)
    assert door.of().candidate == 2
    assert history.read(door.repository) == []
    assert {path.name for path in (door.repository / MODEL).iterdir()} == {
        "1", "2", "3", "aliases.json",
    }  # fmt: skip
    assert [outcome for *_, outcome in door.audited()] == ["cancelled"]
    *_, change = await all_of(client.publish(MODEL, "new"))
    assert change.version == 4


async def test_so_many_and_no_more_are_done_at_once(door, client, new, monkeypatch):
    go_on, threads = threading.Event(), []

    def publish(*_arguments, report, **_options):
        threads.append(threading.current_thread().name)
        report("copying", 0, 1)
        assert go_on.wait(30)
        return Outcome(changed=True, said=("It is published.",))

    monkeypatch.setattr(repositories, "publish", publish)
    running = [client.publish(MODEL, "new") for _ in range(MAX_LONG)]
    try:
        for steps in running:
            assert (await anext(steps)).doing == "copying"
        code, sentence = await refused(all_of(client.publish(MODEL, "new")))
        assert (code, "4 publications and gates" in sentence) == (CODE.ABORTED, True)
    finally:
        go_on.set()
    for steps in running:
        assert (await all_of(steps))[-1].said == ("It is published.",)
    # Not in those that renders need.
    assert len(set(threads)) == MAX_LONG
    assert all(name.startswith("long-work") for name in threads)
    outcomes = [outcome for *_, outcome in door.audited()]
    assert sorted(outcomes) == ["aborted", *["done"] * MAX_LONG]


async def test_a_store_that_hangs_leaves_the_shared_threads_to_renders(door, client, monkeypatch):
    began, go_on = threading.Barrier(MAX_CHANGES + 1), threading.Event()

    def change(_self, _change, **_options):
        began.wait(10)
        assert go_on.wait(30)
        return Outcome(changed=True, said=("It is done.",))

    monkeypatch.setattr(repositories.LocalRepository, "change", change)
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(1))
    running = [
        asyncio.create_task(client.rollback(MODEL, why="too sharp")) for _ in range(MAX_CHANGES)
    ]
    try:
        # When all of them hang, this one thread is still free.
        await asyncio.to_thread(began.wait, 10)
        code, sentence = await refused(client.rollback(MODEL, why="too sharp"))
        assert (code, "4 changes of versions run" in sentence) == (CODE.ABORTED, True)
    finally:
        go_on.set()
    assert [outcome.said for outcome in await asyncio.gather(*running)] == [
        ("It is done.",)
    ] * MAX_CHANGES


async def ended_waiting(door):
    """The gateway has seen that the caller of a stream left."""
    metrics = door.stage.parts.desk.metrics
    while 'grpc_code="CANCELLED"' not in metrics.exposition()[0].decode():  # noqa: ASYNC110
        await asyncio.sleep(0.005)


# gate


async def test_a_gate_is_held_and_its_verdict_kept(door, client, candidate):
    *steps, verdict = await all_of(client.gate(MODEL, 1, why="a test"))
    assert steps[0] == VersionStep(f"waiting for {MODEL} 2", 0, 0)
    assert "renders" in {step.doing for step in steps}
    assert type(verdict) is GateVerdict
    assert (verdict.pinned[MODEL], verdict.champion[MODEL]) == (2, 1)
    assert verdict.measures["perceptual_distance"] == 0
    assert verdict.said[0].startswith(f"{MODEL} 2 {'passed' if verdict.passed else 'did not'}")
    report = door.settings.reports / f"{MODEL}-2" / "report.md"
    assert verdict.report == str(report)
    assert report.exists()
    (entry,) = history.read(door.repository)
    assert (entry.action, entry.who, entry.why) == ("gate", door.who, "a test")
    assert (entry.passed, entry.report) == (verdict.passed, verdict.report)
    assert entry.measures == dict(verdict.measures)
    # The warm-up, one scene by both, and the candidate's once more.
    assert candidate.begun == 5
    passed = str(verdict.passed).lower()
    assert door.audited() == [("gate", {"model": MODEL, "version": "2", "passed": passed}, "done")]


async def test_a_gate_can_be_tried_without_a_verdict(door, client, candidate):
    *_, verdict = await all_of(client.gate(MODEL, 1, dry_run=True))
    assert verdict.said == (f"{MODEL} 2 was at its gate; nothing is kept.",)
    assert history.read(door.repository) == []
    reports = door.settings.reports
    assert verdict.report == str(reports / "dry-run" / f"{MODEL}-2" / "report.md")
    # The one on a verdict that is kept stays.
    assert [path.name for path in reports.iterdir()] == ["dry-run"]


@pytest.fixture
def failing(candidate, monkeypatch):
    """Makes renders by an alias fail."""
    paint = candidate.render

    def fail(alias, error):
        async def render(request, pinned=None):
            if request.versions == alias:
                raise error
            async for output in paint(request, pinned):
                yield output

        monkeypatch.setattr(candidate, "render", render)

    return fail


async def test_a_candidate_that_fails_misses_its_gate(door, client, failing):
    failing("candidate", StageFailed("the stage denoiser failed"))
    *_, verdict = await all_of(client.gate(MODEL, 1))
    assert not verdict.passed
    assert "failed_renders is 1; allowed: at most 0." in verdict.missed


@pytest.mark.parametrize(
    ("alias", "error", "code"),
    [
        ("champion", StageFailed("the stage denoiser failed"), CODE.INTERNAL),
        ("candidate", Unavailable("Triton is away."), CODE.UNAVAILABLE),
    ],
)
async def test_what_is_not_the_candidate_s_fault_decides_nothing(
    alias, error, code, door, client, failing
):
    failing(alias, error)
    assert await refused(all_of(client.gate(MODEL, 1))) == (code, str(error))
    assert history.read(door.repository) == []


async def test_who_leaves_a_gate_ends_it(door, client, candidate):
    candidate.hold()
    steps = client.gate(MODEL, 1)
    await anext(steps)
    while not candidate.begun:  # noqa: ASYNC110 - it knows no event
        await asyncio.sleep(0.005)
    # There is one at a time.
    code, sentence = await refused(all_of(client.gate(MODEL, 1)))
    assert (code, f"is at gate of {MODEL} since" in sentence) == (CODE.ABORTED, True)
    await steps.aclose()
    await ended_waiting(door)
    # Held as it is, the render has ended.
    await left(door)
    while door.stage.parts.service._admission.running:  # noqa: ASYNC110 - as above
        await asyncio.sleep(0.005)
    assert candidate.left_early == 1
    assert history.read(door.repository) == []
    assert list(door.settings.reports.iterdir()) == []
    assert sorted(outcome for *_, outcome in door.audited()) == ["aborted", "cancelled"]
    candidate.go_on()
    *_, verdict = await all_of(client.gate(MODEL, 1))
    assert verdict.pinned[MODEL] == 2


async def test_who_leaves_a_gate_that_waits_for_its_candidate_ends_it(door, client):
    """Nobody serves it, and the gate would wait for a minute."""
    steps = client.gate(MODEL, 1)
    assert (await anext(steps)).doing == f"waiting for {MODEL} 2"
    await steps.aclose()
    async with asyncio.timeout(20):
        await ended_waiting(door)
        await left(door)
    assert [outcome for *_, outcome in door.audited()] == ["cancelled"]


async def test_people_s_renders_go_before_those_of_a_gate(door, client, candidate, sketch):
    async def begun(renders):
        async with asyncio.timeout(20):
            while candidate.begun < renders:  # noqa: ASYNC110 - it knows no event
                await asyncio.sleep(0.005)

    def people():
        return asyncio.create_task(client.render(sketch, "a house"))

    candidate.hold()
    admission, places = door.stage.parts.service._admission, door.settings.max_running
    others = [people() for _ in range(places - 1)]
    await begun(places - 1)
    steps = client.gate(MODEL, 1)
    told = [await anext(steps), await anext(steps)]
    assert (told[-1].doing, told[-1].done) == ("renders", 0)
    async with asyncio.timeout(20):
        while not admission._ended._waiters:  # noqa: ASYNC110 - as above
            await asyncio.sleep(0.005)
    # The last place is not the gate's, though it came first.
    others.append(people())
    await begun(places)
    assert (candidate.begun, admission.waiting) == (places, 0)
    candidate.go_on()
    await asyncio.gather(*others)
    *_, verdict = await all_of(steps)
    assert verdict.pinned[MODEL] == 2


async def test_what_keeps_a_gate_from_being_held_is_told(door, client, candidate, monkeypatch):
    for call, code, words in (
        (client.gate(MODEL, 0), CODE.INVALID_ARGUMENT, "renders is 0; allowed: 1 to 100"),
        (client.gate(MODEL, 101), CODE.INVALID_ARGUMENT, "renders is 101"),
        (client.gate("unet"), CODE.NOT_FOUND, "unet has no candidate"),
        (client.gate("nonsense"), CODE.INVALID_ARGUMENT, "model is 'nonsense'"),
    ):
        found, sentence = await refused(all_of(call))
        assert (found, words in sentence) == (code, True), sentence
    with monkeypatch.context() as patched:
        patched.setitem(sys.modules, "evaluation.gate", None)
        found, sentence = await refused(all_of(client.gate(MODEL)))
    assert found is CODE.UNAVAILABLE
    assert "Run `maquette models gate` from a checkout" in sentence
    door.settings.reports.write_text("no folder")
    found, sentence = await refused(all_of(client.gate(MODEL)))
    assert (found, "MAQUETTE_REPORTS" in sentence) == (CODE.UNAVAILABLE, True)
    assert history.read(door.repository) == []


# looking


async def test_two_versions_are_compared(door, client):
    found = await client.diff(MODEL)
    assert (found.one, found.other) == (1, 2)
    assert {each.name for each in found.differences} == {"files.model.onnx", "sha256"}
    assert all(each.one != each.other for each in found.differences)
    assert (await client.diff(MODEL, 2, "2")).differences == ()
    for call, code, words in (
        (client.diff(MODEL, "newest"), CODE.INVALID_ARGUMENT, "one is 'newest'"),
        (client.diff(MODEL, 1, "9" * 30), CODE.INVALID_ARGUMENT, "other is"),
        (client.diff(MODEL, 1, 9), CODE.NOT_FOUND, "no version 9"),
        (client.diff(MODEL, "previous"), CODE.NOT_FOUND, "no previous version"),
        (client.diff("nonsense"), CODE.INVALID_ARGUMENT, "model is 'nonsense'"),
    ):
        found, sentence = await refused(call)
        assert (found, words in sentence) == (code, True), sentence


async def test_the_history_is_told_page_by_page(door, client, monkeypatch):
    monkeypatch.setattr("gateway.doors.grpc.servicer.DEFAULT_PAGE", 2)
    await client.set_canary(0.5, max_error_share=0.5, force=True, why="a try")
    await client.promote(MODEL, 2, force=True, why="sharper")
    await client.rollback(MODEL)
    await all_of(client.reembed(2))
    told = await all_of(client.history())
    assert [each.action for each in told] == ["reembed", "rollback", "promote", "canary"]
    promoted = told[2]
    assert (promoted.from_version, promoted.to_version, promoted.forced) == (1, 2, True)
    assert (promoted.passed, told[0].from_version) == (None, None)
    of_model = await all_of(client.history(MODEL))
    assert [each.action for each in of_model] == ["rollback", "promote", "canary"]
    found, _ = await refused(all_of(client.history("nonsense")))
    assert found is CODE.INVALID_ARGUMENT
    wrong = pb.ListVersionChangesRequest(page_token="nonsense")
    async with grpc.aio.insecure_channel(door.address) as channel:
        send = MaquetteServiceStub(channel).ListVersionChanges
        with pytest.raises(grpc.aio.AioRpcError, match="page_token is 'nonsense'"):
            await send(wrong, metadata=(("x-api-key", door.key),))


async def test_the_canary_is_set_and_told(door, client, candidate, sketch):
    change = await client.set_canary(0.25, shadow=0.5, least_renders=3, force=True, why="a try")
    assert "25%" in change.said[0]
    candidate.served_versions.canary = canary.read(door.repository)
    for number in range(3):
        await client.render(sketch, f"house {number}", num_inference_steps=1)
    found = await client.canary()
    assert (found.share, found.shadow, found.why, found.who) == (0.25, 0.5, "a try", door.who)
    assert found.candidate_renders + found.champion_renders >= 3
    assert found.failed_renders == 0
    assert found.bounds == CanaryBounds(0.02, 1.5, 0.05, 3)
    assert (await client.set_canary(dry_run=True)).said == ("The canary would be over.",)
    code, sentence = await refused(client.set_canary(max_latency_ratio="x"))
    assert (code, "allowed: a number" in sentence) == (CODE.INVALID_ARGUMENT, True)


async def test_the_client_that_waits_does_the_same(door, new, candidate):
    def work():
        with Client(door.address, door.key) as client:
            *_, verdict = client.gate(MODEL, 1)
            assert verdict.pinned[MODEL] == 2
            *_, change = client.publish(MODEL, "new")
            assert change.version == 4
            assert client.diff(MODEL).other == 4
            assert client.set_canary(0.1, force=True, why="a try").changed
            assert client.canary().share == 0.1
            actions = [each.action for each in client.history(MODEL)]
            assert actions == ["canary", "publish", "gate"]

    await asyncio.to_thread(work)


async def test_without_a_repository_the_remedy_is_told(door, client):
    door.stage.parts.administration._at = None
    for call in (
        all_of(client.publish(MODEL, "new")),
        all_of(client.gate(MODEL)),
        client.diff(MODEL),
        all_of(client.history()),
    ):
        code, sentence = await refused(call)
        assert code is CODE.FAILED_PRECONDITION
        assert "MAQUETTE_REPOSITORY" in sentence


async def test_a_reason_has_a_length(door, client):
    for steps in (client.publish(MODEL, "new", why="x" * 501), client.gate(MODEL, why="x" * 501)):
        code, sentence = await refused(all_of(steps))
        assert (code, f"at most {MAX_REASON}" in sentence) == (CODE.INVALID_ARGUMENT, True)


def test_the_results_have_the_fields_of_their_messages():
    for ours, theirs in (
        (Canary, pb.Canary),
        (CanaryBounds, pb.CanaryBounds),
        (Change, pb.VersionChange),
        (Comparison, pb.DiffVersionsResponse),
        (GateVerdict, pb.GateVerdict),
        (PastChange, pb.PastChange),
        (VersionDifference, pb.VersionDifference),
        (VersionStep, pb.VersionStep),
    ):
        in_proto = {field.name for field in theirs.DESCRIPTOR.fields}
        assert {field.name for field in fields(ours)} == in_proto
