"""What paints the pictures of one render: a pack's networks, and how the request uses them."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy.typing as npt

from pipeline import contract, images, repaint, vae
from pipeline.denoise import (
    Conditioning,
    Denoiser,
    Guidance,
    Noise,
    Prediction,
    Tensors,
    denoise,
)
from pipeline.enlarge import Enlarging, tiled
from pipeline.images import Picture
from pipeline.pinned_versions import PinnedVersions
from pipeline.preview import LatentRgb, previews
from pipeline.request import SEEDS, RenderRequest
from pipeline.samplers import SAMPLERS, Array, NoiseSchedule, Start
from pipeline.tensor import shortest_decimal
from pipeline.topology import SD15, Topology

OnStep = Callable[[int, int, tuple[bytes, ...]], Awaitable[None]]
"""Takes how many steps are done, of how many, and a preview of each image, as PNG files; none at
most steps."""


class Infer(Protocol):
    """Runs one model of the contract: Triton in production, torch or a closed form in tests."""

    async def __call__(self, model: str, inputs: Tensors) -> Mapping[str, npt.NDArray[Any]]:
        """`model`'s outputs by name. It is called as :mod:`pipeline.pinned_versions` names it."""


@dataclass(frozen=True)
class PackFacts:
    """What a pack's pictures are made with, beside its networks."""

    schedule: NoiseSchedule
    native_size: int
    """The side in pixels that its networks were trained at."""
    vae_tile: int = 0
    """Side in pixels of the tiles that are decoded one by one; 0 decodes all at once, but for
    enlarged pictures."""
    latent_rgb: LatentRgb | None = None
    """What previews are made with; without it there are none."""
    few_steps: bool = False
    """Whether ``denoiser_lcm`` is served, whose UNet was distilled for the sampler ``lcm`` without
    guidance."""
    topology: Topology = SD15


@dataclass
class Progress:
    """Tells each step that is done: one evaluation of the denoiser, for all rows of a render.

    Of an enlarged picture each tile is one.
    """

    on_step: OnStep
    steps: int
    done: int = 0

    async def advance(self, made: tuple[bytes, ...] = ()) -> None:
        """One more is done, and `made` are its previews."""
        self.done += 1
        await self.on_step(self.done, self.steps, made)


