"""A candidate that is tried on what people ask for, and called off when it does worse.

A share of the renders is made by the candidate, or made by it as well and thrown away (a shadow).
Which ones, a hash of the request decides: the same request always has the same versions.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import fmean, median

from gateway.background.jobs import JobPool
from gateway.telemetry.outcomes import RenderOutcome
from gateway.triton.inference import ModelDied
from gateway.triton.pinned_versions import CHAMPION, ServedVersions
from pipeline.errors import MaquetteError, StageFailed
from pipeline.pinned_versions import PinnedVersions
from pipeline.request import RenderRequest
from versions import canary, operations
from versions.canary import Bounds, Counts
from versions.repositories import Repository

CANDIDATE = "candidate"
WINDOW = 200
"""Renders of each that count, the latest."""
OPERATOR = "the gateway"
TELLING = 4
"""Lines of the history that are written at once, which only a store that hangs makes many."""
CLOSE_SECONDS = 5.0

log = logging.getLogger("maquette.gateway")


@dataclass
class Record:
    """How the renders of one set of versions went lately."""

    renders: int = 0
    """All of them, of which the rest are the latest."""
    failures: int = 0
    failed: deque[bool] = field(default_factory=lambda: deque(maxlen=WINDOW))
    step_seconds: deque[float] = field(default_factory=lambda: deque(maxlen=WINDOW))
    structure: deque[float] = field(default_factory=lambda: deque(maxlen=WINDOW))

    def note(self, went: RenderOutcome | None) -> None:
        """A render has ended; None when it failed."""
        self.renders += 1
        self.failures += went is None
        self.failed.append(went is None)
        if went:
            self.step_seconds.append(went.step_seconds)
            self.structure.append(went.structure_f1)


def worse(candidate: Record, champion: Record, bounds: Bounds) -> str:
    """Where the candidate is outside of `bounds`, in a sentence; empty while it is not."""
    least = max(bounds.least_renders, 1)
    if len(candidate.failed) >= least:
        share = fmean(candidate.failed)
        if share > bounds.max_error_share:
            return f"{share:.0%} of its renders failed; allowed: {bounds.max_error_share:.0%}."
    if min(len(candidate.step_seconds), len(champion.step_seconds)) < least:
        return ""
    ratio = median(candidate.step_seconds) / median(champion.step_seconds)
    if ratio > bounds.max_latency_ratio:
        return (
            f"A step takes {ratio:.2f} times the champion's; allowed: {bounds.max_latency_ratio:g}."
        )
    loss = fmean(champion.structure) - fmean(candidate.structure)
    if loss > bounds.max_structure_loss:
        return (
            f"Its structure F1 is {loss:.3f} below the champion's; "
            f"allowed: {bounds.max_structure_loss:g}."
        )
    return ""


def may_be_caused_by(
    error: StageFailed | ModelDied, pinned: PinnedVersions, champion: PinnedVersions
) -> bool:
    """Whether `error` may be of a network in which `pinned` differs from the champion.

    A process that was killed is started again, and the render with it; one of such a network that
    dies in both tries may be killed by its engine.
    """
    ours, theirs = pinned.versions, champion.versions
    if isinstance(error, ModelDied):
        return ours.get(error.model) != theirs.get(error.model)
    return ours != theirs


class CanaryController:
    """The canary as it runs in this gateway.

    Args:
        served_versions: what can be asked for, and how the candidate is to be tried.
        repository: where calling it off is written down; None where nothing is tried.
    """

    def __init__(self, served_versions: ServedVersions, repository: Repository | None) -> None:
        self._served_versions = served_versions
        self._repository = repository
        self._plan = canary.Canary(since="")
        self._records = {CHAMPION: Record(), CANDIDATE: Record()}
        self._compared: tuple[PinnedVersions | None, ...] = ()
        """The versions that the records are of."""
        self._called_off = False
        """This plan, until there is another."""
        self._telling: set[asyncio.Task[None]] = set()
        self._threads = JobPool(TELLING, "records of a canary")
        served_versions.changed = self._current

    @property
    def counts(self) -> Counts:
        """What the canary came to here by now."""
        self._current()
        return self._counts()

    async def close(self) -> None:
        """Write down what it came to: the next gateway begins anew."""
        self._tell_counts()
        if self._telling:
            await asyncio.wait(self._telling, timeout=CLOSE_SECONDS)
        self._threads.close()

    def alias_for(self, request: RenderRequest) -> str:
        """What makes a render that asked for no versions."""
        share = self._current().share
        return CANDIDATE if share and self._is_chosen(request, share, "canary") else CHAMPION

    def has_shadow(self, request: RenderRequest) -> bool:
        """Whether the candidate is to make this render as well."""
        share = self._current().shadow
        return bool(share) and self._is_chosen(request, share, "shadow")

    def note(self, pinned: PinnedVersions, went: RenderOutcome | None) -> None:
        """A render by `pinned` has ended; None when it failed."""
        plan = self._current()
        alias = next(
            (a for a in self._records if self._served_versions.by_alias.get(a) == pinned), None
        )
        # One that began with versions which have no such name any more counts for nobody.
        if not plan.is_on or alias is None:
            return
        self._records[alias].note(went)
        reason = worse(self._records[CANDIDATE], self._records[CHAMPION], plan.bounds)
        if reason:
            self._call_off(reason)

    def _current(self) -> canary.Canary:
        plan = self._served_versions.canary
        compared = tuple(self._served_versions.by_alias.get(alias) for alias in self._records)
        # Triton that comes back after a restart brings the same versions, and the same plan.
        if plan != self._plan or (None not in compared and compared != self._compared):
            self._tell_counts()
            self._called_off = self._called_off and plan == self._plan
            self._plan, self._compared = plan, compared
        if CANDIDATE not in self._served_versions.by_alias or self._called_off:
            return replace(plan, share=0.0, shadow=0.0)
        return plan

    @staticmethod
    def _is_chosen(request: RenderRequest, share: float, purpose: str) -> bool:
        # Without the seed, so that variations of one picture do not change hands.
        told = f"{purpose}\n{request.prompt}\n{request.scheduler}\n".encode()
        digest = hashlib.sha256(told + hashlib.sha256(request.drawing).digest()).digest()
        return int.from_bytes(digest[:8]) / 2**64 < share

    def _call_off(self, reason: str) -> None:
        log.warning("the candidate is called off: %s", reason)
        plan, counts = self._plan, self._counts()
        wanted = replace(plan, share=0.0, shadow=0.0, who=OPERATOR, why=reason)
        self._called_off = True
        self._begin_anew()
        self._tell(
            lambda folder: operations.set_canary(folder, wanted, counts=counts, instead_of=plan)
        )

    def _counts(self) -> Counts:
        candidate, champion = self._records[CANDIDATE], self._records[CHAMPION]
        return Counts(candidate.renders, candidate.failures, champion.renders)

    def _begin_anew(self) -> None:
        self._records = {CHAMPION: Record(), CANDIDATE: Record()}

    def _tell_counts(self) -> None:
        """Let the history say what a plan came to that has ended, whoever ended it."""
        counts = self._counts()
        self._begin_anew()
        champion, candidate = self._compared or (None, None)
        if not (counts.candidate_renders and champion and candidate):
            return
        tried = {
            network: version
            for network, version in candidate.versions.items()
            if version != champion.versions[network]
        }
        ended = replace(self._plan, who=OPERATOR, why=counts.told)
        entry = canary.entry(ended, tried, counts)
        self._tell(lambda folder: operations.record(folder, entry))

    def _tell(self, change: Callable[[Path], object]) -> None:
        if self._repository is None:
            return
        task = asyncio.create_task(self._told(self._repository, change), name="canary")
        self._telling.add(task)
        task.add_done_callback(self._telling.discard)

    async def _told(self, repository: Repository, change: Callable[[Path], object]) -> None:
        try:
            await self._threads.run(lambda: repository.change(change, patient=True))
        except (MaquetteError, OSError) as error:
            # This gateway does as it decided all the same.
            log.error("what became of a canary could not be written down: %s", error)
