"""Has Triton make a render by the versions it is pinned to, and again where that may help."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import aclosing, suppress
from dataclasses import replace

from gateway.telemetry import tracing
from gateway.telemetry.outcomes import RenderOutcome
from gateway.triton.inference import Arrays, Inference, ModelDied
from gateway.triton.pinned_versions import CHAMPION
from gateway.worker.admission import Admission
from gateway.worker.canary import CANDIDATE, CanaryController, may_be_caused_by
from pipeline.errors import MaquetteError, StageFailed
from pipeline.pinned_versions import PinnedVersions
from pipeline.request import RenderRequest
from versions.canary import Counts
from versions.repositories import Repository

OnOutput = Callable[[Arrays], None]
"""Takes each message of the model ``render`` as it comes."""

log = logging.getLogger("maquette.gateway")


class Painting:
    """Renders by champion and candidate, as far as Triton is concerned.

    Args:
        admission: whose places shadows take where two are free.
        repository: where a candidate that does worse is called off.
        painted_by: told which versions made a render, and how that went; None when it failed.
    """

    def __init__(
        self,
        inference: Inference,
        admission: Admission,
        repository: Repository | None,
        painted_by: Callable[[str, RenderOutcome | None], None],
    ) -> None:
        self._inference = inference
        self._versions = inference.served_versions
        self._admission = admission
        self._canary = CanaryController(self._versions, repository)
        self._painted_by = painted_by
        self._shadows: set[asyncio.Task[None]] = set()

    @property
    def counts(self) -> Counts:
        """What the canary came to here by now."""
        return self._canary.counts

    async def paint(self, request: RenderRequest, on_output: OnOutput) -> Arrays:
        """The last message of ``render``, with the pictures.

        Raises:
            MaquetteError: as :meth:`gateway.triton.inference.Inference.render` says.
        """
        alias = request.versions or self._canary.alias_for(request)
        output = await self._by_alias(alias, request, on_output)
        is_ordinary = alias == CHAMPION and not request.versions
        if is_ordinary and self._canary.has_shadow(request):
            task = asyncio.create_task(self._shadow(replace(request, preview_interval=0)))
            self._shadows.add(task)
            task.add_done_callback(self._shadows.discard)
        return output

    async def close(self) -> None:
        """End the shadows that are still made, which nobody waits for."""
        for task in self._shadows:
            task.cancel()
        await asyncio.gather(*self._shadows, return_exceptions=True)
        await self._canary.close()

    async def _by_alias(self, alias: str, request: RenderRequest, on_output: OnOutput) -> Arrays:
        """A render by what `alias` stands for now, whatever is promoted meanwhile.

        Where a candidate fails that nobody asked for, the champion makes the render instead. What
        it can make, the candidate failed at; what it fails at, too, is the request's fault or
        maquette's, and counts against nobody.
        """
        pinned = self._versions.named(alias)
        try:
            return await self._counted(request, pinned, on_output)
        except (StageFailed, ModelDied) as error:
            champion = self._versions.champion
            if request.versions or not may_be_caused_by(error, pinned, champion):
                raise
            log.warning("the champion makes a render that the candidate failed at: %s", error)
            output = await self._counted(request, champion, on_output)
            self._canary.note(pinned, None)
            return output

    async def _counted(
        self, request: RenderRequest, pinned: PinnedVersions, on_output: OnOutput
    ) -> Arrays:
        """As :meth:`_retried`, by versions that stay loaded meanwhile; a picture counts."""
        with self._versions.flying(pinned):
            try:
                output = await self._retried(request, pinned, on_output)
            except (StageFailed, ModelDied):
                self._painted_by(pinned.id, None)
                raise
        seconds = float(output["denoise_seconds"][0]) / float(output["steps"][0])
        outcome = RenderOutcome(seconds, float(output["structure_f1"].mean()))
        self._painted_by(pinned.id, outcome)
        if not request.versions:
            # What is asked for by name, as a gate does, says nothing of people's renders.
            self._canary.note(pinned, outcome)
        return output

    async def _retried(
        self, request: RenderRequest, pinned: PinnedVersions, on_output: OnOutput
    ) -> Arrays:
        """When a served model dies, the render starts once more from its first step."""
        try:
            return await self._once(request, pinned, on_output)
        except ModelDied as error:
            with tracing.span("reload", model=error.model):
                await self._inference.recovery.reload(error.model)
        return await self._once(request, pinned, on_output)

    async def _once(
        self, request: RenderRequest, pinned: PinnedVersions, on_output: OnOutput
    ) -> Arrays:
        output: Arrays = {}
        async with aclosing(self._inference.render(request, pinned)) as outputs:
            async for output in outputs:
                on_output(output)
        if "images" not in output:
            raise StageFailed("render ended without a picture")
        return output

    async def _shadow(self, request: RenderRequest) -> None:
        """Let the candidate make `request` as well, where that leaves a place for others."""
        if self._admission.free_places < 2:
            return
        with suppress(MaquetteError):
            async with self._admission.slot():
                pinned = self._versions.named(CANDIDATE)
                try:
                    await self._counted(request, pinned, lambda _output: None)
                except (StageFailed, ModelDied) as error:
                    # The champion has made this very render.
                    if may_be_caused_by(error, pinned, self._versions.champion):
                        self._canary.note(pinned, None)
