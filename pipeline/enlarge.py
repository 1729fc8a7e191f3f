"""A picture painted anew at a larger size, in overlapping tiles."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from pipeline import images, vae
from pipeline.contract import BATCH_LIMIT
from pipeline.denoise import Denoiser, Tensors
from pipeline.images import Picture
from pipeline.request import RANGES, SIZE_STEP, RenderRequest
from pipeline.samplers import Array, Start
from pipeline.topology import Topology

COARSE = 2.0
"""Pixels of the small picture, the deviation of a Gaussian: what is coarser is not painted anew."""
ROWS_AT_ONCE = BATCH_LIMIT // 2
"""Of one picture's tiles in a call. They leave room for other renders in a batch, and what passes
between ControlNet and UNet does not grow with the picture."""


@dataclass(frozen=True)
class Span:
    """A part of one side of a canvas, in latents."""

    start: int
    share: Array
    """``[length]``: what the part counts for in each of its places; those of all parts are 1."""

    def of(self, factor: int = 1) -> slice:
        """Where it is, in units of which one latent has `factor`."""
        return slice(self.start * factor, (self.start + len(self.share)) * factor)


@dataclass(frozen=True)
class Tile:
    """A part of a canvas."""

    rows: Span
    columns: Span

    def cut(self, canvas: npt.NDArray[np.generic], factor: int = 1) -> npt.NDArray[np.generic]:
        """It, of a `canvas` ``[..., height, width]`` in units of which one latent has `factor`."""
        return canvas[..., self.rows.of(factor), self.columns.of(factor)]

    def add(self, predicted: Array, blended: Array) -> None:
        """Add what was `predicted` for it to the mean of all tiles."""
        share = self.rows.share[:, None] * self.columns.share
        blended[..., self.rows.of(), self.columns.of()] += predicted * share


@dataclass(frozen=True)
class Enlarging:
    """How the pictures of a render become larger."""

    size: tuple[int, int]
    """Width and height of what comes of it, in pixels."""
    canvas: tuple[int, int]
    """The same, with what is painted beyond the picture because sides are multiples of 64."""
    tiles: tuple[Tile, ...]
    upscale: int
    left_out: int
    """The first steps of the schedule, which a larger strength would take too."""
    taken: int

    @classmethod
    def of(
        cls, request: RenderRequest, size: tuple[int, int], native: int, topology: Topology
    ) -> Enlarging:
        """That of pictures of `size`, as `request` has it.

        Args:
            native: the side in pixels that the pack's networks were trained at: that of a tile.
        """
        width, height = size[0] * request.upscale, size[1] * request.upscale
        canvas = _side(width), _side(height)
        rows, columns = (
            spans(side // topology.vae_scale_factor, native // topology.vae_scale_factor)
            for side in reversed(canvas)
        )
        scheduled, taken = request.upscale_steps
        return cls(
            (width, height),
            canvas,
            tuple(Tile(row, column) for row in rows for column in columns),
            request.upscale,
            scheduled - taken,
            taken,
        )

    @property
    def steps(self) -> int:
        """Evaluations of the denoiser, one for each tile."""
        return self.taken * len(self.tiles)

    def padded(self, edges: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """`edges` ``[1, height, width]`` on the canvas."""
        return np.pad(edges, ((0, 0), *self._around))

    async def start(
        self, encode_one: vae.Convert, pictures: list[Picture], tile: int, factor: int
    ) -> Start:
        """Where it begins: with `pictures`, one for each row or for all, scaled by Lanczos' filter.

        Args:
            tile, factor: as :func:`pipeline.vae.encode` takes them.
        """
        latents = [
            await vae.encode(encode_one, pixels[None], tile, factor)
            for pixels in await asyncio.to_thread(lambda: [*map(self._enlarged, pictures)])
        ]
        return Start(self.left_out, np.concatenate(latents), taken=self.taken)

    def finished(self, pictures: list[Picture], painted: list[Picture]) -> list[Picture]:
        """What was `painted` on the canvas, with the colours and shades of `pictures`.

        An autoencoder keeps colours less well the larger a picture is, and other ones in each tile;
        so what is coarser than a few pixels of the small picture stays as it is there. Source: the
        colour correction of Wang et al. (2023), "StableSR".
        """
        width, height = self.size
        first = pictures * len(painted) if len(pictures) == 1 else pictures
        return [
            self._with_colours(self._scaled(small), picture[:height, :width])
            for small, picture in zip(first, painted, strict=True)
        ]

    def _with_colours(self, scaled: Picture, painted: Picture) -> Picture:
        off = scaled.astype(np.int16) - painted
        shades = cv2.GaussianBlur(off, (0, 0), COARSE * self.upscale)
        return np.clip(painted + shades, 0, 255).astype(np.uint8)

    def _scaled(self, picture: Picture) -> Picture:
        return np.asarray(images.scaled(Image.fromarray(picture), self.size))

    def _enlarged(self, picture: Picture) -> Array:
        return images.to_pixels(np.pad(self._scaled(picture), (*self._around, (0, 0)), mode="edge"))

    @property
    def _around(self) -> tuple[tuple[int, int], tuple[int, int]]:
        (width, height), (wide, high) = self.size, self.canvas
        return (0, high - height), (0, wide - width)


def _side(pixels: int) -> int:
    return max(int(RANGES["width"].low), math.ceil(pixels / SIZE_STEP) * SIZE_STEP)


def spans(length: int, side: int) -> tuple[Span, ...]:
    """Parts of `side` that cover `length` evenly, neighbours sharing a quarter or more.

    A part counts for most in its middle, so that none ends in a step.
    """
    if length <= side:
        return (Span(0, np.ones(length, np.float32)),)
    count = 1 + math.ceil((length - side) / (side - int(side * vae.OVERLAP)))
    starts = np.linspace(0, length - side, count).round().astype(int).tolist()
    ramp = np.minimum(np.arange(1, side + 1), np.arange(side, 0, -1)).astype(np.float32)
    total = np.zeros(length, np.float32)
    for start in starts:
        total[start : start + side] += ramp
    return tuple(Span(start, ramp / total[start : start + side]) for start in starts)


def tiled(
    denoiser: Denoiser,
    tiles: Sequence[Tile],
    factor: int,
    on_tile: Callable[[], Awaitable[None]],
) -> Denoiser:
    """`denoiser` for a canvas of any size: the weighted mean of what it predicts for `tiles`.

    Source: equation 5 of Bar-Tal et al. (2023), "MultiDiffusion". What they blend after a step are
    the latents; every sampler's step is linear in the prediction, so that it comes to the same.

    Args:
        factor: pixels a side that one latent stands for.
        on_tile: awaited after each tile but the last, whose end is that of the step.
    """

    async def predict(inputs: Tensors) -> Array:
        same = dict(inputs)
        sample, edges = same.pop("sample"), same.pop("control_image")
        blended = np.zeros_like(sample)
        at_once = max(1, ROWS_AT_ONCE // len(sample))
        for first in range(0, len(tiles), at_once):
            group = tiles[first : first + at_once]
            # In one call, so that a render by itself is batched in the same way each time: the
            # last bit of a prediction depends on it.
            predicted = await denoiser(
                {
                    **{name: np.concatenate([rows] * len(group)) for name, rows in same.items()},
                    "sample": np.concatenate([tile.cut(sample) for tile in group]),
                    "control_image": np.concatenate([tile.cut(edges, factor) for tile in group]),
                }
            )
            for tile, noise_pred in zip(group, np.split(predicted, len(group)), strict=True):
                tile.add(noise_pred, blended)
                if tile is not tiles[-1]:
                    await on_tile()
        return blended

    return predict
