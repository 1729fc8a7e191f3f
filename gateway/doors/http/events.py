"""Renders and other long work as server-sent events, for as long as the client listens."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from typing import Any, Protocol, TypeVar

from pydantic import BaseModel
from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.types import Receive, Scope, Send

from gateway.background import offload
from gateway.background.jobs import Step
from gateway.doors.http.errors import Problem
from gateway.doors.http.schemas import (
    Accepted,
    AttemptedBody,
    ProgressBody,
    RenderBody,
    Scored,
    links,
)
from gateway.doors.http_bodies import unless_gone
from gateway.renders.render import Following, Render
from gateway.worker.events import Attempted, Chosen, Event, Finished, Stepped
from pipeline.errors import MaquetteError, StageFailed

PING_SECONDS = 15.0
"""Between two comments, which keep proxies from closing the connection."""
EVENT_STREAM = "text/event-stream"

Encoded = TypeVar("Encoded", bytes, str)

log = logging.getLogger("maquette.gateway")


class Closing(Protocol):
    """Whatever is closed when nobody listens any more."""

    async def aclose(self) -> object: ...


class EventStream(EventSourceResponse):
    """Server-sent events that are encoded already.

    Args:
        source: what they are made of, closed when they end or the client leaves.
    """

    def __init__(
        self,
        source: Closing,
        events: AsyncGenerator[bytes],
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(events, headers=headers, ping=PING_SECONDS, sep="\n")
        self._source = source

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with aclosing(self._source):
            await super().__call__(scope, receive, send)


def encoded(name: str, data: str, number: int | None = None) -> bytes:
    """An event with `data`, which is JSON."""
    identity = None if number is None else str(number)
    return ServerSentEvent(data, event=name, id=identity, sep="\n").encode()


async def finished(render: Render, receive: Receive) -> Finished:
    """The result of `render`, which nobody follows any more when the client leaves.

    Raises:
        MaquetteError: what the render failed with.
        ClientDisconnect: the client has left.
    """
    async with aclosing(render.follow()) as events:
        return await unless_gone(receive, _last(events))


def events_of(render: Render, after: int = -1) -> EventStream:
    """Every event of `render` whose id is above `after`."""
    following = render.follow()

    def encode(name: str, data: str, number: int) -> bytes:
        return encoded(name, data, number)

    return EventStream(following, told(render, following, after, encode))


async def steps_of(
    work: AsyncGenerator[Any], bodies: Callable[[Any], BaseModel], receive: Receive
) -> EventStream:
    """Each step of `work` as an event ``progress``, and its result as ``result``.

    What fails before its first step is raised, so that it has a status of its own; later it is an
    event ``error``.

    Args:
        bodies: makes the body of a step or the result.
        receive: of the request, whose body has been read.

    Raises:
        MaquetteError: it failed at once.
        ClientDisconnect: the client has left.
    """
    first = await unless_gone(receive, _first(work))
    return EventStream(work, _work_events(first, work, bodies))


async def _last(events: Following) -> Finished:
    followed = [event async for event in events]
    if not followed or not isinstance(followed[-1], Finished):
        raise StageFailed("a render ended without a picture")
    return followed[-1]


async def told(
    render: Render, following: Following, after: int, encode: Callable[[str, str, int], Encoded]
) -> AsyncGenerator[Encoded]:
    """Every event of `render` whose id is above `after`.

    Args:
        encode: makes what is sent of an event's name, its data in JSON and its id.
    """
    count = 0
    if after < 0:
        accepted = Accepted(id=render.id, links=links(render))
        yield encode("accepted", accepted.model_dump_json(), count)
    try:
        async for event in following:
            count += 1
            if count > after:
                little = not isinstance(event, Finished)
                yield await offload.run(little, _encoded, render, event, count, encode)
    except Exception as error:  # noqa: BLE001 - Renders has logged it; here it is only sent
        yield encode("error", Problem.of(error).model_dump_json(), count + 1)


def _encoded(
    render: Render, event: Event, number: int, encode: Callable[[str, str, int], Encoded]
) -> Encoded:
    body: BaseModel
    match event:
        case Chosen():
            name, body = "style", Scored.of(event.first)
        case Stepped():
            name, body = "progress", ProgressBody.of(event)
        case Attempted():
            name, body = "attempt", AttemptedBody(**vars(event))
        case Finished():
            name, body = "result", RenderBody.of(render, with_images=True)
    return encode(name, body.model_dump_json(), number)


async def _first(work: AsyncGenerator[Any]) -> Any:
    return await anext(work)


async def _work_events(
    first: Any, work: AsyncGenerator[Any], bodies: Callable[[Any], BaseModel]
) -> AsyncGenerator[bytes]:
    def event(found: Any) -> bytes:
        name = "progress" if isinstance(found, Step) else "result"
        return encoded(name, bodies(found).model_dump_json())

    try:
        yield event(first)
        async for found in work:
            yield event(found)
    except Exception as error:
        if not isinstance(error, MaquetteError):
            log.exception("a long call failed unexpectedly")
        yield encoded("error", Problem.of(error).model_dump_json())
