"""One render, from request to pictures, over anything that can run the contract's models."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from PIL import Image

from pipeline import contract, fidelity, images, repaint
from pipeline.chunks import joined
from pipeline.control import lost_lines
from pipeline.decode import DecodeOne, decode
from pipeline.denoise import (
    Conditioning,
    Denoiser,
    Guidance,
    Noise,
    OnPrediction,
    Prediction,
    Tensors,
    denoise,
)
from pipeline.errors import InvalidRequest, Words
from pipeline.pinned_versions import PinnedVersions
from pipeline.preview import LatentRgb, previews
from pipeline.request import SEEDS, RenderRequest
from pipeline.samplers import FROM_NOISE, SAMPLERS, Array, NoiseSchedule, Start
from pipeline.size import render_size
from pipeline.sketch import kind_of
from pipeline.tensor import shortest_decimal
from pipeline.topology import SD15, Topology

MANY_LINES = 0.05
"""Share of a sketch's edges that is worth a word when it is lost."""

OnStep = Callable[[int, tuple[bytes, ...]], Awaitable[None]]
"""Takes how many steps are done and a preview of each image, as PNG files; none at most steps."""


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
    """Side in pixels of the tiles that are decoded one by one; 0 decodes all at once."""
    latent_rgb: LatentRgb | None = None
    """What previews are made with; without it there are none."""
    few_steps: bool = False
    """Whether ``denoiser_lcm`` is served, whose UNet was distilled for the sampler ``lcm`` without
    guidance."""
    topology: Topology = SD15


@dataclass(frozen=True)
class Rendered:
    """What a render gives back. Images are PNG files, one per seed."""

    images: tuple[bytes, ...]
    control_image: bytes
    seeds: tuple[int, ...]
    structure_f1: tuple[float, ...]
    sketch_kind: str
    """What the sketch was taken for."""
    warnings: tuple[str, ...]
    """What the caller may want to change, in sentences."""
    condition_seconds: float
    denoise_seconds: float
    decode_seconds: float
    versions: Mapping[str, int]
    """Of the networks that made it."""


async def render(
    infer: Infer,
    request: RenderRequest,
    pack: PackFacts,
    on_step: OnStep,
    pinned: PinnedVersions = PinnedVersions(),  # noqa: B008 - it is frozen
) -> Rendered:
    """Condition once, denoise ``request.steps_taken`` times, decode, score.

    Args:
        infer: runs the served models ``condition``, the denoisers, ``vae_decoder`` and, for renders
            that begin with a picture, ``vae_encoder``.
        on_step: awaited after each step; what it raises (a cancellation) ends the render.
        pinned: the versions that make it, all of it.
    """
    (image, mask), sketch = await asyncio.to_thread(_pictures, request)
    width, height = render_size(
        (image or sketch).size,
        request.width,
        request.height,
        pack.native_size,
        "image" if image else "sketch",
    )
    steps = request.steps_taken
    if request.sketch_kind == "auto":
        kind = await asyncio.to_thread(kind_of, sketch) if request.sketch else "clean"
        request = replace(request, sketch_kind=kind)
    seeds, variation = _seeds(request)
    guidance = _guidance(request, pack.topology)
    # Guidance is distilled into those weights, and more of it burns the picture.
    distilled = pack.few_steps and request.scheduler == "lcm" and not guidance.classifier_free

    started = time.perf_counter()
    conditioning, dropped_tokens = await _condition(
        infer, pinned.ensemble("condition"), request, sketch, (width, height)
    )
    _require_edges(conditioning, request)
    conditioned = time.perf_counter()
    start, begun_with = FROM_NOISE, None
    if image:
        begun_with = await asyncio.to_thread(
            repaint.canvas, image, mask, (width, height), request.mask_blur
        )
        start = await _start(infer, begun_with, request, pack.topology.vae_scale_factor)
        conditioning = _without_edges(conditioning, begun_with, request)
    sampling = SAMPLERS[request.scheduler](
        pack.schedule,
        request.num_inference_steps,
        Noise(seeds, height, width, pack.topology, variation),
        start,
    )
    latents = await denoise(
        denoiser=_denoiser(infer, pinned.ensemble("denoiser_lcm" if distilled else "denoiser")),
        sampling=sampling,
        steps=steps,
        conditioning=conditioning,
        guidance=guidance,
        on_prediction=_with_previews(on_step, request, pack),
    )
    denoised = time.perf_counter()
    decode_one = _decoder(infer, pinned.network("vae_decoder"))
    pixels = await decode(decode_one, latents, pack.vae_tile, pack.topology.vae_scale_factor)
    # PNG and Canny take longer than a step's arithmetic, so other renders' steps go first.
    files, scores, control_image = await asyncio.to_thread(
        _finish, pixels, conditioning.control_image[0], request, begun_with
    )
    lost = await asyncio.to_thread(
        lost_lines,
        sketch,
        conditioning.control_image[0],
        request.canny_low_threshold,
        request.canny_high_threshold,
    )
    return Rendered(
        images=files,
        control_image=control_image,
        seeds=tuple(seeds),
        structure_f1=scores,
        sketch_kind=request.sketch_kind,
        warnings=_warnings(
            dropped_tokens,
            _lost_words(lost, (width, height)),
            no_previews=request.preview_interval > 0 and pack.latent_rgb is None,
        ),
        condition_seconds=conditioned - started,
        denoise_seconds=denoised - conditioned,
        decode_seconds=time.perf_counter() - denoised,
        versions=pinned.versions | ({"unet": contract.FEW_STEPS_VERSION} if distilled else {}),
    )


