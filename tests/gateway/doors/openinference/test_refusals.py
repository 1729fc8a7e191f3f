"""Requests that lie or make no sense: each refused in a sentence, with the caller's own code."""

from __future__ import annotations

import base64
import gzip
import json
import re
import struct
import threading
import zlib

import grpc
import httpx
import pytest
from tritonclient.grpc import service_pb2 as pb
from tritonclient.grpc import service_pb2_grpc

from gateway.auth.caller import Scope
from tests.gateway.doors.openinference.clients import MODEL
from tests.gateway.doors.openinference.serving import SCORE, STYLE

BYTES_PROMPT = struct.pack("<I", 1) + b"a"
HEADER_LENGTH = "Inference-Header-Content-Length"


@pytest.fixture(scope="module")
def stub(open_inference):
    with grpc.insecure_channel(open_inference.grpc) as channel:
        yield service_pb2_grpc.GRPCInferenceServiceStub(channel)


@pytest.fixture(scope="module")
def http(open_inference):
    with httpx.Client(base_url=f"http://{open_inference.http}/v2/models/{MODEL}") as client:
        yield client


def test_who_comes_through_a_proxy_says_who_they_are(stub, open_inference):
    forwarded = ("x-forwarded-for", "203.0.113.7")
    with pytest.raises(grpc.RpcError) as refused:
        stub.ServerMetadata(pb.ServerMetadataRequest(), metadata=[forwarded])
    assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED
    assert "as its x-forwarded-for says" in refused.value.details()
    with_a_key = [forwarded, ("x-api-key", open_inference.key)]
    assert stub.ServerMetadata(pb.ServerMetadataRequest(), metadata=with_a_key).name
    assert stub.ServerLive(pb.ServerLiveRequest(), metadata=[forwarded]).live


def element(data: bytes) -> bytes:
    return struct.pack("<I", len(data)) + data


def tensor(name, datatype, shape, **more):
    return pb.ModelInferRequest.InferInputTensor(
        name=name, datatype=datatype, shape=shape, **more
    )  # fmt: skip


def contents(**typed):
    return pb.InferTensorContents(**typed)


def message(sketch, extra=(), raw=(), **changed):
    """A right request with raw data, and `extra` inputs with their `raw` data."""
    return pb.ModelInferRequest(
        **{
            "model_name": MODEL,
            "inputs": [tensor("sketch", "BYTES", [1]), tensor("prompt", "BYTES", [1]), *extra],
            "raw_input_contents": [element(sketch), BYTES_PROMPT, *raw],
            **changed,
        }
    )


def wrong_input(name, datatype, shape, raw):
    return lambda sketch: message(sketch, [tensor(name, datatype, shape)], [raw])


def parameter(**value):
    return {"timeout": pb.InferParameter(**value)}


