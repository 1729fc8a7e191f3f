"""Triton as the gateway sees it: two embeddings and a stream of render steps."""

from __future__ import annotations

import asyncio
import json
import logging
import math
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import aclosing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import numpy.typing as npt
from opentelemetry.trace import SpanKind
from tritonclient.grpc import InferInput
from tritonclient.grpc import aio as triton
from tritonclient.utils import InferenceServerException

from gateway.errors import CallerError
from gateway.telemetry import tracing
from gateway.triton.loading import Loader
from gateway.triton.pinned_versions import ServedVersions
from gateway.triton.recovery import AWAY, Recovery
from gateway.triton.streams import ENDINGS, Drains
from pipeline import contract, pinned_versions, wire
from pipeline.errors import MaquetteError, StageFailed, Unavailable, mistake_in
from pipeline.pinned_versions import EXPORTED, PinnedVersions
from pipeline.request import RenderRequest

Arrays = Mapping[str, npt.NDArray[Any]]
Vector = npt.NDArray[np.float32]

AWAY_STATUSES = ("UNAVAILABLE", "DEADLINE_EXCEEDED", "NOT_FOUND")
READY_SECONDS = 1.0
SAFETY_CHECKER = "safety_checker"
STAGES = ("condition", "denoise", "decode")
"""Of the model ``render``, in their order; it tells how long each took."""
RPC = {
    "rpc.system": "grpc",
    "rpc.service": "inference.GRPCInferenceService",
    "rpc.method": "ModelInfer",
}
STREAM_RPC = {**RPC, "rpc.method": "ModelStreamInfer"}
SILENT_SECONDS = 1.0
"""Without a step of any render: then it is time to see whether ``render`` lives."""
LIVENESS_SECONDS = 2.0
_IMPOSSIBLE = {
    "num_inference_steps": np.zeros(1, np.int32),
    **{name: np.array([b""], object) for name in ("sketch", "prompt", "style_images")},
}
"""What ``render`` refuses without any work."""

log = logging.getLogger("maquette.gateway")


class ModelDied(Unavailable):
    """The process of a served model has died; it is being mended.

    Args:
        model: its name, for :meth:`gateway.triton.recovery.Recovery.reload`.
    """

    def __init__(self, model: str) -> None:
        self.model = model
        super().__init__(f"The process of the model {model} died. It is being started again.")


@dataclass(frozen=True)
class ServedModel:
    """A model that Triton knows."""

    name: str
    version: str
    ready: bool


