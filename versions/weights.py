"""The weights in an ONNX file, read without the onnx package, which no serving environment has.

ONNX is a protobuf; the numbers below are those of its fields in ``onnx.proto`` (IR version 10).
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

MODEL_GRAPH = 7
GRAPH_NODE, GRAPH_INITIALIZER = 1, 5
NODE_ATTRIBUTE = 5
ATTRIBUTE_TENSOR, ATTRIBUTE_GRAPH = 5, 6
TENSOR_TYPE, TENSOR_FLOATS, TENSOR_NAME, TENSOR_RAW, TENSOR_EXTERNAL = 2, 4, 8, 9, 13
ENTRY_KEY, ENTRY_VALUE = 1, 2

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
DTYPES: dict[int, npt.DTypeLike] = {1: np.float32, 10: np.float16, 11: np.float64}
VARINT_BITS = 70
CHUNK = 1 << 22
"""Numbers that are looked at together."""


class NotOnnx(ValueError):
    """The file cannot be read as ONNX."""


@dataclass(frozen=True)
class Weight:
    """One tensor of floating-point numbers; it lies in the file, not in memory."""

    name: str
    values: npt.NDArray[Any]

    def is_finite(self) -> bool:
        """Whether it has no NaN and no infinity."""
        parts = range(0, self.values.size, CHUNK)
        return all(np.isfinite(self.values[start : start + CHUNK]).all() for start in parts)


def read(path: Path) -> Iterator[Weight]:
    """Every tensor of floating-point numbers in the ONNX file at `path`, and beside it.

    Raises:
        NotOnnx: it is no ONNX file, or its weights are not where it says.
    """
    try:
        with path.open("rb") as file:
            data = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
        for number, graph in _fields(data):
            if number == MODEL_GRAPH:
                yield from _in_graph(graph, path.parent)
    except (OSError, IndexError, ValueError, TypeError) as error:
        raise NotOnnx(str(error)) from error


def _in_graph(graph: memoryview, folder: Path) -> Iterator[Weight]:
    for number, value in _fields(graph):
        if number == GRAPH_INITIALIZER:
            yield from _weight(value, folder)
        elif number == GRAPH_NODE:
            attributes = (found for inner, found in _fields(value) if inner == NODE_ATTRIBUTE)
            for attribute in attributes:
                yield from _in_attribute(attribute, folder)


def _in_attribute(attribute: memoryview, folder: Path) -> Iterator[Weight]:
    for number, value in _fields(attribute):
        if number == ATTRIBUTE_TENSOR:
            yield from _weight(value, folder)
        elif number == ATTRIBUTE_GRAPH:
            yield from _in_graph(value, folder)


def _weight(tensor: memoryview, folder: Path) -> Iterator[Weight]:
    name, kind, data, outside = "", 0, memoryview(b""), {}
    for number, value in _fields(tensor):
        if number == TENSOR_NAME:
            name = bytes(value).decode()
        elif number == TENSOR_TYPE:
            kind = value
        elif number in {TENSOR_FLOATS, TENSOR_RAW}:
            data = value
        elif number == TENSOR_EXTERNAL:
            entry = dict(_fields(value))
            outside[bytes(entry[ENTRY_KEY]).decode()] = bytes(entry[ENTRY_VALUE]).decode()
    dtype = DTYPES.get(kind)
    if dtype is None:
        return
    yield Weight(name, _outside(outside, folder, dtype) if outside else np.frombuffer(data, dtype))


def _outside(entry: dict[str, str], folder: Path, dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    if Path(entry["location"]).name != entry["location"]:
        raise ValueError(f"weights lie at {entry['location']}, which is not beside it")
    count = int(entry["length"]) // np.dtype(dtype).itemsize
    offset = int(entry.get("offset", 0))
    if not count:
        return np.empty(0, dtype)
    return np.memmap(folder / entry["location"], dtype, "r", offset, count)


def _fields(data: memoryview) -> Iterator[tuple[int, Any]]:
    """Numbers and values of a message's fields, as protobuf's wire format has them."""
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        number, wire = tag >> 3, tag & 7
        if wire == VARINT:
            value, at = _varint(data, at)
            yield number, value
            continue
        size = {FIXED64: 8, FIXED32: 4}.get(wire)
        if wire == BYTES:
            size, at = _varint(data, at)
        if size is None or at + size > len(data):
            raise ValueError("it is cut short, or no ONNX file")
        yield number, data[at : at + size]
        at += size


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while shift < VARINT_BITS:
        byte = data[at]
        value |= (byte & 127) << shift
        at += 1
        if byte < 128:
            return value, at
        shift += 7
    raise ValueError("it has a number without an end")
