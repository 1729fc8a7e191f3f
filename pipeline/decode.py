"""Latents to pixels, whole or tile by tile."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import numpy as np

from pipeline.samplers import Array
from pipeline.topology import SD15

OVERLAP = 0.25
"""Share of a tile that its neighbour covers too."""
TILE_STEP = 256
"""Three quarters of it, the distance of two tiles, are a multiple of a size's step."""

DecodeOne = Callable[[Array], Awaitable[Array]]
"""``latents [rows, 4, h, w]`` to ``pixels [rows, 3, h * 8, w * 8]``."""


def require_tile(tile: int) -> int:
    """`tile`, if pictures can be cut into such tiles.

    Raises:
        ValueError: it is not 0 or a multiple of 256. Others leave slivers at the edges.
    """
    if tile % TILE_STEP:
        raise ValueError(f"vae_tile is {tile}; allowed: 0, or a multiple of {TILE_STEP}.")
    return tile


async def decode(
    decode_one: DecodeOne, latents: Array, tile: int, factor: int = SD15.vae_scale_factor
) -> Array:
    """Decode `latents`, in tiles where a side is larger than `tile`.

    Tiles bound the decoder's memory, which grows with the picture; neighbours are blended into one
    another. Source: ``AutoencoderKL.tiled_decode`` in diffusers.

    Args:
        tile: side of a tile in pixels, a multiple of 256; 0 decodes all at once.
        factor: pixels a side that one latent stands for.
    """
    side = tile // factor
    height, width = latents.shape[-2:]
    if not tile or max(height, width) <= side:
        return await decode_one(latents)
    stride = int(side * (1 - OVERLAP))
    blended = int(tile * OVERLAP)
    kept = tile - blended
    rows: list[list[Array]] = []
    for top in range(0, height, stride):
        row: list[Array] = []
        for left in range(0, width, stride):
            piece = latents[..., top : top + side, left : left + side]
            pixels = np.array(await decode_one(np.ascontiguousarray(piece)))
            if rows:
                _blend(rows[-1][len(row)], pixels, blended, axis=-2)
            if row:
                _blend(row[-1], pixels, blended, axis=-1)
            row.append(pixels)
        rows.append(row)
    strips = [
        np.concatenate([pixels[..., :kept, :kept] for pixels in row], axis=-1) for row in rows
    ]
    return np.concatenate(strips, axis=-2)


def _blend(before: Array, pixels: Array, extent: int, axis: int) -> None:
    """Let the end of `before` fade into the beginning of `pixels`, in place."""
    extent = min(before.shape[axis], pixels.shape[axis], extent)
    weight = (np.arange(extent, dtype=np.float32) / extent)[:, None]
    weight = weight if axis == -2 else weight.T
    end = np.take(before, range(before.shape[axis] - extent, before.shape[axis]), axis)
    begin = pixels[..., :extent, :] if axis == -2 else pixels[..., :extent]
    begin[...] = end * (1 - weight) + begin * weight
