"""What every route over HTTP stands on: bodies and their bounds, and who is still there."""

from __future__ import annotations

import asyncio
import base64
import zlib
from collections.abc import Awaitable, Callable, Coroutine, MutableMapping
from http import HTTPStatus
from typing import Any, TypeVar

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Scope, Send

from pipeline.errors import InvalidRequest, Words, shorten
from pipeline.images import MAX_BYTES
from pipeline.request import MAX_STYLE_IMAGES

MAX_BODY = (1 + MAX_STYLE_IMAGES) * MAX_BYTES + 1024 * 1024
"""Bytes: every picture that a request may carry, and room for its words."""
SMALLER = "Save the pictures smaller, or send fewer."
ENCODINGS = ("gzip", "deflate")
GZIP_OR_ZLIB = zlib.MAX_WBITS | 32
MAX_RATIO, UNBOUND_BYTES = 100, 1024 * 1024
"""A compressed body may grow to so many times its size; any may grow to so many bytes."""

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Answer = TypeVar("Answer")


async def unless_gone(receive: Receive, work: Coroutine[Any, Any, Answer]) -> Answer:
    """What `work` brings; it is cancelled when the client leaves.

    Args:
        receive: of the request, whose body has been read.

    Raises:
        ClientDisconnect: the client has left, and nobody is there to be answered.
    """
    working, leaving = asyncio.create_task(work), asyncio.create_task(_gone(receive))
    try:
        await asyncio.wait([working, leaving], return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise ClientDisconnect
        return working.result()
    finally:
        working.cancel()
        leaving.cancel()
        await asyncio.wait([working, leaving])


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def too_large() -> HTTPException:
    """The refusal of a body that has more than ``MAX_BODY`` bytes."""
    sentence = f"The body is too large; allowed: at most {MAX_BODY:,} bytes. {SMALLER}"
    return HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, sentence)


def from_base64(text: str) -> bytes:
    """The bytes in `text`, which may be wrapped in lines.

    Raises:
        ValueError: it is no base64.
    """
    return base64.b64decode("".join(text.split()), validate=True)


class Inflating:
    """Unpacks bodies with ``Content-Encoding: gzip`` or ``deflate``, within bounds."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            encoding = Headers(scope=scope).get("content-encoding", "").strip().lower()
            if encoding not in ("", "identity"):
                receive = _inflated(receive, encoding)
        await self._app(scope, receive, send)


def _inflated(receive: Receive, encoding: str) -> Receive:
    inflater = zlib.decompressobj(GZIP_OR_ZLIB)
    packed = grown = 0

    async def receive_some() -> MutableMapping[str, Any]:
        nonlocal packed, grown
        message = await receive()
        if message["type"] != "http.request":
            return message
        if encoding not in ENCODINGS:
            raise _not_accepted(encoding)
        body = message.get("body", b"")
        packed += len(body)
        if packed > MAX_BODY:  # which may unpack to nothing, for ever
            raise too_large()
        most = min(MAX_BODY, max(UNBOUND_BYTES, MAX_RATIO * packed))
        try:
            inflated = inflater.decompress(body, most - grown + 1)
        except zlib.error as error:
            raise _damaged(packed, encoding) from error
        grown += len(inflated)
        if grown > most:
            raise too_large() if most == MAX_BODY else _swollen(packed)
        ended = inflater.eof and not inflater.unused_data
        if not message.get("more_body") and not ended:
            raise _damaged(packed, encoding)
        return {**message, "body": inflated}

    return receive_some


def _not_accepted(encoding: str) -> HTTPException:
    accepted = " or ".join(ENCODINGS)
    sentence = (
        f"The content-encoding is {shorten(encoding)}; allowed: {accepted}. Send the body as it "
        "is, or in one of these."
    )
    headers = {"Accept-Encoding": ", ".join(ENCODINGS)}
    return HTTPException(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, sentence, headers)


def _damaged(size: int, encoding: str) -> InvalidRequest:
    found = Words(f"{size:,} bytes")
    return InvalidRequest("body", found, f"data in {encoding}", "It is damaged or cut short.")


def _swollen(size: int) -> InvalidRequest:
    found = Words(f"more than {MAX_RATIO} times as large as the {size:,} bytes that were sent")
    allowed = f"at most {MAX_RATIO} times, or {UNBOUND_BYTES:,} bytes"
    return InvalidRequest("body", found, allowed, "Send it without a content-encoding.")
