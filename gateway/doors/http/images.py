"""/v1/images and /v1/models, in the shapes of OpenAI's API: its clients can render."""

from __future__ import annotations

import asyncio
import json
import math
import re
import time
from collections.abc import AsyncGenerator, Mapping
from dataclasses import replace
from typing import Annotated, Any

from fastapi import APIRouter, Path, Request, Response

from gateway.auth.caller import Caller
from gateway.doors.http import errors
from gateway.doors.http.dependencies import Behind, OpenAIKnown, OpenAIRendering
from gateway.doors.http.events import EVENT_STREAM, EventStream, encoded, finished
from gateway.doors.http.forms import (
    CALL_HINTS,
    FORM,
    HINTS,
    JSON,
    Sent,
    called,
    read,
    render_request,
    unknown,
    values_of,
)
from gateway.doors.http.openapi import (
    CALL_FIELDS,
    EXAMPLE,
    IN_A_FORM,
    IN_JSON,
    SKETCH,
    as_json,
    form,
    render_fields,
)
from gateway.doors.http.renders import asked_of
from gateway.doors.http.schemas import in_base64, in_json
from gateway.doors.parts import Parts
from gateway.information import VIRTUAL_MODEL
from gateway.renders.render import Following
from gateway.worker.events import Finished, Picture, Stepped
from pipeline.errors import InvalidRequest, NotFound, Words, shorten
from pipeline.png import size_of
from pipeline.request import RANGES, SIZE_STEP, RenderRequest

MODEL = VIRTUAL_MODEL
ABOUT = {"id": MODEL, "object": "model", "created": 0, "owned_by": "maquette"}
MAX_PARTIAL = 3
"""Partial images of a render, as OpenAI bounds them."""

# What else OpenAI's models know. Nothing is dropped without a word.
NEVER = {
    "mask": "The whole sketch is painted: leave it out.",
    "markup": "The sketch itself guides the render: leave it out.",
    "svg": "Pictures are PNG files.",
    "frame_count": "Pictures are PNG files.",
    "frame_duration_ms": "Pictures are PNG files.",
}
"""Fields that are refused, and what to do instead."""
ONLY: Mapping[str, tuple[tuple[str | int, ...], str]] = {
    "response_format": (("b64_json",), "Pictures come in the answer, never as links."),
    "output_format": (("png",), "Convert the picture yourself."),
    "output_compression": ((100,), "PNG loses nothing."),
    "background": (("opaque", "auto"), "Renders are opaque."),
}
"""Fields that may say what is so anyway."""
NO_EFFECT = {
    "quality": "num_inference_steps decides",
    "complexity": "num_inference_steps decides",
    "input_fidelity": "controlnet_conditioning_scale decides",
    "moderation": "the service's own moderation decides",
}
"""Fields that change nothing, which a warning tells."""
USER = "Changes nothing."

_WIDTHS = RANGES["width"]
SIDES = "|".join(map(str, range(int(_WIDTHS.low), int(_WIDTHS.high) + 1, SIZE_STEP)))

OPENAI_FIELDS: Mapping[str, dict[str, Any]] = {
    "model": {"type": "string", "enum": [MODEL], "default": MODEL},
    "n": {"type": "integer", "minimum": 1, "maximum": 4, "default": 1},
    "size": {
        "type": "string",
        "default": "auto",
        "pattern": f"^(auto|({SIDES})x({SIDES}))$",
        "description": "WIDTHxHEIGHT, or auto to follow the sketch.",
    },
    "stream": {"type": "boolean", "default": False, "description": "Answer with events."},
    "partial_images": {
        "type": "integer",
        "minimum": 0,
        "maximum": MAX_PARTIAL,
        "default": 0,
        "description": "Previews in the events, at most; only with stream.",
    },
    **{
        name: {"type": "string" if isinstance(allowed[0], str) else "integer", "enum": [*allowed]}
        for name, (allowed, _) in ONLY.items()
    },
    **{
        name: {"type": "string", "description": f"No effect: {instead}."}
        for name, instead in NO_EFFECT.items()
    },
    "user": {"type": "string", "description": USER},
    "safety_identifier": {"type": "string", "description": USER},
}
KINDS = {"string": str, "integer": int, "boolean": bool}
OPENAI_HINTS: Mapping[str, Any] = {
    name: KINDS[schema["type"]] for name, schema in OPENAI_FIELDS.items()
}
SAME = {"n": ("num_images",), "size": ("width", "height"), "partial_images": ("preview_interval",)}
"""Fields that say what ours say."""
USAGE = {
    "input_tokens": 0,
    "input_tokens_details": {"image_tokens": 0, "text_tokens": 0},
    "output_tokens": 0,
    "total_tokens": 0,
}
"""Its clients' types want it, and nothing is counted in tokens here."""
OPENAI_EXAMPLE = {**EXAMPLE, "model": MODEL, "n": 1, "size": "256x256"}
RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The pictures in base64; with stream, events.",
        "content": {
            JSON: {"schema": {"type": "object"}},
            EVENT_STREAM: {
                "itemSchema": {
                    "type": "object",
                    "required": ["event", "data"],
                    "properties": {
                        "event": {"type": "string"},
                        "data": {
                            "type": "string",
                            "contentMediaType": JSON,
                            "contentSchema": {"type": "object"},
                        },
                    },
                }
            },
        },
    }
}
ERRORS: dict[int | str, dict[str, Any]] = {
    "default": {
        "description": "What went wrong, as OpenAI's clients expect it.",
        "content": {"application/json": {"schema": {"type": "object"}}},
    }
}

