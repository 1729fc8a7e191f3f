"""/v1/images and /v1/models, in the shapes of OpenAI's API: its clients can render."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Path, Request
from fastapi.responses import JSONResponse

from gateway.information import VIRTUAL_MODEL
from gateway.protection.caller import Caller
from gateway.service import Finished
from gateway.web.bodies import in_base64, in_json
from gateway.web.desk import Behind, OpenAIKnown, OpenAIRendering
from gateway.web.events import finished
from gateway.web.forms import FORM, HINTS, JSON, Sent, called, read, render_request
from gateway.web.renders import asked_of
from gateway.web.schemas import EXAMPLE, IN_A_FORM, IN_JSON, SKETCH, as_json, form, render_fields
from gateway.wiring import Parts
from pipeline.errors import InvalidRequest, NotFound, Words, shorten

MODEL = VIRTUAL_MODEL
OURS = HINTS.keys() - {"sketch", "num_images", "width", "height"}
"""Options of ours that may be sent besides."""
ABOUT = {"id": MODEL, "object": "model", "created": 0, "owned_by": "maquette"}

OPENAI_FIELDS = {
    "model": {"type": "string", "enum": [MODEL], "default": MODEL},
    "n": {"type": "integer", "minimum": 1, "maximum": 4, "default": 1},
    "size": {"type": "string", "default": "auto", "description": "WIDTHxHEIGHT, or auto."},
    "response_format": {"type": "string", "enum": ["b64_json"], "default": "b64_json"},
}
OPENAI_EXAMPLE = {**EXAMPLE, "model": MODEL, "n": 1, "size": "256x256"}
ERRORS: dict[int | str, dict[str, Any]] = {
    "default": {
        "description": "What went wrong, as OpenAI's clients expect it.",
        "content": {"application/json": {"schema": {"type": "object"}}},
    }
}

router = APIRouter(prefix="/v1", tags=["openai"], responses=ERRORS)


def _described(sketch: str, picture: dict[str, Any]) -> dict[str, Any]:
    ours = {name: schema for name, schema in render_fields(picture).items() if name in OURS}
    return {sketch: render_fields(picture)["sketch"], **OPENAI_FIELDS, **ours}


@router.post(
    "/images/generations",
    summary="Render (OpenAI's images.generate)",
    openapi_extra=as_json(
        _described("sketch", IN_JSON), ["sketch", "prompt"], {**OPENAI_EXAMPLE, "sketch": SKETCH}
    ),
)
async def generations(request: Request, caller: OpenAIRendering, behind: Behind) -> JSONResponse:
    """Render the `sketch` (base64), which OpenAI's clients send in `extra_body`."""
    sent = await read(request, JSON)
    if "sketch" not in sent:
        remedy = (
            "This model paints over a sketch: send it with extra_body={'sketch': BASE64}, or use "
            "images.edit(image=FILE, prompt=...)."
        )
        raise InvalidRequest("sketch", Words("missing"), "base64 of a PNG, JPEG or WebP", remedy)
    return await _render(request, sent, caller, behind, {"num_images": "n"})


@router.post(
    "/images/edits",
    summary="Render (OpenAI's images.edit)",
    openapi_extra=form(_described("image", IN_A_FORM), ["image", "prompt"], OPENAI_EXAMPLE),
)
async def edits(request: Request, caller: OpenAIRendering, behind: Behind) -> JSONResponse:
    """Render the sketch in `image`."""
    sent = await read(request, FORM)
    for name in ("image[]", "image"):
        if name in sent:
            sent["sketch"] = sent.pop(name)
    if "sketch" not in sent:
        raise InvalidRequest("image", b"", "a PNG, JPEG or WebP file", "Send the sketch in it.")
    if "mask" in sent:
        remedy = "The whole sketch is painted: leave the mask out."
        raise InvalidRequest("mask", Words("set"), "no mask", remedy)
    return await _render(request, sent, caller, behind, {"num_images": "n", "sketch": "image"})


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
    request: Request, sent: Sent, caller: Caller, behind: Parts, names: Mapping[str, str]
) -> JSONResponse:
    _check(sent)
    with called(names):
        wanted = await render_request(_ours(sent))
        render = await behind.renders.begin(wanted, caller, asked_of(request, {}))
        result = await finished(render, request.receive)
    return await in_json(lambda: _told(result), {"X-Render-Id": render.id})


def _told(result: Finished) -> dict[str, Any]:
    data = [
        {
            "b64_json": in_base64(picture.png),
            "seed": picture.seed,
            "structure_f1": picture.structure_f1,
        }
        for picture in result.pictures
    ]
    return {"created": int(time.time()), "data": data, "output_format": "png"}


def _check(sent: Sent) -> None:
    _check_model(_first(sent, "model", MODEL))
    shape = _first(sent, "response_format", "b64_json")
    if shape != "b64_json":
        remedy = "Pictures come in the answer, never as links."
        raise InvalidRequest("response_format", shape, "b64_json", remedy)
    kind = _first(sent, "output_format", "png")
    if kind != "png":
        raise InvalidRequest("output_format", kind, "png", "Convert the picture yourself.")
    stream = _first(sent, "stream", False)
    if stream not in (False, "false"):
        remedy = "POST /v1/renders tells each step."
        raise InvalidRequest("stream", stream, "false", remedy)


def _check_model(name: Any) -> None:
    if name != MODEL:
        raise NotFound(f"There is no model {shorten(name)}; the one there is is {MODEL}.")


def _ours(sent: Sent) -> Sent:
    """OpenAI's fields under our names; what only its own models know is left out."""
    ours = {name: values for name, values in sent.items() if name in {*OURS, "sketch"}}
    if "n" in sent:
        ours["num_images"] = sent["n"]
    return {**ours, **_size(_first(sent, "size", "auto"))}


def _size(size: Any) -> Sent:
    if size == "auto":
        return {}
    found = re.fullmatch(r"([0-9]{1,5})x([0-9]{1,5})", size) if isinstance(size, str) else None
    if found is None:
        remedy = "Leave it out to follow the sketch."
        raise InvalidRequest("size", size, "auto, or WIDTHxHEIGHT such as 256x256", remedy)
    return {"width": [int(found[1])], "height": [int(found[2])]}


def _first(sent: Sent, name: str, default: Any) -> Any:
    return next(iter(sent.get(name, ())), default)
