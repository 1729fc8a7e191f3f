"""Sketches by other hands: what a pen, a photograph or a scan does to a clean drawing."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

Grey = npt.NDArray[np.float32]
"""``[side, side]``, 0 (ink) to 255 (paper)."""

UNSTEADY = 0.008
"""How far a line may stray, in picture sides."""


def by_another_hand(sketch: Image.Image, random: np.random.Generator) -> Image.Image:
    """`sketch` with broken lines, faint ink, grey or uneven paper and noise, each at times."""
    worn = sketch.copy()
    if random.random() < 0.3:
        _break_lines(worn, random)
    grey = np.asarray(worn.convert("L"), np.float32)
    if random.random() < 0.4:
        grey = 255 - (255 - grey) * random.uniform(0.6, 1)
    if random.random() < 0.3:
        grey = _light(grey, random)
    if random.random() < 0.3:
        grey = grey + random.normal(0, random.uniform(1, 6), grey.shape).astype(np.float32)
    return Image.fromarray(np.clip(grey, 0, 255).astype(np.uint8)).convert("RGB")


def _break_lines(sketch: Image.Image, random: np.random.Generator) -> None:
    pen = ImageDraw.Draw(sketch)
    for x, y in random.uniform(0, sketch.width, (int(random.integers(5, 40)), 2)):
        radius = sketch.width * random.uniform(0.004, 0.014)
        pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill="white")


def _light(grey: Grey, random: np.random.Generator) -> Grey:
    corners = random.uniform(0.7, 1, (2, 2)).astype(np.float32)
    side = len(grey)
    return grey * np.asarray(cv2.resize(corners, (side, side)), np.float32)