router = APIRouter(prefix="/v1", tags=["openai"], responses=ERRORS)


def _described(sketch: str, picture: dict[str, Any]) -> dict[str, Any]:
    ours = render_fields(picture)
    return {sketch: ours.pop("sketch"), **OPENAI_FIELDS, **ours, **CALL_FIELDS}


@router.post(
    "/images/generations",
    summary="Render (OpenAI's images.generate)",
    responses=RESPONSES,
    openapi_extra=as_json(
        _described("sketch", IN_JSON), ["sketch", "prompt"], {**OPENAI_EXAMPLE, "sketch": SKETCH}
    ),
)
async def generations(request: Request, caller: OpenAIRendering, behind: Behind) -> Response:
    """Render the `sketch` (base64), which OpenAI's clients send in `extra_body`."""
    sent = await read(request, JSON)
    if "sketch" not in sent:
        remedy = (
            "This model paints over a sketch: send it with extra_body={'sketch': BASE64}, or use "
            "images.edit(image=FILE, prompt=...)."
        )
        raise InvalidRequest("sketch", Words("missing"), "base64 of a PNG, JPEG or WebP", remedy)
    return await _render(request, sent, caller, behind, "sketch", "image_generation")


@router.post(
    "/images/edits",
    summary="Render (OpenAI's images.edit)",
    responses=RESPONSES,
    openapi_extra=form(_described("image", IN_A_FORM), ["image", "prompt"], OPENAI_EXAMPLE),
)
async def edits(request: Request, caller: OpenAIRendering, behind: Behind) -> Response:
    """Render the sketch in `image`."""
    fields = await read(request, FORM)
    # Its clients write brackets after the name of a field that may come several times.
    sent = {name.removesuffix("[]"): values for name, values in fields.items()}
    if "image" not in sent:
        raise InvalidRequest("image", b"", "a PNG, JPEG or WebP file", "Send the sketch in it.")
    return await _render(request, sent, caller, behind, "image", "image_edit")


@router.get("/models", summary="List the models")
async def models(_caller: OpenAIKnown) -> dict[str, Any]:
    """The one model that there is for these routes."""
    return {"object": "list", "data": [ABOUT]}


@router.get("/models/{id}", summary="One model")
async def model(
    id: Annotated[str, Path(description="The model's id.", examples=[MODEL])],  # noqa: A002
    _caller: OpenAIKnown,
) -> dict[str, Any]:
    """What there is to say of a model."""
    _check_model(id)
    return ABOUT


async def _render(
    request: Request, sent: Sent, caller: Caller, behind: Parts, sketch: str, kind: str
) -> Response:
    """Render what was `sent`, with the sketch in the field `sketch`.

    Args:
        kind: how the names of the events begin.
    """
    ours = _ours(sent, sketch)
    theirs = values_of({name: sent[name] for name in OPENAI_HINTS if name in sent}, OPENAI_HINTS)
    _check(theirs)
    _check_twice(theirs, ours)
    with called({"sketch": sketch, **({"num_images": "n"} if "n" in theirs else {})}):
        count = {"num_images": sent["n"]} if "n" in theirs else {}
        wanted = await render_request({**ours, **count, **_size(theirs.get("size", "auto"))})
        wanted = _with_partial_images(wanted, theirs)
        render = await behind.renders.begin(wanted, caller, asked_of(request, ours))
        headers = {"X-Render-Id": render.id}
        if theirs.get("stream"):
            following = render.follow()
            return EventStream(following, _events(following, kind, theirs), headers)
        result = await finished(render, request.receive)
    return await in_json(lambda: _told(result, theirs), headers)


def _ours(sent: Sent, sketch: str) -> Sent:
    """Our own fields of `sent`, under our names.

    Raises:
        InvalidRequest: there is a field that neither OpenAI's models nor ours know.
    """
    known = {*HINTS, *CALL_HINTS} - {"sketch"} | {sketch}
    for name in sent:
        if name in NEVER:
            raise InvalidRequest(name, Words("set"), "nothing here", NEVER[name])
        if name not in known and name not in OPENAI_HINTS:
            raise unknown(name, sorted({*known, *OPENAI_HINTS}))
    ours = {name: values for name, values in sent.items() if name in known}
    ours["sketch"] = ours.pop(sketch)
    return ours


