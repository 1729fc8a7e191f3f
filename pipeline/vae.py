"""Pixels to latents and back, whole or tile by tile."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import numpy as np

from pipeline.samplers import Array
from pipeline.topology import SD15

OVERLAP = 0.25
"""Share of a tile that its neighbour covers too."""
TILE_STEP = 256
"""Three quarters of it, the distance of two tiles, are a multiple of a size's step."""

Convert = Callable[[Array], Awaitable[Array]]
"""``latents [rows, 4, h, w]`` to ``pixels [rows, 3, h * 8, w * 8]``, or the other way."""


def require_tile(tile: int) -> int:
    """`tile`, if pictures can be cut into such tiles.

    Raises:
        ValueError: it is not 0 or a multiple of 256. Others leave slivers at the edges.
    """
    if tile % TILE_STEP:
        raise ValueError(f"vae_tile is {tile}; allowed: 0, or a multiple of {TILE_STEP}.")
    return tile


def tile_of(native: int) -> int:
    """The side of tiles for pictures larger than a pack's `native` side, in pixels."""
    return -(-native // TILE_STEP) * TILE_STEP


async def decode(
    decode_one: Convert, latents: Array, tile: int, factor: int = SD15.vae_scale_factor
) -> Array:
    """Decode `latents`, in tiles where a side is larger than `tile`.

    Source: ``AutoencoderKL.tiled_decode`` in diffusers.

    Args:
        tile: side of a tile in pixels, a multiple of 256; 0 decodes all at once.
        factor: pixels a side that one latent stands for.
    """
    return await _in_tiles(decode_one, latents, tile // factor, tile)


async def encode(
    encode_one: Convert, pixels: Array, tile: int, factor: int = SD15.vae_scale_factor
) -> Array:
    """Encode `pixels`; the rest is as for :func:`decode`.

    Source: ``AutoencoderKL.tiled_encode`` in diffusers.
    """
    return await _in_tiles(encode_one, pixels, tile, tile // factor)


async def _in_tiles(convert: Convert, given: Array, side: int, made: int) -> Array:
    """Convert `given` in tiles of `side`, each of which becomes one of `made`.

    Tiles bound the network's memory, which grows with the picture; neighbours are blended into one
    another.
    """
    height, width = given.shape[-2:]
    if not side or max(height, width) <= side:
        return await convert(given)
    stride = int(side * (1 - OVERLAP))
    blended = int(made * OVERLAP)
    kept = made - blended
    rows: list[list[Array]] = []
    for top in range(0, height, stride):
        row: list[Array] = []
        for left in range(0, width, stride):
            piece = given[..., top : top + side, left : left + side]
            converted = np.array(await convert(np.ascontiguousarray(piece)))
            if rows:
                _blend(rows[-1][len(row)], converted, blended, axis=-2)
            if row:
                _blend(row[-1], converted, blended, axis=-1)
            row.append(converted)
        rows.append(row)
    strips = [np.concatenate([piece[..., :kept, :kept] for piece in row], axis=-1) for row in rows]
    return np.concatenate(strips, axis=-2)


def _blend(before: Array, after: Array, extent: int, axis: int) -> None:
    """Let the end of `before` fade into the beginning of `after`, in place."""
    extent = min(before.shape[axis], after.shape[axis], extent)
    weight = (np.arange(extent, dtype=np.float32) / extent)[:, None]
    weight = weight if axis == -2 else weight.T
    end = np.take(before, range(before.shape[axis] - extent, before.shape[axis]), axis)
    begin = after[..., :extent, :] if axis == -2 else after[..., :extent]
    begin[...] = end * (1 - weight) + begin * weight