def _pictures(
    request: RenderRequest,
) -> tuple[tuple[Image.Image | None, Image.Image | None], Image.Image]:
    """The image to begin with and its mask, if there are any, and what the edges are taken from."""
    begun_with = repaint.begun_with(request) if request.image else (None, None)
    if begun_with[0] and not request.sketch:
        return begun_with, begun_with[0]
    return begun_with, images.decode(request.sketch, "sketch")


async def _start(
    infer: Infer, canvas: repaint.Canvas, request: RenderRequest, factor: int
) -> Start:
    """Where a render begins that goes on from a picture.

    The picture's latents ``[1, 4, h, w]`` are the mode of the encoder's distribution and not drawn
    from it, so that every seed begins with the same picture.
    """
    pixels = images.to_pixels(canvas.picture)
    latents = (await infer("vae_encoder", {"pixels": pixels[None]}))["latents"]
    left_out = request.num_inference_steps - request.steps_taken
    return Start(left_out, latents, canvas.change(factor), request.steps_taken)


def _without_edges(
    conditioning: Conditioning, canvas: repaint.Canvas, request: RenderRequest
) -> Conditioning:
    """`conditioning`, without edges in the mask of `canvas` if they are not to hold there."""
    if request.control_in_mask or canvas.mask is None:
        return conditioning
    edges = np.where(canvas.mask > 0, np.uint8(0), conditioning.control_image)
    return replace(conditioning, control_image=edges)


def _with_previews(on_step: OnStep, request: RenderRequest, pack: PackFacts) -> OnPrediction:
    interval, last = request.preview_interval, request.steps_taken

    async def on_prediction(step: int, prediction: Prediction) -> None:
        made: tuple[bytes, ...] = ()
        # The last step brings the picture itself.
        if pack.latent_rgb and interval and step % interval == 0 and step < last:
            made = await asyncio.to_thread(previews, pack.latent_rgb, pack.schedule, prediction)
        await on_step(step, made)

    return on_prediction


def _seeds(request: RenderRequest) -> tuple[list[int], tuple[float, list[int]]]:
    """The seed of each picture; how far its noise is turned, and to that of which seeds."""
    first = secrets.randbelow(SEEDS) if request.seed is None else request.seed
    strength = shortest_decimal(request.variation_strength)
    if not strength:
        return [(first + index) % SEEDS for index in range(request.num_images)], (0.0, [])
    others = request.variation_seeds
    return [first] * request.num_images, (strength, [seed or 0 for seed in others])