GRPC_LIES = {
    "unknown input": (
        wrong_input("sktech", "BYTES", [1], b""),
        "inputs is 'sktech'; allowed: those of the model's metadata. Did you mean sketch?",
    ),
    "an input like no other": (
        wrong_input("q", "BYTES", [1], b""), "inputs is 'q'; .*Leave it out"
    ),
    "a name of a megabyte": (wrong_input("x" * 2**20, "BYTES", [1], b""), "1,048,576 characters"),
    "dtype": (wrong_input("seed", "INT32", [1], bytes(4)), "seed.datatype is 'INT32'; .*: INT64"),
    "no shape": (wrong_input("seed", "INT64", [], bytes(8)), r"seed.shape is \[\]; .*\[1, 1\]"),
    "zero": (wrong_input("seed", "INT64", [0], b""), r"seed.shape is \[0\]"),
    "two seeds": (wrong_input("seed", "INT64", [2], bytes(16)), r"seed.shape is \[2\]"),
    "a batch of two": (wrong_input("seed", "INT64", [2, 1], bytes(16)), r"shape is \[2, 1\]"),
    "negative": (wrong_input("style_weights", "FP32", [-1], b""), r"weights.shape is \[-1\]"),
    "2^62": (wrong_input("style_weights", "FP32", [2**62], b""), r"is \[4611686018427387904\]"),
    "2^62 texts": (wrong_input("style_filter", "BYTES", [2**62], b""), r"filter.shape is \[461"),
    "2^62 twice": (wrong_input("style_images", "BYTES", [2**62, 2**62], b""), r"images.shape is"),
    "many dims": (wrong_input("style_filter", "BYTES", [1] * 9, b""), r"\[1, 1, 1, 1, …\]"),
    "short number": (wrong_input("seed", "INT64", [1], bytes(7)), "seed is 7 bytes of data; .*8"),
    "long number": (wrong_input("width", "INT32", [1], bytes(8)), "width is 8 bytes of data"),
    "no length": (wrong_input("style", "BYTES", [1], b"\1\0"), "style is cut short in element 1"),
    "long length": (wrong_input("style", "BYTES", [1], b"\xff\xff\xff\xffab"), "is cut short"),
    "an element too many": (
        wrong_input("style", "BYTES", [1], element(b"a") * 2), "style is 5 bytes longer than its 1"
    ),
    "an element too few": (
        wrong_input("style_filter", "BYTES", [2], element(b"a")), "cut short in element 2 of 2"
    ),
    "not UTF-8": (wrong_input("style", "BYTES", [1], element(b"\xff")), "style is 1 byte"),
    "NaN": (
        wrong_input("guidance_scale", "FP32", [1], struct.pack("<f", float("nan"))),
        "guidance_scale is nan; allowed: 0 to 30",
    ),
    "infinite": (
        wrong_input("ip_adapter_scale", "FP32", [1], struct.pack("<f", float("inf"))),
        "ip_adapter_scale is inf; allowed: 0 to 2",
    ),
    "negative seed": (
        wrong_input("seed", "INT64", [1], struct.pack("<q", -1)), "seed is -1; allowed: 0 to 4294"
    ),
    "an input twice": (
        lambda sketch: message(sketch, [tensor("sketch", "BYTES", [1])], [element(sketch)]),
        "inputs is 'sketch'; allowed: each input once",
    ),
    "raw data too few": (
        lambda sketch: message(sketch, raw_input_contents=[element(sketch)]),
        "raw_input_contents is 1 entries; allowed: one for each of 2 inputs",
    ),
    "raw data too many": (
        lambda sketch: message(sketch, raw=[b"", b""]), "raw_input_contents is 4 entries"
    ),
    "both kinds of data": (
        lambda sketch: message(
            sketch,
            [tensor("seed", "INT64", [1], contents=contents(int64_contents=[1]))],
            [bytes(8)],
        ),
        "seed.contents is set; allowed: unset beside",
    ),
    "no data": (lambda sketch: message(sketch, raw_input_contents=[]), "sketch is 0 elements"),
    "the wrong contents": (
        lambda sketch: message(
            sketch,
            inputs=[tensor("sketch", "BYTES", [1], contents=contents(int64_contents=[1]))],
            raw_input_contents=[],
        ),
        "sketch is 0 elements; allowed: 1",
    ),
    "nothing": (
        lambda _: pb.ModelInferRequest(model_name=MODEL), "without prompt; allowed"
    ),
    "unknown output": (
        lambda sketch: message(
            sketch, outputs=[pb.ModelInferRequest.InferRequestedOutputTensor(name="picture")]
        ),
        "outputs is 'picture'; allowed: image, seed",
    ),
    "an output twice": (
        lambda sketch: message(
            sketch, outputs=[pb.ModelInferRequest.InferRequestedOutputTensor(name="seed")] * 2
        ),
        "outputs is 'seed'; allowed: each output once",
    ),
    "a classification": (
        lambda sketch: message(
            sketch,
            outputs=[
                pb.ModelInferRequest.InferRequestedOutputTensor(
                    name="seed",
                    parameters={"classification": pb.InferParameter(int64_param=3)},
                )
            ],
        ),
        "classification",
    ),
    "timeout in words": (
        lambda sketch: message(sketch, parameters=parameter(string_param="soon")),
        "timeout is 'soon'; allowed: a whole number of microseconds",
    ),
    "negative timeout": (
        lambda sketch: message(sketch, parameters=parameter(int64_param=-1)), "timeout is -1"
    ),
}  # fmt: skip


@pytest.mark.parametrize(("make", "words"), GRPC_LIES.values(), ids=GRPC_LIES)
def test_grpc_refuses(stub, tiny_sketch, make, words):
    with pytest.raises(grpc.RpcError, match=words) as failed:
        stub.ModelInfer(make(tiny_sketch))
    assert failed.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert len(failed.value.details()) < 600


