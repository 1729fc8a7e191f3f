"""Long work in a thread: each step is told to whoever waits for it, and it ends when they leave."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import threading
from collections.abc import AsyncGenerator, Callable
from concurrent import futures
from dataclasses import dataclass
from typing import Any, TypeVar

from pipeline.errors import Cancelled, MaquetteError
from versions.described import Described
from versions.errors import Busy

Result = TypeVar("Result")

LEFT = "Nobody waits for it any more, so it was ended."

log = logging.getLogger("maquette.gateway")


@dataclass(frozen=True)
class Step(Described):
    """How far the work is."""

    doing: str
    """In a few words."""
    done: int
    """Bytes."""
    total: int
    """0 where nobody knows."""


class JobPool:
    """Threads of their own for long work: those that everybody shares stay free for what is short.

    Args:
        most: works at once.
        works: what they are, in the plural, for whoever comes when there are as many.
    """

    def __init__(self, most: int, works: str) -> None:
        self._pool = futures.ThreadPoolExecutor(most, "long-work")
        self._most = most
        self._works = works
        self._working = 0

    async def run(self, work: Callable[[], Result]) -> Result:
        """What `work` brings, in the context of the caller.

        Raises:
            Busy: all threads are taken.
        """
        if self._working >= self._most:
            raise Busy(
                f"{self._most} {self._works} run in this gateway already, and it does no more at "
                "once. Try again when one of them has ended."
            )
        context = contextvars.copy_context()
        loop = asyncio.get_running_loop()
        working = loop.run_in_executor(self._pool, lambda: context.run(work))
        self._working += 1
        working.add_done_callback(self._ended)
        # Whoever waits may be cancelled; the thread works on.
        return await asyncio.shield(working)

    def _ended(self, working: asyncio.Future[Any]) -> None:
        self._working -= 1
        # Looked at, or asyncio would tell that nobody did where nobody waits any more.
        if not working.cancelled():
            working.exception()

    def close(self) -> None:
        """Take no more work; what runs goes on."""
        self._pool.shutdown(wait=False)


class JobProgress:
    """Between a thread that works and whoever waits for it. Made in the event loop."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._left = threading.Event()
        self._newest: Step | None = None
        self._news = asyncio.Event()

    def report(self, doing: str, done: int, total: int) -> None:
        """Tell a step. For the thread.

        Raises:
            Cancelled: nobody waits any more.
        """
        if self._left.is_set():
            raise Cancelled(LEFT)
        self._loop.call_soon_threadsafe(self._tell, Step(doing, done, total))

    async def follow(self, task: asyncio.Task[Result]) -> AsyncGenerator[Step | Result]:
        """Each step of the work in `task`, the newest where several came at once; then its result.

        Who closes it has left. What the work failed with is raised.
        """
        task.add_done_callback(lambda _: self._news.set())
        ended = told = False
        try:
            while not ended:
                await self._news.wait()
                self._news.clear()
                ended = task.done()
                newest, self._newest = self._newest, None
                if newest:
                    yield newest
            told = True
            yield task.result()
        finally:
            self._left.set()
            if not told:
                task.add_done_callback(_look)

    def _tell(self, step: Step) -> None:
        self._newest = step
        self._news.set()


def _look(task: asyncio.Task[Any]) -> None:
    """Log what nobody is there to be told."""
    error = None if task.cancelled() else task.exception()
    if error and not isinstance(error, MaquetteError):
        log.error("%s failed unexpectedly", task.get_name(), exc_info=error)
