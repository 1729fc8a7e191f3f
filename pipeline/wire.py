"""A RenderRequest as the tensors of the served ``render`` model, and back.

The two share their field names, so the contract drives both directions.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline import contract, pinned_versions
from pipeline.errors import InvalidRequest, Words
from pipeline.pinned_versions import PinnedVersions
from pipeline.request import RenderRequest

NUMPY_DTYPES: dict[str, type[np.generic]] = {
    "BYTES": np.object_,
    "FP32": np.float32,
    "INT32": np.int32,
    "INT64": np.int64,
    "UINT8": np.uint8,
}

Arrays = dict[str, npt.NDArray[Any]]

_TUPLES = {field.name for field in fields(RenderRequest) if "tuple" in str(field.type)}
_TEXTS = {field.name for field in fields(RenderRequest) if field.type == "str"} | {"pinned"}


_PINNED = "pinned"
"""The one input that is no field of a request: what its ``versions`` stand for."""


def to_tensors(request: RenderRequest, pinned: PinnedVersions = PinnedVersions()) -> Arrays:  # noqa: B008 - frozen
    """The ``render`` model's inputs for `request`; what is None or empty is left to its default."""
    tensors: Arrays = {_PINNED: np.array([pinned.to_json().encode()], np.object_)}
    for tensor in contract.MODELS["render"].inputs:
        if tensor.name == _PINNED:
            continue
        value = getattr(request, tensor.name)
        if value is not None and value != ():
            values = value if isinstance(value, tuple) else (value,)
            encoded = [item.encode() if isinstance(item, str) else item for item in values]
            tensors[tensor.name] = np.array(encoded, dtype=NUMPY_DTYPES[tensor.dtype])
    return tensors


def from_tensors(tensors: Arrays) -> tuple[RenderRequest, PinnedVersions]:
    """The request that `tensors` say, and the versions that are to make it.

    Raises:
        InvalidRequest: a value is out of range, an image is missing, or a text is not UTF-8.
    """
    if not len(tensors.get("style_images", ())):
        raise InvalidRequest("style_images", (), "at least one encoded image", "Send one.")
    values = {name: _value(name, array) for name, array in tensors.items()}
    pinned = pinned_versions.from_json(values.pop(_PINNED, "{}"))
    return RenderRequest(**values), pinned


def pack_identity(facts: Mapping[str, Any]) -> bytes:
    """What made a picture, as the ``render`` model tells it: JSON.

    Args:
        facts: the exporter's ``pack.json``; older ones name no engines.
    """
    identity = {
        "name": facts["pack"],
        "precision": facts.get("precision", "fp32"),
        "engine": facts.get("engine", "onnx"),
        "engines": facts.get("engines", {}),
        "native_size": facts["native_size"],
    }
    return json.dumps(identity).encode()


def _value(name: str, array: npt.NDArray[Any]) -> Any:
    values = tuple(array.reshape(-1).tolist())
    if name in _TUPLES:
        return values
    if len(values) != 1:
        found = Words(f"{len(values)} values")
        raise InvalidRequest(name, found, "one value", "Send one value.")
    return text(name, values[0]) if name in _TEXTS else values[0]


def text(name: str, raw: bytes) -> str:
    """`raw` as text.

    Raises:
        InvalidRequest: it is not UTF-8.
    """
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise InvalidRequest(name, raw, "text in UTF-8", "Encode it as UTF-8.") from error
