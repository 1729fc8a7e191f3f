"""Wrong inputs through every door: a clear refusal each time, and nothing worn out.

A thousand of them, and twenty thousand in a long run, drawn by Hypothesis. None of them is a whole
request, so that nothing is rendered: each has a sketch that is no picture, or at least one value
outside its range.
"""

from __future__ import annotations

import base64
import json
import math
import re

import grpc
import httpx
import pytest
from hypothesis import strategies as some
from tritonclient.grpc import service_pb2 as kserve

from maquette.v1 import maquette_pb2 as pb
from tests.amounts import amounts
from tests.conftest import ROOT
from tests.fuzzing import fuzzed
from tests.integration.stack import stub_of
from tests.mutations import mutated

AT_ONCE = 10
"""Inputs of one example, sent together."""
MEGABYTE = 2**20
SKETCH = (ROOT / "examples/sketches/town-house.png").read_bytes()

texts = some.text(max_size=40) | some.just("x" * 600) | some.just("")
noise = some.binary(max_size=200)
not_pictures = noise | noise.map(lambda data: SKETCH[:60] + data)
numbers = some.integers(-(2**31), 2**31 - 1)
floats = some.floats(width=32, allow_nan=True, allow_infinity=True)

IMPOSSIBLE = {
    "num_inference_steps": some.integers(-(2**31), 0) | some.integers(151, 2**31 - 1),
    "guidance_scale": some.sampled_from([-1.0, 31.0, math.nan, math.inf, -math.inf]),
    "controlnet_conditioning_scale": some.sampled_from([-0.1, 2.1, math.nan]),
    "control_guidance_start": some.sampled_from([1.0, 1.5, math.nan]),
    "canny_low_threshold": some.integers(1001, 2**31 - 1) | some.integers(-(2**31), -1),
    "width": some.integers(-(2**31), 127) | some.integers(1025, 2**31 - 1) | some.just(130),
    "num_images": some.integers(-(2**31), 0) | some.integers(5, 2**31 - 1),
    "preview_interval": some.integers(151, 2**31 - 1),
    "scheduler": texts.filter(bool),
}
ANYTHING = {
    "negative_prompt": texts,
    "style": texts,
    "style_filter": some.lists(texts, max_size=3),
    "style_images": some.lists(noise, max_size=9),
    "style_weights": some.lists(floats, max_size=9),
    "seed": some.integers(0, 2**32 - 1),
    "control_guidance_end": floats,
    "ip_adapter_scale": some.lists(floats, max_size=17),
    "canny_high_threshold": numbers,
    "height": numbers,
    "id": texts,
}


@some.composite
def wrong_fields(draw):
    """Fields of a request that cannot be rendered."""
    fields = draw(some.fixed_dictionaries({"prompt": texts}, optional=ANYTHING))
    if draw(some.booleans()):
        return fields | {"sketch": draw(not_pictures)}
    name = draw(some.sampled_from(sorted(IMPOSSIBLE)))
    return fields | {"sketch": SKETCH, name: draw(IMPOSSIBLE[name])}


def together(strategy):
    return some.lists(strategy, min_size=AT_ONCE, max_size=AT_ONCE)


REFUSALS = {
    grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND, grpc.StatusCode.UNIMPLEMENTED,
    grpc.StatusCode.ALREADY_EXISTS,
}  # fmt: skip


def send_all(call, inputs):
    """Send `inputs` at once, and see that each is refused as the caller's mistake."""
    for future in [call.future(message) for message in inputs]:
        error = future.exception()
        assert error.code() in REFUSALS, (error.code(), error.details())
        assert "Traceback" not in error.details()


@pytest.fixture(scope="module", autouse=True)
def unharmed(live):
    """After all of it the same processes run, and hold no more memory."""
    with live.channel() as channel:
        render = stub_of(channel).Render
        good = pb.RenderRequest(sketch=SKETCH, prompt="a house", num_inference_steps=1)
        render(good)
        processes, before = live.processes(), live.resident_bytes()
        yield
        assert live.processes() == processes
        assert live.resident_bytes() - before < 150 * MEGABYTE
        assert render(good).images


@pytest.fixture(scope="module")
def channel(live):
    with live.channel() as opened:
        yield opened


