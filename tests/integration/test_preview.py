"""Previews and the engines' names in what Triton's `render` streams, decoder and gateway aside."""

from __future__ import annotations

import io
import json
import queue
from functools import partial

import numpy as np
import pytest
from PIL import Image
from tritonclient.grpc import InferenceServerClient, InferInput

from pipeline import contract, wire
from pipeline.request import RenderRequest
from pipeline.samplers import SAMPLERS
from tests.amounts import sample
from tests.exported import EXPORTED

SIDE = 128
"""Of a preview of a picture of 256 pixels."""


@pytest.fixture
def stream(live, sketch, style_image):
    """Streams one render of the given fields; every response as outputs by name."""

    def run(**changed):
        request = RenderRequest(
            **{"sketch": sketch, "prompt": "futuristic neon city at night", "seed": 11,
               "style_images": (style_image,), "num_inference_steps": 12, **changed}
        )  # fmt: skip
        answers = queue.Queue()
        with InferenceServerClient(live.triton_address) as client:
            client.start_stream(partial(_put, answers))
            client.async_stream_infer("render", _inputs(request))
            responses = [answers.get(timeout=120)]
            while "images" not in responses[-1]:
                responses.append(answers.get(timeout=120))
            client.stop_stream()
        return responses

    return run


def _put(answers, result, error):
    assert error is None, error
    names = [tensor.name for tensor in contract.MODELS["render"].outputs]
    found = {name: result.as_numpy(name) for name in names}
    answers.put({name: array for name, array in found.items() if array is not None})


def _inputs(request):
    inputs = []
    for name, array in wire.to_tensors(request).items():
        tensor = InferInput(name, array.shape, contract.MODELS["render"].input(name).dtype)
        tensor.set_data_from_numpy(array)
        inputs.append(tensor)
    return inputs


def light(png):
    """Where the picture is light and where dark, at a preview's size."""
    with Image.open(io.BytesIO(png)) as picture:
        return np.asarray(picture.convert("L").resize((SIDE, SIDE), Image.Resampling.BOX), float)


def likeness(one, other):
    """1 where both are light and dark in the same places. The tiny pack's latents hold colours in
    a way that no linear map reads, so colours are not compared."""
    return np.corrcoef(one.ravel(), other.ravel())[0, 1]


def test_previews_come_when_asked_for(stream):
    *steps, last = stream(preview_interval=4, num_images=2)
    assert [int(response["step"][0]) for response in steps] == list(range(1, 13))
    assert [int(r["step"][0]) for r in steps if "preview" in r] == [4, 8]
    assert "preview" not in last
    for response in steps:
        for png in response.get("preview", ()):
            with Image.open(io.BytesIO(png)) as picture:
                assert (picture.format, picture.size) == ("PNG", (SIDE, SIDE))
    assert {len(response["preview"]) for response in steps if "preview" in response} == {2}


@pytest.mark.parametrize("scheduler", sample(SAMPLERS, {"ddim", "lcm"}))
def test_the_late_preview_is_near_the_picture_and_the_first_is_not(stream, scheduler):
    *steps, last = stream(preview_interval=1, scheduler=scheduler)
    first, *_, late = (light(r["preview"][0]) for r in steps if "preview" in r)
    picture = light(last["images"][0])
    assert likeness(late, picture) > 0.8
    assert likeness(late, picture) > likeness(first, picture) + 0.05
    assert likeness(late, picture) > likeness(late, picture[:, ::-1]) + 0.2


def test_previews_leave_the_picture_as_it_is(stream):
    plain, previewed = (stream(preview_interval=interval) for interval in (0, 1))
    assert not any("preview" in response for response in plain)
    assert sum("preview" in response for response in previewed) == 11
    assert previewed[-1]["images"][0] == plain[-1]["images"][0]


def test_the_picture_names_the_engines_that_made_it(stream):
    last = stream(num_inference_steps=1)[-1]
    (text,) = last["pack"]
    identity = json.loads(text)
    assert (identity["engine"], identity["precision"]) == ("onnx", "fp32")
    repository = EXPORTED
    records = {f"{path.parts[-3]}/{path.parts[-2]}".removesuffix("/1"): json.loads(path.read_text())
               for path in repository.glob("*/*/manifest.json")}  # fmt: skip
    assert identity["name"] == records["unet"]["pack"]
    assert identity["engines"] == {
        name: record["fingerprint"][:16] for name, record in records.items()
    }
    assert {"unet", "unet/2", "controlnet", "vae_decoder"} <= set(identity["engines"])
