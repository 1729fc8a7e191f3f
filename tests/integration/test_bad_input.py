"""Bad input from a client: a clear answer, nothing lost, memory where it was."""

from __future__ import annotations

import math
import re
from concurrent.futures import ThreadPoolExecutor

import grpc
import numpy as np
import pytest
from PIL import Image
from tritonclient.grpc import InferenceServerClient, InferInput
from tritonclient.grpc.aio import InferenceServerClient as AsyncInferenceServerClient
from tritonclient.utils import InferenceServerException

from gateway.errors import CallerError
from gateway.triton.inference import Inference
from maquette.v1 import maquette_pb2 as pb
from pipeline.errors import MISTAKE, mistake_in
from pipeline.request import RenderRequest
from tests.pictures import encoded, png_declaring

INVALID = grpc.StatusCode.INVALID_ARGUMENT
CUT_SHORT = encoded(Image.effect_noise((300, 300), 50))[:4000]
BLANK = encoded(Image.new("RGB", (64, 64), "white"))

CASES = {
    "not an image": ({"sketch": b"hello"}, INVALID, "sketch is 5 bytes; allowed: a PNG"),
    "no sketch": ({"sketch": b""}, INVALID, "sketch is 0 bytes; allowed: a PNG"),
    "truncated": ({"sketch": CUT_SHORT}, INVALID, "sketch is 4,000 bytes.*cut short"),
    "30,000 pixels": (
        {"sketch": png_declaring(30_000, 30_000)}, INVALID, "sketch is .*25,000,000 pixels in all"
    ),
    "svg": ({"sketch": b"<svg/>"}, INVALID, "sketch is .*SVG"),
    "11 MB": ({"sketch": bytes(11 * 2**20)}, INVALID, "sketch is 11,534,336 bytes; .*10,485,760"),
    "blank": ({"sketch": BLANK}, INVALID, "sketch is a picture with no edges .*Draw darker lines"),
    "bad style image": (
        {"style": "", "style_images": [b"x" * 99]}, INVALID, "style_images is 99 bytes"
    ),
    "empty prompt": ({"prompt": ""}, INVALID, "prompt is ''; allowed: 1 to 2000 characters"),
    "long prompt": ({"prompt": "x" * 100_000}, INVALID, "prompt is 100,000 char.*at most 65,536"),
    "0 steps": ({"num_inference_steps": 0}, INVALID, "num_inference_steps is 0; .*1 to 150"),
    "-1 steps": ({"num_inference_steps": -1}, INVALID, "num_inference_steps is -1; .*1 to 150"),
    "10,000 steps": ({"num_inference_steps": 10_000}, INVALID, "is 10000; .*1 to 150. Try 150"),
    "NaN scale": ({"controlnet_conditioning_scale": math.nan}, INVALID, "_scale is nan; .*0 to 2"),
    "NaN style scale": ({"ip_adapter_scale": [math.nan]}, INVALID, "ip_adapter_scale is nan"),
    "unknown style": (
        {"style": "nowhere"}, grpc.StatusCode.NOT_FOUND, "style 'nowhere' is not in the library"
    ),
    "unknown tag": (
        {"style": "", "style_filter": ["nowhere"]}, grpc.StatusCode.NOT_FOUND, "style_filter"
    ),
    "width 130": ({"width": 130}, INVALID, "width is 130; .*1024, a multiple of 64. Try 128"),
    "too many pixels": (
        {"width": 1024, "height": 1024}, INVALID, "width is 1024 .*at most 262,144 pixels"
    ),
    "a name too long for a header": (
        {"style": "x" * 20_000}, grpc.StatusCode.NOT_FOUND, "style 'xxx.*20,00. characters"
    ),
    "unknown scheduler": ({"scheduler": "magic"}, INVALID, "scheduler is 'magic'; .*ddim, euler"),
}  # fmt: skip


def refused(call, request):
    with pytest.raises(grpc.RpcError) as failed:
        call(request)
    return failed.value


@pytest.mark.parametrize(("changed", "code", "words"), CASES.values(), ids=CASES)
def test_is_refused_in_plain_words(stub, request_for, changed, code, words):
    error = refused(stub.Render, request_for(**changed))
    assert error.code() is code
    assert re.search(words, error.details()), error.details()
    assert "Traceback" not in error.details()
    assert MISTAKE not in error.details()
    assert len(error.details()) < 400


def test_the_stream_refuses_as_the_unary_call_does(stub, request_for):
    error = refused(lambda request: list(stub.RenderStream(request)), request_for(width=130))
    assert error.code() is INVALID
    assert "width is 130" in error.details()


def test_memory_does_not_move_and_the_next_render_works(live, stub, request_for):
    stub.Render(request_for())
    before = live.resident_bytes()
    for changed, _, _ in CASES.values():
        refused(stub.Render, request_for(**changed))
    assert live.resident_bytes() - before < 100 * 2**20
    assert stub.Render(request_for()).images


def test_triton_outlives_many_errors_on_its_streams(live, stub, request_for):
    """Triton 24.10 crashes when a stream that reports errors as statuses is ended in two parts."""
    before = live.processes()
    with ThreadPoolExecutor(8) as pool:
        bad = request_for(width=1024, height=1024)
        errors = list(pool.map(lambda _: refused(stub.Render, bad), range(100)))
    assert {error.code() for error in errors} == {INVALID}
    assert live.processes() == before
    assert stub.Render(request_for()).images


def test_bad_styles_are_refused(stub):
    error = refused(stub.AddStyle, pb.AddStyleRequest(image=CUT_SHORT, name="cut"))
    assert error.code() is INVALID
    assert "image is 4,000 bytes" in error.details()
    good = encoded(Image.new("RGB", (64, 64)))
    error = refused(stub.AddStyle, pb.AddStyleRequest(image=good, name="!!"))
    assert "name is '!!'" in error.details()
    error = refused(stub.ListStyles, pb.ListStylesRequest(page_size=-1))
    assert "page_size is -1; allowed: 1 to 1000" in error.details()
    error = refused(stub.SearchStyles, pb.SearchStylesRequest(prompt="x", limit=101))
    assert "limit is 101; allowed: 1 to 100" in error.details()
    error = refused(stub.SearchStyles, pb.SearchStylesRequest(prompt=" "))
    assert "prompt is" in error.details()


async def test_a_mistake_that_a_model_of_the_render_finds_keeps_its_mark(live, request_for):
    """Past the gateway: the render's own model calls an ensemble, whose model finds it."""
    bad = RenderRequest(request_for().sketch, "a house", style_images=(b"bad",))
    async with AsyncInferenceServerClient(live.triton_address) as client:
        outputs = Inference(client, stall_seconds=60).render(bad)
        with pytest.raises(CallerError, match="^image is 3 bytes; allowed: a PNG"):
            await anext(outputs)


def test_triton_itself_refuses_a_callers_mistake_as_such(live, sketch, style_image):
    """What comes past the gateway is the caller's fault too, and harms nobody else."""

    def infer(*images):
        tensor = InferInput("image", [len(images), 1], "BYTES")
        tensor.set_data_from_numpy(np.array([[image] for image in images], object))
        with InferenceServerClient(live.triton_address) as client:
            return client.infer("embed_image", [tensor]).as_numpy("image_embedding")

    with pytest.raises(InferenceServerException, match="image is 3 bytes") as failed:
        infer(b"bad")
    assert failed.value.status() == "StatusCode.INVALID_ARGUMENT"
    # Whatever the ensemble says before it.
    assert mistake_in(failed.value.message()).startswith("image is 3 bytes; allowed: a PNG")
    assert infer(style_image, sketch).shape == (2, 512)