@pytest.fixture(scope="module")
def http(live):
    with httpx.Client(base_url=f"http://{live.http_address}", timeout=30) as client:
        yield client


@fuzzed(25, 500, inputs=together(wrong_fields()))
def test_maquette_v1(channel, inputs):
    messages = [pb.RenderRequest(**fields) for fields in inputs]
    send_all(stub_of(channel).Render, messages)


@fuzzed(10, 200, inputs=together(noise))
def test_bytes_that_are_no_request(channel, inputs):
    render = channel.unary_unary("/maquette.v1.MaquetteService/Render")
    send_all(render, inputs)


names = some.sampled_from(
    ["sketch", "prompt", "seed", "num_inference_steps", "style_images", "ip_adapter_scale", "", "x"]
)
dtypes = some.sampled_from(["BYTES", "FP32", "INT32", "INT64", "UINT8", "BF16", "", "bytes"])
shapes = some.lists(some.integers(-(2**63), 2**63 - 1) | some.integers(-1, 3), max_size=4)
lengths = some.integers(0, 2**32 - 1).map(lambda length: length.to_bytes(4, "little"))
lying = some.builds(bytes.__add__, lengths, noise)


@some.composite
def infer_requests(draw):
    """ModelInfer requests with tensors of every kind but the right one."""
    contents = kserve.InferTensorContents(
        bytes_contents=draw(some.lists(noise, max_size=2)),
        int_contents=draw(some.lists(numbers, max_size=2)),
        fp32_contents=draw(some.lists(floats, max_size=2)),
    )
    tensor = kserve.ModelInferRequest.InferInputTensor
    inputs = [
        tensor(
            name=draw(names),
            datatype=draw(dtypes),
            shape=draw(shapes),
            contents=contents if draw(some.booleans()) else None,
        )
        for _ in range(draw(some.integers(0, 3)))
    ]
    return kserve.ModelInferRequest(
        model_name=draw(some.sampled_from(["sketch_to_render", "unet", ""])),
        model_version=draw(some.sampled_from(["", "1", "2"])),
        inputs=inputs,
        raw_input_contents=draw(some.lists(lying, max_size=3)),
    )


@fuzzed(20, 400, inputs=together(infer_requests()))
def test_open_inference_grpc(channel, inputs):
    infer = channel.unary_unary(
        "/inference.GRPCInferenceService/ModelInfer",
        request_serializer=kserve.ModelInferRequest.SerializeToString,
        response_deserializer=kserve.ModelInferResponse.FromString,
    )
    send_all(infer, inputs)


def refused(answer):
    assert 400 <= answer.status_code < 500, (answer.status_code, answer.text[:300])
    assert "Traceback" not in answer.text
    assert "error" in answer.json() or "detail" in answer.json()


