"""Models that stand still: what is found out by asking, and how soon it is asked again."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

from gateway.triton import probe
from gateway.triton.inference import Inference
from pipeline.request import RenderRequest
from tests.gateway.triton.test_streams import LAST, Stream, message

REQUEST = RenderRequest(sketch=b"sketch", prompt="a house", style_images=(b"style",))


class Silence:
    """Brings nothing, ever."""

    async def __anext__(self):
        await asyncio.Event().wait()

    def cancel(self):
        pass


class Triton:
    """The part of Triton's client that says that it is ready, whatever its models do."""

    async def is_server_ready(self, **_):
        return True

    async def infer(self, *_, **__):
        await asyncio.Event().wait()

    def stream_infer(self, _requests, headers=None):
        return Silence()


def inference():
    return Inference(Triton(), stall_seconds=60, hang_seconds=0.1)


async def test_models_that_do_not_answer_their_probe_are_not_ready():
    asked = inference()
    assert await asked.is_ready()
    # What failed says nothing of how long a probe takes, so it is made again soon.
    assert await probe._try_out(asked) == 0
    assert not await asked.is_ready()
    asked.tried(answered=True)
    assert await asked.is_ready()


async def test_renders_that_get_nowhere_are_not_ready():
    asked = inference()
    asked.hang_seconds = 60
    async with aclosing(asked.render(REQUEST)) as outputs:
        waiting = asyncio.create_task(anext(outputs))
        await asyncio.sleep(0)
        assert await asked.is_ready()
        asked.hang_seconds = 1e-9
        assert not await asked.is_ready()
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
    assert await asked.is_ready()


async def test_a_render_that_is_done_shows_that_the_models_answer_again():
    """Where renders follow one another, nothing is ever quiet enough to be tried out."""
    answers = Stream([message(*LAST)])
    triton = Triton()
    asked = Inference(triton, stall_seconds=60, hang_seconds=0.1)
    asked.tried(answered=False)
    assert not await asked.is_ready()
    triton.stream_infer = lambda _requests, headers=None: answers
    async with aclosing(asked.render(REQUEST)) as outputs:
        assert [output async for output in outputs]
    assert await asked.is_ready()
    await asked.close()
