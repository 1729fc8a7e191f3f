"""Mending over a Triton that is small: a few models whose processes can die."""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import aclosing

import numpy as np
import pytest
from tritonclient.grpc import InferResult
from tritonclient.grpc.service_pb2 import ModelInferResponse
from tritonclient.utils import InferenceServerException

from gateway.triton.inference import Inference, ModelDied
from gateway.triton.recovery import Recovery
from pipeline.errors import MISTAKE, Unavailable
from pipeline.request import RenderRequest

HEALTHY = "Everything is fine"
CONFIG = {"version_policy": {"specific": {"versions": ["2"]}}, "parameters": {}}


class Stream:
    """Of a ``render`` whose process says nothing once it is dead."""

    def __init__(self, triton):
        self._messages = ["render"] if "render" in triton.dead else None

    async def __anext__(self):
        if self._messages is None:
            await asyncio.Event().wait()
        if not self._messages:
            raise StopAsyncIteration
        return None, InferenceServerException(died(self._messages.pop()))

    def cancel(self):
        pass


def vector():
    output = {"name": "text_embedding", "datatype": "FP32", "shape": [1, 512]}
    raw = np.zeros((1, 512), np.float32).tobytes()
    return InferResult(ModelInferResponse(outputs=[output], raw_output_contents=[raw]))


class Triton:
    """The part of Triton's client that serves a text's vector, and that loads models.

    A model that is loaded as it is stays as it is.
    """

    def __init__(self):
        self.dead = set()
        self.loads, self.error = [], None
        self.may_load = asyncio.Event()
        self.may_load.set()
        self.loaded = asyncio.Event()

    async def infer(self, *_, **__):
        if "tokenizer" in self.dead:
            raise InferenceServerException(died("tokenizer"), "StatusCode.INTERNAL")
        return vector()

    def stream_infer(self, _requests, headers=None):
        return Stream(self)

    async def get_model_config(self, model, **_):
        return {"config": CONFIG | {"name": model}}

    async def load_model(self, model, config, **_):
        if self.error:
            raise self.error
        await self.may_load.wait()
        self.loads.append((model, config))
        if json.loads(config) != CONFIG | {"name": model}:
            self.dead.discard(model)
        self.loaded.set()


@pytest.fixture
def triton():
    return Triton()


@pytest.fixture
async def mender(triton):
    mender = Recovery(triton, retry_seconds=0.01)
    yield mender
    mender.close()


def died(model):
    return f"in ensemble 'condition', Stub process '{model}_0_0' is not healthy."


@pytest.mark.parametrize(
    ("message", "model"),
    [
        ("Stub process 'render_0_0' is not healthy.", "render"),
        ("condition: in ensemble 'condition', Stub process 'canny_0_0' is not healthy.", "canny"),
        ("Stub process 'image_encoder_12_3' is not healthy.", "image_encoder"),
        ("Stub process 'unet.7f3a_0_0' is not healthy.", "unet.7f3a"),
        ("Model 'condition' is not ready.", None),
        ("Stub process is not healthy.", None),
        ("", None),
    ],
)
def test_what_triton_says_of_a_process_that_died(message, model):
    assert Recovery.dead_model(message) == model


async def test_ten_calls_that_fail_mend_once_and_all_wait_for_it(mender, triton):
    triton.may_load.clear()
    began = time.monotonic()
    assert [mender.diagnose(died("unet"), began) for _ in range(10)] == ["unet"] * 10
    waiting = [asyncio.create_task(mender.reload("unet")) for _ in range(10)]
    await asyncio.sleep(0)
    assert not mender.healthy
    assert not any(task.done() for task in waiting)
    triton.may_load.set()
    await asyncio.gather(*waiting)
    assert mender.healthy
    assert len(triton.loads) == mender.mended["unet"] == 1


async def test_a_caller_who_leaves_does_not_break_off_the_mending(mender, triton):
    triton.may_load.clear()
    mender.diagnose(died("unet"), time.monotonic())
    leaving = asyncio.create_task(mender.reload("unet"))
    await asyncio.sleep(0)
    leaving.cancel()
    triton.may_load.set()
    await mender.reload("unet")
    assert mender.mended["unet"] == 1


