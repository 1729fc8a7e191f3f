"""The map that previews are made with: a pack's latents to colours, by least squares."""

from __future__ import annotations

import numpy as np
import torch
from diffusers import AutoencoderKL

from pipeline import images
from pipeline.images import Picture
from pipeline.samplers import Array

PICTURES, SIDE = 12, 256
LEAVES = 150
"""Rectangles that are laid over one another in a picture."""
SIDES = (4, 128)
"""Of a rectangle, in pixels."""
CHROMA = 30.0
"""How far the colours of photographs are from grey: a standard deviation, of 255."""
DECIMALS = 4


def fit(vae: AutoencoderKL) -> list[list[float]]:
    """The weights of a :class:`pipeline.preview.LatentRgb` for `vae`.

    It is fitted to pictures made here, so that an export needs no pictures and repeats.
    """
    random = np.random.Generator(np.random.Philox(0))
    pairs = [_rows(vae, dead_leaves(random)) for _ in range(PICTURES)]
    latents, colours = (np.concatenate(rows) for rows in zip(*pairs, strict=True))
    with_bias = np.column_stack([latents, np.ones(len(latents))])
    weights = np.linalg.lstsq(with_bias, colours, rcond=None)[0]
    rounded: list[list[float]] = weights.round(DECIMALS).tolist()
    return rounded


def dead_leaves(random: np.random.Generator) -> Picture:
    """A picture with edges, areas and colours as photographs have them, 256 pixels a side.

    Source: the dead leaves model of Matheron (1968), with rectangles for leaves.
    """
    picture = np.empty((SIDE, SIDE, 3), np.uint8)
    picture[:] = _colour(random)
    for _ in range(LEAVES):
        height, width = random.integers(*SIDES, size=2)
        top, left = random.integers(-SIDES[1] // 2, SIDE, size=2)
        rows, columns = (
            slice(max(at, 0), max(at + side, 0)) for at, side in ((top, height), (left, width))
        )
        picture[rows, columns] = _colour(random)
    return picture


def _colour(random: np.random.Generator) -> Picture:
    mixed = random.uniform(0, 255) + CHROMA * random.standard_normal(3)
    return np.clip(mixed, 0, 255).astype(np.uint8)


def _rows(vae: AutoencoderKL, picture: Picture) -> tuple[Array, Array]:
    """Latents ``[positions, 4]`` of `picture`, and the mean colours ``[positions, 3]`` there."""
    pixels = images.to_pixels(picture)
    with torch.inference_mode():
        moments = vae.encode(torch.from_numpy(pixels)[None], return_dict=False)[0]
    latents = moments.mode()[0].numpy() * vae.config.scaling_factor
    factor = SIDE // latents.shape[-1]
    cells = pixels.reshape(3, SIDE // factor, factor, SIDE // factor, factor).mean(axis=(2, 4))
    return latents.reshape(len(latents), -1).T, cells.reshape(3, -1).T
