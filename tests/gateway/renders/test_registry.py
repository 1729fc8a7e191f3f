"""Renders by id: who may see them, when they end, how long they are kept."""

from __future__ import annotations

import asyncio
import gc
import time
import weakref
from contextlib import aclosing, suppress
from pathlib import Path

import pytest

from gateway.auth.authenticator import Authenticator
from gateway.auth.call_context import CallContext
from gateway.auth.caller import Caller, Quota, Scope
from gateway.auth.keys import KeyStore
from gateway.auth.limits import Limits, Permit
from gateway.renders import registry as module
from gateway.renders.registry import Renders, SubmitOptions
from gateway.renders.render import State
from gateway.telemetry.metrics import Metrics
from gateway.telemetry.outcomes import Scores, Timings
from gateway.worker.events import Finished, Picture, Stepped
from pipeline.errors import Cancelled, Conflict, InvalidRequest, NotFound, Unavailable
from pipeline.request import RenderRequest
from tests.gateway.waiting import until

ALICE, BOB = (Caller(name, frozenset({Scope.RENDER})) for name in ("alice", "bob"))
QUOTA = Quota(1, 1, 1, 1)
ROOT = Caller("root", frozenset({Scope.ADMIN}))
STEPS = 3


def request(prompt="a house"):
    return RenderRequest(b"sketch", prompt, num_inference_steps=STEPS)


def finished(size=10):
    return Finished(
        pictures=(Picture(bytes(size), 1, Scores(0.5)),),
        chosen=None, control_image=b"", style_image=b"", warnings=(),
        timings=Timings(0, 0, 0, 0, 0, 0, 0), versions={}, sketch_kind="clean",
    )  # fmt: skip


class Painter:
    """Paints when it is let: the part of ``Service`` that ``Renders`` uses."""

    def __init__(self, size=10):
        self.go_on = asyncio.Event()
        self.begun = 0
        self.images = []
        self.left = 0
        self.size = size
        self.error = None
        self.checking = asyncio.Event()
        self.decide = asyncio.Event()
        self.decide.set()

    async def check(self, request):
        self.checking.set()
        self.images.append(request.image)
        await self.decide.wait()
        if request.prompt == "bad":
            raise InvalidRequest("prompt", "bad", "a good one", "Think again.")

    async def render(self, _request, tell):
        self.begun += 1
        try:
            tell(Stepped(0, STEPS))
            tell(Stepped(1, STEPS, (b"first preview",)))
            await self.go_on.wait()
            if self.error:
                raise self.error
            tell(Stepped(2, STEPS, (b"second preview",)))
            tell(finished(self.size))
        finally:
            self.left += 1


class Lender:
    """Limits over a store that takes a while to answer, as Redis does."""

    def __init__(self):
        self.lent = 0

    async def begin(self, _caller):
        self.lent += 1

        async def give_back():
            await asyncio.sleep(0.01)
            self.lent -= 1

        return Permit(give_back)


def renders_over(painter, keep_seconds=60, keep_bytes=1000, limits=None):
    limits = limits or Limits(None)
    desk = CallContext(
        Authenticator(Limits(None), QUOTA, KeyStore(Path("no-keys")), required=False), Metrics("")
    )
    return Renders(painter, limits, desk, keep_seconds, keep_bytes)


async def kinds(render):
    async with aclosing(render.follow()) as events:
        return [type(event) async for event in events]


async def test_all_who_follow_hear_everything():
    painter = Painter()
    render = await renders_over(painter).begin(request(), ALICE, SubmitOptions())
    early = asyncio.create_task(kinds(render))
    await until(lambda: render.progress == Stepped(1, STEPS, (b"first preview",)))
    assert render.state is State.RUNNING
    painter.go_on.set()
    late = await kinds(render)
    assert await early == late == [Stepped, Stepped, Stepped, Finished]
    assert render.state is State.SUCCEEDED
    assert await kinds(render) == late


