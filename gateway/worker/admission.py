"""How many renders run at once, and how many may wait. Triton sets no limit of its own."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from gateway.telemetry import tracing
from pipeline.errors import Overloaded


class Admission:
    """A bounded queue in front of a bounded number of running renders."""

    def __init__(self, max_running: int, max_waiting: int) -> None:
        self._free = asyncio.Semaphore(max_running)
        self._max_running = max_running
        self._max_waiting = max_waiting
        self.waiting = 0
        """How many wait now."""
        self.running = 0
        """How many run now."""

    @property
    def free_places(self) -> int:
        """How many renders would run at once."""
        return 0 if self.waiting else self._max_running - self.running

    def require_room(self) -> None:
        """Refuse early, before work is put into a request that cannot even wait.

        Raises:
            Overloaded: as many wait already as may.
        """
        if self._free.locked() and self.waiting >= self._max_waiting:
            raise Overloaded(
                f"{self.waiting} renders are waiting already; allowed: {self._max_waiting}. "
                "Try again in a few seconds."
            )

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[float]:
        """Wait for a place, hold it for the block, and yield the seconds waited.

        Raises:
            Overloaded: as many wait already as may.
        """
        started = time.perf_counter()
        with tracing.span("queue"):
            await self._wait()
        self.running += 1
        try:
            yield time.perf_counter() - started
        finally:
            self.running -= 1
            self._free.release()

    async def _wait(self) -> None:
        self.require_room()
        self.waiting += 1
        try:
            await self._free.acquire()
        finally:
            self.waiting -= 1
