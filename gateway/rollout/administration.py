"""What an administrator does with versions: each change is written down."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from gateway.auth.call_context import CallContext
from gateway.auth.caller import Caller
from gateway.background.jobs import JobPool, JobProgress, Step
from gateway.information import Information
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
from versions.described import Described
from versions.differences import Comparison
from versions.errors import Declined
from versions.history import Entry
from versions.operations import Outcome
from versions.repositories import Repository

MAX_NAME = max(map(len, VERSIONED))
"""Characters of what was named that are written down."""
MAX_REASON = 500
"""Characters of a reason: the history is kept for good, and read whole."""
MAX_LONG = 4
"""Publications at once: each has a thread for as long as it takes."""
MAX_CHANGES = 4
"""Other changes at once, which only a store that does not answer makes long."""
PAPER = encode_png(np.full((64, 64, 3), 255, np.uint8))
"""A picture to see with whether a CLIP answers."""


@dataclass(frozen=True)
class ListedVersion(Version):
    """A version, and whether it answers now."""

    loaded: bool = False
    """Whether Triton has all its networks ready."""


@dataclass(frozen=True)
class Overview(Described):
    """The versions there are, and how the candidate is tried."""

    versions: list[ListedVersion]
    """Of each model the oldest first."""
    canary: Canary
    counts: Counts
    """What the canary came to by now in this gateway."""


class Administration:
    """Looks at and changes the versions in a repository.

    Methods raise ``Declined`` where there is no repository, and what ``versions.operations`` does.

    Args:
        repository: what the gateway follows; None where it follows nothing.
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
        sources: Sources,
        counts: Callable[[], Counts],
    ) -> None:
        self._at = repository
        self._desk = desk
        self._inference = inference
        self._information = information
        self._library = library
        self._sources = sources
        self._counts = counts
        self._changing: set[asyncio.Task[Any]] = set()
        self._threads = JobPool(MAX_LONG, "publications")
        # A store may be silent for a minute before a change is given up.
        self._changers = JobPool(MAX_CHANGES, "changes of versions")

    async def close(self) -> None:
        """Let what is in progress end, so that it is written down. Close the doors first."""
        if self._changing:
            await asyncio.wait(self._changing)
        self._threads.close()
        self._changers.close()

    async def overview(self, model: str = "") -> Overview:
        """Every version of `model`, of all models where it is empty, and how candidates are tried.

        Raises:
            InvalidRequest: there is no such model.
        """
        folder = self._repository.folder
        names = (model,) if model else MODELS
        found, tried = await asyncio.to_thread(
            lambda: (
                [version for name in names for version in catalogue.versions_of(folder, name)],
                canary.read(folder),
            )
        )
        models = (await self._information.facts()).models
        ready = {(each.name, each.version) for each in models if each.ready}

        def is_loaded(of: Version) -> bool:
            return ready.issuperset((name, str(of.version)) for name in members(of.model))

        listed = [ListedVersion(**vars(each), loaded=is_loaded(each)) for each in found]
        return Overview(listed, tried, self._counts())

    async def compared(self, model: str, one: str, other: str) -> Comparison:
        """Where two versions of `model` differ; see :func:`versions.differences.compared`."""
        folder = self._repository.folder
        return await asyncio.to_thread(differences.compared, folder, model, one, other)

    async def history(self, model: str, size: int, first: str) -> history.Page:
        """A page of what was done; see :func:`versions.history.page`.

        Raises:
            InvalidRequest: there is no such model, or no such change.
        """
        if model:
            members(model)
        return await asyncio.to_thread(history.page, self._repository.folder, model, size, first)

    async def publish(
        self, caller: Caller, model: str, source: str, *, why: str = "", dry_run: bool = False
    ) -> AsyncGenerator[Step | Outcome]:
        """Make an engine the next version, and the candidate; what was done comes last.

        It ends at its next step when the iterator is closed, until it is put in place, and nothing
        of it is left then.

        Args:
            source: where the engine lies; see :meth:`.Sources.located`.

        Raises:
            Busy: as many publications as can be run already.
        """
        repository, steps = self._repository, JobProgress()
        members(model)
        _check_reason(why)

        def work(ids: dict[str, str]) -> Outcome:
            place = self._sources.located(source)
            ids["source"] = source[:MAX_REASON]
            if fetching.is_elsewhere(place):
                # Who is elsewhere may take long to answer, and proxies wait for a first word.
                steps.report("looking for the engine", 0, 0)
            return repositories.publish(
                repository,
                model,
                place,
                who=caller.id,
                why=why,
                dry_run=dry_run,
                report=steps.report,
            )

        task = self._begun(self._threads, caller, "publish", {"model": model}, work, dry_run)
        async with aclosing(steps.follow(task)) as followed:
            async for step in followed:
                yield step

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

        def work(_ids: dict[str, str]) -> Outcome:
            return repository.change(change, dry_run=dry_run)

        return await asyncio.shield(
            self._begun(self._changers, caller, action, noted, work, dry_run)
        )

    def _begun(
        self,
        pool: JobPool,
        caller: Caller,
        action: str,
        noted: dict[str, str],
        work: Callable[[dict[str, str]], Outcome],
        dry_run: bool,
    ) -> asyncio.Task[Outcome]:
        """Have a thread of `pool` do `work`, which is given the ids that are noted."""
        noted |= {"dry_run": "true"} if dry_run else {}

        async def worked() -> Outcome:
            with self._desk.noting(caller, action, **noted) as ids:
                outcome = await pool.run(lambda: work(ids))
                if outcome.version is not None:
                    ids["version"] = str(outcome.version)
            return outcome

        task = asyncio.create_task(worked(), name=action)
        self._changing.add(task)
        task.add_done_callback(self._changing.discard)
        return task


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
