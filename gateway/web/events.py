"""Renders followed over HTTP: until they end, or until the client leaves."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from fastapi.responses import StreamingResponse
from fastapi.sse import KEEPALIVE_COMMENT, format_sse_event
from pydantic import BaseModel
from starlette.types import Receive, Scope, Send

from gateway.over_http import unless_gone
from gateway.render import Following, Render
from gateway.service import Chosen, Finished, Stepped
from gateway.web import errors
from gateway.web.bodies import Accepted, Problem, ProgressBody, RenderBody, Scored, links
from pipeline.errors import StageFailed

PING_SECONDS = 15.0
"""Of silence, after which a comment keeps proxies from closing the connection."""
EVENT_STREAM = "text/event-stream"


async def finished(render: Render, receive: Receive) -> Finished:
    """The result of `render`, which nobody follows any more when the client leaves.

    Raises:
        MaquetteError: what the render failed with.
        ClientDisconnect: the client has left.
    """
    async with aclosing(render.follow()) as events:
        return await unless_gone(receive, _last(events))


class EventStream(StreamingResponse):
    """Every event of `render` as server-sent events, for as long as the client listens."""

    media_type = EVENT_STREAM

    def __init__(self, render: Render) -> None:
        self._following = render.follow()
        super().__init__(_with_pings(_told(render, self._following)))
        self.headers["X-Accel-Buffering"] = "no"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
        async with aclosing(self._following):
            await unless_gone(receive, self.stream_response(send))


async def _last(events: Following) -> Finished:
    told = [event async for event in events]
    if not told or not isinstance(told[-1], Finished):
        raise StageFailed("a render ended without a picture")
    return told[-1]


async def _told(render: Render, events: Following) -> AsyncGenerator[bytes]:
    yield _event("accepted", Accepted(id=render.id, links=links(render)))
    try:
        async for event in events:
            match event:
                case Chosen():
                    yield _event("style", Scored.of(event))
                case Stepped():
                    yield _event("progress", ProgressBody.of(event))
        # Not before the end, so that the result says "succeeded".
        yield await asyncio.to_thread(_result, render)
    except Exception as error:  # noqa: BLE001 - Renders has logged it; here it is only told
        yield _event("error", Problem(**errors.problem(errors.tell(error))))


def _result(render: Render) -> bytes:
    return _event("result", RenderBody.of(render, with_images=True))


def _event(name: str, body: BaseModel) -> bytes:
    return format_sse_event(event=name, data_str=body.model_dump_json())


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
