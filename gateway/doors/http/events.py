"""Renders and other long work followed over HTTP: to the end, or until the client leaves."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Any, Protocol

from fastapi.responses import StreamingResponse
from fastapi.sse import KEEPALIVE_COMMENT, format_sse_event
from pydantic import BaseModel
from starlette.types import Receive, Scope, Send

from gateway.background.jobs import Step
from gateway.doors.http import errors
from gateway.doors.http.schemas import Accepted, Problem, ProgressBody, RenderBody, Scored, links
from gateway.doors.http_bodies import unless_gone
from gateway.renders.render import Following, Render
from gateway.worker.events import Chosen, Finished, Stepped
from pipeline.errors import MaquetteError, StageFailed

PING_SECONDS = 15.0
"""Of silence, after which a comment keeps proxies from closing the connection."""
EVENT_STREAM = "text/event-stream"

log = logging.getLogger("maquette.gateway")


async def finished(render: Render, receive: Receive) -> Finished:
    """The result of `render`, which nobody follows any more when the client leaves.

    Raises:
        MaquetteError: what the render failed with.
        ClientDisconnect: the client has left.
    """
    async with aclosing(render.follow()) as events:
        return await unless_gone(receive, _last(events))


class Events(StreamingResponse):
    """Server-sent events, for as long as the client listens.

    Args:
        followed: what they tell of, closed at the end.
        told: the events.
    """

    media_type = EVENT_STREAM

    def __init__(self, followed: Closing, told: AsyncGenerator[bytes]) -> None:
        self._followed = followed
        self._told = _with_pings(told)
        super().__init__(self._told)
        self.headers["X-Accel-Buffering"] = "no"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
        # The body first: a ping that is stuck would keep what it tells of from being closed.
        async with aclosing(self._followed), aclosing(self._told):
            await unless_gone(receive, self.stream_response(send))


class Closing(Protocol):
    """Whatever is closed when nobody listens any more."""

    async def aclose(self) -> object: ...


def events_of(render: Render, after: int = -1) -> Events:
    """Every event of `render` whose id is above `after`."""
    following = render.follow()
    return Events(following, _told(render, following, after))


async def steps_of(
    work: AsyncGenerator[Any], bodies: Callable[[Any], BaseModel], receive: Receive
) -> Events:
    """Each step of `work` as an event ``progress``, and what came of it as ``result``.

    What fails before its first step is raised, so that it is told with its own status; later it is
    an event ``error``.

    Args:
        bodies: makes the body of what `work` tells.
        receive: of the request, whose body has been read.

    Raises:
        MaquetteError: it failed at once.
        ClientDisconnect: the client has left.
    """
    first = await unless_gone(receive, _first(work))
    return Events(work, _told_steps(first, work, bodies))


async def _last(events: Following) -> Finished:
    told = [event async for event in events]
    if not told or not isinstance(told[-1], Finished):
        raise StageFailed("a render ended without a picture")
    return told[-1]


async def _told(render: Render, events: Following, after: int) -> AsyncGenerator[bytes]:
    count = 0
    if after < 0:
        yield _event("accepted", Accepted(id=render.id, links=links(render)), count)
    try:
        async for event in events:
            count += 1
            if count <= after:
                continue
            match event:
                case Chosen():
                    yield _event("style", Scored.of(event), count)
                case Stepped():
                    yield _event("progress", ProgressBody.of(event), count)
                case Finished():
                    yield await asyncio.to_thread(_result, render, count)
    except Exception as error:  # noqa: BLE001 - Renders has logged it; here it is only told
        yield _event("error", Problem(**errors.problem(errors.tell(error))), count + 1)


async def _first(work: AsyncGenerator[Any]) -> Any:
    return await anext(work)


async def _told_steps(
    first: Any, work: AsyncGenerator[Any], bodies: Callable[[Any], BaseModel]
) -> AsyncGenerator[bytes]:
    try:
        yield _step(first, bodies)
        async for told in work:
            yield _step(told, bodies)
    except Exception as error:
        if not isinstance(error, MaquetteError):
            log.exception("a long call failed unexpectedly")
        yield _event("error", Problem(**errors.problem(errors.tell(error))))


def _step(told: Any, bodies: Callable[[Any], BaseModel]) -> bytes:
    return _event("progress" if isinstance(told, Step) else "result", bodies(told))


def _result(render: Render, number: int) -> bytes:
    return _event("result", RenderBody.of(render, with_images=True), number)


def _event(name: str, body: BaseModel, number: int | None = None) -> bytes:
    identity = None if number is None else str(number)
    return format_sse_event(event=name, data_str=body.model_dump_json(), id=identity)


async def _with_pings(events: AsyncGenerator[bytes]) -> AsyncGenerator[bytes]:
    async with aclosing(events):
        while True:
            following = asyncio.ensure_future(_next(events))
            try:
                while not await _within(PING_SECONDS, following):
                    yield KEEPALIVE_COMMENT
                event = following.result()
            finally:
                following.cancel()
                await asyncio.wait([following])
            if event is None:
                return
            yield event


async def _next(events: AsyncGenerator[bytes]) -> bytes | None:
    return await anext(events, None)


async def _within(seconds: float, future: asyncio.Future[Any]) -> bool:
    done, _ = await asyncio.wait([future], timeout=seconds)
    return bool(done)
