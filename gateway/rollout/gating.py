"""The gate in this gateway: its own renders, by the candidate and the champion in turns."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from gateway.background.jobs import JobProgress
from gateway.worker.events import Event, Finished
from gateway.worker.service import Service
from pipeline.errors import InvalidRequest, Unavailable
from pipeline.request import RenderRequest
from versions.gates import Verdict

if TYPE_CHECKING:
    from evaluation.compare import Made, Served
    from evaluation.golden import Scene

MAX_RENDERS = 100
"""Scenes of one gate."""
DRY_RUNS = "dry-run"
"""The folder for reports that no verdict in the history names."""


@dataclass(frozen=True)
class Judged:
    """What a gate decided, and what is said of it."""

    verdict: Verdict
    said: tuple[str, ...]


class Gates:
    """Holds candidates against the champion.

    Args:
        reports: gets a folder with a report for each candidate.
    """

    def __init__(self, service: Service, reports: Path) -> None:
        self._service = service
        self._reports = reports

    def judged(
        self,
        repository: Path,
        model: str,
        version: int,
        renders: int | None,
        steps: JobProgress,
        *,
        dry_run: bool = False,
    ) -> Verdict:
        """Hold candidate `version` of `model` against the champion. For a thread; takes minutes.

        Args:
            renders: scenes; None: as many as usual.
            steps: told how far it is, and asked whether it is to go on.
            dry_run: its report lies apart, so that the one on a verdict that is kept stays.

        Raises:
            InvalidRequest: `renders` is out of its range.
            Unavailable: pictures cannot be measured here, or these versions are not served.
            Cancelled: nobody waits for it any more.
            MaquetteError: the champion does not paint.
        """
        if renders is not None and not 1 <= renders <= MAX_RENDERS:
            allowed = f"1 to {MAX_RENDERS}"
            raise InvalidRequest("renders", renders, allowed, "Leave it out for the usual ones.")
        gate = _judge()
        self._require_room_for_reports()
        reports = self._reports.resolve()
        steps.report(f"waiting for {model} {version}", 0, 0)
        return gate.judged(
            Door(self._service, steps, gate.compare),
            repository,
            model,
            version,
            out=reports / DRY_RUNS if dry_run else reports,
            renders=renders,
            progress=lambda what, total: _shown(steps, what, total),
        )

    def _require_room_for_reports(self) -> None:
        try:
            self._reports.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise Unavailable(
                f"No report can be written to {self._reports}: {error.strerror}. Set "
                "MAQUETTE_REPORTS to a folder that the gateway may write to."
            ) from error


class Door:
    """This gateway from inside; a door of :mod:`evaluation.compare`, for a thread.

    Its renders go last of all, and count for nobody's quota.
    """

    def __init__(self, service: Service, steps: JobProgress, compare: ModuleType) -> None:
        self._service = service
        self._steps = steps
        self._compare = compare

    def paint(self, scene: Scene, alias: str) -> Made:
        request = RenderRequest(**self._compare.asked_for(scene, alias))
        done = self._steps.ask(self._rendered(request))
        seconds = done.timings.total - done.timings.queue
        made: Made = self._compare.Made(done.pictures[0].png, done.versions, seconds)
        return made

    def served(self) -> Served:
        self._steps.require_somebody()
        found = self._service.inference.served_versions
        served_versions = {alias: pinned.versions for alias, pinned in found.by_alias.items()}
        served: Served = self._compare.Served(served_versions, found.problem)
        return served

    async def _rendered(self, request: RenderRequest) -> Finished:
        checked = await self._service.decoded(request)
        events: list[Event] = []
        await self._service.render(checked, events.append, last=True)
        done = events[-1]
        assert isinstance(done, Finished)  # noqa: S101 - the last that is told
        return done


def _judge() -> ModuleType:
    """What measures pictures, which is not installed wherever a gateway is."""
    try:
        return importlib.import_module("evaluation.gate")
    except ImportError as error:
        raise Unavailable(
            f"A gate measures pictures, which cannot be done in this gateway ({error}). Run "
            "`maquette models gate` from a checkout of maquette, with --repository and --server."
        ) from error


@contextmanager
def _shown(steps: JobProgress, what: str, total: int) -> Iterator[Callable[[], None]]:
    done = 0

    def advance() -> None:
        nonlocal done
        done += 1
        steps.report(what, done, total)

    steps.report(what, 0, total)
    yield advance
