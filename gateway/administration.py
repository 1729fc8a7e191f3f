"""What an administrator does with versions, from whichever door: each change is written down."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from gateway.desk import Desk
from gateway.inference import Inference
from gateway.information import Information
from gateway.protection.caller import Caller
from pipeline.errors import InvalidRequest, NotFound
from pipeline.images import encode_png
from retrieval.library import StyleLibrary
from retrieval.reembedding import Progress
from versions import aliases, canary, catalogue, operations
from versions.aliases import PAIR, VERSIONED
from versions.canary import Canary
from versions.catalogue import MODELS, Version, members
from versions.errors import Declined
from versions.history import Entry
from versions.operations import Outcome

MAX_NAME = max(map(len, VERSIONED))
"""Characters of what was named that are written down."""
MAX_REASON = 500
"""Characters of a reason: the history is kept for good, and read whole."""
PAPER = encode_png(np.full((64, 64, 3), 255, np.uint8))
"""A picture to see with whether a CLIP answers."""


@dataclass(frozen=True)
class Listed:
    """A version, and whether it answers now."""

    version: Version
    loaded: bool


class Administration:
    """Looks at and changes the versions in a repository.

    Methods raise ``Declined`` where there is no repository, and what ``versions.operations`` does.

    Args:
        repository: the folder that the gateway follows; None where it follows none.
    """

    def __init__(
        self,
        repository: Path | None,
        desk: Desk,
        inference: Inference,
        information: Information,
        library: StyleLibrary,
    ) -> None:
        self._folder = repository
        self._desk = desk
        self._inference = inference
        self._information = information
        self._library = library
        self._changing: set[asyncio.Task[Outcome]] = set()

    async def versions(self, model: str = "") -> list[Listed]:
        """Every version of `model`, the oldest first; of all models where it is empty.

        Raises:
            InvalidRequest: there is no such model.
        """
        names = (model,) if model else MODELS
        found = await asyncio.to_thread(
            lambda: [v for name in names for v in catalogue.versions_of(self._repository, name)]
        )
        models = (await self._information.facts()).models
        ready = {(each.name, each.version) for each in models if each.ready}
        return [
            Listed(v, all((name, str(v.version)) in ready for name in members(v.model)))
            for v in found
        ]

    async def canary(self) -> Canary:
        """How the candidate is tried now."""
        return await asyncio.to_thread(canary.read, self._repository)

    async def promote(
        self,
        caller: Caller,
        model: str,
        version: int | None = None,
        *,
        why: str = "",
        force: bool = False,
        expected: int | None = None,
        dry_run: bool = False,
    ) -> Outcome:
        """Make a version the champion; see :func:`versions.operations.promote`."""
        options = {"why": why, "force": force, "expected": expected, "dry_run": dry_run}
        return await self._change(caller, operations.promote, model, version, **options)

    async def rollback(
        self, caller: Caller, model: str, *, why: str = "", dry_run: bool = False
    ) -> Outcome:
        """Let the previous version be the champion again."""
        return await self._change(caller, operations.rollback, model, why=why, dry_run=dry_run)

    async def retire(
        self,
        caller: Caller,
        model: str,
        version: int | None = None,
        alias: str = "",
        *,
        why: str = "",
        dry_run: bool = False,
    ) -> Outcome:
        """Remove the files of `version`, or take `alias` away; one of the two is given.

        Raises:
            InvalidRequest: both are, or neither.
        """
        if (version is None) == (not alias):
            remedy = "A version's files are removed; an alias is taken away."
            raise InvalidRequest("version", version, "a version, or else an alias", remedy)
        change, what = (
            (operations.withdraw, alias) if version is None else (operations.retire, version)
        )
        return await self._change(caller, change, model, what, why=why, dry_run=dry_run)

    async def set_canary(self, caller: Caller, wanted: Canary, *, dry_run: bool = False) -> Outcome:
        """Try the candidate on a share of the renders, or stop trying it."""
        repository, signed = self._repository, replace(wanted, who=caller.id)
        _check_reason(wanted.why)
        noted = {"share": f"{wanted.share:g}", "shadow": f"{wanted.shadow:g}"}
        return await self._through(
            caller,
            "canary",
            noted,
            lambda: operations.set_canary(repository, signed, dry_run=dry_run),
            dry_run=dry_run,
        )

    async def reembed(self, caller: Caller, clip: int = 0) -> AsyncGenerator[Progress]:
        """Give every style its vector of version `clip` of the pair; 0: of the candidate.

        Raises:
            NotFound: there is no candidate.
            Declined: that version has no alias, so it is not loaded.
            Unavailable: it is not loaded yet.
            Conflict: these vectors are being made already.
            Busy: they are complete, and somebody changes versions, so that cannot be written down.
        """
        repository = self._repository
        clip = await asyncio.to_thread(_loadable, repository, clip)
        noted = {"model": PAIR, "version": str(clip), "complete": "false"}
        with self._desk.noting(caller, "reembed", **noted) as ids:
            # Otherwise every single style would fail, each for the same reason.
            await self._inference.embed_image(PAPER, clip)
            progress = None
            async with aclosing(self._library.reembed(clip, self._inference.embed_image)) as steps:
                async for progress in steps:
                    yield progress
            if progress and progress.complete:
                entry = Entry("reembed", PAIR, caller.id, to_version=clip)
                await asyncio.to_thread(operations.record, repository, entry)
                ids["complete"] = "true"

    @property
    def _repository(self) -> Path:
        if self._folder is None:
            raise Declined(
                "This gateway serves what was exported, and follows no repository of versions. "
                "Start it with MAQUETTE_REPOSITORY, the folder of the model repository."
            )
        return self._folder

    async def _change(
        self, caller: Caller, change: Callable[..., Outcome], model: str, *what: Any, **options: Any
    ) -> Outcome:
        repository = self._repository
        _check_reason(options["why"])
        noted = {"model": model[:MAX_NAME]}
        for value in what:
            name = "alias" if isinstance(value, str) else "version"
            noted |= {name: str(value)[:MAX_NAME]} if value else {}
        return await self._through(
            caller,
            change.__name__,
            noted,
            lambda: change(repository, model, *what, who=caller.id, **options),
            dry_run=options["dry_run"],
        )

    async def _through(
        self,
        caller: Caller,
        action: str,
        noted: dict[str, str],
        change: Callable[[], Outcome],
        *,
        dry_run: bool,
    ) -> Outcome:
        """Do `change` to its end, even when the caller leaves: a thread cannot be called back."""
        noted |= {"dry_run": "true"} if dry_run else {}

        async def changed() -> Outcome:
            with self._desk.noting(caller, action, **noted) as ids:
                outcome = await asyncio.to_thread(change)
                if outcome.version is not None:
                    ids["version"] = str(outcome.version)
            return outcome

        task = asyncio.create_task(changed(), name=action)
        self._changing.add(task)
        task.add_done_callback(self._changing.discard)
        return await asyncio.shield(task)


def _check_reason(why: str) -> None:
    if len(why) > MAX_REASON:
        remedy = "Put the rest where there is room for it, and say where that is."
        raise InvalidRequest("why", why, f"at most {MAX_REASON} characters", remedy)


def _loadable(repository: Path, clip: int) -> int:
    """`clip`, or the candidate for 0, if the gateway keeps it loaded."""
    found = aliases.read(repository).of(PAIR)
    if not clip:
        if found.candidate is None:
            raise NotFound(f"{PAIR} has no candidate. `maquette models publish` makes one.")
        return found.candidate
    if clip not in found.versions:
        raise Declined(
            f"{PAIR} {clip} is not loaded: it is neither the champion nor the candidate nor the "
            "previous version. `maquette models publish` makes it the candidate."
        )
    return clip