values = some.recursive(
    some.none()
    | some.booleans()
    | numbers
    | some.floats(allow_nan=False, allow_infinity=False)
    | texts,
    lambda inner: some.lists(inner, max_size=3) | some.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
tensors = some.fixed_dictionaries(
    {},
    optional={
        "name": names | values,
        "datatype": dtypes | values,
        "shape": shapes | values,
        "data": values,
        "parameters": some.fixed_dictionaries(
            {}, optional={"binary_data_size": numbers | values, "binary_data": values}
        ),
    },
)
bodies = some.fixed_dictionaries(
    {},
    optional={
        "id": values,
        "inputs": some.lists(tensors, max_size=3) | values,
        "outputs": some.lists(tensors, max_size=2) | values,
        "parameters": values,
    },
)
INFER = "/v2/models/sketch_to_render/infer"


@fuzzed(15, 300, inputs=together(bodies | values))
def test_open_inference_json(http, inputs):
    for body in inputs:
        refused(http.post(INFER, json=body))


@fuzzed(10, 200, inputs=together(some.tuples(bodies, lying, numbers | texts)))
def test_open_inference_lengths_that_lie(http, inputs):
    for body, raw, length in inputs:
        # What a client would not send in a header, it does not send.
        told = re.sub(r"[^ -~]", "", str(length)).strip().encode()
        headers = {b"Inference-Header-Content-Length": told}
        content = json.dumps(body).encode() + raw
        answer = http.post(INFER, content=content, headers=headers)
        refused(answer)


def as_json(value):
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, list):
        return [as_json(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


@fuzzed(13, 250, inputs=together(wrong_fields() | values))
def test_renders_json(http, inputs):
    for fields in inputs:
        body = fields
        if isinstance(fields, dict):
            body = {name: as_json(value) for name, value in fields.items()}
            body["sketch"] = as_json(fields.get("sketch", b"")) or "?"
        if isinstance(body, dict) and body["sketch"] == as_json(SKETCH):
            # What JSON cannot say (NaN) would be left out, and the rest may be right.
            body["num_inference_steps"] = 0
        refused(http.post("/v1/renders", json=body))


@fuzzed(
    10, 200, inputs=together(wrong_fields()), path=some.sampled_from(["/generate", "/v1/renders"])
)
def test_multipart(http, inputs, path):
    for fields in inputs:
        picture = "file" if path == "/generate" else "sketch"
        files = {picture: ("s.png", fields.pop("sketch"), "image/png")}
        for image in fields.pop("style_images", []):
            files["style_images"] = ("i.png", image, "image/png")
        data = {name: _text(value) for name, value in fields.items()}
        refused(http.post(path, files=files, data=data))


@fuzzed(
    5,
    100,
    inputs=together(noise),
    kind=some.sampled_from(["application/json", "multipart/form-data; boundary=x"]),
)
def test_bodies_that_are_nothing(http, inputs, kind):
    for content in inputs:
        answer = http.post("/v1/renders", content=content, headers={"content-type": kind})
        refused(answer)


damaged = pytest.mark.parametrize("pictures", amounts(14, 40))
"""Damaged ones of each kind, through each door. With 300 it is the same."""


@damaged
def test_pictures_that_are_damaged_grpc(channel, pictures):
    """Each is sent with something wrong that is found out later, so that none is rendered."""
    stub = stub_of(channel)
    for picture in mutated(pictures):
        request = pb.RenderRequest(sketch=picture, prompt="a house", style="nowhere")
        send_all(stub.Render, [request])
        request = pb.RenderRequest(sketch=SKETCH, prompt="a house", style_images=[picture])
        request.width = request.height = 1024
        send_all(stub.Render, [request])
        style = pb.AddStyleRequest(image=picture, name="cyberpunk")
        send_all(stub.AddStyle, [style])


@damaged
def test_pictures_that_are_damaged_open_inference(channel, http, pictures):
    infer = channel.unary_unary(
        "/inference.GRPCInferenceService/ModelInfer",
        request_serializer=kserve.ModelInferRequest.SerializeToString,
        response_deserializer=kserve.ModelInferResponse.FromString,
    )
    for picture in mutated(pictures):
        values = {"sketch": picture, "prompt": b"a house", "style": b"nowhere"}
        raw = [len(value).to_bytes(4, "little") + value for value in values.values()]
        inputs = [{"name": name, "datatype": "BYTES", "shape": [1]} for name in values]
        message = kserve.ModelInferRequest(
            model_name="sketch_to_render", inputs=inputs, raw_input_contents=raw
        )
        send_all(infer, [message])
        for tensor, content in zip(inputs, raw, strict=True):
            tensor["parameters"] = {"binary_data_size": len(content)}
        header = json.dumps({"inputs": inputs}).encode()
        answer = http.post(
            INFER,
            content=header + b"".join(raw),
            headers={"Inference-Header-Content-Length": str(len(header))},
        )
        refused(answer)


@damaged
@pytest.mark.parametrize(
    ("path", "field", "others"),
    [
        ("/v1/renders", "sketch", {"prompt": "a house", "style": "nowhere"}),
        ("/generate", "file", {"prompt": "a house", "style": "nowhere"}),
        ("/v1/styles", "image", {"name": "cyberpunk"}),
        ("/v1/images/edits", "image", {"prompt": "a house", "size": "1024x1024"}),
    ],
)
def test_pictures_that_are_damaged_http(http, path, field, others, pictures):
    for picture in mutated(pictures):
        files = {field: ("picture.png", picture, "image/png")}
        refused(http.post(path, files=files, data=others))


def _text(value):
    return [str(item) for item in value] if isinstance(value, list) else str(value)