class Inference:
    """The served models that the gateway calls by name.

    Args:
        stall_seconds: how long Triton may be silent before a call is given up.
        mended: told the name of each model that had died and is back.
        repository: whose aliases say which versions serve; None serves what was exported.
        hang_seconds: of silence after which renders are not expected to succeed; None: never.
    """

    def __init__(
        self,
        client: triton.InferenceServerClient,
        stall_seconds: float,
        mended: Callable[[str], None] = lambda _model: None,
        repository: Path | None = None,
        hang_seconds: float | None = None,
    ) -> None:
        self.recovery = Recovery(client, mended)
        self.served_versions = ServedVersions(
            Loader(client, repository, self.recovery.loading) if repository else None
        )
        self.pack: Mapping[str, Any] = {}
        """The identity of the pack, as the last render told it."""
        self._client = client
        self._stall_seconds = stall_seconds
        self.hang_seconds = hang_seconds
        self._hangs = False
        """Whether the models did not answer when they were tried out last."""
        self._heard = time.monotonic()
        """When ``render`` last gave a sign of life."""
        self._moved = self._heard
        """When a render last got anywhere, or the first of those in progress began."""
        self._listening: set[asyncio.Timeout] = set()
        self._drains = Drains()

    @property
    def quiet_seconds(self) -> float:
        """How long no render has been in progress."""
        return 0.0 if self._listening else time.monotonic() - self._heard

    @property
    def hangs(self) -> bool:
        """Whether models have been asked for something, and were silent for too long."""
        silence = time.monotonic() - self._moved if self._listening else 0.0
        return self._hangs or silence > (self.hang_seconds or math.inf)

    def tried(self, *, answered: bool) -> None:
        """Take note of a trial of idle models."""
        if not answered and not self._hangs:
            log.error("the models have not answered for %g s", self.hang_seconds)
        self._hangs = not answered

    async def is_ready(self) -> bool:
        """Whether Triton answers, a champion is loaded, and no model is known to be dead."""
        if self.hangs:
            return False
        try:
            ready = await self._client.is_server_ready(client_timeout=READY_SECONDS)
        except InferenceServerException:
            return False
        return bool(ready) and self.recovery.healthy and self.served_versions.ready

    async def served(self) -> tuple[str, tuple[ServedModel, ...]]:
        """Triton's version, and its models by name.

        Raises:
            Unavailable: Triton does not answer.
        """
        try:
            server = await self._client.get_server_metadata(client_timeout=READY_SECONDS)
            index = await self._client.get_model_repository_index(client_timeout=READY_SECONDS)
        except InferenceServerException as error:
            raise Unavailable("Triton does not answer at the moment.") from error
        models = sorted(index.models, key=lambda model: model.name)
        known = [
            ServedModel(model.name, model.version, model.state == "READY")
            for model in models
            if model.state
        ]
        return server.version, tuple(known)

    async def has_safety_checker(self) -> bool:
        """Whether finished pictures are looked at before they are shown; True when in doubt."""
        try:
            return bool(
                await self._client.is_model_ready("check_image", client_timeout=READY_SECONDS)
            )
        except InferenceServerException:
            return True

    async def check_image(self, png: bytes) -> float | None:
        """How far a finished picture is beyond what may be shown: above 0, it is unsafe.

        None when the pack that painted it has no safety checker.
        """
        if SAFETY_CHECKER not in self.pack.get("engines", {}):
            return None
        outputs = await self._infer("check_image", {"image": np.array([[png]], object)})
        return float(outputs["unsafe"][0, 0])

    async def embed_text(self, prompt: str, clip: int = EXPORTED) -> Vector:
        """The retrieval vector ``[512]`` of a sentence, by that version of the CLIP pair."""
        model = pinned_versions.clip_ensemble("embed_text", clip)
        outputs = await self._infer(model, {"text": np.array([[prompt.encode()]], object)})
        return np.asarray(outputs["text_embedding"][0])

    async def embed_image(self, png: bytes, clip: int = EXPORTED) -> Vector:
        """The retrieval vector ``[512]`` of a picture, by that version of the CLIP pair."""
        model = pinned_versions.clip_ensemble("embed_image", clip)
        outputs = await self._infer(model, {"image": np.array([[png]], object)})
        return np.asarray(outputs["image_embedding"][0])

    async def render(
        self, request: RenderRequest, pinned: PinnedVersions | None = None
    ) -> AsyncGenerator[Arrays]:
        """The outputs of the ``render`` model: ``step`` each time, the pictures last.

        Closing the iterator cancels the render at its next step.

        Args:
            pinned: the versions that make it, all of it; None takes the champion.

        Raises:
            ModelDied: a process behind it died; nothing is lost when it is called again.
        """
        tensors = wire.to_tensors(request, pinned or self.served_versions.champion)
        with tracing.loose_span("render", SpanKind.CLIENT, None, **STREAM_RPC) as begun:
            begun.set_attribute("maquette.steps", request.first_steps)
            headers = tracing.inject({}, begun)
            async with aclosing(self._stream("render", tensors, headers)) as outputs:
                async for output in outputs:
                    if "pack" in output:
                        self.pack = json.loads(output["pack"][0])
                    if _is_last(output):
                        # Models that work are not tried out while renders go on.
                        self._hangs = False
                        stages = {stage: float(output[f"{stage}_seconds"][0]) for stage in STAGES}
                        tracing.past_spans(begun, stages)
                    yield output
                    if _is_last(output):
                        # Nobody waits for Triton to close the stream.
                        return

    async def check_liveness(self) -> None:
        """See whether ``render`` lives, when renders are in progress and nothing was heard lately.

        Triton does not end the streams of a decoupled model whose process has died. A request that
        the model is bound to refuse tells at once.
        """
        if not self._listening or time.monotonic() - self._heard < SILENT_SECONDS:
            return
        stream = self._client.stream_infer(_requests("render", _IMPOSSIBLE))
        since = time.monotonic()
        with suppress(*ENDINGS):
            try:
                async with asyncio.timeout(LIVENESS_SECONDS):
                    _, error = await anext(stream)
            finally:
                self._drains.add(stream)
            self._heard = time.monotonic()
            self._diagnose(str(error), since)

    async def _stream(
        self, model: str, arrays: Arrays, headers: dict[str, str]
    ) -> AsyncGenerator[Arrays]:
        stream = self._client.stream_infer(_requests(model, arrays), headers=headers)
        since = time.monotonic()
        ending = False
        try:
            while True:
                result, error = await self._next(stream)
                # With `triton_grpc_error` it would be a gRPC status, but Triton 24.10 crashes now
                # and then when it ends several streams so at once.
                if error is not None:
                    ending = True
                    raise error
                since = self._heard = self._moved = time.monotonic()
                if outputs := _outputs(result):
                    ending = _is_last(outputs)
                    yield outputs
        except StopAsyncIteration:
            return
        except TimeoutError as error:
            died = self.recovery.missed(since)
            raise ModelDied(died) if died else Unavailable(_not_served(model)) from error
        except (InferenceServerException, grpc.RpcError) as error:
            raise self._translated(model, error, since) from error
        finally:
            if ending:
                self._drains.add(stream)
            else:
                stream.cancel()

    async def close(self) -> None:
        """Leave the models as they are, and the streams that have not ended."""
        self.recovery.close()
        await self._drains.close()

    async def _next(self, stream: Any) -> Any:
        async with asyncio.timeout(self._stall_seconds) as patience:
            if not self._listening:
                self._moved = time.monotonic()
            self._listening.add(patience)
            try:
                return await anext(stream)
            finally:
                self._listening.discard(patience)

    async def _infer(self, model: str, arrays: Arrays) -> Arrays:
        try:
            return await self._infer_once(model, arrays)
        except ModelDied as error:
            await self.recovery.reload(error.model)
            return await self._infer_once(model, arrays)

    async def _infer_once(self, model: str, arrays: Arrays) -> Arrays:
        since = time.monotonic()
        try:
            with tracing.span(model, SpanKind.CLIENT, None, **RPC):
                result = await self._client.infer(
                    model,
                    _inputs(model, arrays),
                    client_timeout=self._stall_seconds,
                    headers=tracing.inject({}),
                )
        except InferenceServerException as error:
            raise self._translated(model, error, since) from error
        return _outputs(result)

    def _translated(self, model: str, error: Exception, since: float) -> MaquetteError:
        """Triton's error as one of ours; `since` is when the call last got anywhere."""
        status, message = _status(error)
        if sentence := mistake_in(message):
            return CallerError(sentence)
        died = self._diagnose(message, since)
        if died:
            return ModelDied(died)
        if any(word in status for word in AWAY_STATUSES) or AWAY.search(message):
            return Unavailable(_not_served(model))
        log.error("%s failed: %s %s", model, status, message)
        return StageFailed(f"The model {model} failed; the server's log has the details.")

    def _diagnose(self, message: str, since: float) -> str | None:
        died = self.recovery.diagnose(message, since)
        if self.recovery.is_dead("render"):
            # Its renders will hear nothing any more, so their patience ends here.
            for patience in self._listening:
                if not patience.expired():
                    patience.reschedule(asyncio.get_running_loop().time())
        return died


def _is_last(outputs: Arrays) -> bool:
    """Whether nothing follows these outputs of ``render``."""
    return "images" in outputs


async def _requests(model: str, arrays: Arrays) -> AsyncIterator[dict[str, Any]]:
    yield {"model_name": model, "inputs": _inputs(model, arrays)}


def _inputs(model: str, arrays: Arrays) -> list[InferInput]:
    inputs = []
    for name, array in arrays.items():
        declared = contract.MODELS[pinned_versions.base(model)]
        tensor = InferInput(name, array.shape, declared.input(name).dtype)
        tensor.set_data_from_numpy(array)
        inputs.append(tensor)
    return inputs


def _outputs(result: Any) -> Arrays:
    return {output.name: result.as_numpy(output.name) for output in result.get_response().outputs}


def _not_served(model: str) -> str:
    return f"Triton does not serve {model} at the moment. Try again shortly."


def _status(error: Exception) -> tuple[str, str]:
    if isinstance(error, grpc.aio.AioRpcError):
        return error.code().name, error.details() or ""
    if isinstance(error, InferenceServerException):
        return str(error.status() or ""), str(error.message())
    return "", str(error)
