"""One render, from request to pictures, over anything that can run the contract's models."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from PIL import Image

from pipeline import fidelity, images, repaint
from pipeline.chunks import joined
from pipeline.control import lost_lines
from pipeline.denoise import Conditioning, Tensors
from pipeline.enlarge import Enlarging
from pipeline.errors import InvalidRequest, Words
from pipeline.images import Picture
from pipeline.painter import Infer, OnStep, PackFacts, Painter, Progress
from pipeline.pinned_versions import PinnedVersions
from pipeline.request import RenderRequest
from pipeline.size import painted_size
from pipeline.sketch import kind_of

MANY_LINES = 0.05
"""Share of a sketch's edges that is worth a word when it is lost."""


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
    steps: int
    """How many there were, as ``on_step`` was told."""
    versions: Mapping[str, int]
    """Of the networks that made it."""


async def render(
    infer: Infer,
    request: RenderRequest,
    pack: PackFacts,
    on_step: OnStep,
    pinned: PinnedVersions = PinnedVersions(),  # noqa: B008 - it is frozen
) -> Rendered:
    """Condition once, denoise ``request.steps_taken`` times, decode, enlarge, score.

    Args:
        infer: runs the served models ``condition``, the denoisers, ``vae_decoder`` and, for renders
            that go on from a picture or are enlarged, ``vae_encoder`` and ``canny``.
        on_step: awaited after each step; what it raises (a cancellation) ends the render.
        pinned: the versions that make it, all of it.
    """
    (image, mask), sketch = await asyncio.to_thread(_pictures, request)
    size = painted_size(request, (image or sketch).size, pack.native_size)
    larger = None
    if request.upscale > 1:
        larger = Enlarging.of(request, size, pack.native_size, pack.topology)
    if request.sketch_kind == "auto":
        kind = await asyncio.to_thread(kind_of, sketch) if request.sketch else "clean"
        request = replace(request, sketch_kind=kind)
    progress = Progress(on_step, request.steps_taken + (larger.steps if larger else 0))
    painter = Painter(infer, request, pack, pinned, progress)

    started = time.perf_counter()
    drawing = request.sketch or await asyncio.to_thread(images.encode_png, np.asarray(sketch))
    first = larger.size if larger and request.only_enlarges else size
    conditioning, dropped_tokens = await _condition(
        infer, pinned.ensemble("condition"), request, _to_trace(request, drawing, first)
    )
    _require_edges(conditioning, request)
    edges = conditioning.control_image
    canvas = None
    if image:
        canvas = await asyncio.to_thread(repaint.canvas, image, mask, size, request.mask_blur)
    conditioned = time.perf_counter()
    pictures = [canvas.picture] if canvas else []
    if not request.only_enlarges:
        conditioning = _with_edges(conditioning, edges, canvas, request)
        pictures = await painter.paint(conditioning, size, canvas)
    if larger:
        if first != larger.size:
            traced = await infer("canny", _to_trace(request, drawing, larger.size))
            conditioning = _with_edges(conditioning, traced["control_image"], canvas, request)
        pictures = await painter.enlarge(pictures, conditioning, larger)
    painted = time.perf_counter()
    # PNG and Canny take longer than a step's arithmetic, so other renders' steps go first.
    files, scores, control_image = await asyncio.to_thread(
        _finish, pictures, conditioning.control_image[0], request
    )
    lost = await asyncio.to_thread(
        lost_lines, sketch, edges[0], request.canny_low_threshold, request.canny_high_threshold
    )
    return Rendered(
        images=files,
        control_image=control_image,
        seeds=tuple(painter.seeds),
        structure_f1=scores,
        sketch_kind=request.sketch_kind,
        warnings=_warnings(
            dropped_tokens,
            _lost_words(lost, first),
            no_previews=request.preview_interval > 0 and pack.latent_rgb is None,
        ),
        condition_seconds=conditioned - started,
        denoise_seconds=painter.denoise_seconds,
        decode_seconds=painter.decode_seconds + time.perf_counter() - painted,
        steps=progress.steps,
        versions=painter.versions,
    )


def _pictures(
    request: RenderRequest,
) -> tuple[tuple[Image.Image | None, Image.Image | None], Image.Image]:
    """The image to begin with and its mask, if there are any, and what the edges are taken from."""
    begun_with = repaint.begun_with(request) if request.image else (None, None)
    if begun_with[0] and not request.sketch:
        return begun_with, begun_with[0]
    return begun_with, images.decode(request.sketch, "sketch")


def _with_edges(
    conditioning: Conditioning,
    edges: npt.NDArray[np.uint8],
    canvas: repaint.Canvas | None,
    request: RenderRequest,
) -> Conditioning:
    """`conditioning` with `edges`, but for the mask of `canvas` if they are not to hold there."""
    if canvas and canvas.mask is not None and not request.control_in_mask:
        larger = edges.shape[-1] // canvas.mask.shape[-1]
        mask = canvas.mask.repeat(larger, axis=0).repeat(larger, axis=1)
        edges = np.where(mask > 0, np.uint8(0), edges)
    return replace(conditioning, control_image=edges)


def _to_trace(request: RenderRequest, drawing: bytes, size: tuple[int, int]) -> Tensors:
    """The inputs of the model ``canny``."""
    width, height = size
    return {
        "sketch": np.array([drawing], np.object_),
        "width": np.array([width], np.int32),
        "height": np.array([height], np.int32),
        "canny_low_threshold": np.array([request.canny_low_threshold], np.int32),
        "canny_high_threshold": np.array([request.canny_high_threshold], np.int32),
        "sketch_kind": np.array([request.sketch_kind.encode()], np.object_),
        "control_mode": np.array([request.control_mode.encode()], np.object_),
    }


async def _condition(
    infer: Infer, ensemble: str, request: RenderRequest, to_trace: Tensors
) -> tuple[Conditioning, dict[str, int]]:
    # Where it has no part, its length must not lengthen the prompt.
    negative = request.negative_prompt if request.guidance_scale > 1 else ""
    texts = [[negative.encode()], [request.prompt.encode()]]
    outputs = await infer(
        ensemble,
        {
            **to_trace,
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


def _finish(
    pictures: Sequence[Picture], edges: npt.NDArray[np.uint8], request: RenderRequest
) -> tuple[tuple[bytes, ...], tuple[float, ...], bytes]:
    low, high = request.canny_low_threshold, request.canny_high_threshold
    files = tuple(images.encode_png(picture) for picture in pictures)
    scores = tuple(fidelity.structure_f1(edges, picture, low, high) for picture in pictures)
    return files, scores, images.encode_png(edges)
