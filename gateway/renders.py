"""The renders there are: followed by anyone who may, kept for a while, cancelled by id.

A render belongs to the caller who began it. It runs as a task of its own, so that several can
follow it, and ends when its last follower leaves, unless it was asked to keep running.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import re
import time
import uuid
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from enum import StrEnum
from typing import TypeVar

from gateway.desk import Desk
from gateway.errors import code_of
from gateway.protection.caller import Caller
from gateway.protection.limits import Limits
from gateway.service import Chosen, Event, Finished, Service, Stepped
from pipeline.errors import (
    Cancelled,
    Conflict,
    InvalidRequest,
    MaquetteError,
    NotFound,
    Unavailable,
    shorten,
)
from pipeline.request import RenderRequest

MAX_ID = 64
MAX_KEY = 128
MAX_KEPT = 1000
"""Renders that have ended, whatever they weigh."""

Kind = TypeVar("Kind")

log = logging.getLogger("maquette.gateway")


class State(StrEnum):
    """Where a render is."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass(frozen=True)
class Asked:
    """How a render is to be begun, beside what it is to show."""

    id: str = ""
    """The caller's choice; made up when empty."""
    idempotency_key: str = ""
    keep_running: bool = False

    def __post_init__(self) -> None:
        # "." and ".." would be no names in a URL.
        if self.id and not re.fullmatch(rf"[A-Za-z0-9][A-Za-z0-9._-]{{,{MAX_ID - 1}}}", self.id):
            allowed = (
                f"1 to {MAX_ID} letters, digits, dots, hyphens and underscores, the first a letter "
                "or digit"
            )
            raise InvalidRequest("id", self.id, allowed, "Leave it out to have one made.")
        key = self.idempotency_key
        if len(key) > MAX_KEY or not key.isprintable():
            allowed = f"1 to {MAX_KEY} printable characters"
            raise InvalidRequest("idempotency-key", key, allowed, "A UUID does well.")


class Render:
    """One render, from the moment it is accepted."""

    def __init__(self, identity: str, owner: Caller, digest: str, *, keep_running: bool) -> None:
        self.id = identity
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

    def begin(self, events: AsyncGenerator[Event | None]) -> asyncio.Task[None]:
        """Run `events` in a task of its own; the first, None, says that the render is accepted."""
        self._task = asyncio.create_task(self._run(events), name=f"render {self.id}")
        # For a task that is cancelled before its first step, which nothing else tells.
        self._task.add_done_callback(lambda _: self._fail(self._cancelled()))
        return self._task

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

    async def _run(self, events: AsyncGenerator[Event | None]) -> None:
        try:
            async with aclosing(events):
                async for event in events:
                    self._tell(event)
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

    def _tell(self, event: Event | None) -> None:
        if event is None:
            self.was_accepted = True
            self._decided.set()
            return
        if isinstance(event, Stepped) and event.previews:
            # Only the newest preview is worth its bytes to someone who comes late.
            self._events = [_without_preview(earlier) for earlier in self._events]
        self._events.append(event)
        if isinstance(event, Finished):
            # Here, and not after giving back what it holds: nobody can cancel what is done.
            self._end()
        self._wake()

    def _wake(self) -> None:
        news, self._news = self._news, asyncio.Event()
        news.set()

    def _last(self, kind: type[Kind]) -> Kind | None:
        return next((event for event in reversed(self._events) if isinstance(event, kind)), None)


def _without_preview(event: Event) -> Event:
    return Stepped(event.step, event.steps) if isinstance(event, Stepped) else event


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


