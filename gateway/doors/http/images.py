"""/v1/images and /v1/models, in the shapes of OpenAI's API: its clients can render."""

from __future__ import annotations

import asyncio
import json
import math
import time
from collections.abc import AsyncGenerator
from typing import Annotated, Any

from fastapi import APIRouter, Path, Request, Response
from pydantic import BaseModel

from gateway.auth.caller import Caller
from gateway.doors.http import errors
from gateway.doors.http.bodies import JSON, read, validated
from gateway.doors.http.dependencies import Behind, OpenAIKnown, OpenAIRendering
from gateway.doors.http.events import EventStream, encoded, finished
from gateway.doors.http.forms import FORM
from gateway.doors.http.image_schemas import (
    MODEL,
    CompletedImage,
    EditForm,
    GenerationSubmission,
    ImageBody,
    ImageEvent,
    ImagesBody,
    ImagesSubmission,
    PartialImage,
)
from gateway.doors.http.openapi import EXAMPLE, SKETCH, events_content, request_body
from gateway.doors.http.schemas import in_base64, in_json
from gateway.doors.parts import Parts
from gateway.doors.validation import called
from gateway.renders.render import Following
from gateway.worker.events import Finished, Picture, Stepped, flat
from pipeline.errors import InvalidRequest, NotFound, Words, shorten
from pipeline.png import size_of

ABOUT = {"id": MODEL, "object": "model", "created": 0, "owned_by": "maquette"}
OPENAI_EXAMPLE = {**EXAMPLE, "model": MODEL, "n": 1, "size": "256x256"}
EVENTS = (PartialImage, CompletedImage)
ERRORS: dict[int | str, dict[str, Any]] = {
    "default": {
        "description": "What went wrong, as OpenAI's clients expect it.",
        "content": {JSON: {"schema": {"type": "object"}}},
    }
}

router = APIRouter(prefix="/v1", tags=["openai"], responses=ERRORS)


def _answers(kind: str) -> dict[int | str, dict[str, Any]]:
    """The responses of a route whose events' names begin with `kind`."""
    events: dict[str, type[BaseModel]] = {
        f"{kind}.partial_image": PartialImage,
        f"{kind}.completed": CompletedImage,
    }
    description = "The pictures in base64; with stream, events."
    return {200: {"description": description, "content": events_content(events)}}


@router.post(
    "/images/generations",
    summary="Render (OpenAI's images.generate)",
    response_model=ImagesBody,
    responses=_answers("image_generation"),
    openapi_extra=request_body(GenerationSubmission, {JSON: {**OPENAI_EXAMPLE, "sketch": SKETCH}}),
)
async def generations(request: Request, caller: OpenAIRendering, behind: Behind) -> Response:
    """Render the `sketch` (base64), which OpenAI's clients send in `extra_body`."""
    sent = await read(request, JSON)
    if "sketch" not in sent and "image" not in sent:
        remedy = (
            "This model paints over a sketch: send it with extra_body={'sketch': BASE64}, or use "
            "images.edit(image=FILE, prompt=...)."
        )
        raise InvalidRequest("sketch", Words("missing"), "base64 of a PNG, JPEG or WebP", remedy)
    asked = await validated(sent, GenerationSubmission)
    return await _render(request, asked, caller, behind, "sketch", "image_generation")


@router.post(
    "/images/edits",
    summary="Render (OpenAI's images.edit)",
    response_model=ImagesBody,
    responses=_answers("image_edit"),
    openapi_extra=request_body(EditForm, {FORM: OPENAI_EXAMPLE}),
)
async def edits(request: Request, caller: OpenAIRendering, behind: Behind) -> Response:
    """Render the sketch in `image`."""
    # Its clients write brackets after the name of a field that may come several times.
    sent = {name.removesuffix("[]"): value for name, value in (await read(request, FORM)).items()}
    asked = await validated(sent, EditForm)
    sketch = "sketch" if asked.begins_with_image else "image"
    return await _render(request, asked, caller, behind, sketch, "image_edit")


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
    request: Request, asked: ImagesSubmission, caller: Caller, behind: Parts, sketch: str, kind: str
) -> Response:
    """Render what was `asked`, whose field `sketch` has the sketch.

    Args:
        kind: how the names of the events begin.
    """
    _check_model(asked.model)
    count = {"num_images": "n"} if "n" in asked.model_fields_set else {}
    with called({"sketch": sketch, **count}):
        wanted = asked.render_request()
        wanted = asked.with_previews(wanted, behind.service.resolved(wanted).first_steps)
        render = await behind.renders.begin(wanted, caller, asked.options(request))
        headers = {"X-Render-Id": render.id}
        if asked.stream:
            following = render.follow()
            return EventStream(following, _events(following, kind, asked), headers)
        result = await finished(render, request.receive)
    return await in_json(lambda: _pictures(result, asked).model_dump(), headers)


def _facts(result: Finished, asked: ImagesSubmission, png: bytes) -> dict[str, Any]:
    """What is so of every picture of a render."""
    chosen = result.chosen
    return {
        "size": _size(png),
        "style": chosen.first.style.id if chosen else None,
        "style_score": chosen.first.score if chosen else None,
        "styles": chosen.weights if chosen else {},
        "attempts": result.attempts,
        "warnings": [*result.warnings, *asked.warnings],
    }


def _picture(picture: Picture) -> dict[str, Any]:
    return {
        "b64_json": in_base64(picture.png),
        "seed": picture.seed,
        **flat(picture.scores),
    }


def _pictures(result: Finished, asked: ImagesSubmission) -> ImagesBody:
    data = [ImageBody(**_picture(picture)) for picture in result.pictures]
    facts = _facts(result, asked, result.pictures[0].png)
    return ImagesBody(created=int(time.time()), data=data, **facts)


async def _events(
    following: Following, kind: str, asked: ImagesSubmission
) -> AsyncGenerator[bytes]:
    """A render's events as OpenAI's clients expect them: partial images, and each picture."""
    shown, most = 0, asked.partial_images or math.inf
    try:
        async for event in following:
            # Further attempts show no more than was asked for.
            if isinstance(event, Stepped) and event.previews and shown < most:
                for n, png in enumerate(event.previews):
                    yield _event(
                        PartialImage,
                        f"{kind}.partial_image",
                        partial_image_index=shown,
                        image_index=n,
                        b64_json=in_base64(png),
                        size=_size(png),
                    )
                shown += 1
            elif isinstance(event, Finished):
                for picture in event.pictures:
                    yield await asyncio.to_thread(_completed, kind, event, picture, asked)
    except Exception as error:  # noqa: BLE001 - Renders has logged it; here it is only sent
        yield encoded("error", json.dumps(errors.openai(error)))


def _completed(kind: str, result: Finished, picture: Picture, asked: ImagesSubmission) -> bytes:
    facts = {**_picture(picture), **_facts(result, asked, picture.png)}
    return _event(CompletedImage, f"{kind}.completed", **facts)


def _event(body: type[ImageEvent], name: str, **facts: Any) -> bytes:
    return encoded(name, body(type=name, created_at=int(time.time()), **facts).model_dump_json())


def _size(png: bytes) -> str:
    return "{}x{}".format(*size_of(png))


def _check_model(name: str) -> None:
    if name != MODEL:
        raise NotFound(f"There is no model {shorten(name)}; the one there is is {MODEL}.")
