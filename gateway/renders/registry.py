"""The renders there are: begun once for each key, kept for a while, cancelled by id.

A render belongs to the caller who began it. It runs as a task of its own, so that several can
follow it, and ends when its last follower leaves, unless it was asked to keep running.
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import re
import time
import uuid
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial

from gateway.auth.call_context import CallContext
from gateway.auth.caller import Caller
from gateway.auth.limits import Limits
from gateway.background import offload
from gateway.renders.render import Render, State
from gateway.worker.service import Service
from pipeline.errors import Conflict, InvalidRequest, NotFound, Unavailable, shorten
from pipeline.fields import Field, about, table
from pipeline.request import FIELDS, RENDERED, RenderRequest

MAX_ID = 64
MAX_KEY = 128
# "." and ".." would be no names in a URL.
ID_PATTERN = rf"[A-Za-z0-9][A-Za-z0-9._-]{{0,{MAX_ID - 1}}}"
NEXT_PAGE = "[0-9]{1,18}"
MAX_KEPT = 1000
"""Renders that have ended, whatever they weigh."""


@dataclass(frozen=True)
class SubmitOptions:
    """How a render is to be begun, beside what it is to show."""

    id: str = field(default="", metadata=about(
        "The render's id, your choice: letters, digits, dots, hyphens, underscores.",
        pattern=f"^({ID_PATTERN})?$",
    ))  # fmt: skip
    idempotency_key: str = ""
    keep_running: bool = field(default=False, metadata=about(
        "Go on when nobody listens any more, so that the result can be fetched.",
    ))  # fmt: skip

    def __post_init__(self) -> None:
        if self.id and not re.fullmatch(ID_PATTERN, self.id):
            allowed = (
                f"1 to {MAX_ID} letters, digits, dots, hyphens and underscores, the first a letter "
                "or digit"
            )
            raise InvalidRequest("id", self.id, allowed, "Leave it out to have one made.")
        key = self.idempotency_key
        if len(key) > MAX_KEY or not (key.isascii() and key.isprintable()):
            allowed = f"1 to {MAX_KEY} printable ASCII characters"
            raise InvalidRequest("idempotency-key", key, allowed, "A UUID does well.")


CALL_FIELDS: Mapping[str, Field] = table(SubmitOptions)
"""Fields of a request that say how to render, not what."""
ABOUT_THE_CALL = tuple(CALL_FIELDS)


class Renders:
    """Begins renders, and keeps what they brought for a while.

    Args:
        desk: where each render's end is counted and written down.
        keep_seconds: how long a result can be fetched after its render has ended.
        keep_bytes: for all results together; the oldest of whoever has most go first, so that no
            caller's renders push out another's.
    """

    def __init__(
        self,
        service: Service,
        limits: Limits,
        desk: CallContext,
        keep_seconds: float,
        keep_bytes: int,
    ) -> None:
        self._service = service
        self._limits = limits
        self._desk = desk
        self._keep_seconds = keep_seconds
        self._keep_bytes = keep_bytes
        self._renders: dict[tuple[str, str], Render] = {}
        self._by_key: dict[tuple[str, str], Render] = {}
        self._numbers = itertools.count(1)
        self._closing = False

    async def begin(self, request: RenderRequest, caller: Caller, asked: SubmitOptions) -> Render:
        """The render of `request`; the one there is when it was begun with the same key before.

        What can be known before it waits is found out here: pictures that cannot be read, an
        unknown style, moderation, a full queue, the caller's limits.

        Raises:
            MaquetteError: as :meth:`.Service.check` and the caller's limits say;
                ``Conflict`` when the id or key belongs to another request.
        """
        size = sum(map(len, request.uploads))
        digest = await offload.run(size <= offload.LITTLE, _digest, request)
        # From here to the render's task nothing is awaited, so that two who send one key get one.
        if self._closing:
            raise Unavailable("The gateway is shutting down. Try again in some seconds.")
        self._forget_old()
        render = self._known(caller, asked, digest)
        if render is None:
            render = self._enter(caller, asked, digest)
            task = render.begin(partial(self._life, render, request))
            task.add_done_callback(lambda _: self._write_down(render, request))
        try:
            await render.accepted()
        except Exception:
            self._forget(render)
            raise
        return render

    async def _life(self, render: Render, request: RenderRequest) -> None:
        # The limits come first: a check decodes pictures, which costs more than counting.
        permit = await self._limits.begin(render.owner)
        try:
            checked = await self._service.check(self._with_image(request, render.owner))
            render.accept()
            await self._service.render(checked, render.tell)
        finally:
            await asyncio.shield(permit.give_back())

    def _with_image(self, request: RenderRequest, owner: Caller) -> RenderRequest:
        """`request` with the picture in place of what names it among the kept results of `owner`.

        Raises:
            InvalidRequest: what begins like a name is none.
            NotFound: the render is not kept, or has no such picture.
        """
        if not request.image.startswith(RENDERED.encode()):
            return request
        name = request.image.decode("ascii", "replace")
        found = re.fullmatch(f"{RENDERED}({ID_PATTERN})/([0-9]{{1,3}})", name)
        if not found:
            allowed = "an encoded picture, or render/<id>/<n>"
            remedy = "n counts the pictures of a render from 0."
            raise InvalidRequest("image", name, allowed, remedy)
        self._forget_old()
        render = self._renders.get((owner.id, found[1]))
        pictures = render.result.pictures if render and render.result else ()
        if int(found[2]) >= len(pictures):
            raise NotFound(
                f"image is {shorten(name)}; allowed: a picture of a render of yours that is "
                f"finished and kept, for {self._keep_seconds:g} s. Send the picture itself."
            )
        return replace(request, image=pictures[int(found[2])].png)

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

    def page(self, caller: Caller, size: int, token: str = "") -> tuple[list[Render], str]:
        """At most `size` renders of `caller`, the newest first, and the token of the next page.

        Args:
            token: what came with the page before; empty for the first.

        Raises:
            InvalidRequest: the token is none of these.
        """
        if token and not re.fullmatch(NEXT_PAGE, token):
            allowed, remedy = "a next_page_token", "Leave it out for the first page."
            raise InvalidRequest("page_token", token, allowed, remedy)
        self._forget_old()
        own = [
            render
            for (owner, _), render in reversed(self._renders.items())
            if owner == caller.id and (not token or render.number < int(token))
        ]
        more = len(own) > size
        return own[:size], str(own[size - 1].number) if more else ""

    async def cancel(self, identity: str, caller: Caller) -> Render:
        """Stop the render `identity` at its next step, and return it when it has stopped.

        Raises:
            NotFound: there is none, or no longer.
        """
        render = self.get(identity, caller)
        render.cancel()
        await render.ended()
        return render

    def ahead_of(self, render: Render) -> int | None:
        """How many renders wait before `render`; None when it does not wait."""
        if render.state is not State.QUEUED:
            return None
        queued = (each for each in self.unfinished if each.state is State.QUEUED)
        return sum(each.number < render.number for each in queued)

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
            steps=render.progress.steps * result.rounds if render.progress and result else 0,
            scores=[picture.scores for picture in result.pictures] if result else [],
        )
        if self._desk.audit:
            ids = {"render": render.id, "style": ",".join(chosen.weights) if chosen else ""}
            self._desk.audit.record(
                render.owner, "render", ids=ids, outcome=render.outcome, prompt=request.prompt
            )

    def _known(self, caller: Caller, asked: SubmitOptions, digest: str) -> Render | None:
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

    def _enter(self, caller: Caller, asked: SubmitOptions, digest: str) -> Render:
        identity = asked.id or uuid.uuid4().hex
        known = self._renders.get((caller.id, identity))
        if known and not known.is_lost:
            raise Conflict(
                f"You have a render {shorten(identity)} already. Choose another id, or send an "
                "idempotency-key to get the same one again."
            )
        if known:
            self._forget(known)
        render = Render(
            identity, caller, digest, keep_running=asked.keep_running, number=next(self._numbers)
        )
        self._renders[caller.id, identity] = render
        if asked.idempotency_key:
            self._by_key[caller.id, asked.idempotency_key] = render
        return render

    def _forget_old(self) -> None:
        now, kept = time.monotonic(), defaultdict[str, list[Render]](list)
        for render in list(self._renders.values()):
            if render.ended_at is None:
                continue
            if now - render.ended_at > self._keep_seconds:
                self._forget(render)
            else:
                kept[render.owner.id].append(render)
        while (
            sum(map(len, kept.values())) > MAX_KEPT
            or sum(map(_size, kept.values())) > self._keep_bytes
        ):
            self._forget(max(kept.values(), key=self._share).pop(0))

    def _share(self, kept: list[Render]) -> float:
        """How much of all that can be kept `kept` are, by number or by weight."""
        return max(len(kept) / MAX_KEPT, _size(kept) / max(self._keep_bytes, 1))

    def _forget(self, render: Render) -> None:
        for held in (self._renders, self._by_key):
            for key in [key for key, value in held.items() if value is render]:
                del held[key]


def _size(renders: list[Render]) -> int:
    return sum(render.size for render in renders)


def _digest(request: RenderRequest) -> str:
    """Tells requests apart without keeping their pictures."""
    digest = hashlib.sha256()
    for name in FIELDS:
        value = getattr(request, name)
        for part in value if isinstance(value, tuple) else (value,):
            content = part if isinstance(part, bytes) else repr(part).encode()
            digest.update(f"{name} {len(content)} ".encode() + content)
    return digest.hexdigest()