async def test_it_comes_back_with_the_config_it_had(mender, triton):
    mender.diagnose(died("unet"), time.monotonic())
    await mender.reload("unet")
    assert '"versions": ["2"]' in triton.loads[0][1]


async def test_a_call_that_met_the_old_process_does_not_mend_again(mender, triton):
    began = time.monotonic()
    mender.diagnose(died("unet"), began)
    await mender.reload("unet")
    assert mender.diagnose(died("unet"), began) == "unet"
    await mender.reload("unet")
    assert len(triton.loads) == 1
    mender.diagnose(died("unet"), time.monotonic())
    await mender.reload("unet")
    assert len(triton.loads) == 2


async def test_what_is_away_is_blamed_on_the_model_being_mended(mender, triton):
    away = "Failed for execute the inference request. Model 'denoiser' is not ready."
    began = time.monotonic()
    assert mender.diagnose(away, began) is None
    triton.may_load.clear()
    mender.diagnose(died("unet"), began)
    assert mender.diagnose(away, began) == "unet"
    triton.may_load.set()
    await mender.reload("unet")
    assert mender.diagnose(away, began) == "unet"
    assert mender.diagnose(away, time.monotonic()) is None
    assert mender.diagnose(HEALTHY, began) is None


async def test_what_does_not_load_is_said_and_tried_again(mender, triton):
    triton.error = InferenceServerException("no room", "StatusCode.INTERNAL")
    mender.diagnose(died("unet"), time.monotonic())
    with pytest.raises(Unavailable, match="The model unet does not come up"):
        await mender.reload("unet")
    assert not mender.healthy
    triton.error = None
    await asyncio.wait_for(triton.loaded.wait(), 10)
    await mender.reload("unet")
    assert mender.healthy
    assert mender.mended["unet"] == 1


async def test_a_triton_that_is_gone_is_left_to_come_back_by_itself(mender, triton):
    triton.error = InferenceServerException("connection refused", "StatusCode.UNAVAILABLE")
    mender.diagnose(died("unet"), time.monotonic())
    with pytest.raises(Unavailable):
        await mender.reload("unet")
    assert mender.healthy
    assert triton.loads == []


@pytest.fixture
async def inference(triton):
    inference = Inference(triton, stall_seconds=60)
    yield inference
    inference.recovery.close()


async def test_an_embedding_is_made_once_more_when_its_model_is_mended(inference, triton):
    triton.dead.add("tokenizer")
    assert (await inference.embed_text("a house")).shape == (512,)
    assert inference.recovery.mended["tokenizer"] == 1


async def test_a_render_is_told_that_its_process_died_though_triton_is_silent(inference, triton):
    async def render():
        request = RenderRequest(sketch=b"sketch", prompt="a house", style_images=(b"style",))
        async with aclosing(inference.render(request)) as outputs:
            async for _ in outputs:
                pass

    rendering = [asyncio.create_task(render()) for _ in range(3)]
    await asyncio.sleep(0)
    triton.dead.add("render")
    async with asyncio.timeout(20):
        while not inference.recovery.mended["render"]:
            await asyncio.sleep(0.1)
            await inference.check_liveness()
        for ended in await asyncio.gather(*rendering, return_exceptions=True):
            assert isinstance(ended, ModelDied)
            assert ended.model == "render"


async def test_a_callers_mistake_is_not_taken_for_a_death(inference, triton):
    prompt = "Stub process 'render_0_0' is not healthy."
    sentence = f"prompt is {prompt!r}; allowed: 1 to 5 characters. Shorten it."
    # As an ensemble passes on what one of its models answered.
    failed = InferenceServerException(f"in ensemble 'condition', {MISTAKE}{sentence}")
    error = inference._translated("render", failed, time.monotonic())
    assert str(error) == sentence
    assert type(error).__name__ == "CallerError"
    assert inference.recovery.healthy


async def test_what_only_reads_like_a_callers_mistake_is_none(inference):
    failed = InferenceServerException("tensor is 3 rows; allowed: 2. Try 2.")
    error = inference._translated("unet", failed, time.monotonic())
    assert type(error).__name__ == "StageFailed"
    assert "tensor" not in str(error)
