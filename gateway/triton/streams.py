"""Streams of Triton's that are read to their end after their last message has come."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import grpc
from tritonclient.utils import InferenceServerException

ENDINGS = (InferenceServerException, grpc.RpcError, StopAsyncIteration, TimeoutError)
"""How a stream ends, or stays away."""


class Drains:
    """Reads streams to their end in the background, so that no caller waits for it.

    Triton 24.10 loses about 70 kB of each stream that is cancelled before it is closed.

    Args:
        seconds: after which a stream is cancelled. Triton closes one within milliseconds.
        limit: streams that are read at once; more are cancelled.
    """

    def __init__(self, seconds: float = 5.0, limit: int = 64) -> None:
        self._seconds = seconds
        self._limit = limit
        self._tasks: set[asyncio.Task[None]] = set()

    def add(self, stream: Any) -> None:
        """Read `stream`, whose last message has come, to its end."""
        if len(self._tasks) >= self._limit:
            stream.cancel()
            return
        task = asyncio.create_task(self._drain(stream), name="drain a stream")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Cancel the streams that have not ended."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _drain(self, stream: Any) -> None:
        try:
            with suppress(*ENDINGS):
                async with asyncio.timeout(self._seconds):
                    while True:
                        await anext(stream)
        finally:
            # Nothing happens to one that has ended.
            stream.cancel()