async def test_a_kept_picture_is_named_as_the_image_of_another_render():
    painter = Painter()
    painter.go_on.set()
    renders = renders_over(painter)
    first = await renders.begin(request(), ALICE, SubmitOptions(id="first", keep_running=True))
    await first.ended()

    def named(name, caller):
        asked = RenderRequest(b"", "a house", image=name, num_inference_steps=STEPS)
        return renders.begin(asked, caller, SubmitOptions(keep_running=True))

    await named(b"render/first/0", ALICE)
    assert painter.images[-1] == first.result.pictures[0].png
    for name, caller in (
        (b"render/first/0", BOB),
        (b"render/first/0", ROOT),
        (b"render/first/1", ALICE),
        (b"render/other/0", ALICE),
    ):
        with pytest.raises(NotFound, match=r"^image is 'render/.+'; allowed: a picture of a rend"):
            await named(name, caller)
    with pytest.raises(InvalidRequest, match=r"^image is 'render/first'; allowed: an encoded pict"):
        await named(b"render/first", ALICE)


async def test_only_the_newest_preview_is_kept():
    painter = Painter()
    painter.go_on.set()
    render = await renders_over(painter).begin(request(), ALICE, SubmitOptions(keep_running=True))
    await render.ended()
    async with aclosing(render.follow()) as events:
        told = [event.previews async for event in events if isinstance(event, Stepped)]
    assert told == [(), (), (b"second preview",)]


async def test_a_render_goes_on_while_one_follows():
    painter = Painter()
    render = await renders_over(painter).begin(request(), ALICE, SubmitOptions())
    one, other = render.follow(), render.follow()
    await anext(one)
    await one.aclose()
    painter.go_on.set()
    assert [type(event) async for event in other][-1] is Finished
    assert render.state is State.SUCCEEDED


async def test_a_render_ends_with_its_last_follower():
    painter = Painter()
    render = await renders_over(painter).begin(request(), ALICE, SubmitOptions())
    one, other = render.follow(), render.follow()
    await anext(one)
    await one.aclose()
    await other.aclose()
    await other.aclose()
    await render.ended()
    assert render.state is State.CANCELLED
    assert painter.left == 1
    with pytest.raises(Cancelled):
        await kinds(render)


async def test_a_follower_who_never_listened_counts_too():
    render = await renders_over(Painter()).begin(request(), ALICE, SubmitOptions())
    await render.follow().aclose()
    await render.ended()
    assert render.state is State.CANCELLED


@pytest.mark.parametrize(
    ("size", "keep_bytes", "most", "left"),
    [(0, 1000, 10, 9), (10, 100, 1000, 9)],
    ids=["by number", "by weight"],
)
async def test_a_caller_with_many_results_pushes_out_only_their_own(
    monkeypatch, size, keep_bytes, most, left
):
    monkeypatch.setattr(module, "MAX_KEPT", most)
    painter = Painter(size)
    painter.go_on.set()
    renders = renders_over(painter, keep_bytes=keep_bytes)
    first = await renders.begin(request(), BOB, SubmitOptions(keep_running=True))
    await first.ended()
    made = [
        await renders.begin(request(), ALICE, SubmitOptions(keep_running=True)) for _ in range(30)
    ]
    for render in made:
        await render.ended()
    assert renders.get(first.id, BOB).result
    kept = []
    for render in made:
        with suppress(NotFound):
            kept.append(renders.get(render.id, ALICE))
    assert kept == made[-left:]


async def test_one_that_keeps_running_does():
    painter = Painter()
    renders = renders_over(painter)
    render = await renders.begin(request(), ALICE, SubmitOptions(keep_running=True))
    await render.follow().aclose()
    painter.go_on.set()
    await render.ended()
    assert renders.get(render.id, ALICE).result.pictures