async def _condition(
    infer: Infer,
    ensemble: str,
    request: RenderRequest,
    sketch: Image.Image,
    size: tuple[int, int],
) -> tuple[Conditioning, dict[str, int]]:
    # Where it has no part, its length must not lengthen the prompt.
    negative = request.negative_prompt if request.guidance_scale > 1 else ""
    texts = [[negative.encode()], [request.prompt.encode()]]
    width, height = size
    drawing = request.sketch or await asyncio.to_thread(images.encode_png, np.asarray(sketch))
    outputs = await infer(
        ensemble,
        {
            "sketch": np.array([drawing], np.object_),
            "width": np.array([width], np.int32),
            "height": np.array([height], np.int32),
            "canny_low_threshold": np.array([request.canny_low_threshold], np.int32),
            "canny_high_threshold": np.array([request.canny_high_threshold], np.int32),
            "sketch_kind": np.array([request.sketch_kind.encode()], np.object_),
            "control_mode": np.array([request.control_mode.encode()], np.object_),
            "texts": np.array(texts, np.object_),
            "prompt_syntax": np.array([request.prompt_syntax.encode()], np.object_),
            "style_images": np.array([[image] for image in request.style_images], np.object_),
            "style_weights": np.array(request.weights, np.float32),
        },
    )
    conditioning = Conditioning(
        prompt_embeds=joined(outputs["prompt_embeds"], outputs["token_weights"], len(texts)),
        image_embeds=outputs["ip_adapter_image_embeds"],
        control_image=outputs["control_image"],
    )
    dropped = outputs["dropped_tokens"].reshape(-1).tolist()
    return conditioning, dict(zip(("negative_prompt", "prompt"), dropped, strict=True))


def _require_edges(conditioning: Conditioning, request: RenderRequest) -> None:
    """Refuse a sketch that holds nothing, unless it is not to hold anything: noise would come."""
    if request.controlnet_conditioning_scale and not conditioning.control_image.any():
        low, high = request.canny_low_threshold, request.canny_high_threshold
        raise InvalidRequest(
            "sketch" if request.sketch else "image",
            Words(f"a picture with no edges at the thresholds {low} and {high}"),
            "one with lines, so that something holds the geometry",
            "Draw darker lines, lower canny_low_threshold and canny_high_threshold, or set "
            "controlnet_conditioning_scale to 0 to render without a sketch.",
        )


def _warnings(
    dropped_tokens: Mapping[str, int], lost: str, *, no_previews: bool
) -> tuple[str, ...]:
    warnings = [
        f"{field} is longer than the model reads: its last {count} tokens were left out. "
        "Say it shorter, with what matters first."
        for field, count in dropped_tokens.items()
        if count
    ]
    if lost:
        warnings.append(lost)
    if no_previews:
        warnings.append(
            "preview_interval brings nothing: these engines were exported before there were "
            "previews. Run `maquette export` again."
        )
    return tuple(warnings)


def _lost_words(share: float, size: tuple[int, int]) -> str:
    if share < MANY_LINES:
        return ""
    return (
        f"sketch has fine lines that are gone at {size[0]} x {size[1]} pixels: {share:.0%} of its "
        "edges. Draw them thicker or darker, lower canny_low_threshold and canny_high_threshold, "
        "or render a part of it."
    )


def _denoiser(infer: Infer, model: str) -> Denoiser:
    async def predict(inputs: Tensors) -> Array:
        return (await infer(model, inputs))["noise_pred"]

    return predict


def _decoder(infer: Infer, model: str) -> DecodeOne:
    async def decode_one(latents: Array) -> Array:
        return (await infer(model, {"latents": latents}))["pixels"]

    return decode_one


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


def _finish(
    pixels: Array,
    edges: npt.NDArray[np.uint8],
    request: RenderRequest,
    begun_with: repaint.Canvas | None,
) -> tuple[tuple[bytes, ...], tuple[float, ...], bytes]:
    low, high = request.canny_low_threshold, request.canny_high_threshold
    pictures = [images.from_pixels(row) for row in pixels]
    if begun_with:
        pictures = [*map(begun_with.finished, pictures)]
    files = tuple(images.encode_png(picture) for picture in pictures)
    scores = tuple(fidelity.structure_f1(edges, picture, low, high) for picture in pictures)
    return files, scores, images.encode_png(edges)
