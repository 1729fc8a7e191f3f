"""The protocol's REST bodies to our own objects, and back.

A body is JSON, or JSON followed by raw tensors (the binary tensor data extension). In JSON, an
element of BYTES is text: for a picture the base64 of its file, otherwise the text itself.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, FailFast, Field, ValidationError

from gateway.doors import bounds
from gateway.doors.http_bodies import MAX_BODY, from_base64
from gateway.doors.openinference import model, tensors
from gateway.doors.openinference.model import OUTPUTS, PICTURES, Output
from gateway.doors.openinference.tensors import InferRequest, Values, shown
from pipeline.errors import InvalidRequest, Words
from pipeline.tensor import Tensor

HEADER_LENGTH = "Inference-Header-Content-Length"
MAX_TENSORS = 64
JSON_TYPES: Mapping[str, tuple[type, ...]] = {
    "BYTES": (str,),
    "FP32": (int, float),
    "BOOL": (bool,),
    "INT32": (int,),
    "INT64": (int,),
}
LIMITS = {"BOOL": 2, "FP32": 2**127, "INT32": 2**31, "INT64": 2**63}
WORDS = {
    "BOOL": "true or false", "BYTES": "text", "FP32": "a number", "INT32": "a whole number",
    "INT64": "a whole number",
}  # fmt: skip


class NamedTensor(BaseModel):
    """A tensor that is asked for."""

    model_config = ConfigDict(strict=True, frozen=True)

    name: str
    parameters: dict[str, Any] = {}


class InputTensor(NamedTensor):
    """A tensor that is sent: as data, or raw after the JSON, with binary_data_size."""

    datatype: str
    shape: Annotated[list[int], FailFast(), Field(max_length=MAX_TENSORS)]
    data: list[Any] | None = None


class InferBody(BaseModel):
    """A request. docs/open-inference-protocol.md shows one."""

    model_config = ConfigDict(strict=True, frozen=True)

    id: str = ""
    parameters: dict[str, Any] = {}
    inputs: Annotated[list[InputTensor], FailFast(), Field(max_length=MAX_TENSORS)]
    outputs: Annotated[list[NamedTensor], FailFast(), Field(max_length=MAX_TENSORS)] = []


@dataclass(frozen=True)
class RestRequest:
    """A request, and which of its outputs are to be sent as raw tensors."""

    infer: InferRequest
    binary: frozenset[str]


def infer_request(body: bytes, header_length: str | None) -> RestRequest:
    """The request that `body` says.

    Args:
        header_length: the header Inference-Header-Content-Length: the bytes of JSON that come
            before the raw tensors. None: all of it is JSON.

    Raises:
        InvalidRequest: it is not as the model's metadata says, or contradicts itself.
    """
    length = _header_length(header_length, len(body))
    bounds.check_json(body[:length])
    try:
        asked = InferBody.model_validate_json(body[:length])
    except ValidationError as error:
        raise _told(error) from error
    for tensor in (*asked.inputs, *asked.outputs):
        tensors.check_parameters(tensor.name, tensor.parameters)
    infer = InferRequest(
        render=tensors.collected(_inputs(asked.inputs, memoryview(body)[length:])),
        outputs=tensors.requested(output.name for output in asked.outputs),
        id=asked.id,
        timeout=tensors.timeout(asked.parameters.get("timeout")),
    )
    return RestRequest(infer, _binary(asked))


def infer_response(asked: RestRequest, outputs: Sequence[Output]) -> tuple[bytes, int | None]:
    """The answer's body, and the bytes of its JSON when raw tensors follow it."""
    raw = {
        output.tensor.name: tensors.to_raw(output)
        for output in outputs
        if output.tensor.name in asked.binary
    }
    told = {
        "model_name": model.NAME,
        "model_version": model.VERSION,
        **({"id": asked.infer.id} if asked.infer.id else {}),
        "outputs": [_output(output, raw.get(output.tensor.name)) for output in outputs],
    }
    header = json.dumps(told).encode()
    return b"".join((header, *raw.values())), len(header) if raw else None


def _header_length(sent: str | None, size: int) -> int:
    if sent is None:
        return size
    # Counted before it is read: Python refuses to read a number of very many digits.
    digits = sent.isascii() and sent.isdigit() and len(sent) <= len(str(MAX_BODY))
    if not digits or int(sent) > size:
        remedy = "Say how many bytes of JSON come first."
        raise InvalidRequest(HEADER_LENGTH, sent, f"0 to the body's {size:,} bytes", remedy)
    return int(sent)


