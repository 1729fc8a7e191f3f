"""A RenderRequest as the tensors of the served ``render`` model, and back.

The two share their field names, so the table of fields drives both directions.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline import pinned_versions
from pipeline.errors import InvalidRequest, Words
from pipeline.fields import Field
from pipeline.pinned_versions import PinnedVersions
from pipeline.request import FIELDS, RenderRequest
from pipeline.tensor import NUMPY_DTYPES

Arrays = dict[str, npt.NDArray[Any]]

_PINNED = Field(name="pinned", help="The version of each network, as JSON.")
"""The one input that is no field of a request: what its ``versions`` stand for."""


def to_tensors(request: RenderRequest, pinned: PinnedVersions = PinnedVersions()) -> Arrays:  # noqa: B008 - frozen
    """The ``render`` model's inputs for `request`; what is None or empty is left to its default."""
    tensors: Arrays = {_PINNED.name: np.array([pinned.to_json().encode()], np.object_)}
    for name, field in FIELDS.items():
        value = getattr(request, name)
        if field.served and value not in (None, (), b""):
            values = value if field.several else (value,)
            encoded = [item.encode() if isinstance(item, str) else item for item in values]
            tensors[name] = np.array(encoded, dtype=NUMPY_DTYPES[field.tensor.dtype])
    return tensors


def from_tensors(tensors: Arrays) -> tuple[RenderRequest, PinnedVersions]:
    """The request that `tensors` say, and the versions that are to make it.

    Raises:
        InvalidRequest: a value is out of range, an image is missing, or a text is not UTF-8.
    """
    if not len(tensors.get("style_images", ())):
        raise InvalidRequest("style_images", (), "at least one encoded image", "Send one.")
    values = {
        name: _value(field, tensors[name]) for name, field in FIELDS.items() if name in tensors
    }
    pinned = _value(_PINNED, tensors[_PINNED.name]) if _PINNED.name in tensors else "{}"
    return RenderRequest(**values), pinned_versions.from_json(pinned)


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
        "topology": facts.get("topology"),
        "few_steps": facts.get("few_steps", False),
    }
    return json.dumps(identity).encode()


def _value(field: Field, array: npt.NDArray[Any]) -> Any:
    values = tuple(array.reshape(-1).tolist())
    if field.several:
        return values
    if len(values) != 1:
        found = Words(f"{len(values)} values")
        raise InvalidRequest(field.name, found, "one value", "Send one value.")
    return text(field.name, values[0]) if field.kind is str else values[0]


def text(name: str, raw: bytes) -> str:
    """`raw` as text.

    Raises:
        InvalidRequest: it is not UTF-8.
    """
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise InvalidRequest(name, raw, "text in UTF-8", "Encode it as UTF-8.") from error