class Renders:
    """Begins renders, and keeps what they brought for a while.

    Args:
        desk: where each render's end is counted and written down.
        keep_seconds: how long a result can be fetched after its render has ended.
        keep_bytes: for all results together; the oldest go first.
    """

    def __init__(
        self, service: Service, limits: Limits, desk: Desk, keep_seconds: float, keep_bytes: int
    ) -> None:
        self._service = service
        self._limits = limits
        self._desk = desk
        self._keep_seconds = keep_seconds
        self._keep_bytes = keep_bytes
        self._renders: dict[tuple[str, str], Render] = {}
        self._by_key: dict[tuple[str, str], Render] = {}
        self._closing = False

    async def begin(self, request: RenderRequest, caller: Caller, asked: Asked) -> Render:
        """The render of `request`; the one there is when it was begun with the same key before.

        What can be known before it waits is found out here: pictures that cannot be read, an
        unknown style, moderation, a full queue, the caller's limits.

        Raises:
            MaquetteError: as :meth:`gateway.service.Service.check` and the caller's limits say;
                ``Conflict`` when the id or key belongs to another request.
        """
        digest = await asyncio.to_thread(_digest, request)
        # From here to the render's task nothing is awaited, so that two who send one key get one.
        if self._closing:
            raise Unavailable("The gateway is shutting down. Try again in some seconds.")
        self._forget_old()
        render = self._known(caller, asked, digest)
        if render is None:
            render = self._enter(caller, asked, digest)
            task = render.begin(self._life(request, caller))
            task.add_done_callback(lambda _: self._write_down(render, request))
        try:
            await render.accepted()
        except Exception:
            self._forget(render)
            raise
        return render

    async def _life(self, request: RenderRequest, caller: Caller) -> AsyncGenerator[Event | None]:
        # The limits come first: a check decodes pictures, which costs more than counting.
        permit = await self._limits.begin(caller)
        try:
            await self._service.check(request)
            yield None
            async with aclosing(self._service.render(request)) as events:
                async for event in events:
                    yield event
        finally:
            await asyncio.shield(permit.give_back())

    def get(self, identity: str, caller: Caller) -> Render:
        """The render `identity` of `caller`; an admin finds everybody's.

        Raises:
            NotFound: there is none, or no longer.
        """
        self._forget_old()
        own = self._renders.get((caller.id, identity))
        others = (render for render in self._renders.values() if render.id == identity)
        found = own or (next(others, None) if caller.is_admin else None)
        if found is None:
            raise NotFound(
                f"There is no render {shorten(identity)} of yours, or no longer: results are kept "
                f"for {self._keep_seconds:g} s."
            )
        return found

    async def cancel(self, identity: str, caller: Caller) -> Render:
        """Stop the render `identity` at its next step, and return it when it has stopped.

        Raises:
            NotFound: there is none, or no longer.
        """
        render = self.get(identity, caller)
        render.cancel()
        await render.ended()
        return render

    @property
    def unfinished(self) -> list[Render]:
        """Those that wait or run."""
        return [render for render in self._renders.values() if render.ended_at is None]

    async def close(self, grace_seconds: float) -> None:
        """Refuse new renders, let those there are finish for the grace time, cancel the rest."""
        self._closing = True
        ending = [asyncio.ensure_future(render.ended()) for render in self.unfinished]
        if ending:
            await asyncio.wait(ending, timeout=grace_seconds)
        for render in self.unfinished:
            render.cancel()
        await asyncio.gather(*ending)

    def _write_down(self, render: Render, request: RenderRequest) -> None:
        result, chosen = render.result, render.chosen
        self._desk.metrics.render_ended(
            outcome=render.outcome,
            timings=result.timings if result else None,
            steps=request.num_inference_steps,
            scores=[picture.structure_f1 for picture in result.pictures] if result else [],
        )
        if self._desk.audit:
            ids = {"render": render.id, "style": chosen.style.id if chosen else ""}
            self._desk.audit.record(
                render.owner, "render", ids=ids, outcome=render.outcome, prompt=request.prompt
            )

    def _known(self, caller: Caller, asked: Asked, digest: str) -> Render | None:
        render = self._by_key.get((caller.id, asked.idempotency_key))
        if render is None or render.is_lost:
            return None
        if render.digest != digest:
            raise Conflict(
                f"The idempotency key {shorten(asked.idempotency_key)} came with another request "
                "before. Use a new key for a new request."
            )
        render.keep_running |= asked.keep_running
        return render

    def _enter(self, caller: Caller, asked: Asked, digest: str) -> Render:
        identity = asked.id or uuid.uuid4().hex
        known = self._renders.get((caller.id, identity))
        if known and not known.is_lost:
            raise Conflict(
                f"You have a render {shorten(identity)} already. Choose another id, or send an "
                "idempotency-key to get the same one again."
            )
        if known:
            self._forget(known)
        render = Render(identity, caller, digest, keep_running=asked.keep_running)
        self._renders[caller.id, identity] = render
        if asked.idempotency_key:
            self._by_key[caller.id, asked.idempotency_key] = render
        return render

    def _forget_old(self) -> None:
        now, kept_bytes, kept = time.monotonic(), 0, 0
        for render in reversed(list(self._renders.values())):
            if render.ended_at is None:
                continue
            kept_bytes += render.size
            kept += 1
            too_many = kept_bytes > self._keep_bytes or kept > MAX_KEPT
            if too_many or now - render.ended_at > self._keep_seconds:
                self._forget(render)

    def _forget(self, render: Render) -> None:
        for held in (self._renders, self._by_key):
            for key in [key for key, value in held.items() if value is render]:
                del held[key]


def _digest(request: RenderRequest) -> str:
    """Tells requests apart without keeping their pictures."""
    digest = hashlib.sha256()
    for field in fields(request):
        value = getattr(request, field.name)
        for part in value if isinstance(value, tuple) else (value,):
            content = part if isinstance(part, bytes) else repr(part).encode()
            digest.update(f"{field.name} {len(content)} ".encode() + content)
    return digest.hexdigest()