def _inputs(sent: Sequence[InputTensor], raw: memoryview) -> Iterator[tuple[Tensor, Values]]:
    at = 0
    for one in sent:
        tensor, count = tensors.declared(one.name, one.datatype, one.shape)
        size = one.parameters.get("binary_data_size")
        if size is None:
            yield tensor, _from_json(tensor, count, one.data)
            continue
        _check_binary(one, size, len(raw) - at)
        yield tensor, tensors.from_raw(tensor, count, raw[at : at + size])
        at += size
    if at != len(raw):
        found = Words(f"{len(raw) - at:,} bytes longer than the inputs' binary_data_size say")
        raise InvalidRequest("body", found, "JSON, then every input's data", "Name every input.")


def _check_binary(sent: InputTensor, size: object, left: int) -> None:
    field = f"{sent.name}.binary_data_size"
    if type(size) is not int or not 0 <= size <= left:
        allowed = f"0 to the {left:,} bytes of raw data that are left"
        raise InvalidRequest(field, shown(size), allowed, "Make it the size of the data.")
    if sent.data is not None:
        raise InvalidRequest(field, size, "unset beside data", "Send the data once.")


def _from_json(tensor: Tensor, count: int, data: list[Any] | None) -> Values:
    if data is None:
        remedy = "Send it as data, or raw with the parameter binary_data_size."
        raise InvalidRequest(tensor.name, Words("without data"), f"{count} elements", remedy)
    rows = [item if isinstance(item, list) else [item] for item in data[: count + 1]]
    values = [value for row in rows for value in row]
    tensors.check_count(tensor, count, len(values))
    return tuple(_element(tensor, value) for value in values)


def _element(tensor: Tensor, value: Any) -> Any:
    fits = type(value) in JSON_TYPES[tensor.dtype]
    # Python's integers have no end, those of the model have.
    if fits and isinstance(value, int):
        limit = LIMITS[tensor.dtype]
        fits = -limit <= value < limit
    if not fits:
        allowed = f"{WORDS[tensor.dtype]} ({tensor.dtype})"
        raise InvalidRequest(tensor.name, shown(value), allowed, "Send that in its data.")
    if tensor.dtype != "BYTES":
        return value
    return _picture(tensor.name, value) if tensor.name in PICTURES else value.encode()


def _picture(name: str, encoded: str) -> bytes:
    try:
        return from_base64(encoded)
    except ValueError as error:
        remedy = "Encode it, or send it raw with the parameter binary_data_size."
        raise InvalidRequest(name, encoded, "base64 of the picture's file", remedy) from error


def _binary(asked: InferBody) -> frozenset[str]:
    everywhere = _flag("binary_data_output", asked.parameters, default=False)
    if not asked.outputs:
        return frozenset(OUTPUTS if everywhere else ())
    return frozenset(
        output.name
        for output in asked.outputs
        if _flag("binary_data", output.parameters, default=everywhere)
    )


def _flag(name: str, parameters: Mapping[str, Any], *, default: bool) -> bool:
    value = parameters.get(name, default)
    if not isinstance(value, bool):
        raise InvalidRequest(name, shown(value), "true or false", f"Leave it out for {default}.")
    return value


def _output(output: Output, raw: bytes | None) -> dict[str, Any]:
    tensor = output.tensor
    told = {"name": tensor.name, "datatype": tensor.dtype, "shape": [len(output.values)]}
    if raw is not None:
        return {**told, "parameters": {"binary_data_size": len(raw)}}
    if tensor.dtype != "BYTES":
        return {**told, "data": list(output.values)}
    as_base64 = tensor.name in PICTURES
    return {
        **told,
        "data": [
            base64.b64encode(value).decode() if as_base64 else value.decode()
            for value in output.values
        ],
    }


def _told(error: ValidationError) -> InvalidRequest:
    first = error.errors(include_url=False, include_context=False)[0]
    field = ".".join(str(part) for part in first["loc"]) or "body"
    found = shown(first["input"]) if first["loc"] else Words("not as it should be")
    remedy = "docs/open-inference-protocol.md shows a request."
    return InvalidRequest(field, found, f"a request's JSON ({first['msg']})", remedy)