def test_what_is_no_message_is_refused(open_inference):
    with grpc.insecure_channel(open_inference.grpc) as channel:
        once = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
        stream = channel.stream_stream("/inference.GRPCInferenceService/ModelStreamInfer")
        calls = once.future(b"\xff" * 9), stream(iter([b"\xff" * 9]))
        assert {call.code() for call in calls} == {grpc.StatusCode.INVALID_ARGUMENT}


def test_a_streams_error_names_its_request(stub, tiny_sketch):
    asked = message(tiny_sketch, [tensor("width", "INT32", [1])], [b""], id="mine")
    (answer,) = stub.ModelStreamInfer(iter([asked]))
    assert "width is 0 bytes" in answer.error_message
    assert answer.infer_response.id == "mine"


def test_a_stream_asks_who_calls(guarded):
    with grpc.insecure_channel(guarded.grpc) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        strange = stub.ModelStreamInfer(iter([]))
        other = stub.ModelStreamInfer(iter([]), metadata=[("x-api-key", guarded.key)])
        assert strange.code() is grpc.StatusCode.UNAUTHENTICATED
        assert other.code() is grpc.StatusCode.PERMISSION_DENIED


def asking_in_turn(served, key, sketch, between):
    """What a stream answers to two requests, the second of which is sent after `between`."""
    answered = threading.Event()

    def requests():
        yield message(sketch, id="1")
        assert answered.wait(20)
        between()
        yield message(sketch, id="2")

    with grpc.insecure_channel(served.grpc) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        stream = stub.ModelStreamInfer(requests(), metadata=[("x-api-key", key)])
        first = next(stream)
        answered.set()
        return [first, *stream]


def test_a_revoked_key_is_refused_in_a_stream_that_is_open(guarded, tiny_sketch):
    known, key = guarded.keys.create("soon gone", [Scope.RENDER])
    first, second = asking_in_turn(guarded, key, tiny_sketch, lambda: guarded.keys.revoke(known.id))
    assert not first.error_message
    assert "API key is not known" in second.error_message
    assert second.infer_response.id == "2"


def test_each_request_of_a_stream_is_a_call(guarded, tiny_sketch):
    """Opening it is one, so that the second request is the third."""
    _, key = guarded.keys.create("seldom", [Scope.RENDER], limits={"calls_per_minute": 2})
    first, second = asking_in_turn(guarded, key, tiny_sketch, lambda: None)
    assert not first.error_message
    assert "calls_per_minute is 2" in second.error_message


def test_typed_contents_are_read(stub, tiny_sketch, open_inference):
    stub.ModelInfer(
        pb.ModelInferRequest(
            model_name=MODEL,
            inputs=[
                tensor("sketch", "BYTES", [1, 1], contents=contents(bytes_contents=[tiny_sketch])),
                tensor("prompt", "BYTES", [1], contents=contents(bytes_contents=[b"a"])),
                tensor("seed", "INT64", [1], contents=contents(int64_contents=[5])),
                tensor("num_images", "INT32", [1], contents=contents(int_contents=[2])),
                tensor("style_filter", "BYTES", [0], contents=contents()),
                tensor("ip_adapter_scale", "FP32", [1], contents=contents(fp32_contents=[0.5])),
            ],
        )
    )
    painted = open_inference.painter.painted[-1]
    assert (painted.seed, painted.num_images) == (5, 2)
    assert painted.ip_adapter_scale == (0.5,)


def body(sketch, *more, **changed):
    return {
        "inputs": [
            {"name": "sketch", "datatype": "BYTES", "shape": [1],
             "data": [base64.b64encode(sketch).decode()]},
            {"name": "prompt", "datatype": "BYTES", "shape": [1], "data": ["a"]},
            *more,
        ],
        **changed,
    }  # fmt: skip


def given(name, datatype, shape, **more):
    return lambda sketch: json.dumps(
        body(sketch, {"name": name, "datatype": datatype, "shape": shape, **more})
    )


def besides(**changed):
    return lambda sketch: json.dumps(body(sketch, **changed))


