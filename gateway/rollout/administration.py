"""What an administrator does with versions, from whichever door: each change is written down."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from gateway.auth.call_context import CallContext
from gateway.auth.caller import Caller
from gateway.background.jobs import JobPool, JobProgress, Step
from gateway.information import Information
from gateway.rollout.gating import Gates, Judged
from gateway.rollout.publish_sources import Sources
from gateway.triton.inference import Inference
from pipeline.errors import InvalidRequest, NotFound
from pipeline.images import encode_png
from retrieval.library import StyleLibrary
from retrieval.reembedding import Progress
from versions import (
    aliases,
    canary,
    catalogue,
    differences,
    fetching,
    history,
    operations,
    repositories,
)
from versions.aliases import PAIR, VERSIONED
from versions.canary import Canary, Counts
from versions.catalogue import MODELS, Version, members
from versions.differences import Difference
from versions.errors import Declined
from versions.history import Entry
from versions.operations import Outcome
from versions.repositories import Repository

MAX_NAME = max(map(len, VERSIONED))
"""Characters of what was named that are written down."""
MAX_REASON = 500
"""Characters of a reason: the history is kept for good, and read whole."""
MAX_LONG = 4
"""Publications and gates at once: each has a thread for as long as it takes."""
MAX_CHANGES = 4
"""Other changes at once, which only a store that does not answer makes long."""
PAPER = encode_png(np.full((64, 64, 3), 255, np.uint8))
"""A picture to see with whether a CLIP answers."""

Result = TypeVar("Result")


@dataclass(frozen=True)
class Listed:
    """A version, and whether it answers now."""

    version: Version
    loaded: bool


@dataclass(frozen=True)
class Tried:
    """How the candidate is tried, and what it came to in this gateway."""

    canary: Canary
    counts: Counts


@dataclass(frozen=True)
class Compared:
    """Two versions, and where they differ."""

    one: int
    other: int
    differences: list[Difference]


class Administration:
    """Looks at and changes the versions in a repository.

    Methods raise ``Declined`` where there is no repository, and what ``versions.operations`` does.

    Args:
        repository: what the gateway follows; None where it follows nothing.
        gates: where candidates are held against the champion.
        sources: what may be published.
        counts: what the canary came to by now.
    """

    def __init__(
        self,
        repository: Repository | None,
        desk: CallContext,
        inference: Inference,
        information: Information,
        library: StyleLibrary,
        gates: Gates,
        sources: Sources,
        counts: Callable[[], Counts],
    ) -> None:
        self._at = repository
        self._desk = desk
        self._inference = inference
        self._information = information
        self._library = library
        self._gates = gates
        self._sources = sources
        self._counts = counts
        self._changing: set[asyncio.Task[Any]] = set()
        self._threads = JobPool(MAX_LONG, "publications and gates")
        # A store may be silent for a minute before a change is given up.
        self._changers = JobPool(MAX_CHANGES, "changes of versions")

    async def close(self) -> None:
        """Let what is in progress end, so that it is written down. Close the doors first."""
        if self._changing:
            await asyncio.wait(self._changing)
        self._threads.close()
        self._changers.close()

    async def versions(self, model: str = "") -> list[Listed]:
        """Every version of `model`, the oldest first; of all models where it is empty.

        Raises:
            InvalidRequest: there is no such model.
        """
        names = (model,) if model else MODELS
        found = await asyncio.to_thread(
            lambda: [
                v for name in names for v in catalogue.versions_of(self._repository.folder, name)
            ]
        )
        models = (await self._information.facts()).models
        ready = {(each.name, each.version) for each in models if each.ready}
        return [
            Listed(v, all((name, str(v.version)) in ready for name in members(v.model)))
            for v in found
        ]

    async def canary(self) -> Tried:
        """How the candidate is tried now."""
        found = await asyncio.to_thread(canary.read, self._repository.folder)
        return Tried(found, self._counts())

    async def diff(self, model: str, one: str = "", other: str = "") -> Compared:
        """Where two versions of `model` differ: the candidate from the champion by default.

        Args:
            one: a number or an alias; so is `other`.

        Raises:
            InvalidRequest: there is no such model, or a name is neither.
            NotFound: there is no such version.
        """
        asked = {"one": one or "champion", "other": other or "candidate"}
        repository = self._repository.folder
        first, second = await asyncio.to_thread(
            lambda: [
                catalogue.find(repository, model, name, field) for field, name in asked.items()
            ]
        )
        return Compared(first.version, second.version, differences.between(first, second))

    async def changes(self, model: str, size: int, first: str) -> history.Page:
        """A page of what was done; see :func:`versions.history.page`.

        Raises:
            InvalidRequest: there is no such model, or no such change.
        """
        if model:
            members(model)
        return await asyncio.to_thread(history.page, self._repository.folder, model, size, first)

    def publish(
        self, caller: Caller, model: str, source: str, *, why: str = "", dry_run: bool = False
    ) -> AsyncGenerator[Step | Outcome]:
        """Make an engine the next version, and the candidate; what was done comes last.

        It ends at its next step when the iterator is closed, until it is put in place, and nothing
        of it is left then.

        Args:
            source: where the engine lies; see :meth:`.Sources.located`.
        """
        repository = self._repository
        members(model)
        _check_reason(why)

        def published(steps: JobProgress, ids: dict[str, str]) -> Outcome:
            place = self._sources.located(source)
            ids["source"] = source[:MAX_REASON]
            if fetching.is_elsewhere(place):
                # Who is elsewhere may take long to answer, and proxies wait for a first word.
                steps.report("looking for the engine", 0, 0)
            outcome = repositories.publish(
                repository,
                model,
                place,
                who=caller.id,
                why=why,
                dry_run=dry_run,
                report=steps.report,
            )
            ids["version"] = str(outcome.version)
            return outcome

        return self._followed(caller, "publish", {"model": model}, published, dry_run=dry_run)

    def gate(
        self,
        caller: Caller,
        model: str,
        renders: int | None = None,
        *,
        why: str = "",
        dry_run: bool = False,
    ) -> AsyncGenerator[Step | Judged]:
        """Hold the candidate against the champion, and keep what is decided; it comes last.

        It ends at its next step when the iterator is closed.

        Args:
            renders: scenes; None: as many as usual.
            dry_run: keep no verdict, and leave the report on one that is kept.
        """
        repository = self._repository
        members(model)
        _check_reason(why)

        def gated(steps: JobProgress, ids: dict[str, str]) -> Judged:
            candidate = catalogue.find(repository.folder, model, "candidate").version
            ids["version"] = str(candidate)
            with operations.gating(repository.folder, model, caller.id):
                verdict = self._gates.judged(
                    repository.folder, model, candidate, renders, steps, dry_run=dry_run
                )
            ids["passed"] = str(verdict.passed).lower()
            if dry_run:
                return Judged(verdict, (f"{model} {candidate} was at its gate; nothing is kept.",))
            outcome = repository.change(
                lambda folder: operations.record_gate(
                    folder, verdict, model=model, who=caller.id, why=why
                ),
                patient=True,
            )
            return Judged(verdict, outcome.said)

        return self._followed(caller, "gate", {"model": model}, gated, dry_run=dry_run)

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

    async def set_canary(
        self, caller: Caller, wanted: Canary, *, force: bool = False, dry_run: bool = False
    ) -> Outcome:
        """Try the candidate on a share of the renders, or stop trying it.

        Args:
            force: without a passed gate.
        """
        signed = replace(wanted, who=caller.id)
        _check_reason(wanted.why)
        noted = {"share": f"{wanted.share:g}", "shadow": f"{wanted.shadow:g}"}
        return await self._through(
            caller,
            "canary",
            noted,
            lambda folder: operations.set_canary(folder, signed, force=force, dry_run=dry_run),
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
        clip = await asyncio.to_thread(_loadable, repository.folder, clip)
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
                await self._changers.run(
                    lambda: repository.change(lambda at: operations.record(at, entry), patient=True)
                )
                ids["complete"] = "true"

    @property
    def _repository(self) -> Repository:
        if self._at is None:
            raise Declined(
                "This gateway serves what was exported, and follows no repository of versions. "
                "Start it with MAQUETTE_REPOSITORY, the folder of the model repository."
            )
        return self._at

    async def _change(
        self, caller: Caller, change: Callable[..., Outcome], model: str, *what: Any, **options: Any
    ) -> Outcome:
        _check_reason(options["why"])
        noted = {"model": model[:MAX_NAME]}
        for value in what:
            name = "alias" if isinstance(value, str) else "version"
            noted |= {name: str(value)[:MAX_NAME]} if value else {}
        return await self._through(
            caller,
            change.__name__,
            noted,
            lambda folder: change(folder, model, *what, who=caller.id, **options),
            dry_run=options["dry_run"],
        )

    async def _through(
        self,
        caller: Caller,
        action: str,
        noted: dict[str, str],
        change: Callable[[Path], Outcome],
        *,
        dry_run: bool,
    ) -> Outcome:
        """Do `change` to its end, even when the caller leaves: a thread cannot be called back."""
        repository = self._repository
        noted |= {"dry_run": "true"} if dry_run else {}

        async def changed() -> Outcome:
            with self._desk.noting(caller, action, **noted) as ids:
                outcome = await self._changers.run(
                    lambda: repository.change(change, dry_run=dry_run)
                )
                if outcome.version is not None:
                    ids["version"] = str(outcome.version)
            return outcome

        task = asyncio.create_task(changed(), name=action)
        self._changing.add(task)
        task.add_done_callback(self._changing.discard)
        return await asyncio.shield(task)

    async def _followed(
        self,
        caller: Caller,
        action: str,
        noted: dict[str, str],
        work: Callable[[JobProgress, dict[str, str]], Result],
        *,
        dry_run: bool,
    ) -> AsyncGenerator[Step | Result]:
        """Have a thread do `work`, which ends at its next step when the caller leaves.

        Args:
            work: given the ids that are noted as well, to set them right.

        Raises:
            Busy: as many as can be are done already.
        """
        noted |= {"dry_run": "true"} if dry_run else {}
        steps = JobProgress()

        async def worked() -> Result:
            with self._desk.noting(caller, action, **noted) as ids:
                return await self._threads.run(lambda: work(steps, ids))

        task = asyncio.create_task(worked(), name=action)
        self._changing.add(task)
        task.add_done_callback(self._changing.discard)
        async with aclosing(steps.follow(task)) as followed:
            async for step in followed:
                yield step


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
