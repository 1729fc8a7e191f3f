"""/v1/renders: a sketch and a sentence in; the render at once, step by step, or later."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Header, Path, Query, Request, Response
from fastapi.responses import JSONResponse

from gateway.doors.http.bodies import JSON, body_of
from gateway.doors.http.dependencies import Behind, PageSize, Rendering
from gateway.doors.http.events import EVENT_STREAM, events_of, finished
from gateway.doors.http.forms import FORM
from gateway.doors.http.openapi import (
    EXAMPLE,
    PROBLEMS,
    RENDER_EVENTS,
    SKETCH,
    events_content,
    png,
    request_body,
)
from gateway.doors.http.schemas import RenderBody, RenderPage, in_json, path_of
from gateway.doors.http.submissions import RenderSubmission
from gateway.doors.http_bodies import unless_gone
from gateway.doors.paging import DEFAULT_PAGE
from gateway.renders.registry import MAX_ID, MAX_KEY, NEXT_PAGE
from gateway.renders.render import Render
from gateway.worker.events import Finished
from pipeline.errors import NotFound

EXAMPLE_ID = "studio-42"
SUBMISSION = {**EXAMPLE, "id": EXAMPLE_ID, "keep_running": True}

Identity = Annotated[str, Path(description="The render's id.", examples=[EXAMPLE_ID])]
Number = Annotated[int, Path(ge=0, description="Which picture, from 0.", examples=[0])]

router = APIRouter(prefix="/v1/renders", tags=["renders"], responses=PROBLEMS)


@router.post(
    "",
    summary="Render",
    response_model=RenderBody,
    responses={
        200: {
            "description": "The render with its pictures, or its events as they happen.",
            "content": events_content(RENDER_EVENTS),
        },
        202: {"model": RenderBody, "description": "It goes on; Location says where to look."},
    },
    openapi_extra=request_body(
        RenderSubmission,
        {FORM: SUBMISSION, JSON: {**SUBMISSION, "sketch": SKETCH}},
    )
    | {
        "parameters": [
            {
                "name": "Prefer",
                "in": "header",
                "schema": {"type": "string"},
                "description": "respond-async: answer 202 at once; with wait=SECONDS, wait so long "
                "before that.",
            },
            {
                "name": "Idempotency-Key",
                "in": "header",
                "schema": {"type": "string", "pattern": rf"^[ -~]{{0,{MAX_KEY}}}$"},
                "description": "A request sent twice with the same key is rendered once.",
            },
        ]
    },
)
async def create(request: Request, caller: Rendering, behind: Behind) -> Response:
    """Render a sketch in the style that is nearest to the prompt.

    Answers when the picture is there. With `Accept: text/event-stream` it tells events as they
    happen: `accepted`, `style`, `progress`, with `structure_min` `attempt`, then `result` or
    `error`. With `Prefer: respond-async`
    it answers 202 at once. Unless it is to keep running, a render ends when its client leaves.
    """
    wish = Prefer.of(request)
    sent = await body_of(request, RenderSubmission, FORM, JSON)
    options = sent.options(request, keep_running=wish.respond_async)
    render = await behind.renders.begin(sent.render_request(), caller, options)
    if EVENT_STREAM in request.headers.get("accept", ""):
        return events_of(render)
    if wish.respond_async:
        return await _later(request, render, wish)
    await finished(render, request.receive)
    return await _told(render)


@router.get("", summary="List your renders")
async def page(
    caller: Rendering,
    behind: Behind,
    page_size: PageSize = DEFAULT_PAGE,
    page_token: Annotated[
        str,
        Query(
            description="The next_page_token of the page before.",
            examples=[""],
            json_schema_extra={"pattern": f"^({NEXT_PAGE})?$"},
        ),
    ] = "",
) -> RenderPage:
    """Your own renders that are kept, the newest first, a page at a time."""
    found, token = behind.renders.page(caller, page_size, page_token)
    return RenderPage(renders=[RenderBody.of(render) for render in found], next_page_token=token)


@router.get("/{id}", summary="Look a render up")
async def look_up(id: Identity, caller: Rendering, behind: Behind) -> RenderBody:  # noqa: A002
    """How the render is getting on, and where its pictures are, for some minutes after its end."""
    render = behind.renders.get(id, caller)
    return RenderBody.of(render).model_copy(update={"ahead": behind.renders.ahead_of(render)})


@router.get(
    "/{id}/images/{n}", summary="One picture", response_class=Response, responses=png("The picture")
)
async def image(id: Identity, n: Number, caller: Rendering, behind: Behind) -> Response:  # noqa: A002
    """One of the render's pictures, as PNG."""
    pictures = _result(behind.renders.get(id, caller)).pictures
    if n >= len(pictures):
        raise NotFound(f"There is no picture {n}; the render has {len(pictures)}, from 0 on.")
    return Response(pictures[n].png, media_type="image/png")