REST_LIES = {
    "nothing": (lambda _: b"", "body is not as it should be; allowed: a request's JSON"),
    "not JSON": (lambda _: b"{", "Invalid JSON"),
    "not UTF-8": (lambda _: b'{"inputs": [{"name": "\xff"}]}', "body is not as it should be"),
    "a list": (lambda _: b"[]", "body is not as it should be"),
    "deep": (lambda _: b"[" * 9_000, "recursion limit"),
    "deep data": (
        lambda _: b'{"inputs": [{"name": "seed", "datatype": "INT64", "shape": [1], "data": '
        + b"[" * 100 + b"1" + b"]" * 100 + b"}]}",
        "seed is a list; allowed: a whole number",
    ),
    "half a character": (
        lambda sketch: json.dumps(body(sketch, id="\ud800")), "Invalid JSON"
    ),
    "no inputs": (lambda _: b"{}", "inputs is .*Field required"),
    "inputs of another kind": (lambda _: b'{"inputs": {}}', "inputs is an object"),
    "an input of another kind": (lambda _: b'{"inputs": [1]}', "inputs.0 is 1"),
    "an id of another kind": (besides(id=7), "id is 7"),
    "shape in words": (given("seed", "INT64", "1", data=[1]), "inputs.2.shape is '1'"),
    "fractional shape": (given("seed", "INT64", [1.5], data=[1]), "inputs.2.shape.0 is 1.5"),
    "shape 2^70": (given("style_filter", "BYTES", [2**70], data=[]), "a larger number"),
    "negative shape": (given("style_filter", "BYTES", [-1], data=[]), r"shape is \[-1\]"),
    "no data": (given("seed", "INT64", [1]), "seed is without data"),
    "too little data": (given("seed", "INT64", [1], data=[]), "seed is 0 elements; allowed: 1 by"),
    "too much data": (given("seed", "INT64", [1], data=[1, 2]), "seed is 2 elements"),
    "a flood of data": (given("seed", "INT64", [1], data=[0] * 10**6), "body is JSON of about"),
    "text for a number": (given("seed", "INT64", [1], data=["7"]), "seed is '7'; .*whole number"),
    "a fraction": (given("seed", "INT64", [1], data=[7.5]), "seed is 7.5; .*whole number"),
    "true": (given("width", "INT32", [1], data=[True]), "width is True; .*whole number"),
    "null": (given("width", "INT32", [1], data=[None]), "width is None; .*whole number"),
    "an object": (given("width", "INT32", [1], data=[{}]), "width is an object"),
    "a number for text": (given("style", "BYTES", [1], data=[7]), "style is 7; allowed: text"),
    "a number for INT32": (given("width", "INT32", [1], data=[2**40]), "width is 1099511627776"),
    "a number without end": (given("seed", "INT64", [1], data=[10**4000]), "a larger number"),
    "a fraction without end": (given("guidance_scale", "FP32", [1], data=[10**4000]), "a larger"),
    "infinite": (
        lambda sketch: given("guidance_scale", "FP32", [1], data=[1])(sketch).replace(
            '"data": [1]', '"data": [1e999]'
        ),
        "guidance_scale is inf",
    ),
    "not base64": (
        given("style_images", "BYTES", [1], data=["not base64!"]), "images is 'not base64!'; .*base"
    ),
    "base64 of no picture": (given("style_images", "BYTES", [1], data=["AAAA"]), "3 bytes; .*PNG"),
    "base64 in Greek": (given("style_images", "BYTES", [1], data=["αβγδ"]), "base64 of the pict"),
    "raw data that is not there": (
        given("seed", "INT64", [1], parameters={"binary_data_size": 8}),
        "seed.binary_data_size is 8; allowed: 0 to the 0 bytes",
    ),
    "a size in words": (
        given("seed", "INT64", [1], parameters={"binary_data_size": "8"}), "size is '8'"
    ),
    "a negative size": (given("seed", "INT64", [1], parameters={"binary_data_size": -8}), "is -8"),
    "a size without end": (
        given("seed", "INT64", [1], parameters={"binary_data_size": 2**80}), "a larger number"
    ),
    "unknown output": (besides(outputs=[{"name": "picture"}]), "outputs is 'picture'"),
    "how an output comes": (
        besides(outputs=[{"name": "image", "parameters": {"binary_data": "yes"}}]),
        "binary_data is 'yes'; allowed: true or false",
    ),
    "how outputs come": (besides(parameters={"binary_data_output": 1}), "binary_data_output is 1"),
    "timeout": (besides(parameters={"timeout": 1.5}), "timeout is 1.5; .*whole number"),
    "1,000 inputs": (besides(inputs=[{}] * 1000), "inputs"),
    "1,000 outputs": (besides(outputs=[{"name": "image"}] * 1000), "at most 64 items"),
}  # fmt: skip


