"""/openapi.json: request bodies from their models, and what FastAPI cannot know."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from gateway.doors.http.bodies import JSON, Body
from gateway.doors.http.errors import PROBLEM, Problem
from gateway.doors.http.events import EVENT_STREAM
from gateway.doors.http.forms import FORM
from gateway.doors.http.schemas import Accepted, AttemptedBody, ProgressBody, RenderBody, Scored
from pipeline.images import encode_png

Schema = dict[str, Any]
REF = "#/components/schemas/{model}"

MODES: Any = {FORM: "validation", JSON: "serialization"}
"""Of the schemas of a picture."""
EMPTY: Schema = {"const": ""}
LEFT_OUT: Mapping[str, Schema] = {JSON: {"type": "null"}, FORM: EMPTY}
PROBLEMS: dict[int | str, dict[str, Any]] = {
    "default": {
        "description": "What went wrong; 429 and 503 say in Retry-After when to try again.",
        "content": {PROBLEM: {"schema": {"$ref": REF.format(model="Problem")}}},
    }
}
RENDER_EVENTS: Mapping[str, type[BaseModel]] = {
    "accepted": Accepted, "style": Scored, "progress": ProgressBody, "attempt": AttemptedBody,
    "result": RenderBody, "error": Problem,
}  # fmt: skip


def request_body(model: type[Body], examples: Mapping[str, Schema]) -> Schema:
    """What a route takes, for its ``openapi_extra``.

    Args:
        examples: one of each content type.
    """
    content = {
        kind: {"schema": _schema(model, kind), "example": example}
        for kind, example in examples.items()
    }
    return {"requestBody": {"required": True, "content": content}}


def png(description: str, **headers: str) -> dict[int | str, dict[str, Any]]:
    """A response that is a picture, and what its headers say."""
    return {
        200: {
            "description": description,
            "content": {"image/png": {"schema": {"type": "string", "format": "binary"}}},
            "headers": {
                name.replace("_", "-"): {"description": text, "schema": {"type": "string"}}
                for name, text in headers.items()
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
    kinds = [
        {
            "type": "object",
            "required": ["event", "data"],
            "properties": {
                "event": {"const": name},
                "id": {"type": "string"},
                "data": {
                    "type": "string",
                    "contentMediaType": JSON,
                    "contentSchema": {"$ref": REF.format(model=body.__name__)},
                },
            },
        }
        for name, body in bodies.items()
    ]
    return {EVENT_STREAM: {"itemSchema": {"oneOf": kinds}}}


def _schema(model: type[Body], kind: str) -> Schema:
    schema = model.model_json_schema(mode=MODES[kind])
    # A sketch, whatever the route calls it, or a picture whose edges stand in for it.
    either = [name for name in ("sketch", "file", "image") if name in schema["properties"]]
    if len(either) < 2 or "image" in schema["required"]:
        either = []
    for name, field in schema["properties"].items():
        if field.get("default") in (None, "", []):
            field.pop("default", None)
        if name not in (*schema.get("required", ()), *either):
            schema["properties"][name] = _optional(field, LEFT_OUT[kind])
    if either:
        schema["anyOf"] = [{"required": [name]} for name in either]
    return schema


def _optional(schema: Schema, nothing: Schema) -> Schema:
    """What may be sent for a field: `nothing` leaves it out, and one value needs no brackets."""
    if "anyOf" in schema:
        return schema
    about: Schema = {
        name: schema.pop(name) for name in ("title", "description", "default") if name in schema
    }
    if "items" not in schema:
        return {**_or(schema, nothing), **about}
    if nothing == EMPTY:
        schema["items"] = _or(schema["items"], nothing)
    return {"anyOf": [schema, schema["items"], nothing], **about}


def _or(schema: Schema, nothing: Schema) -> Schema:
    if nothing != EMPTY or schema["type"] != "string":
        return {"anyOf": [schema, nothing]}
    if "enum" in schema:
        return {**schema, "enum": ["", *schema["enum"]]}
    return {**schema, "pattern": f"^$|{schema['pattern']}"} if "pattern" in schema else schema


def _small_sketch() -> str:
    """A square on paper, in base64: the least that can be rendered, for examples that run."""
    paper = np.full((64, 64), 255, np.uint8)
    paper[16:48, 16:48] = 0
    return base64.b64encode(encode_png(paper)).decode()


SKETCH = _small_sketch()
EXAMPLE: Schema = {"prompt": "a house in the snow", "seed": 7, "num_inference_steps": 4}
