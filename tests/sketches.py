"""Drawings as people send them, made from clean ones: inverted, photographed, faint and so on."""

from __future__ import annotations

import cv2
import numpy as np
from PIL import Image

SIDE = 512


def inverted(ink: np.ndarray, random: np.random.Generator) -> Image.Image:
    """Light lines on a dark ground, such as a blueprint's.

    Args:
        ink: ``[h, w]``, 0 on paper to 1.
    """
    ground, line = random.uniform(0, 70, 3), random.uniform(220, 255, 3)
    return _mixed(ink, ground, line)


def faint(ink: np.ndarray, random: np.random.Generator) -> Image.Image:
    """Grey 200 on white."""
    del random
    return _mixed(ink, np.full(3, 255.0), np.full(3, 200.0))


def coloured(ink: np.ndarray, random: np.random.Generator) -> Image.Image:
    """Lines of a few strong colours."""
    colours = random.uniform(0, 200, (4, 3))
    colours[np.arange(4), random.integers(0, 3, 4)] = 20
    which = random.integers(0, 4, (4, 4)).repeat(SIDE // 4, axis=0).repeat(SIDE // 4, axis=1)
    return _mixed(ink, np.full(3, 255.0), colours[which])


def transparent(ink: np.ndarray, random: np.random.Generator) -> Image.Image:
    """Ink on nothing, dark or white."""
    shade = random.choice([0, 40, 255])
    alpha = np.full((*ink.shape, 4), shade, np.uint8)
    alpha[..., 3] = (ink * 255).round()
    return Image.fromarray(alpha)


def photo(ink: np.ndarray, random: np.random.Generator) -> Image.Image:
    """Pencil on paper in the light of a room: tint, grain, a slope of light, a hand's shadow."""
    side = SIDE
    paper = random.uniform(205, 245) * np.array(
        [1, random.uniform(0.95, 1), random.uniform(0.86, 1)]
    )
    pencil = random.uniform(30, 110)
    corners = random.uniform(0.55, 1, (2, 2)).astype(np.float32)
    light = cv2.resize(corners, (side, side), interpolation=cv2.INTER_LINEAR)
    edge = np.zeros((side, side), np.float32)
    middle = (int(random.uniform(0, side)), int(random.uniform(0.5, 1) * side))
    axes = (int(random.uniform(0.2, 0.5) * side), int(random.uniform(0.2, 0.4) * side))
    cv2.ellipse(edge, middle, axes, random.uniform(0, 90), 0, 360, 1, -1)
    shadow = cv2.GaussianBlur(edge, (0, 0), random.uniform(6, 20)) * random.uniform(0.2, 0.4)
    lit = (light * (1 - shadow))[..., None]
    soft = cv2.GaussianBlur(ink.astype(np.float32), (0, 0), 0.8)[..., None]
    pixels = (paper * (1 - soft) + pencil * soft) * lit
    pixels = pixels + random.normal(0, 3, (side, side, 1)) + random.normal(0, 1.5, (side, side, 3))
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def ink_of(sketch: Image.Image) -> np.ndarray:
    return 1 - np.asarray(sketch.convert("L"), np.float32) / 255


def _mixed(ink: np.ndarray, ground: np.ndarray, line: np.ndarray) -> Image.Image:
    pixels = ground * (1 - ink[..., None]) + line * ink[..., None]
    return Image.fromarray(pixels.round().astype(np.uint8))


MADE = {
    "inverted": (inverted, "inverted"),
    "photographed": (photo, "photo"),
    "faint": (faint, "photo"),
    "transparent": (transparent, "transparent"),
    "coloured": (coloured, "clean"),
}
"""By name: how it is made, and what ``auto`` has to take it for."""
