"""How /openapi.json describes requests: with the ranges and defaults that are checked."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import MISSING
from typing import Any

import numpy as np
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from gateway.doors.http.bodies import Body
from gateway.doors.http.errors import PROBLEM, Problem
from gateway.doors.http.events import EVENT_STREAM
from gateway.doors.http.forms import FORM, JSON
from gateway.doors.http.schemas import Accepted, ProgressBody, RenderBody, Scored
from gateway.renders import registry
from pipeline.fields import Field
from pipeline.images import encode_png
from pipeline.request import FIELDS

Schema = dict[str, Any]
REF = "#/components/schemas/{model}"

IN_A_FORM: Schema = {"type": "string", "format": "binary"}
IN_JSON: Schema = {"type": "string", "contentEncoding": "base64", "format": "byte"}
EMPTY: Schema = {"const": ""}
LEFT_OUT: Mapping[str, Schema] = {JSON: {"type": "null"}, FORM: EMPTY}
TYPES = {int: "integer", float: "number", str: "string", bool: "boolean"}

PROBLEMS: dict[int | str, dict[str, Any]] = {
    "default": {
        "description": "What went wrong; 429 and 503 say in Retry-After when to try again.",
        "content": {PROBLEM: {"schema": {"$ref": REF.format(model="Problem")}}},
    }
}
RENDER_EVENTS: Mapping[str, type[BaseModel]] = {
    "accepted": Accepted, "style": Scored, "progress": ProgressBody, "result": RenderBody,
    "error": Problem,
}  # fmt: skip


def render_fields(picture: Schema) -> dict[str, Schema]:
    """The schema of every field of a render request.

    Args:
        picture: the schema of one picture, which differs between forms and JSON.
    """
    return {name: schema_of(known, picture) for name, known in FIELDS.items()}


def request_body(model: type[Body], *kinds: str, example: Schema) -> Schema:
    """What a route takes, for its ``openapi_extra``."""
    content = {kind: {"schema": _schema(model, kind), "example": example} for kind in kinds}
    return {"requestBody": {"required": True, "content": content}}


def _schema(model: type[Body], kind: str) -> Schema:
    schema = model.model_json_schema(mode="validation" if kind == FORM else "serialization")
    for name, field in schema["properties"].items():
        if field.get("default") in (None, "", []):
            field.pop("default", None)
        if name not in schema.get("required", ()):
            schema["properties"][name] = _optional(field, LEFT_OUT[kind])
    return schema


def form(properties: Mapping[str, Schema], required: Sequence[str], example: Schema) -> Schema:
    """What a route takes as a form, for its ``openapi_extra``."""
    return _body({FORM: (properties, example)}, required)


def form_or_json(
    in_form: Mapping[str, Schema], in_json: Mapping[str, Schema],
    required: Sequence[str], example: Schema,
) -> Schema:  # fmt: skip
    """What a route takes as a form or as JSON."""
    with_sketch = {**example, "sketch": SKETCH}
    return _body({FORM: (in_form, example), JSON: (in_json, with_sketch)}, required)


def as_json(properties: Mapping[str, Schema], required: Sequence[str], example: Schema) -> Schema:
    """What a route takes as JSON."""
    return _body({JSON: (properties, example)}, required)


def png(description: str, **headers: str) -> dict[int | str, dict[str, Any]]:
    """A response that is a picture, and what its headers say."""
    told = {name.replace("_", "-"): text for name, text in headers.items()}
    return {
        200: {
            "description": description,
            "content": {"image/png": {"schema": IN_A_FORM}},
            "headers": {
                name: {"description": text, "schema": {"type": "string"}}
                for name, text in told.items()
            },
        }
    }


def complete(document: Schema, bodies: Iterable[type[BaseModel]], *, auth_required: bool) -> Schema:
    """`document` with what FastAPI cannot know.

    Args:
        bodies: of events, which no route answers with alone.
        auth_required: whether callers are asked who they are.
    """
    models: Any = [(body, "serialization") for body in bodies]
    _, found = models_json_schema(models, ref_template=REF)
    document["components"]["schemas"] |= found["$defs"]
    if not auth_required:
        for operation in (each for path in document["paths"].values() for each in path.values()):
            if "security" in operation:
                operation["security"] = [*operation["security"], {}]
    return document


def events_content(bodies: Mapping[str, type[BaseModel]]) -> Schema:
    """The content of a response that is server-sent events, each with its body."""
    of = {name: {"$ref": REF.format(model=body.__name__)} for name, body in bodies.items()}
    kinds = [
        {
            "type": "object",
            "required": ["event", "data"],
            "properties": {
                "event": {"const": name},
                "id": {"type": "string"},
                "data": {
                    "type": "string",
                    "contentMediaType": "application/json",
                    "contentSchema": body,
                },
            },
        }
        for name, body in of.items()
    ]
    return {EVENT_STREAM: {"itemSchema": {"oneOf": kinds}}}


def _body(kinds: Mapping[str, tuple[Mapping[str, Schema], Schema]], required: Sequence[str]) -> Any:
    content = {
        kind: {
            "schema": {
                "type": "object",
                "properties": {
                    name: schema if name in required else _optional(schema, LEFT_OUT[kind])
                    for name, schema in properties.items()
                },
                "required": list(required),
                "additionalProperties": False,
            },
            "example": example,
        }
        for kind, (properties, example) in kinds.items()
    }
    return {"requestBody": {"required": True, "content": content}}


def _optional(schema: Schema, nothing: Schema) -> Schema:
    """What may be sent for a field: `nothing` leaves it out, and one value needs no brackets."""
    if "anyOf" in schema:
        return schema
    about: Schema = {
        name: schema[name] for name in ("title", "description", "default") if name in schema
    }
    plain = {name: value for name, value in schema.items() if name not in about}
    if "items" not in plain:
        return {**_or(plain, nothing), **about}
    if nothing == EMPTY:
        plain["items"] = _or(plain["items"], nothing)
    return {"anyOf": [plain, plain["items"], nothing], **about}


def _or(schema: Schema, nothing: Schema) -> Schema:
    if nothing != EMPTY or schema["type"] != "string":
        return {"anyOf": [schema, nothing]}
    if "enum" in schema:
        return {**schema, "enum": ["", *schema["enum"]]}
    return {**schema, "pattern": f"^$|{schema['pattern']}"} if "pattern" in schema else schema


def schema_of(known: Field, picture: Schema) -> Schema:
    """The schema of a field; `picture` is that of an encoded picture."""
    one = dict(picture) if known.kind is bytes else {"type": TYPES[known.kind], **known.bounds}
    schema = {"type": "array", "items": one, **known.item_bounds} if known.several else one
    if known.default not in (MISSING, None, "", ()):
        schema["default"] = list(known.default) if known.several else known.default
    return {**schema, "description": known.help}


def _small_sketch() -> str:
    """A square on paper, in base64: the least that can be rendered, for examples that run."""
    paper = np.full((64, 64), 255, np.uint8)
    paper[16:48, 16:48] = 0
    return base64.b64encode(encode_png(paper)).decode()


CALL_FIELDS: Mapping[str, Schema] = {
    name: schema_of(known, {}) for name, known in registry.CALL_FIELDS.items()
}
SKETCH = _small_sketch()
EXAMPLE: Schema = {"prompt": "a house in the snow", "seed": 7, "num_inference_steps": 4}