@dataclass
class Painter:
    """Paints for one request.

    Args:
        pinned: the versions of the networks.
    """

    infer: Infer
    request: RenderRequest
    pack: PackFacts
    pinned: PinnedVersions
    progress: Progress
    denoise_seconds: float = 0.0
    decode_seconds: float = 0.0
    seeds: list[int] = field(init=False)
    """Of each picture."""

    def __post_init__(self) -> None:
        self.seeds, self._variation = _seeds(self.request)
        self._guidance = _guidance(self.request, self.pack.topology)

    @property
    def distilled(self) -> bool:
        """Whether it paints with the UNet for few steps."""
        # Guidance is distilled into those weights, and more of it burns the picture.
        lcm = self.pack.few_steps and self.request.scheduler == "lcm"
        return lcm and not self._guidance.classifier_free

    @property
    def versions(self) -> dict[str, int]:
        """Of the networks that it paints with."""
        few_steps = {"unet": contract.FEW_STEPS_VERSION} if self.distilled else {}
        return self.pinned.versions | few_steps

    async def paint(
        self, conditioning: Conditioning, size: tuple[int, int], canvas: repaint.Canvas | None
    ) -> list[Picture]:
        """Pictures of `size`, width and height in pixels.

        Args:
            canvas: what they begin with; None begins with noise.
        """
        start = await self._start(canvas) if canvas else Start(taken=self.request.steps_taken)
        painted = await self._painted(start, conditioning, size, self._denoiser, self.pack.vae_tile)
        return [*map(canvas.finished, painted)] if canvas else painted

    async def enlarge(
        self, pictures: list[Picture], conditioning: Conditioning, larger: Enlarging
    ) -> list[Picture]:
        """`pictures`, one for each seed or for all of them, made `larger`.

        Args:
            conditioning: with edges at the size that they will have.
        """
        factor = self.pack.topology.vae_scale_factor
        tile = self.pack.vae_tile or vae.tile_of(self.pack.native_size)
        start = await larger.start(self._encode, pictures, tile, factor)
        edges = larger.padded(conditioning.control_image)
        denoiser = tiled(self._denoiser, larger.tiles, factor, self.progress.advance)
        painted = await self._painted(
            start, replace(conditioning, control_image=edges), larger.canvas, denoiser, tile
        )
        return await asyncio.to_thread(larger.finished, pictures, painted)

    async def _painted(
        self,
        start: Start,
        conditioning: Conditioning,
        size: tuple[int, int],
        denoiser: Denoiser,
        tile: int,
    ) -> list[Picture]:
        began = time.perf_counter()
        width, height = size
        noise = Noise(self.seeds, height, width, self.pack.topology, self._variation)
        latents = await denoise(
            denoiser=denoiser,
            sampling=SAMPLERS[self.request.scheduler](
                self.pack.schedule, start.step + start.taken, noise, start
            ),
            steps=start.taken,
            conditioning=conditioning,
            guidance=self._guidance,
            on_prediction=self._on_prediction,
        )
        denoised = time.perf_counter()
        factor = self.pack.topology.vae_scale_factor
        pixels = await vae.decode(self._decode, latents, tile, factor)
        made = await asyncio.to_thread(lambda: [*map(images.from_pixels, pixels)])
        self.denoise_seconds += denoised - began
        self.decode_seconds += time.perf_counter() - denoised
        return made

    async def _on_prediction(self, step: int, prediction: Prediction) -> None:
        latent_rgb, interval = self.pack.latent_rgb, self.request.preview_interval
        made: tuple[bytes, ...] = ()
        # The last step brings the picture itself.
        is_last = self.progress.done + 1 == self.progress.steps
        if latent_rgb and interval and step % interval == 0 and not is_last:
            made = await asyncio.to_thread(previews, latent_rgb, self.pack.schedule, prediction)
        await self.progress.advance(made)

    async def _start(self, canvas: repaint.Canvas) -> Start:
        """Where a render begins that goes on from a picture.

        The picture's latents ``[1, 4, h, w]`` are the mode of the encoder's distribution and not
        drawn from it, so that every seed begins with the same picture.
        """
        latents = await self._encode(images.to_pixels(canvas.picture)[None])
        left_out = self.request.num_inference_steps - self.request.steps_taken
        change = canvas.change(self.pack.topology.vae_scale_factor)
        return Start(left_out, latents, change, self.request.steps_taken)

    async def _denoiser(self, inputs: Tensors) -> Array:
        model = self.pinned.ensemble("denoiser_lcm" if self.distilled else "denoiser")
        return (await self.infer(model, inputs))["noise_pred"]

    async def _decode(self, latents: Array) -> Array:
        model = self.pinned.network("vae_decoder")
        return (await self.infer(model, {"latents": latents}))["pixels"]

    async def _encode(self, pixels: Array) -> Array:
        return (await self.infer("vae_encoder", {"pixels": pixels}))["latents"]


def _seeds(request: RenderRequest) -> tuple[list[int], tuple[float, list[int]]]:
    """The seed of each picture; how far its noise is turned, and to that of which seeds."""
    first = secrets.randbelow(SEEDS) if request.seed is None else request.seed
    strength = shortest_decimal(request.variation_strength)
    if not strength:
        return [(first + index) % SEEDS for index in range(request.num_images)], (0.0, [])
    others = request.variation_seeds
    return [first] * request.num_images, (strength, [seed or 0 for seed in others])


def _guidance(request: RenderRequest, topology: Topology) -> Guidance:
    return Guidance(
        guidance_scale=request.guidance_scale,
        guidance_start=request.guidance_start,
        guidance_end=request.guidance_end,
        controlnet_conditioning_scale=request.controlnet_conditioning_scale,
        control_guidance_start=request.control_guidance_start,
        control_guidance_end=request.control_guidance_end,
        ip_adapter_scale=topology.layer_scales(request.ip_adapter_scale, request.style_mode),
        style_start=request.style_start,
        style_end=request.style_end,
    )