async def test_anothers_render_is_not_there_but_for_an_admin():
    renders = renders_over(Painter())
    render = await renders.begin(request(), ALICE, SubmitOptions(id="mine", keep_running=True))
    with pytest.raises(NotFound, match="no render 'mine' of yours"):
        renders.get("mine", BOB)
    with pytest.raises(NotFound):
        await renders.cancel("mine", BOB)
    assert (await renders.begin(request(), BOB, SubmitOptions(id="mine"))) is not render
    assert renders.get("mine", ROOT) is render
    assert (await renders.cancel("mine", ROOT)).state is State.CANCELLED


async def test_an_id_is_given_once():
    renders = renders_over(Painter())
    await renders.begin(request(), ALICE, SubmitOptions(id="x", keep_running=True))
    with pytest.raises(Conflict, match="a render 'x' already"):
        await renders.begin(request(), ALICE, SubmitOptions(id="x"))
    await renders.cancel("x", ALICE)
    await renders.begin(request(), ALICE, SubmitOptions(id="x"))


@pytest.mark.parametrize("bad", ["a b", "x" * 65, "ä", "a/b", ".", "..", "-x"])
def test_an_id_has_a_form(bad):
    with pytest.raises(InvalidRequest, match="^id is"):
        SubmitOptions(id=bad)


@pytest.mark.parametrize("bad", ["x" * 129, "a\nb"])
def test_a_key_has_a_form(bad):
    with pytest.raises(InvalidRequest, match="^idempotency-key is"):
        SubmitOptions(idempotency_key=bad)


async def test_a_key_renders_once_even_when_both_come_together():
    painter = Painter()
    renders = renders_over(painter)
    asked = SubmitOptions(idempotency_key="k")
    one, other = await asyncio.gather(*(renders.begin(request(), ALICE, asked) for _ in "ab"))
    assert one is other
    painter.go_on.set()
    assert (await kinds(one))[-1] is Finished
    assert await renders.begin(request(), ALICE, asked) is one
    assert await renders.begin(request(), BOB, asked) is not one
    await until(lambda: painter.begun == 2)
    with pytest.raises(Conflict, match="another request"):
        await renders.begin(request("another"), ALICE, asked)


async def test_what_failed_may_be_tried_again_with_its_key():
    painter = Painter()
    renders, asked = renders_over(painter), SubmitOptions(id="x", idempotency_key="k")
    painter.error = Unavailable("Triton is away.")
    painter.go_on.set()
    failed = await renders.begin(request(), ALICE, asked)
    with pytest.raises(Unavailable):
        await kinds(failed)
    assert failed.state is State.FAILED
    painter.error = None
    assert (await kinds(await renders.begin(request(), ALICE, asked)))[-1] is Finished


async def test_what_is_refused_is_not_entered():
    painter = Painter()
    renders = renders_over(painter)
    for _ in range(2):
        with pytest.raises(InvalidRequest):
            await renders.begin(request("bad"), ALICE, SubmitOptions(id="x", idempotency_key="k"))
    assert painter.begun == 0
    with pytest.raises(NotFound):
        renders.get("x", ALICE)


async def test_results_are_kept_for_a_time_and_within_a_size():
    painter = Painter(size=400)
    painter.go_on.set()
    renders = renders_over(painter, keep_bytes=1000)
    made = [
        await renders.begin(request(), ALICE, SubmitOptions(keep_running=True)) for _ in range(4)
    ]
    for render in made:
        await render.ended()
    assert renders.get(made[3].id, ALICE)
    assert renders.get(made[2].id, ALICE)
    for gone in made[:2]:
        with pytest.raises(NotFound, match="results are kept for 60 s"):
            renders.get(gone.id, ALICE)

    short = renders_over(painter, keep_seconds=0)
    render = await short.begin(request(), ALICE, SubmitOptions(keep_running=True))
    await render.ended()
    await until(lambda: time.monotonic() > render.ended_at)
    with pytest.raises(NotFound):
        short.get(render.id, ALICE)


async def test_an_unexpected_failure_is_told_as_one():
    painter = Painter()
    painter.error = ZeroDivisionError("inside")
    painter.go_on.set()
    render = await renders_over(painter).begin(request(), ALICE, SubmitOptions())
    with pytest.raises(ZeroDivisionError):
        await kinds(render)
    assert render.state is State.FAILED
    assert render.outcome == "internal"


