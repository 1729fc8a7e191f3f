"""Callers' pictures, decoded in processes that can be ended."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import numpy as np
from anyio import BrokenWorkerProcess, CapacityLimiter, to_process

from gateway.background import offload
from pipeline import images
from pipeline.errors import InvalidRequest, Unavailable
from pipeline.images import MAX_SIDE, MIN_SIDE, Decoded
from pipeline.png import size_of

AT_ONCE = min(8, max(2, (os.cpu_count() or 1) // 4))
"""Pictures; the rest of the cores is for renders. A container may have fewer than it sees."""
SECONDS = 20.0
"""For one picture. The slowest that is let in takes about two on a core of its own."""
ROOM_SECONDS = 1.0
# All of them stay: one that is started anew while a caller waits is left behind when they leave.
to_process.WORKER_MAX_IDLE_TIME = sys.maxsize
_SMALL = images.encode_png(np.zeros((MIN_SIDE, MIN_SIDE, 3), np.uint8))

log = logging.getLogger("maquette.gateway")


class PictureDecoder:
    """Makes PNG files of ours out of callers' pictures, so that nothing else decodes those.

    Args:
        at_once: how many processes there are; other pictures wait.
        seconds: after which a process is killed.
    """

    def __init__(self, at_once: int = AT_ONCE, seconds: float = SECONDS) -> None:
        self._free = asyncio.Semaphore(at_once)
        self._at_once = at_once
        self._limiter = CapacityLimiter(at_once)
        self._seconds = seconds
        self._replacing: set[asyncio.Task[None]] = set()
        self._starts = True
        """Whether a process could be started when that was last tried."""

    async def start(self) -> None:
        """Start the processes, so that the first caller need not wait for them.

        Raises:
            Unavailable: one cannot be started.
        """
        await asyncio.gather(*(self._start_one() for _ in range(self._at_once)))

    async def close(self) -> None:
        """Wait for processes that are being started: a loop that ends meanwhile may hang."""
        await asyncio.gather(*self._replacing, return_exceptions=True)

    async def has_room(self) -> bool:
        """Whether the next picture waits for a process for a second at most."""
        try:
            async with asyncio.timeout(ROOM_SECONDS), self._free:
                if not self._starts:
                    await self._require_process()
                return True
        except (TimeoutError, Unavailable):
            return False

    async def decode(self, data: bytes, field: str) -> Decoded:
        """`data` as PNG; a small one that is nothing else stays as it is.

        When the caller leaves, its process is killed: it holds its place until it has ended.

        Raises:
            InvalidRequest: as :func:`pipeline.images.decode`; also what takes too long, or what
                the decoder does not survive.
            Unavailable: no process can be started.
        """
        if _is_ours(data):
            return Decoded(data)
        try:
            async with self._process():
                await self._require_process()
                async with asyncio.timeout(self._seconds):
                    return await to_process.run_sync(
                        images.to_png, data, field, cancellable=True, limiter=self._limiter
                    )
        except TimeoutError as error:
            allowed = f"a picture that is decoded in {self._seconds:g} s"
            raise InvalidRequest(field, data, allowed, "Scale it down.") from error
        except BrokenWorkerProcess as error:
            allowed = "a complete PNG, JPEG or WebP file"
            remedy = "The decoder does not survive this file. Save it again."
            raise InvalidRequest(field, data, allowed, remedy) from error

    @asynccontextmanager
    async def _process(self) -> AsyncIterator[None]:
        """One of the processes, for the block; another takes its place where that ends it.

        anyio leaves a process behind whose start is cancelled, so no caller waits for one.
        """
        await self._free.acquire()
        try:
            yield
        except (asyncio.CancelledError, TimeoutError, BrokenWorkerProcess):
            task = asyncio.create_task(self._replace(), name="start a decoder")
            self._replacing.add(task)
            task.add_done_callback(self._replacing.discard)
            raise
        except BaseException:
            self._free.release()
            raise
        else:
            self._free.release()

    async def _replace(self) -> None:
        try:
            with suppress(Unavailable):
                await self._start_one()
        finally:
            self._free.release()

    async def _require_process(self) -> None:
        """See that one runs: that it cannot be started is not the fault of a caller's file."""
        await asyncio.shield(self._start_one())

    async def _start_one(self) -> None:
        """Start a process, unless an idle one answers."""
        # Twice: the idle one may have died.
        for _ in range(2):
            try:
                await to_process.run_sync(images.to_png, _SMALL, "sketch", limiter=self._limiter)
            except (BrokenWorkerProcess, OSError) as error:
                failure = error
            else:
                self._starts = True
                return
        self._starts = False
        log.error("a process that decodes pictures cannot be started: %r", failure)
        raise Unavailable(
            "No picture can be decoded at present, because no process can be started for it "
            "(the gateway's log says more). Try again in a few seconds."
        ) from failure


def _is_ours(data: bytes) -> bool:
    """Whether `data` is a PNG that the served models decode soon, and without a surprise."""
    if not offload.are_little([data]):
        return False
    sides = size_of(data)
    return min(sides) >= MIN_SIDE and max(sides) <= MAX_SIDE
