"""The virtual model ``sketch_to_render``: a whole render, retrieval included, as one model.

Described once, here, as data; metadata and config are made of it, and both protocols read it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gateway.information import VIRTUAL_MODEL
from gateway.telemetry.outcomes import Scores
from gateway.worker.events import Finished, flat
from pipeline.errors import NotFound, shorten
from pipeline.fields import Field
from pipeline.request import FIELDS, RenderRequest
from pipeline.tensor import Tensor
from pipeline.wire import text

NAME = VIRTUAL_MODEL
VERSION = "1"
BACKEND = "maquette"

UNHEARD = ("preview_interval",)
"""Fields of a request that one answer at the end cannot heed."""

INPUTS: Mapping[str, Tensor] = {
    name: field.tensor for name, field in FIELDS.items() if name not in UNHEARD
}

PICTURES = frozenset({"image", "control_image"}) | {
    name for name, field in FIELDS.items() if field.kind is bytes
}
"""Tensors of encoded image files; all other BYTES are text in UTF-8."""

OUTPUTS: Mapping[str, Tensor] = {
    tensor.name: tensor
    for tensor in (
        Tensor("image", "BYTES", (-1,)),
        Tensor("seed", "INT64", (-1,)),
        *(Tensor(name, "FP32", (-1,)) for name in flat(Scores(0.0))),
        Tensor("style", "BYTES", (1,)),
        Tensor("style_score", "FP32", (-1,)),
        Tensor("styles", "BYTES", (-1,)),
        Tensor("style_weights", "FP32", (-1,)),
        Tensor("control_image", "BYTES", (1,)),
        Tensor("warnings", "BYTES", (-1,)),
        Tensor("id", "BYTES", (1,)),
        Tensor("versions", "BYTES", (1,)),
        Tensor("sketch_kind", "BYTES", (1,)),
        Tensor("attempts", "BYTES", (1,)),
    )
}

_DATA_TYPES = {"BYTES": "TYPE_STRING", "FP32": "TYPE_FP32"} | {
    name: f"TYPE_{name}" for name in ("BOOL", "INT32", "INT64", "UINT8")
}


@dataclass(frozen=True)
class Output:
    """One tensor of an answer: BYTES as bytes, numbers as numbers; its shape is ``[n]``."""

    tensor: Tensor
    values: tuple[Any, ...]


def check(name: str, version: str) -> None:
    """Let a request for model `name` pass; an empty version means the newest.

    Raises:
        NotFound: there is no such model or version.
    """
    if name != NAME:
        raise NotFound(f"There is no model {shorten(name)}; the one there is is {NAME}.")
    if version not in ("", VERSION):
        raise NotFound(f"{NAME} has no version {shorten(version)}; it has version {VERSION}.")


def is_known(name: str, version: str) -> bool:
    """Whether there is a model `name` of that version; an empty version means the newest."""
    return name == NAME and version in ("", VERSION)


def metadata() -> dict[str, Any]:
    """The model's metadata, as the protocol's JSON."""
    return {
        "name": NAME,
        "versions": [VERSION],
        "platform": BACKEND,
        "inputs": [_described(tensor) for tensor in INPUTS.values()],
        "outputs": [_described(tensor) for tensor in OUTPUTS.values()],
    }


def config() -> dict[str, Any]:
    """The model's config, as Triton's JSON."""
    return {
        "name": NAME,
        "platform": "",
        "backend": BACKEND,
        "version_policy": {"latest": {"num_versions": 1}},
        "max_batch_size": 0,
        "input": [
            {**_configured(tensor), "optional": tensor.optional} for tensor in INPUTS.values()
        ],
        "output": [_configured(tensor) for tensor in OUTPUTS.values()],
        "model_transaction_policy": {"decoupled": False},
    }


def render_request(values: Mapping[str, tuple[Any, ...]]) -> RenderRequest:
    """The request that the inputs' `values` say; what was not sent takes its default.

    Raises:
        InvalidRequest: a value is outside its range, or a text is not UTF-8.
    """
    return RenderRequest(**{name: _value(FIELDS[name], sent) for name, sent in values.items()})


def outputs(identity: str, done: Finished) -> dict[str, Output]:
    """Every output of the finished render `identity`, by name."""
    chosen = done.chosen
    score = chosen.first.score if chosen else None
    weights = chosen.weights if chosen else {}
    values: dict[str, tuple[Any, ...]] = {
        "image": tuple(picture.png for picture in done.pictures),
        "seed": tuple(picture.seed for picture in done.pictures),
        "style": (chosen.first.style.id.encode() if chosen else b"",),
        "style_score": () if score is None else (score,),
        "styles": tuple(style.encode() for style in weights),
        "style_weights": tuple(weights.values()),
        "control_image": (done.control_image,),
        "warnings": tuple(warning.encode() for warning in done.warnings),
        "id": (identity.encode(),),
        "versions": (json.dumps(done.versions, sort_keys=True).encode(),),
        "sketch_kind": (done.sketch_kind.encode(),),
        "attempts": (json.dumps([vars(one) for one in done.attempts]).encode(),),
    }
    for name in flat(Scores(0.0)):
        found = (flat(picture.scores)[name] for picture in done.pictures)
        values[name] = tuple(score for score in found if score is not None)
    return {name: Output(tensor, values[name]) for name, tensor in OUTPUTS.items()}


def _described(tensor: Tensor) -> dict[str, Any]:
    return {"name": tensor.name, "datatype": tensor.dtype, "shape": list(tensor.dims)}


def _configured(tensor: Tensor) -> dict[str, Any]:
    return {
        "name": tensor.name,
        "data_type": _DATA_TYPES[tensor.dtype],
        "dims": list(tensor.dims),
    }


def _value(field: Field, values: tuple[Any, ...]) -> Any:
    if field.kind is str:
        values = tuple(text(field.name, raw) for raw in values)
    return values if field.several else values[0]
