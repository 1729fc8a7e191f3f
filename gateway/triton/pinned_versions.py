"""Which sets of versions serve, and how a change in the repository reaches Triton.

What the aliases name anew is loaded beside what serves. When all of it is there, new renders get
it; those in flight keep what they began with. What nothing needs any more is let go afterwards.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from gateway.triton.loading import Away, Loader, NotLoaded
from pipeline import contract, pinned_versions
from pipeline.errors import MaquetteError, NotFound, Unavailable
from pipeline.pinned_versions import PinnedVersions
from versions import aliases, canary, locks
from versions.aliases import CLIP, Snapshot

TICK_SECONDS = 0.5
AGAIN_SECONDS = 15.0
"""Until what could not be loaded is tried again."""
CHAMPION = "champion"
FEW_STEPS = "denoiser_lcm"
PAINTING = ("condition", "denoiser", FEW_STEPS)
EMBEDDING = ("embed_text", "embed_image")
_ORDER = (CHAMPION, "previous", "candidate")
"""In which sets of versions are loaded: what serves first."""

Stamp = tuple[int, ...]
"""Changes when an alias or the canary does."""

log = logging.getLogger("maquette.gateway")


class Vectors(Protocol):
    """The style library: vectors of several CLIPs, of which one serves."""

    @property
    def clip(self) -> int:
        """The version that serves."""

    async def use(self, clip: int) -> None:
        """Let that version serve; raises where its vectors are missing or not all there."""


class ServedVersions:
    """The sets of versions that renders can be made with.

    Args:
        loader: of Triton; None serves the exported versions and nothing else.
    """

    def __init__(self, loader: Loader | None = None) -> None:
        self.by_alias: Mapping[str, PinnedVersions] = {} if loader else {CHAMPION: PinnedVersions()}
        """What can be asked for now."""
        self.canary = canary.Canary(since="")
        """How the candidate is to be tried."""
        self.changed: Callable[[], object] = lambda: None
        """Called when the repository says something new."""
        self._problem = ""
        self._problem_of: Stamp | None = None
        """Of which aliases it is told; None where it is told of whatever they are."""
        self._fatal: tuple[PinnedVersions, Stamp] | None = None
        """What Triton ended over while loading it, and of which aliases that was."""
        self._loader = loader
        self._flying: Counter[PinnedVersions] = Counter()
        self._vectors: Vectors | None = None
        self._clips = frozenset({pinned_versions.EXPORTED})
        # Triton tells of no model that lies in no folder, so what was loaded is written down here.
        self._ensembles: set[str] = set()
        self._spare = False
        """Whether Triton may hold what nothing needs."""
        self._letting_go = False
        """Whether that is being unloaded, so that what is held may not be in a moment."""
        self._seen: Stamp = ()
        self._again = 0.0

    @property
    def champion(self) -> PinnedVersions:
        """What serves who asked for nothing else.

        Raises:
            Unavailable: nothing does yet.
        """
        return self.named(CHAMPION)

    @property
    def clip(self) -> int:
        """The version of the CLIP pair that embeds."""
        return self._vectors.clip if self._vectors else pinned_versions.EXPORTED

    @property
    def ready(self) -> bool:
        """Whether there is a champion."""
        return CHAMPION in self.by_alias

    def named(self, alias: str) -> PinnedVersions:
        """What `alias` stands for.

        Raises:
            NotFound: there is none of that name.
            Unavailable: nothing serves yet.
        """
        if alias in self.by_alias:
            return self.by_alias[alias]
        if not self.ready:
            raise Unavailable("The models are being loaded. Try again shortly.")
        there = ", ".join(self.by_alias)
        raise NotFound(
            f"versions is {alias!r}, and no {alias} is served; there is: {there}. "
            "Leave it empty for the champion."
        )

    @contextmanager
    def flying(self, pinned: PinnedVersions) -> Iterator[None]:
        """Keep `pinned` loaded for the block."""
        self._flying[pinned] += 1
        try:
            yield
        finally:
            self._flying[pinned] -= 1

    @asynccontextmanager
    async def following(self, vectors: Vectors) -> AsyncIterator[None]:
        """Follow the repository's aliases for the block.

        Args:
            vectors: switched to the champion of the CLIP pair once it is loaded.
        """
        self._vectors, self._clips = vectors, frozenset({vectors.clip})
        ways = (self._follow, self._switch) if self._loader else ()
        with locks.following(self._loader.repository) if self._loader else nullcontext():
            tasks = [
                asyncio.create_task(way(), name=f"sets of versions {way.__name__}") for way in ways
            ]
            try:
                yield
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

    async def _follow(self) -> None:
        assert self._loader  # noqa: S101 - started only with one
        while True:
            try:
                await self.look(self._loader)
            except Away as error:
                # What is wrong with it is told where renders are asked for.
                log.debug("sets of versions: %s", error)
            except MaquetteError as error:
                self._tell_problem(str(error))
            except Exception:
                log.exception("sets of versions could not be followed")
            await asyncio.sleep(TICK_SECONDS)

    async def _switch(self) -> None:
        """Offer what is loaded already as soon as the aliases name it, whatever is being loaded."""
        assert self._loader  # noqa: S101 - started only with one
        seen: Stamp = ()
        while True:
            try:
                stamp = await asyncio.to_thread(_stamp, self._loader.repository)
                if self.ready and stamp != seen and not self._letting_go:
                    await self.offer_held(self._loader)
                    seen = stamp
            except MaquetteError as error:
                log.debug("sets of versions: %s", error)
            await asyncio.sleep(TICK_SECONDS)

    async def offer_held(self, loader: Loader) -> None:
        """Offer the sets that the aliases name and Triton holds, if the champion's is one.

        Raises:
            MaquetteError: it could not be found out.
        """
        snapshot = await asyncio.to_thread(aliases.read, loader.repository)
        wanted = snapshot.served_versions()
        there = {alias: up for alias, up in wanted.items() if await _is_held(loader, up)}
        if CHAMPION in there:
            self._offer(there)

    async def look(self, loader: Loader) -> None:
        """Look once at the aliases and at Triton, and do what has to be done.

        Raises:
            MaquetteError: it could not be done, and is to be tried again.
        """
        clock = asyncio.get_running_loop().time
        stamp = await asyncio.to_thread(_stamp, loader.repository)
        again = bool(self.problem) and clock() >= self._again
        if stamp != self._seen or again or await self._is_lost(loader):
            if not await loader.is_ready():
                return
            snapshot = await asyncio.to_thread(aliases.read, loader.repository)
            if not await self._serve(loader, snapshot, stamp):
                return
            self.canary = await asyncio.to_thread(canary.read, loader.repository)
            self._seen, self._again, self._spare = stamp, clock() + AGAIN_SECONDS, True
            self.changed()
        if self._spare and self.ready:
            self._letting_go = True
            try:
                await self._let_go(loader)
            finally:
                self._letting_go = False

    async def _is_lost(self, loader: Loader) -> bool:
        """Whether Triton was started anew, without what it was given; that is not offered then."""
        held = {
            alias: up
            for alias, up in self.by_alias.items()
            if await loader.holds(up.ensemble("denoiser"))
        }
        lost = not held or held != self.by_alias
        if lost:
            self.by_alias = held
        return lost or not await loader.holds(
            pinned_versions.clip_ensemble("embed_text", self.clip)
        )

    async def _serve(self, loader: Loader, snapshot: Snapshot, stamp: Stamp) -> bool:
        """Have all that `snapshot` names loaded, and offer it, unless it is outdated by then."""
        wanted = snapshot.served_versions()
        problems: list[str] = []
        loaded: dict[str, PinnedVersions] = {}
        # Grows one by one, so that what does not load is let go again and nothing else with it.
        keep = {*self.by_alias.values(), *(+self._flying)}
        for alias in sorted(wanted, key=_ORDER.index):
            try:
                await self._load_one(loader, wanted[alias], keep, stamp)
                keep.add(wanted[alias])
                loaded[alias] = wanted[alias]
            except NotLoaded as error:
                with suppress(NotLoaded):
                    await self._load(loader, Needs.of(keep, self._clips))
                problems.append(f"The {alias} is not served: {error}")
        if await asyncio.to_thread(_stamp, loader.repository) != stamp:
            return False
        if CHAMPION not in loaded and self.ready:
            loaded[CHAMPION] = self.champion
        self._offer(loaded)
        try:
            await self._switch_clip(loader, snapshot, keep)
        except Away:
            raise
        except MaquetteError as error:
            problems.append(f"The newest CLIP is not served: {error}")
        self._tell_problem(" ".join(problems), stamp)
        return True

    async def _load_one(
        self, loader: Loader, pinned: PinnedVersions, keep: set[PinnedVersions], stamp: Stamp
    ) -> None:
        if self._fatal == (pinned, stamp):
            raise NotLoaded("Triton ended while it was loaded.")
        try:
            await self._load(loader, Needs.of(keep | {pinned}, self._clips))
        except Away:
            # Loading it again when Triton is back would end Triton again, and so on for ever.
            if self.ready and pinned not in self.by_alias.values():
                self._fatal = (pinned, stamp)
            raise

    def _tell_problem(self, problem: str, stamp: Stamp | None = None) -> None:
        if problem and problem != self._problem:
            log.error("%s", problem)
        self._problem, self._problem_of = problem, stamp

    @property
    def problem(self) -> str:
        """Why the newest choice of versions does not serve, in a sentence; empty where it does."""
        if self._loader is None or self._problem_of is None:
            return self._problem
        # What was said of an earlier choice is over.
        return self._problem if _stamp(self._loader.repository) == self._problem_of else ""

    def _offer(self, loaded: Mapping[str, PinnedVersions]) -> None:
        champion = loaded.get(CHAMPION)
        if champion and champion != self.by_alias.get(CHAMPION):
            words = (f"{network} {version}" for network, version in champion.versions.items())
            log.info("champion: %s", ", ".join(words))
        self.by_alias = {
            alias: loaded[alias] for alias in pinned_versions.ALIASES if alias in loaded
        }

    async def _switch_clip(
        self, loader: Loader, snapshot: Snapshot, keep: set[PinnedVersions]
    ) -> None:
        # Whatever comes of the others, the champion serves first. The one before stays as well,
        # should there be no vectors of the new one yet.
        champion = snapshot.champion(CLIP[0])
        self._clips |= {self.clip}
        await self._load_clip(loader, champion, keep)
        if self._vectors and champion != self._vectors.clip:
            await self._vectors.use(champion)
        for clip in sorted(snapshot.clips()):
            await self._load_clip(loader, clip, keep)
        self._clips = snapshot.clips() | {self.clip}

    async def _load_clip(self, loader: Loader, clip: int, keep: set[PinnedVersions]) -> None:
        try:
            await self._load(loader, Needs.of(keep, self._clips | {clip}))
        except NotLoaded:
            with suppress(NotLoaded):
                await self._load(loader, Needs.of(keep, self._clips))
            raise
        self._clips |= {clip}

    async def _load(self, loader: Loader, needs: Needs) -> None:
        """Have all that is needed loaded, and leave the rest where it is."""
        held = await loader.held()
        await loader.write_configs(needs.versions)
        for network, versions in needs.versions.items():
            if versions - held.get(network, frozenset()):
                await loader.settle(network)
        for name, (written, pins) in needs.ensembles.items():
            if written == FEW_STEPS and not loader.has_few_steps():
                continue
            if not await loader.holds(name):
                await loader.load_ensemble(name, written, pins)
            self._ensembles.add(name)

    async def _let_go(self, loader: Loader) -> None:
        """Unload what no alias names and no render in flight uses."""
        flying = set(+self._flying)
        needs = Needs.of({*self.by_alias.values(), *flying}, self._clips)
        held = await loader.held()
        # First: they need the versions that go.
        for name in sorted(self._ensembles - set(needs.ensembles)):
            await loader.unload(name)
            self._ensembles.discard(name)
        await loader.write_configs(needs.versions)
        for network, versions in needs.versions.items():
            few_steps = {contract.FEW_STEPS_VERSION} if network == "unet" else set()
            if held.get(network, frozenset()) - versions - few_steps:
                await loader.settle(network)
        self._spare = not flying <= set(self.by_alias.values())


async def _is_held(loader: Loader, pinned: PinnedVersions) -> bool:
    names = [name for name in PAINTING if name != FEW_STEPS or loader.has_few_steps()]
    ensembles = [(pinned.ensemble(name), pinned_versions.EXPORTED) for name in names]
    for name, version in (*ensembles, *pinned.versions.items()):
        if not await loader.holds(name, version):
            return False
    return True


def _stamp(repository: Path) -> Stamp:
    return (*aliases.stamp(repository), *aliases.stamp_of(repository / canary.FILE))


@dataclass(frozen=True)
class Needs:
    """What Triton has to hold for some sets of versions and CLIPs."""

    versions: Mapping[str, set[int]]
    """Of each network."""
    ensembles: Mapping[str, tuple[str, Mapping[str, int]]]
    """By name: under which one it is written, and the versions in it."""

    @staticmethod
    def of(served_versions: set[PinnedVersions], clips: frozenset[int]) -> Needs:
        """What `served_versions` and the CLIP pairs of the versions `clips` need."""
        versions = {
            name: {up.versions[name] for up in served_versions} for name in pinned_versions.NETWORKS
        }
        versions |= {name: set(clips) for name in CLIP}
        ensembles = {
            up.ensemble(name): (name, up.versions) for up in served_versions for name in PAINTING
        } | {
            pinned_versions.clip_ensemble(name, clip): (name, dict.fromkeys(CLIP, clip))
            for clip in clips
            for name in EMBEDDING
        }
        return Needs(versions, ensembles)
