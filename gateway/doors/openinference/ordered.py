"""Work on the items of a stream: several at once, the results in the order of the items."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from typing import Any, TypeVar

Item = TypeVar("Item")
Done = TypeVar("Done")


async def in_order(
    items: AsyncIterator[Item], work: Callable[[Item], Awaitable[Done]], at_once: int
) -> AsyncGenerator[Done]:
    """What `work` makes of each item, in the order of the items.

    Closing the iterator cancels what is in progress.

    Args:
        at_once: how many items may be in progress; the next is taken when one has been answered.
    """
    room = asyncio.Semaphore(at_once)
    begun: asyncio.Queue[asyncio.Future[Done] | None] = asyncio.Queue()
    running: set[asyncio.Future[Done]] = set()

    async def begin() -> None:
        try:
            async for item in items:
                await room.acquire()
                one = asyncio.ensure_future(work(item))
                running.add(one)
                begun.put_nowait(one)
        finally:
            begun.put_nowait(None)

    beginning = asyncio.create_task(begin())
    try:
        while (one := await begun.get()) is not None:
            yield await one
            running.discard(one)
            room.release()
        await beginning
    finally:
        unfinished: list[asyncio.Future[Any]] = [beginning, *running]
        for one_left in unfinished:
            one_left.cancel()
        await asyncio.gather(*unfinished, return_exceptions=True)