@router.get(
    "/{id}/control_image",
    summary="The edges",
    response_class=Response,
    responses=png("The edges that held the render"),
)
async def control_image(id: Identity, caller: Rendering, behind: Behind) -> Response:  # noqa: A002
    """The edges that ControlNet was given, as PNG."""
    found = _result(behind.renders.get(id, caller))
    return Response(found.control_image, media_type="image/png")


@router.get(
    "/{id}/events",
    summary="A render's events",
    response_class=Response,
    responses={
        200: {
            "description": "The events, as `POST /v1/renders` tells them.",
            "content": events_content(RENDER_EVENTS),
        },
        204: {"description": "There are none after `Last-Event-ID`, and none will follow."},
    },
)
async def events(
    id: Identity,  # noqa: A002
    caller: Rendering,
    behind: Behind,
    last_event_id: Annotated[str, Header(description="Only the events after this one.")] = "",
) -> Response:
    """Every event from the first on, as server-sent events. Close it at `result` or `error`.

    Each has an `id`. Who comes again with `Last-Event-ID` gets those that follow; after the last
    one the answer is 204, which ends a browser's EventSource.
    """
    render = behind.renders.get(id, caller)
    after = int(last_event_id) if re.fullmatch(r"[0-9]{1,9}", last_event_id) else -1
    if render.ended_at is not None and after >= render.last_event:
        return Response(status_code=HTTPStatus.NO_CONTENT)
    return events_of(render, after)


@router.post("/{id}/cancel", summary="Cancel a render")
async def cancel(id: Identity, caller: Rendering, behind: Behind) -> RenderBody:  # noqa: A002
    """Stop the render at its next step. One that has ended stays as it is."""
    with behind.desk.noting(caller, "cancel", render=id[:MAX_ID]):
        return RenderBody.of(await behind.renders.cancel(id, caller))


@dataclass(frozen=True)
class Prefer:
    """How the caller would like to be answered (RFC 7240); what is not understood is ignored."""

    respond_async: bool = False
    wait: int | None = None

    @classmethod
    def of(cls, request: Request) -> Prefer:
        """The wish in the Prefer headers of `request`."""
        parts = ",".join(request.headers.getlist("prefer")).lower().split(",")
        tokens = {part.partition(";")[0].replace(" ", "") for part in parts}
        waits = [found for token in tokens if (found := re.fullmatch(r"wait=(\d{1,5})", token))]
        return cls("respond-async" in tokens, int(waits[0][1]) if waits else None)

    @property
    def applied(self) -> str:
        """What was done of it, for Preference-Applied."""
        return "respond-async" if self.wait is None else f"respond-async, wait={self.wait}"


async def _later(request: Request, render: Render, wish: Prefer) -> Response:
    if wish.wait:
        with suppress(TimeoutError):
            async with asyncio.timeout(wish.wait):
                await unless_gone(request.receive, render.ended())
    if render.error:
        raise render.error
    if render.result:
        return await _told(render, {"Preference-Applied": wish.applied})
    headers = {"Location": path_of(render), "Preference-Applied": wish.applied}
    body = RenderBody.of(render).model_dump(mode="json")
    return JSONResponse(body, HTTPStatus.ACCEPTED, headers)


async def _told(render: Render, headers: Mapping[str, str] | None = None) -> Response:
    def body() -> Any:
        return RenderBody.of(render, with_images=True).model_dump(mode="json")

    return await in_json(body, {"X-Render-Id": render.id, **(headers or {})})


def _result(render: Render) -> Finished:
    if render.result is None:
        raise NotFound(f"The render has no pictures: it is {render.state}.")
    return render.result
