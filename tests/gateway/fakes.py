"""What stands in for Triton: an honest small painter with the interface of ``Inference``."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import numpy as np

from gateway.auth.audit import Audit
from gateway.auth.authenticator import Authenticator
from gateway.auth.call_context import CallContext
from gateway.auth.caller import Quota
from gateway.auth.keys import KeyStore
from gateway.auth.limits import Limits
from gateway.doors.parts import Parts
from gateway.information import Information
from gateway.renders.registry import Renders
from gateway.rollout.administration import Administration
from gateway.rollout.publish_sources import Sources
from gateway.settings import Settings
from gateway.telemetry.metrics import Metrics
from gateway.triton.inference import Arrays, ServedModel, Vector
from gateway.triton.pinned_versions import ServedVersions
from gateway.worker.admission import Admission
from gateway.worker.moderation import DeniedWords, Moderation
from gateway.worker.service import Service
from pipeline.images import encode_png
from pipeline.pinned_versions import PinnedVersions
from pipeline.request import RenderRequest
from pipeline.topology import SD15
from retrieval.library import open_library
from retrieval.styles import NewStyle
from tests.conftest import ROOT
from versions.repositories import LocalRepository

SIDE = 64
PACK = {"name": "painted", "precision": "fp32", "engine": "none", "engines": {}}
WARNING = "The prompt was cut after “façade”."
"""Told when a prompt has more than 20 words; a header cannot carry all of its letters."""
DENIED = "forbidden"
"""A word that moderation refuses."""
BOUNDLESS = Quota(1_000_000, 1_000_000, 1_000, 1_000_000)
STYLES = {"winter": "snow", "sunset": "warm", "blueprint": "drawing"}
"""Bundled styles, and a tag of each."""


class Painter:
    """Paints one colour per seed, step by step, and waits at each step while it is held."""

    def __init__(self) -> None:
        self.pack = PACK
        self.served_versions = ServedVersions()
        self.ready = True
        self.failure: Exception | None = None
        """Raised after the first step, when set."""
        self.begun = 0
        self.newest: RenderRequest | None = None
        self.left_early = 0
        """Renders that were closed before their last step."""
        self._go_on = asyncio.Event()
        self._go_on.set()
        self._held_after = 0

    def hold(self, after: int = 0) -> None:
        """Stop at the next step of each render that has taken `after` steps."""
        self._held_after = after
        self._go_on.clear()

    def go_on(self) -> None:
        """Paint again."""
        self._go_on.set()

    async def is_ready(self) -> bool:
        return self.ready

    async def served(self) -> tuple[str, tuple[ServedModel, ...]]:
        return "2.51.0", (ServedModel("render", "1", self.ready),)

    async def has_safety_checker(self) -> bool:
        return False

    async def embed_text(self, prompt: str, clip=1) -> Vector:
        return _vector(prompt.encode())

    async def embed_image(self, png: bytes, clip=1) -> Vector:
        return _vector(png)

    async def render(self, request: RenderRequest, pinned=None) -> AsyncGenerator[Arrays]:
        self.begun += 1
        self.newest = request
        ended = False
        try:
            for step in range(1, request.num_inference_steps + 1):
                if step > self._held_after:
                    await self._go_on.wait()
                await asyncio.sleep(0)
                yield _step(step, request)
                if self.failure:
                    raise self.failure
            ended = True
            yield _last(request, pinned or PinnedVersions())
        finally:
            self.left_early += not ended


def _vector(of: bytes) -> Vector:
    seed = int.from_bytes(hashlib.sha256(of).digest()[:8])
    vector = np.random.default_rng(seed).standard_normal(SD15.clip_dim).astype(np.float32)
    return vector / np.linalg.norm(vector)


def _step(step: int, request: RenderRequest) -> Arrays:
    steps = np.array([request.num_inference_steps], np.int32)
    told = {"step": np.array([step], np.int32), "steps": steps}
    if request.preview_interval and step % request.preview_interval == 0:
        told["preview"] = _files([_painted(seed) for seed in range(request.num_images)])
    return told


def _last(request: RenderRequest, pinned: PinnedVersions) -> Arrays:
    seeds = [(request.seed or 0) + n for n in range(request.num_images)]
    warnings = [WARNING.encode()] if len(request.prompt.split()) > 20 else []
    return {
        "images": _files([_painted(seed) for seed in seeds]),
        "seeds": np.array(seeds, np.int64),
        "sketch_kind": _files([b"clean"]),
        "structure_f1": np.full(len(seeds), 0.75, np.float32),
        "control_image": _files([_painted(0)]),
        "warnings": _files(warnings),
        "condition_seconds": np.array([0.1], np.float32),
        "denoise_seconds": np.array([0.2], np.float32),
        "decode_seconds": np.array([0.3], np.float32),
        "steps": np.array([request.num_inference_steps], np.int32),
        "pack": _files([json.dumps(PACK).encode()]),
        "versions": _files([json.dumps(pinned.versions).encode()]),
    }


def _painted(seed: int) -> bytes:
    colour = [seed % 256, seed // 256 % 256, 128]
    return encode_png(np.full((SIDE, SIDE, 3), colour, np.uint8))


def _files(files: list[bytes]) -> np.ndarray:
    array = np.empty(len(files), object)
    array[:] = files
    return array


@dataclass(frozen=True)
class Stage:
    """The parts of a gateway, and the painter in Triton's place."""

    parts: Parts
    painter: Painter


@asynccontextmanager
async def staged(settings: Settings, quota: Quota = BOUNDLESS) -> AsyncIterator[Stage]:
    """The real parts over a painter, with a library of three styles on Qdrant's embedded engine."""
    painter = Painter()
    async with AsyncExitStack() as held:
        limits = Limits(None)
        held.push_async_callback(limits.close)
        keys = KeyStore(settings.keys)
        authenticator = Authenticator(limits, quota, keys, required=settings.auth_required)
        audit = Audit(settings.audit, lambda: "") if settings.audit else None
        if audit:
            held.callback(audit.close)
        desk = CallContext(authenticator, Metrics("0"), audit)
        library = await held.enter_async_context(open_library(settings.library))
        for name, tag in STYLES.items():
            picture = (ROOT / f"examples/styles/{name}.png").read_bytes()
            await library.add(NewStyle(picture, name, [name, tag, "bundled"]), painter.embed_image)
        denied = settings.library / "denied.txt"
        denied.write_text(DENIED)
        moderation = Moderation([DeniedWords(denied)], seconds=5)
        admission = Admission(settings.max_running, settings.max_waiting)
        desk.metrics.watch(lambda: admission.waiting, lambda: admission.running)
        service = Service(painter, library, admission, moderation)
        keep = settings.keep_megabytes * 1_000_000
        held.push_async_callback(service.close)
        renders = Renders(service, limits, desk, settings.keep_seconds, keep)
        held.push_async_callback(renders.close, 0)
        told = Information(painter)
        repository = LocalRepository(settings.repository) if settings.repository else None
        sources = Sources(settings.incoming, settings.publish_sources)
        ruled = Administration(
            repository, desk, painter, told, library, sources, lambda: service.canary_counts,
        )  # fmt: skip
        held.push_async_callback(ruled.close)
        yield Stage(Parts(desk, painter, service, renders, told, ruled), painter)
