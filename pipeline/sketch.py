"""What kind of drawing a sketch is, and what has to be done before its edges are traced.

Canny sees only how shades differ, so light lines on dark are traced as they are, and decoding lays
what is transparent over paper. A photographed drawing is freed of its paper first.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from pipeline import images

LOOKED_AT = 256
"""Pixels of the longer side; paper and light show at any size."""
DARK_GROUND = 96
EVEN = 24
"""Shades between the lightest and the darkest paper of a scan or a drawing made on a computer."""
DARK_INK = 80
"""Shades below the paper; fainter lines are lost when they are scaled down and traced."""
INK = 0.9
"""Of the shade of the paper around it; what is darker is ink."""
STEP = 0.08
"""Change of the paper's shade within three pixels, of the shade. Light and shadow change less."""
MOST_STEPS = 0.025
"""Share of the paper with such steps; elsewhere, things border each other."""
MOST_TINTS = 0.15
"""How far the paper's tint may vary, of its shade."""

Grey = npt.NDArray[np.uint8]


def kind_of(sketch: Image.Image) -> str:
    """The kind that ``auto`` stands for.

    What is no drawing at all, such as a photograph of a building, counts as clean.
    """
    if images.is_transparent(sketch):
        return "transparent"
    small = sketch.copy()
    small.thumbnail((LOOKED_AT, LOOKED_AT), Image.Resampling.LANCZOS)
    pixels = np.asarray(small)
    if np.median(pixels.max(axis=2)) < DARK_GROUND:
        return "inverted" if _is_drawing(np.invert(pixels)) else "clean"
    grey = pixels.min(axis=2)
    paper = _paper(grey)
    lightest, darkest = np.percentile(paper, (98, 2))
    ink = np.percentile(paper.astype(int) - grey, 99.5)
    worn = lightest - darkest > EVEN or ink < DARK_INK
    return "photo" if worn and _is_drawing(pixels) else "clean"


def _is_drawing(pixels: Grey) -> bool:
    """Whether `pixels`, dark on light, are lines on one sheet of paper, in whatever light."""
    grey = pixels.min(axis=2)
    paper = _paper(grey)
    blank = pixels[grey > INK * paper]
    if len(blank) < grey.size / 2:
        return False
    steps = cv2.morphologyEx(paper, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)) > STEP * paper
    tints = blank / blank.max(axis=1, keepdims=True).clip(1)
    spread = np.ptp(np.percentile(tints, (5, 95), axis=0), axis=0).max()
    return bool(steps.mean() <= MOST_STEPS and spread <= MOST_TINTS)


def without_paper(sketch: Image.Image) -> Image.Image:
    """A photographed drawing in black ink on white.

    Each pixel is divided by the paper around it, which takes out shadow and tint; then shades from
    the ink's to the paper's are spread, and what is nearly paper becomes paper.
    """
    pixels = np.asarray(sketch.convert("RGB")).min(axis=2)
    flat = cv2.GaussianBlur(pixels, (0, 0), 0.7) / np.maximum(_paper(pixels), 1).astype(np.float32)
    darkest = float(np.percentile(flat, 1))
    light = max(darkest + 0.02, 1 - (1 - darkest) * 0.35)
    spread = np.clip((flat - darkest) / (light - darkest), 0, 1)
    return Image.fromarray((spread * 255).astype(np.uint8)).convert("RGB")


def _paper(grey: Grey) -> Grey:
    """The shade of the paper at each pixel, without what is thinner than a sixteenth."""
    side = max(3, min(grey.shape) // 16 | 1)
    closed = cv2.morphologyEx(grey, cv2.MORPH_CLOSE, np.ones((side, side), np.uint8))
    return np.asarray(cv2.medianBlur(closed, min(side, 255)), np.uint8)