def _check(theirs: Mapping[str, Any]) -> None:
    _check_model(theirs.get("model", MODEL))
    for name, (allowed, remedy) in ONLY.items():
        if theirs.get(name, allowed[0]) not in allowed:
            raise InvalidRequest(name, theirs[name], " or ".join(map(str, allowed)), remedy)
    partial = theirs.get("partial_images", 0)
    if not 0 <= partial <= MAX_PARTIAL:
        raise InvalidRequest("partial_images", partial, f"0 to {MAX_PARTIAL}", "Send fewer.")
    if partial and not theirs.get("stream"):
        raise InvalidRequest("partial_images", partial, "0 without stream", "Set stream to true.")


def _check_twice(theirs: Mapping[str, Any], ours: Sent) -> None:
    for name, same in SAME.items():
        for other in same:
            if other in ours and theirs.get(name, "auto") != "auto":
                found, allowed = ours[other][0], f"nothing where {name} is set"
                raise InvalidRequest(other, found, allowed, "Send one of the two.")


def _with_partial_images(wanted: RenderRequest, theirs: Mapping[str, Any]) -> RenderRequest:
    """`wanted` with previews spread evenly over its steps."""
    partial = theirs.get("partial_images")
    if partial is None:
        return wanted
    apart = math.ceil(wanted.num_inference_steps / (partial + 1)) if partial else 0
    return replace(wanted, preview_interval=apart)


def _warnings(result: Finished, theirs: Mapping[str, Any]) -> list[str]:
    idle = [name for name in NO_EFFECT if theirs.get(name, "auto") != "auto"]
    return [*result.warnings, *(f"{name} has no effect here; {NO_EFFECT[name]}." for name in idle)]


def _about(result: Finished, theirs: Mapping[str, Any]) -> dict[str, Any]:
    """What is so of every picture of a render."""
    chosen = result.chosen
    return {
        "style": chosen.style.id if chosen else None,
        "style_score": chosen.score if chosen else None,
        "warnings": _warnings(result, theirs),
        "usage": USAGE,
    }


def _form(png: bytes) -> dict[str, Any]:
    width, height = size_of(png)
    return {"background": "opaque", "output_format": "png", "size": f"{width}x{height}"}


def _picture(picture: Picture) -> dict[str, Any]:
    return {
        "b64_json": in_base64(picture.png),
        "seed": picture.seed,
        "structure_f1": picture.structure_f1,
    }


def _told(result: Finished, theirs: Mapping[str, Any]) -> dict[str, Any]:
    data = [_picture(picture) for picture in result.pictures]
    form = _form(result.pictures[0].png)
    return {"created": int(time.time()), "data": data, **form, **_about(result, theirs)}


async def _events(
    following: Following, kind: str, theirs: Mapping[str, Any]
) -> AsyncGenerator[bytes]:
    """What OpenAI's clients are told of a render: partial images, and each finished picture."""
    shown = 0
    try:
        async for event in following:
            if isinstance(event, Stepped) and event.previews:
                for n, png in enumerate(event.previews):
                    partial = {"b64_json": in_base64(png), "image_index": n}
                    told = {"partial_image_index": shown, **partial, **_form(png)}
                    yield _event(f"{kind}.partial_image", told)
                shown += 1
            elif isinstance(event, Finished):
                for picture in event.pictures:
                    yield await asyncio.to_thread(_completed, kind, event, picture, theirs)
    except Exception as error:  # noqa: BLE001 - Renders has logged it; here it is only told
        yield _event("error", errors.openai(error))


def _completed(kind: str, result: Finished, picture: Picture, theirs: Mapping[str, Any]) -> bytes:
    about = {**_form(picture.png), **_about(result, theirs)}
    return _event(f"{kind}.completed", {**_picture(picture), **about})


def _event(name: str, told: Mapping[str, Any]) -> bytes:
    about = {"type": name, "created_at": int(time.time()), "quality": "auto"}
    return encoded(name, json.dumps({**about, **told}))


def _check_model(name: Any) -> None:
    if name != MODEL:
        raise NotFound(f"There is no model {shorten(name)}; the one there is is {MODEL}.")


def _size(size: str) -> Sent:
    if size == "auto":
        return {}
    found = re.fullmatch(r"([0-9]{1,5})x([0-9]{1,5})", size)
    width, height = map(int, found.groups()) if found else (0, 0)
    if not (RANGES["width"].holds(width) and RANGES["height"].holds(height)):
        allowed = f"auto, or WIDTHxHEIGHT such as 256x256, each {RANGES['width']}"
        raise InvalidRequest("size", size, allowed, "Leave it out to follow the sketch.")
    return {"width": [width], "height": [height]}
