"""Requests that nobody would write: whatever they say, the fault is told as the caller's."""

from __future__ import annotations

import json
import struct
from base64 import b64encode

import grpc
import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tritonclient.grpc import service_pb2 as pb
from tritonclient.grpc import service_pb2_grpc

from gateway.doors.openinference.model import INPUTS, OUTPUTS
from tests.amounts import amounts
from tests.fuzzing import STEADY
from tests.gateway.doors.openinference.clients import MODEL

FINE = {grpc.StatusCode.OK, grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND}

names = st.sampled_from([*INPUTS]) | st.text(max_size=9)
wanted_names = st.sampled_from([*OUTPUTS]) | st.text(max_size=4)
dtypes = st.sampled_from(["BYTES", "FP32", "INT32", "INT64", "BOOL", "FP16", ""])
sizes = st.integers(-(2**63), 2**63 - 1) | st.integers(-1, 20)
shapes = st.just([1]) | st.lists(sizes, max_size=4)
numbers = st.floats(allow_nan=True, allow_infinity=True) | st.integers(-(2**80), 2**80)
raws = (
    st.binary(max_size=40)
    | st.binary(max_size=20).map(lambda data: struct.pack("<I", len(data)) + data)
    | st.floats(width=32).map(lambda number: struct.pack("<f", number))
    | st.integers(-(2**63), 2**63 - 1).map(lambda number: struct.pack("<q", number))
    | st.integers(-(2**31), 2**31 - 1).map(lambda number: struct.pack("<i", number))
)
typed = st.builds(
    pb.InferTensorContents,
    bytes_contents=st.lists(st.binary(max_size=9), max_size=3),
    fp32_contents=st.lists(st.floats(width=32), max_size=3),
    int_contents=st.lists(st.integers(-(2**31), 2**31 - 1), max_size=3),
    int64_contents=st.lists(st.integers(-(2**63), 2**63 - 1), max_size=3),
)
parameters = st.dictionaries(
    st.sampled_from(["timeout", "priority", "shared_memory_region", "binary_data_size", "x"]),
    st.builds(pb.InferParameter, int64_param=st.integers(-(2**63), 2**63 - 1))
    | st.builds(pb.InferParameter, string_param=st.text(max_size=5))
    | st.builds(pb.InferParameter, double_param=st.floats())
    | st.just(pb.InferParameter()),
    max_size=2,
)


@pytest.fixture(scope="module")
def stub(open_inference):
    with grpc.insecure_channel(open_inference.grpc) as channel:
        yield service_pb2_grpc.GRPCInferenceServiceStub(channel)


@pytest.fixture(scope="module")
def post(open_inference):
    with httpx.Client(timeout=60) as client:
        yield lambda content, **headers: client.post(
            f"http://{open_inference.http}/v2/models/{MODEL}/infer",
            content=content,
            headers=headers,
        )


@st.composite
def inputs(draw):
    """Some inputs, mostly of the right datatype, so that what lies behind it is reached."""
    name = draw(names)
    right = name in INPUTS and draw(st.booleans())
    return name, INPUTS[name].dtype if right else draw(dtypes), draw(shapes)


def right(draw, sketch):
    """A request to which there is an answer: chance alone seldom makes one."""
    seed = draw(st.integers(0, 2**32 - 1))
    return pb.ModelInferRequest(
        model_name=MODEL,
        id=draw(st.text(max_size=5)),
        inputs=[
            pb.ModelInferRequest.InferInputTensor(name=name, datatype=dtype, shape=[1])
            for name, dtype in (("sketch", "BYTES"), ("prompt", "BYTES"), ("seed", "INT64"))
        ],
        raw_input_contents=[
            *(struct.pack("<I", len(part)) + part for part in (sketch, b"a house")),
            struct.pack("<q", seed),
        ],
    )


@st.composite
def messages(draw, sketch):
    """A request, often with a sketch and a prompt that are right, and sometimes all right."""
    if draw(st.sampled_from([True, False, False, False])):
        return right(draw, sketch)
    described = draw(st.lists(inputs(), max_size=4))
    data = draw(st.lists(raws, min_size=len(described), max_size=len(described)))
    if draw(st.booleans()):
        described += [("sketch", "BYTES", [1]), ("prompt", "BYTES", [1])]
        data += [struct.pack("<I", len(part)) + part for part in (sketch, b"a house")]
    as_typed = draw(st.booleans())
    return pb.ModelInferRequest(
        model_name=draw(st.sampled_from([MODEL] * 9 + ["", "unet"])),
        model_version=draw(st.sampled_from([""] * 8 + ["1", "2"])),
        id=draw(st.text(max_size=5)),
        parameters=draw(parameters),
        inputs=[
            pb.ModelInferRequest.InferInputTensor(
                name=name, datatype=dtype, shape=shape, parameters=draw(parameters),
                contents=draw(typed) if as_typed else None,
            )
            for name, dtype, shape in described
        ],
        outputs=[
            pb.ModelInferRequest.InferRequestedOutputTensor(name=name, parameters=draw(parameters))
            for name in draw(st.lists(wanted_names, max_size=2))
        ],
        raw_input_contents=[] if as_typed else data[: draw(st.sampled_from([None] * 9 + [1]))],
    )  # fmt: skip


