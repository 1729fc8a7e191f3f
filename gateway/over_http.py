"""What every route over HTTP stands on: how much may be sent, and who is still there."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, MutableMapping
from typing import Any, TypeVar

from starlette.requests import ClientDisconnect

from pipeline.images import MAX_BYTES
from pipeline.request import MAX_STYLE_IMAGES

MAX_BODY = (1 + MAX_STYLE_IMAGES) * MAX_BYTES + 1024 * 1024
"""Bytes: every picture that a request may carry, and room for its words."""
SMALLER = "Save the pictures smaller, or send fewer."

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
