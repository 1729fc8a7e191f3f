"""One render: from the moment it is asked for to its end, and those who follow it."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from datetime import UTC, datetime
from enum import StrEnum
from typing import TypeVar

from gateway.auth.caller import Caller
from gateway.errors import code_of
from gateway.worker.events import Chosen, Event, Finished, Stepped
from pipeline.errors import Cancelled, MaquetteError

Kind = TypeVar("Kind")

log = logging.getLogger("maquette.gateway")


class State(StrEnum):
    """Where a render is."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Render:
    """One render, from the moment it is accepted."""

    def __init__(
        self, identity: str, owner: Caller, digest: str, *, keep_running: bool, number: int = 0
    ) -> None:
        self.id = identity
        self.number = number
        """Grows from render to render."""
        self.owner = owner
        self.digest = digest
        """Of the request, to tell whether another asks for the same."""
        self.created = datetime.now(UTC)
        self.keep_running = keep_running
        self.error: Exception | None = None
        self.ended_at: float | None = None
        self._events: list[Event] = []
        self._news = asyncio.Event()
        self._decided = asyncio.Event()
        """Whether it is accepted is known."""
        self._followers = 0
        self._task: asyncio.Task[None] | None = None
        self._unwanted = False
        self.was_accepted = False

    @property
    def is_lost(self) -> bool:
        """Whether nothing will come of it, so that its id and key are free."""
        return self.error is not None or (self._unwanted and self.ended_at is None)

    @property
    def state(self) -> State:
        """Where it is now."""
        if self.ended_at is None:
            return State.RUNNING if self._events else State.QUEUED
        if isinstance(self.error, Cancelled):
            return State.CANCELLED
        return State.FAILED if self.error else State.SUCCEEDED

    @property
    def outcome(self) -> str:
        """How it ended: "succeeded", or the gRPC status that its followers were told."""
        return code_of(self.error).grpc.name.lower() if self.error else str(self.state)

    @property
    def progress(self) -> Stepped | None:
        """The last step that was told."""
        return self._last(Stepped)

    @property
    def chosen(self) -> Chosen | None:
        """Its style, once that is known."""
        return self._last(Chosen)

    @property
    def result(self) -> Finished | None:
        """The pictures, once they are there."""
        return self._last(Finished)

    @property
    def last_event(self) -> int:
        """The number of the newest event, from 1; what it failed with counts as one."""
        return len(self._events) + (self.error is not None)

    @property
    def size(self) -> int:
        """Bytes that keeping it takes, roughly."""
        result = self.result
        if result is None:
            return 0
        pictures = sum(len(picture.png) for picture in result.pictures)
        return pictures + len(result.control_image) + len(result.style_image)

    def follow(self) -> Following:
        """Every event from the first on; ``Finished`` is the last.

        Close it when you leave: a render that nobody follows is cancelled, unless it is to keep
        running. It raises what the render failed with.
        """
        return Following(self)

    def begin(self, work: Callable[[], Awaitable[None]]) -> asyncio.Task[None]:
        """Do `work`, which tells events, in a task of its own."""
        self._task = asyncio.create_task(self._run(work), name=f"render {self.id}")
        # For a task that is cancelled before its first step, which nothing else tells.
        self._task.add_done_callback(lambda _: self._fail(self._cancelled()))
        return self._task

    def accept(self) -> None:
        """Nothing is wrong with it: from now on it waits or runs."""
        self.was_accepted = True
        self._decided.set()

    def tell(self, event: Event) -> None:
        """Tell `event` to all who follow; ``Finished`` is the last."""
        if isinstance(event, Stepped) and event.previews:
            # Only the newest preview is worth its bytes to someone who comes late.
            self._events = [_without_preview(earlier) for earlier in self._events]
        self._events.append(event)
        if isinstance(event, Finished):
            # Here, and not after giving back what it holds: nobody can cancel what is done.
            self._end()
        self._wake()

    async def accepted(self) -> None:
        """Return when it is accepted. Who waits here counts as a follower.

        Raises:
            MaquetteError: it is not; says why.
        """
        self._followers += 1
        try:
            await self._decided.wait()
        except asyncio.CancelledError:
            self._leave()
            raise
        # Whoever is told now follows at once, or has asked that it keeps running.
        self._followers -= 1
        if self.error and not self.was_accepted:
            raise self.error.with_traceback(None)

    def cancel(self) -> None:
        """Stop it at its next step; nothing happens when it has ended."""
        if self._task and self.ended_at is None:
            self._unwanted = True
            self._task.cancel()

    async def ended(self) -> None:
        """Return when it has ended, however it did, and has given back what it held."""
        if self._task:
            await asyncio.wait([self._task])

    async def _run(self, work: Callable[[], Awaitable[None]]) -> None:
        try:
            await work()
        except asyncio.CancelledError:
            self._fail(self._cancelled())
        except MaquetteError as error:
            self._fail(error)
        except Exception as error:
            log.exception("render %s failed unexpectedly", self.id)
            self._fail(error)

    def _cancelled(self) -> Cancelled:
        return Cancelled(f"The render {self.id} was cancelled.")

    def _fail(self, error: Exception) -> None:
        if self.ended_at is None:
            # What it was raised from holds the whole request, pictures included.
            error.__cause__ = error.__context__ = None
            self.error = error.with_traceback(None)
            self._end()

    def _end(self) -> None:
        self.ended_at = time.monotonic()
        self._decided.set()
        self._wake()

    async def _all_events(self) -> AsyncGenerator[Event]:
        told = 0
        while True:
            news, over = self._news, self.ended_at is not None
            for event in self._events[told:]:
                yield event
                told += 1
            if over:
                break
            await news.wait()
        if self.error:
            raise self.error.with_traceback(None)

    def _leave(self) -> None:
        self._followers -= 1
        if not self._followers and not self.keep_running:
            self.cancel()

    def _wake(self) -> None:
        news, self._news = self._news, asyncio.Event()
        news.set()

    def _last(self, kind: type[Kind]) -> Kind | None:
        return next((event for event in reversed(self._events) if isinstance(event, kind)), None)


class Following:
    """One who follows a render, from the moment this is made until it is closed."""

    def __init__(self, render: Render) -> None:
        self._render: Render | None = render
        self._events = render._all_events()
        render._followers += 1

    def __aiter__(self) -> Following:
        return self

    async def __anext__(self) -> Event:
        return await anext(self._events)

    async def aclose(self) -> None:
        """Leave. Leaving twice is leaving once."""
        render, self._render = self._render, None
        if render:
            await self._events.aclose()
            render._leave()


def _without_preview(event: Event) -> Event:
    return Stepped(event.step, event.steps) if isinstance(event, Stepped) else event
