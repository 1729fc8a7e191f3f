"""How /openapi.json describes requests: with the ranges and defaults that are checked."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import MISSING
from typing import Any

import numpy as np

from gateway.web.bodies import Problem
from gateway.web.errors import PROBLEM
from gateway.web.forms import FORM, HINTS, JSON, kind_of
from pipeline.images import MAX_BYTES, MAX_PIXELS, MAX_SIDE, encode_png
from pipeline.lineup import ALIASES
from pipeline.request import DEFAULTS, MAX_PROMPT, MAX_STYLE_IMAGES, RANGES
from pipeline.samplers import SAMPLERS

Schema = dict[str, Any]

PICTURE = (
    f"PNG, JPEG or WebP; at most {MAX_BYTES:,} bytes and {MAX_PIXELS['PNG']:,} pixels (JPEG: "
    f"{MAX_PIXELS['JPEG']:,}). More than {MAX_SIDE} a side are scaled down."
)
DESCRIPTIONS: Mapping[str, str] = {
    "sketch": PICTURE,
    "prompt": "What it should look like.",
    "negative_prompt": "What it should not look like.",
    "style": "Id of a style in the library. Left out, the style is retrieved with the prompt.",
    "style_filter": "Tags that a retrieved style must all have.",
    "style_images": f"Your own reference pictures, instead of the library. {PICTURE}",
    "style_weights": "One weight per style image; equal shares when left out.",
    "seed": "Repeats a render; drawn when left out.",
    "num_inference_steps": "Denoising steps.",
    "guidance_scale": "Pull of the prompt; 1 or less switches the negative prompt off.",
    "controlnet_conditioning_scale": "How strongly the sketch's edges hold.",
    "control_guidance_start": "Share of the steps before the edges hold.",
    "control_guidance_end": "Share of the steps after which they no longer hold.",
    "ip_adapter_scale": "How strongly the style shows: once, or once per cross-attention layer.",
    "canny_low_threshold": "Edges weaker than this are dropped.",
    "canny_high_threshold": "Edges stronger than this are kept.",
    "scheduler": "The sampler.",
    "width": "Pixels; follows the sketch when left out.",
    "height": "Pixels; follows the sketch when left out.",
    "num_images": "Pictures, with seeds in a row.",
    "preview_interval": "Steps between two previews in the events; 0: none.",
    "versions": "Of the networks; left out, the service chooses: the champion, as a rule.",
    "id": "The render's id, your choice: letters, digits, dots, hyphens, underscores.",
    "keep_running": "Go on when nobody listens any more, so that the result can be fetched.",
}
CALL_FIELDS: Mapping[str, Schema] = {
    "id": {"type": "string", "maxLength": 64, "description": DESCRIPTIONS["id"]},
    "keep_running": {
        "type": "boolean",
        "default": False,
        "description": DESCRIPTIONS["keep_running"],
    },
}
IN_A_FORM: Schema = {"type": "string", "format": "binary"}
IN_JSON: Schema = {"type": "string", "contentEncoding": "base64"}
TYPES = {int: "integer", float: "number", str: "string"}

PROBLEMS: dict[int | str, dict[str, Any]] = {
    "default": {
        "description": "What went wrong; 429 and 503 say in Retry-After when to try again.",
        "content": {PROBLEM: {"schema": Problem.model_json_schema()}},
    }
}


def render_fields(picture: Schema) -> dict[str, Schema]:
    """The schema of every field of a render request.

    Args:
        picture: the schema of one picture, which differs between forms and JSON.
    """
    return {name: _field(name, picture) for name in HINTS}


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


def _body(kinds: Mapping[str, tuple[Mapping[str, Schema], Schema]], required: Sequence[str]) -> Any:
    content = {
        kind: {
            "schema": {
                "type": "object",
                "properties": dict(properties),
                "required": list(required),
            },
            "example": example,
        }
        for kind, (properties, example) in kinds.items()
    }
    return {"requestBody": {"required": True, "content": content}}


def _field(name: str, picture: Schema) -> Schema:
    kind, several = kind_of(HINTS[name])
    one = dict(picture) if kind is bytes else {"type": TYPES[kind], **_bounds(name)}
    schema = {"type": "array", "items": one, **_count(name)} if several else one
    default = DEFAULTS[name]
    if default not in (MISSING, None, "", ()):
        schema["default"] = list(default) if several else default
    return {**schema, "description": DESCRIPTIONS[name]}


def _bounds(name: str) -> Schema:
    if name in ("prompt", "negative_prompt"):
        return {"maxLength": MAX_PROMPT} | ({"minLength": 1} if name == "prompt" else {})
    if name == "scheduler":
        return {"enum": list(SAMPLERS)}
    if name == "versions":
        return {"enum": list(ALIASES)}
    allowed = RANGES.get(name)
    if allowed is None:
        return {}
    step = {"multipleOf": allowed.multiple_of} if allowed.multiple_of else {}
    return {"minimum": allowed.low, "maximum": allowed.high, **step}


def _count(name: str) -> Schema:
    return {"maxItems": MAX_STYLE_IMAGES} if name in ("style_images", "style_weights") else {}


def _small_sketch() -> str:
    """A square on paper, in base64: the least that can be rendered, for examples that run."""
    paper = np.full((64, 64), 255, np.uint8)
    paper[16:48, 16:48] = 0
    return base64.b64encode(encode_png(paper)).decode()


SKETCH = _small_sketch()
EXAMPLE: Schema = {"prompt": "a house in the snow", "seed": 7, "num_inference_steps": 4}
