"""Streams are read to their end behind the back of whoever has got what they wanted."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

import numpy as np
import pytest
from tritonclient.grpc import InferResult
from tritonclient.grpc.service_pb2 import ModelInferResponse
from tritonclient.utils import InferenceServerException

from gateway.errors import CallerError
from gateway.triton.inference import STAGES, Inference
from gateway.triton.streams import Drains
from pipeline.errors import MISTAKE
from pipeline.request import RenderRequest

REQUEST = RenderRequest(sketch=b"sketch", prompt="a house", style_images=(b"style",))
WRONG = InferenceServerException(f"{MISTAKE}sketch is 6 bytes; allowed: a picture.")


LAST = ("images", *(f"{stage}_seconds" for stage in STAGES))


def message(*names):
    outputs = [{"name": name, "datatype": "FP32", "shape": [1]} for name in names]
    raw = [np.zeros(1, np.float32).tobytes() for _ in names]
    return InferResult(ModelInferResponse(outputs=outputs, raw_output_contents=raw)), None


class Stream:
    """Brings `messages`, and ends when it may."""

    def __init__(self, messages):
        self._messages = list(messages)
        self.may_end = asyncio.Event()
        self.ended, self.cancelled = asyncio.Event(), asyncio.Event()

    async def __anext__(self):
        if self._messages:
            return self._messages.pop(0)
        await self.may_end.wait()
        self.ended.set()
        raise StopAsyncIteration

    def cancel(self):
        self.cancelled.set()


class Triton:
    """The part of Triton's client that streams."""

    def __init__(self, stream):
        self._stream = stream

    def stream_infer(self, _requests, headers=None):
        return self._stream


async def outputs_of(stream):
    async with aclosing(Inference(Triton(stream), stall_seconds=60).render(REQUEST)) as outputs:
        return [next(iter(output)) async for output in outputs]


async def ends_by_itself(stream):
    """Whether `stream` is read to its end before anybody cancels it."""
    assert not stream.cancelled.is_set()
    stream.may_end.set()
    await asyncio.wait_for(stream.cancelled.wait(), 10)
    return stream.ended.is_set()


async def test_the_pictures_are_handed_on_before_the_stream_ends_and_it_ends_by_itself():
    stream = Stream([message("step"), message(*LAST)])
    assert await outputs_of(stream) == ["step", "images"]
    assert await ends_by_itself(stream)


async def test_a_stream_that_brought_an_error_ends_by_itself():
    stream = Stream([(None, WRONG)])
    with pytest.raises(CallerError):
        await outputs_of(stream)
    assert await ends_by_itself(stream)


async def test_a_render_that_is_left_is_cancelled_at_once():
    stream = Stream([message("step"), message("step")])
    async with aclosing(Inference(Triton(stream), stall_seconds=60).render(REQUEST)) as outputs:
        await anext(outputs)
    assert stream.cancelled.is_set()
    assert not stream.ended.is_set()


async def test_one_that_does_not_end_is_cancelled_after_a_while():
    stream = Stream([])
    Drains(seconds=0.01).add(stream)
    await asyncio.wait_for(stream.cancelled.wait(), 10)


async def test_more_than_so_many_are_cancelled():
    drains, first, second = Drains(limit=1), Stream([]), Stream([])
    drains.add(first)
    drains.add(second)
    assert second.cancelled.is_set()
    assert not first.cancelled.is_set()
    await asyncio.sleep(0)
    await drains.close()
    assert first.cancelled.is_set()
