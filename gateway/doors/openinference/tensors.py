"""What a caller says of tensors, checked before it is believed; raw tensors to values and back.

A raw tensor is its elements one after the other, little-endian; an element of BYTES is its length
in 4 bytes, then itself.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from gateway.doors.openinference import model
from gateway.doors.openinference.model import INPUTS, OUTPUTS, Output
from pipeline.errors import InvalidRequest, Words, shorten
from pipeline.request import RenderRequest
from pipeline.tensor import Tensor

MAX_VALUES = 64
"""Of a list: more than any field takes, and few enough to be counted before they are read."""
MAX_TIMEOUT = 2**63 - 1
MAX_NAME = 60
"""Of an unknown input, as much as is compared with the names there are."""

REQUIRED = [name for name, tensor in INPUTS.items() if not tensor.optional]

Values = tuple[Any, ...]

_LENGTH = struct.Struct("<I")
_FORMATS = {"BOOL": "?", "FP32": "f", "INT32": "i", "INT64": "q"}
_UNHEARD = {
    "shared_memory_region": "The gateway shares no memory with its callers; send the data itself.",
    "classification": "No output of this model is a classification; leave it out.",
}


@dataclass(frozen=True)
class InferRequest:
    """One inference request, decoded and checked."""

    render: RenderRequest
    outputs: tuple[str, ...] = ()
    """The names asked for, in their order; none means all."""
    id: str = ""
    """The caller's, to be sent back."""
    timeout: float | None = None
    """Seconds."""


def declared(name: str, datatype: str, shape: Sequence[int]) -> tuple[Tensor, int]:
    """The input called `name`, and how many elements `shape` promises: ``[n]`` or ``[1, n]``.

    Raises:
        InvalidRequest: there is no such input, or it has another datatype or shape.
    """
    tensor = INPUTS.get(name)
    if tensor is None:
        near = get_close_matches(name[:MAX_NAME], INPUTS, 1)
        remedy = f"Did you mean {near[0]}?" if near else "Leave it out."
        raise InvalidRequest("inputs", name, "those of the model's metadata", remedy)
    if datatype != tensor.dtype:
        raise InvalidRequest(f"{name}.datatype", datatype, tensor.dtype, "Send that datatype.")
    count = shape[-1] if shape else -1
    many = tensor.dims == (-1,)
    if list(shape[:-1]) not in ([], [1]) or not (0 <= count <= MAX_VALUES if many else count == 1):
        allowed = f"[n] or [1, n] with n up to {MAX_VALUES}" if many else "[1] or [1, 1]"
        raise InvalidRequest(f"{name}.shape", _shown_shape(shape), allowed, "Send that shape.")
    return tensor, count


def collected(inputs: Iterable[tuple[Tensor, Values]]) -> RenderRequest:
    """The request that the `inputs` make together.

    Raises:
        InvalidRequest: one came twice, one is missing, or a value is outside its range.
    """
    values: dict[str, Values] = {}
    for tensor, sent in inputs:
        if tensor.name in values:
            raise InvalidRequest("inputs", tensor.name, "each input once", "Send it once.")
        values[tensor.name] = sent
    missing = [name for name in REQUIRED if name not in values]
    if missing:
        found = Words(f"without {' and '.join(missing)}")
        allowed = f"{' and '.join(REQUIRED)}, and any other"
        raise InvalidRequest("inputs", found, allowed, "Add what is missing.")
    return model.render_request(values)


def requested(names: Iterable[str]) -> tuple[str, ...]:
    """The outputs asked for, each a name that there is.

    Raises:
        InvalidRequest: there is no such output, or it came twice.
    """
    asked: list[str] = []
    for name in names:
        if name not in OUTPUTS:
            raise InvalidRequest("outputs", name, ", ".join(OUTPUTS), "Leave it out.")
        if name in asked:
            raise InvalidRequest("outputs", name, "each output once", "Ask for it once.")
        asked.append(name)
    return tuple(asked)


def check_parameters(name: str, parameters: Iterable[str]) -> None:
    """Let a tensor's parameters pass unless heeding them would be needed and cannot be.

    Raises:
        InvalidRequest: they ask for shared memory or a classification.
    """
    for parameter in parameters:
        if parameter in _UNHEARD:
            raise InvalidRequest(
                f"{shorten(name)}.parameters", parameter, "none of that kind", _UNHEARD[parameter]
            )


def timeout(microseconds: object) -> float | None:
    """The request parameter ``timeout`` in seconds; None when there is none.

    Raises:
        InvalidRequest: it is not a number of microseconds.
    """
    if not microseconds and type(microseconds) in (int, type(None)):
        return None
    if type(microseconds) is not int or not 0 < microseconds <= MAX_TIMEOUT:
        allowed = "a whole number of microseconds above 0"
        raise InvalidRequest("timeout", shown(microseconds), allowed, "Leave it out for none.")
    return microseconds / 1e6


def from_raw(tensor: Tensor, count: int, raw: bytes | memoryview) -> Values:
    """The `count` elements of a raw tensor.

    Raises:
        InvalidRequest: it holds more or fewer, or an element's length lies.
    """
    if tensor.dtype == "BYTES":
        return _elements(tensor.name, count, raw)
    layout = struct.Struct(f"<{count}{_FORMATS[tensor.dtype]}")
    if len(raw) != layout.size:
        found = Words(f"{len(raw):,} bytes of data")
        raise InvalidRequest(tensor.name, found, f"{layout.size:,} bytes", _agree(tensor))
    return layout.unpack(raw)


def to_raw(output: Output) -> bytes:
    """The values of `output` as a raw tensor."""
    if output.tensor.dtype == "BYTES":
        return b"".join(_LENGTH.pack(len(value)) + value for value in output.values)
    return struct.pack(f"<{len(output.values)}{_FORMATS[output.tensor.dtype]}", *output.values)


def check_count(tensor: Tensor, count: int, found: int) -> None:
    """Let `found` elements pass where the shape promised `count`.

    Raises:
        InvalidRequest: they are more or fewer.
    """
    if found != count:
        raise InvalidRequest(
            tensor.name, Words(f"{found:,} elements"), f"{count} by its shape", _agree(tensor)
        )


def shown(value: object) -> object:
    """`value` as fit for a message: what is large or nested is only named."""
    if isinstance(value, (list, Mapping)):
        return Words("a list" if isinstance(value, list) else "an object")
    if isinstance(value, int) and abs(value) > MAX_TIMEOUT:
        return Words("a larger number than can be")
    return value


def _elements(name: str, count: int, raw: bytes | memoryview) -> Values:
    values, at = [], 0
    for index in range(count):
        start = at + _LENGTH.size
        end = start + _LENGTH.unpack_from(raw, at)[0] if start <= len(raw) else start
        if end > len(raw):
            found = Words(f"cut short in element {index + 1} of {count}")
            allowed = "elements that are each a length of 4 bytes and as many bytes"
            raise InvalidRequest(name, found, allowed, "Use a client's own serialisation.")
        values.append(bytes(raw[start:end]))
        at = end
    if at != len(raw):
        found = Words(f"{len(raw) - at:,} bytes longer than its {count} elements")
        raise InvalidRequest(name, found, "no more than its elements", _agree(INPUTS[name]))
    return tuple(values)


def _agree(tensor: Tensor) -> str:
    return f"Make the shape and the data of {tensor.name} agree."


def _shown_shape(shape: Sequence[int]) -> Words:
    sizes = [str(shown(size)) for size in shape[:4]]
    return Words(f"[{', '.join(sizes)}{', …' if len(shape) > 4 else ''}]")