@pytest.mark.parametrize("count", amounts(110, 800))
def test_grpc_never_blames_itself(stub, tiny_sketch, count):
    codes = set()

    @settings(STEADY, max_examples=count)
    @given(messages(tiny_sketch))
    def ask(message):
        call = stub.ModelInfer.future(message)
        in_time = {grpc.StatusCode.DEADLINE_EXCEEDED} if "timeout" in message.parameters else set()
        assert call.code() in FINE | in_time, call.details()
        codes.add(call.code())

    ask()
    assert codes >= FINE


plain = st.none() | st.booleans() | numbers | st.text(max_size=9)
anything = plain | st.lists(plain | st.lists(plain, max_size=2), max_size=3) | st.just({"a": [{}]})


@st.composite
def bodies(draw, sketch):
    """The JSON of a request, in which some things are as they should be."""

    def sometimes(value):
        return draw(st.sampled_from([value] * 6 + [draw(anything)]))

    described = [
        {
            "name": sometimes(name),
            "datatype": sometimes(dtype),
            "shape": sometimes(shape),
            "data": draw(st.lists(anything, max_size=3)),
            "parameters": draw(st.just({}) | st.dictionaries(st.text(max_size=9), anything)),
        }
        for name, dtype, shape in draw(st.lists(inputs(), max_size=3))
    ]
    if draw(st.booleans()):
        described += [
            {"name": "sketch", "datatype": "BYTES", "shape": [1], "data": [sketch]},
            {"name": "prompt", "datatype": "BYTES", "shape": [1], "data": [draw(st.text())]},
        ]
    wanted = [
        {"name": name, "parameters": {"binary_data": sometimes(True)}}
        for name in draw(st.lists(st.sampled_from([*OUTPUTS]), max_size=2))
    ]
    return {
        "id": sometimes("1"),
        "inputs": sometimes(described),
        "outputs": sometimes(wanted),
        "parameters": sometimes({"timeout": sometimes(10**9), "binary_data_output": True}),
    }


def refused_or_answered(response, besides=frozenset()) -> int:
    assert response.status_code in {200, 400} | besides, response.text
    if response.status_code == 400:
        assert list(response.json()) == ["error"]
    return response.status_code


@pytest.mark.parametrize("count", amounts(250, 700))
def test_rest_never_blames_itself(post, tiny_sketch, count):
    codes = set()

    @settings(STEADY, max_examples=count)
    @given(bodies(b64encode(tiny_sketch).decode()))
    def ask(body):
        # Some bodies ask for an answer within a microsecond.
        codes.add(refused_or_answered(post(json.dumps(body)), besides={504}))

    ask()
    assert codes >= {200, 400}


@pytest.mark.parametrize("count", amounts(80, 600))
def test_text_that_is_hardly_json_is_never_its_own_fault(post, count):
    @settings(STEADY, max_examples=count)
    @given(st.binary(max_size=60) | st.text('{}[]":,0e-inputs\\u', max_size=60).map(str.encode))
    def ask(body):
        assert refused_or_answered(post(body)) == 400

    ask()


@st.composite
def raw_requests(draw, sketch):
    """JSON and raw tensors behind it, with sizes that are sometimes true."""
    tensors = [("sketch", sketch), ("prompt", b"a"), *draw(st.lists(st.tuples(names, raws)))]
    described, data = [], b""
    for name, content in tensors[draw(st.sampled_from([0] * 9 + [1])) :]:
        raw = struct.pack("<I", len(content)) + content if name in ("sketch", "prompt") else content
        size = draw(st.sampled_from([len(raw)] * 8 + [draw(numbers)]))
        dtype = INPUTS[name].dtype if name in INPUTS else "BYTES"
        described.append(
            {
                "name": name,
                "datatype": dtype,
                "shape": [1],
                "parameters": {"binary_data_size": size},
            }
        )
        data += raw
    header = json.dumps({"inputs": described}).encode()
    length = draw(st.sampled_from([str(len(header))] * 8 + [str(draw(numbers)), "", "x", "-1"]))
    return length, header + data[: draw(st.sampled_from([None] * 8 + [5]))]


@pytest.mark.parametrize("count", amounts(100, 700))
def test_raw_tensors_are_never_its_own_fault(post, tiny_sketch, count):
    codes = set()

    @settings(STEADY, max_examples=count)
    @given(raw_requests(tiny_sketch))
    def ask(request):
        length, body = request
        headers = {"Inference-Header-Content-Length": length}
        codes.add(refused_or_answered(post(body, **headers)))

    ask()
    assert codes == {200, 400}