def assert_refused(response, words, status=400):
    assert response.status_code == status, response.text
    assert list(response.json()) == ["error"]
    assert re.search(words, response.json()["error"]), response.json()["error"]
    assert len(response.json()["error"]) < 600


@pytest.mark.parametrize(("make", "words"), REST_LIES.values(), ids=REST_LIES)
def test_rest_refuses(http, tiny_sketch, make, words):
    assert_refused(http.post("/infer", content=make(tiny_sketch)), words)


def raw_sketch(sketch, size=None, **more):
    """A right request whose sketch is raw, or said to have `size` bytes: its JSON, and the data."""
    asked, raw = body(sketch), element(sketch)
    asked["inputs"][0] = {
        "name": "sketch", "datatype": "BYTES", "shape": [1], **more,
        "parameters": {"binary_data_size": len(raw) if size is None else size},
    }  # fmt: skip
    return json.dumps(asked).encode(), raw


def test_raw_tensors_behind_json_are_read(http, tiny_sketch):
    asked, raw = raw_sketch(tiny_sketch)
    answer = http.post("/infer", content=asked + raw, headers={HEADER_LENGTH: str(len(asked))})
    assert answer.status_code == 200
    told = {one["name"]: one["data"] for one in answer.json()["outputs"]}
    assert told["control_image"] == [base64.b64encode(tiny_sketch).decode()]
    assert told["style"] == [STYLE.id]
    assert told["style_score"] == [SCORE]


LENGTHS = {
    "none": None, "too long": "999999", "far too long": "9" * 5000, "negative": "-1",
    "a fraction": "1.5", "words": "all", "other digits": "٣".encode(), "empty": "",
    "too short": "10",
}  # fmt: skip


@pytest.mark.parametrize("length", LENGTHS.values(), ids=LENGTHS)
def test_a_header_length_that_lies_is_refused(http, tiny_sketch, length):
    asked, raw = raw_sketch(tiny_sketch)
    headers = {} if length is None else {HEADER_LENGTH: length}
    assert_refused(http.post("/infer", content=asked + raw, headers=headers), "body|Length")


SIZES = {
    "too small": ({"size": 8}, "sketch is cut short"),
    "too large": ({"size": 10**6}, "sketch.binary_data_size is 1000000; allowed: 0 to the"),
    "given twice": ({"data": ["AAAA"]}, "unset beside data"),
}


@pytest.mark.parametrize(("changed", "words"), SIZES.values(), ids=SIZES)
def test_a_binary_size_that_lies_is_refused(http, tiny_sketch, changed, words):
    asked, raw = raw_sketch(tiny_sketch, **changed)
    headers = {HEADER_LENGTH: str(len(asked))}
    assert_refused(http.post("/infer", content=asked + raw, headers=headers), words)


def test_data_that_belongs_to_no_input_is_refused(http, tiny_sketch):
    asked, raw = raw_sketch(tiny_sketch)
    headers = {HEADER_LENGTH: str(len(asked))}
    answer = http.post("/infer", content=asked + raw + b"more", headers=headers)
    assert_refused(answer, "4 bytes longer than")


ENCODINGS = {
    "unknown": (415, "br", lambda plain: plain, "content-encoding is 'br'; allowed: gzip or def"),
    "not compressed": (400, "gzip", lambda plain: plain, "damaged"),
    "cut short": (400, "gzip", lambda plain: gzip.compress(plain)[:-4], "damaged or cut short"),
    "followed by more": (400, "deflate", lambda plain: zlib.compress(plain) + b"x", "damaged"),
}


@pytest.mark.parametrize(("status", "encoding", "make", "words"), ENCODINGS.values(), ids=ENCODINGS)
def test_compression_that_lies_is_refused(http, tiny_sketch, status, encoding, make, words):
    plain = json.dumps(body(tiny_sketch)).encode()
    headers = {"Content-Encoding": encoding}
    response = http.post("/infer", content=make(plain), headers=headers)
    assert_refused(response, words, status)
