"""What stands behind both faces of the protocol: one model, which is the whole render."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from typing import Any

from gateway.auth.caller import Caller
from gateway.doors.openinference import model
from gateway.doors.openinference.model import OUTPUTS, Output
from gateway.doors.openinference.statistics import Statistics
from gateway.doors.openinference.tensors import InferRequest
from gateway.renders.registry import Renders, SubmitOptions
from gateway.worker.events import Finished
from pipeline.errors import DeadlineExceeded, StageFailed

EXTENSIONS = ("binary_tensor_data", "model_configuration", "statistics")


class VirtualModel:
    """``sketch_to_render``, served by the gateway itself.

    Args:
        renders: begins them.
        is_ready: whether a render could be served now.
        version: maquette's, for the server's metadata.
    """

    def __init__(
        self, renders: Renders, is_ready: Callable[[], Awaitable[bool]], version: str
    ) -> None:
        self._renders = renders
        self._version = version
        self._statistics = Statistics()
        self.is_ready = is_ready

    async def infer(self, request: InferRequest, caller: Caller) -> list[Output]:
        """Render, and return the outputs that were asked for; leaving cancels the render.

        Raises:
            MaquetteError: as :meth:`gateway.renders.registry.Renders.begin` and the render say;
                ``DeadlineExceeded`` when the request's timeout is over.
        """
        started = time.perf_counter()
        try:
            identity, done = await self._in_time(request, caller)
        except BaseException:
            self._statistics.failed(time.perf_counter() - started)
            raise
        self._statistics.succeeded(time.perf_counter() - started, done.timings)
        outputs = model.outputs(identity, done)
        return [outputs[name] for name in request.outputs or OUTPUTS]

    def server_metadata(self) -> dict[str, Any]:
        """As the protocol's JSON."""
        return {"name": "maquette", "version": self._version, "extensions": list(EXTENSIONS)}

    def statistics(self) -> dict[str, Any]:
        """As the protocol's JSON."""
        return self._statistics.told()

    async def repository(self, *, ready: bool) -> list[dict[str, str]]:
        """The models there are, as the protocol's JSON; only those that are ready if so asked."""
        if await self.is_ready():
            return [{"name": model.NAME, "version": model.VERSION, "state": "READY"}]
        reason = "Triton or the style library does not answer"
        down = {"name": model.NAME, "version": model.VERSION, "state": "UNAVAILABLE"}
        return [] if ready else [{**down, "reason": reason}]

    async def _in_time(self, request: InferRequest, caller: Caller) -> tuple[str, Finished]:
        try:
            async with asyncio.timeout(request.timeout) as deadline:
                return await self._rendered(request, caller)
        except TimeoutError as error:
            if not deadline.expired():
                raise
            raise DeadlineExceeded(
                f"The render was not finished within its timeout of {request.timeout:g} s. "
                "Give it more time, or ask for fewer steps."
            ) from error

    async def _rendered(self, request: InferRequest, caller: Caller) -> tuple[str, Finished]:
        render = await self._renders.begin(request.render, caller, SubmitOptions())
        async with aclosing(render.follow()) as events:
            async for event in events:
                if isinstance(event, Finished):
                    return render.id, event
        raise StageFailed("a render ended without a picture")
