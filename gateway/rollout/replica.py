"""The repository as a copy of one in an object store, kept up with what others change there."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Protocol

from gateway.background.jobs import JobPool
from pipeline.errors import Cancelled, MaquetteError
from versions.manifest import Report

PULL_SECONDS = 5.0
LONGEST_SECONDS = 60.0
"""Between two tries to fetch what could not be fetched: each may take all of it from anew."""

log = logging.getLogger("maquette.gateway")


class Source(Protocol):
    """What can be looked at again; it raises MaquetteError where it cannot."""

    def pull(self, report: Report) -> None:
        """Bring the copy to what is there now, however long it takes; `report` may end it."""

    def sync_aliases(self) -> None:
        """The same at once, as far as nothing has to be fetched."""


class Replica:
    """Looks at the store every few seconds. While it is away, what is there goes on serving."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._threads = JobPool(2, "looks at the store")
        self._closed = False
        self._seconds = PULL_SECONDS
        self.problem = ""
        """Why the copy may be behind, in a sentence; empty while it is not."""

    @asynccontextmanager
    async def following(self) -> AsyncIterator[None]:
        """Keep the copy up for the block, once."""
        # A roll-back arrives although an engine is being fetched.
        ways = ((self.look, self._pause), (self._sync_aliases, lambda: PULL_SECONDS))
        tasks = [
            asyncio.create_task(_again(*way), name=f"replica {way[0].__name__}") for way in ways
        ]
        try:
            yield
        finally:
            self._closed = True
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._threads.close()

    async def look(self) -> None:
        """Bring the copy to what the store says now, or tell once why it is not."""
        try:
            await self._threads.run(lambda: self._source.pull(self._go_on))
        except MaquetteError as error:
            if str(error) != self.problem:
                log.error("the repository's copy may be behind: %s", error)
            self.problem = str(error)
        else:
            if self.problem:
                log.info("the repository's copy is up to date again")
            self.problem = ""

    def _pause(self) -> float:
        """Seconds until the next look; longer after each that failed."""
        self._seconds = min(2 * self._seconds, LONGEST_SECONDS) if self.problem else PULL_SECONDS
        return self._seconds

    def _go_on(self, _doing: str, _done: int, _total: int) -> None:
        """A report that ends what is being fetched once nobody follows any more.

        Raises:
            Cancelled: so it is.
        """
        if self._closed:
            raise Cancelled("The gateway is closing, so nothing more is fetched.")

    async def _sync_aliases(self) -> None:
        # What is wrong, the other way tells.
        with suppress(MaquetteError):
            await self._threads.run(self._source.sync_aliases)


async def _again(look: Callable[[], Awaitable[None]], pause: Callable[[], float]) -> None:
    while True:
        try:
            await look()
        except Exception:
            log.exception("the repository's store could not be followed")
        await asyncio.sleep(pause())
