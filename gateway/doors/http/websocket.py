"""/v1/renders/ws: renders over a WebSocket, with the events of ``POST /v1/renders``.

The client sends JSON objects: ``{"render": {...}}`` with the fields of ``POST /v1/renders``,
``{"follow": ID, "after": NUMBER}`` or ``{"cancel": ID}``. It receives
``{"event": NAME, "id": NUMBER, "render": ID, "data": {...}}``.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from fastapi import APIRouter, Request, WebSocket
from pydantic import Field
from starlette.websockets import WebSocketDisconnect, WebSocketState

from gateway.auth.authenticator import Credentials, forwarded_by
from gateway.auth.call_context import request_id_of
from gateway.auth.caller import Caller, Scope
from gateway.doors.http import errors, origins
from gateway.doors.http.bodies import Body, Text, Whole, json_object, validated
from gateway.doors.http.errors import Problem
from gateway.doors.http.events import told
from gateway.doors.http.middleware import REQUEST_ID
from gateway.doors.http.submissions import RenderSubmission
from gateway.doors.parts import Parts
from gateway.renders.registry import MAX_ID
from gateway.renders.render import Render
from gateway.telemetry import logs
from pipeline.errors import InvalidRequest, MaquetteError, Overloaded

MAX_FOLLOWED = 16
"""Renders that one connection follows at once."""
MAX_CONNECTIONS, MAX_OF_ONE = 32, 8
"""Connections at once, of all callers and of one; each may hold a message of ``MAX_MESSAGE``."""

router = APIRouter()


class Sent(Body):
    """A message of the client's: one of `render`, `follow` and `cancel`."""

    render: dict[str, Any] | None = None
    follow: Text | None = None
    after: Whole = Field(-1, description="Only the events after this one.")
    cancel: Text | None = None


@router.websocket("/v1/renders/ws")
async def talk(websocket: WebSocket) -> None:
    """Begin, follow and cancel renders for as long as the connection lasts."""
    logs.request_id.set(request_id_of(websocket.headers.get(REQUEST_ID)))
    parts: Parts = websocket.app.state.parts
    try:
        caller = await _admitted(websocket, parts)
        with websocket.app.state.conversations.taken(caller.id):
            await websocket.accept()
            await _converse(Conversation(websocket, caller, parts), websocket)
    except MaquetteError as error:
        await refuse(websocket, error)


async def _converse(conversation: Conversation, websocket: WebSocket) -> None:
    try:
        async for text in websocket.iter_text():
            await conversation.hear(text)
    finally:
        await conversation.end()


async def refuse(websocket: WebSocket, error: MaquetteError) -> None:
    """Answer the handshake as any other call that fails with `error`."""
    scope = {**websocket.scope, "type": "http", "method": "GET"}
    await websocket.send_denial_response(await errors.answer(Request(scope), error))


async def _admitted(websocket: WebSocket, parts: Parts) -> Caller:
    scheme = websocket.url.scheme.replace("ws", "http")
    origins.check(websocket.headers, scheme, websocket.app.state.settings)
    bearer = websocket.headers.get("authorization", "")
    token = bearer.partition(" ")[2].strip() if bearer.lower().startswith("bearer ") else ""
    key = websocket.headers.get("x-api-key", "")
    sent = Credentials(key, token, forwarded_by(websocket.headers))
    return await parts.desk.authenticator.admit(sent, Scope.RENDER)


class Conversation:
    """What one connection asked for. Each render is followed by a task of its own."""

    def __init__(self, websocket: WebSocket, caller: Caller, parts: Parts) -> None:
        self._websocket = websocket
        self._caller = caller
        self._parts = parts
        self._tasks: set[asyncio.Task[None]] = set()

    async def hear(self, text: str) -> None:
        """Begin what the message `text` asks for; a message that is wrong is told in an event."""
        try:
            sent = await validated(await json_object(text.encode()), Sent)
            if len(self._tasks) >= MAX_FOLLOWED:
                raise Overloaded(
                    f"This connection follows {MAX_FOLLOWED} renders already. Wait for one to end."
                )
        except MaquetteError as error:
            await self._send_error(error)
            return
        task = asyncio.create_task(self._do(sent))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def end(self) -> None:
        """Follow nothing any more; a render that nobody else follows and need not go on ends."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _do(self, sent: Sent) -> None:
        named = sent.follow or sent.cancel or ""
        try:
            if sent.render is not None:
                await self._follow(await self._begin(sent.render), -1)
            elif sent.follow is not None:
                await self._follow(self._parts.renders.get(named, self._caller), sent.after)
            elif sent.cancel is not None:
                with self._parts.desk.noting(self._caller, "cancel", render=named[:MAX_ID]):
                    await self._parts.renders.cancel(named, self._caller)
            else:
                allowed = "an object with render, follow or cancel"
                raise InvalidRequest("message", "{}", allowed, "Send one of them.")
        except MaquetteError as error:
            await self._send_error(error, named)

    async def _begin(self, fields: dict[str, Any]) -> Render:
        given = {name: value for name, value in fields.items() if value is not None}
        submission = await validated(given, RenderSubmission)
        options = submission.options(self._websocket)
        return await self._parts.renders.begin(submission.render_request(), self._caller, options)

    async def _follow(self, render: Render, after: int) -> None:
        following = render.follow()

        def in_json(name: str, data: str, number: int) -> str:
            return f'{{"event":"{name}","id":{number},"render":"{render.id}","data":{data}}}'

        async with aclosing(following):
            events: AsyncGenerator[str] = told(render, following, after, in_json)
            async for text in events:
                await self._send(text)

    async def _send_error(self, error: MaquetteError, render: str = "") -> None:
        problem = Problem.of(error).model_dump(exclude_none=True)
        message = {"event": "error", "render": render, "data": problem}
        if self._websocket.application_state is WebSocketState.CONNECTED:
            await self._websocket.send_json(message)

    async def _send(self, text: str) -> None:
        try:
            await self._websocket.send_text(text)
        except (RuntimeError, WebSocketDisconnect):
            # The client has left, which the loop that reads finds as well.
            raise asyncio.CancelledError from None