async def test_closing_lets_finish_and_refuses_new():
    painter = Painter()
    renders = renders_over(painter)
    render = await renders.begin(request(), ALICE, SubmitOptions(keep_running=True))
    closing = asyncio.create_task(renders.close(grace_seconds=30))
    await asyncio.sleep(0)
    with pytest.raises(Unavailable, match="shutting down"):
        await renders.begin(request(), ALICE, SubmitOptions())
    painter.go_on.set()
    await closing
    assert render.state is State.SUCCEEDED


async def test_closing_cancels_what_does_not_finish():
    renders = renders_over(Painter())
    render = await renders.begin(request(), ALICE, SubmitOptions(keep_running=True))
    await renders.close(grace_seconds=0.01)
    assert render.state is State.CANCELLED


async def test_a_render_that_is_done_cannot_be_cancelled_while_it_gives_back_its_place():
    painter, lender = Painter(), Lender()
    painter.go_on.set()
    renders = renders_over(painter, limits=lender)
    asked = SubmitOptions(idempotency_key="k")
    render = await renders.begin(request(), ALICE, asked)
    async with aclosing(render.follow()) as events:
        async for event in events:
            if isinstance(event, Finished):
                break
    assert render.state is State.SUCCEEDED
    assert await renders.begin(request(), ALICE, asked) is render
    await render.ended()
    assert (render.state, lender.lent, painter.begun) == (State.SUCCEEDED, 0, 1)


async def test_a_cancelled_render_gives_back_its_place():
    painter, lender = Painter(), Lender()
    renders = renders_over(painter, limits=lender)
    render = await renders.begin(request(), ALICE, SubmitOptions())
    await anext(render.follow())
    await renders.cancel(render.id, ALICE)
    assert (render.state, lender.lent, painter.left) == (State.CANCELLED, 0, 1)


async def test_what_a_failed_render_was_asked_is_not_kept():
    painter = Painter()
    painter.go_on.set()
    painter.error = Unavailable("Triton is away.")
    asked = request()
    kept = weakref.ref(asked)
    render = await renders_over(painter).begin(asked, ALICE, SubmitOptions(keep_running=True))
    await render.ended()
    for _ in "ab":
        with pytest.raises(Unavailable):
            await kinds(render)
    del asked
    gc.collect()
    assert kept() is None


async def test_an_id_that_is_used_again_leaves_no_key_behind():
    painter = Painter()
    painter.go_on.set()
    painter.error = Unavailable("Triton is away.")
    renders = renders_over(painter)
    for number in range(5):
        asked = SubmitOptions(id="x", idempotency_key=f"k{number}", keep_running=True)
        await (await renders.begin(request(), ALICE, asked)).ended()
    assert len(renders._by_key) == 1


async def test_who_sends_a_key_again_does_not_depend_on_who_sent_it_first():
    painter = Painter()
    painter.go_on.set()
    painter.decide.clear()
    renders, asked = renders_over(painter), SubmitOptions(idempotency_key="k")
    first = asyncio.create_task(renders.begin(request(), ALICE, asked))
    await painter.checking.wait()
    second = asyncio.create_task(renders.begin(request(), ALICE, asked))
    await asyncio.sleep(0)
    first.cancel()
    painter.decide.set()
    assert (await kinds(await second))[-1] is Finished
    assert painter.begun == 1


async def test_one_who_leaves_before_it_is_accepted_has_it_cancelled():
    painter = Painter()
    painter.decide.clear()
    renders = renders_over(painter)
    beginning = asyncio.create_task(renders.begin(request(), ALICE, SubmitOptions(id="x")))
    await painter.checking.wait()
    (render,) = renders.unfinished
    beginning.cancel()
    await render.ended()
    assert render.state is State.CANCELLED
    assert painter.begun == 0
