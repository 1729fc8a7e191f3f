"""The geometry of a sketch: Canny edges, ControlNet's input."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from pipeline import images

LINE = 1 / 16
"""Of the picture's shorter side; what is shorter is a speck."""


def canny(
    sketch: Image.Image, width: int, height: int, low_threshold: int, high_threshold: int
) -> npt.NDArray[np.uint8]:
    """Edges of `sketch` at the render's size.

    The sketch is scaled first and traced second, so a line is one edge wide at the size ControlNet
    sees it.

    Returns:
        ``[1, height, width]``, 255 on an edge and 0 elsewhere.

    Source: Canny (1986), as ``cv2.Canny`` implements it with the L1 gradient norm.
    """
    scaled = images.scaled(sketch, (width, height))
    edges = cv2.Canny(np.asarray(scaled), low_threshold, high_threshold)
    return np.asarray(edges, dtype=np.uint8)[None]


def lost_lines(
    sketch: Image.Image, edges: npt.NDArray[np.uint8], low_threshold: int, high_threshold: int
) -> float:
    """How much of a drawing's lines is gone at the render's size: fine ones fade when it is scaled.

    Args:
        edges: ``[height, width]``, of :func:`canny` with the same thresholds.

    Returns:
        The share of the edges, 0 to 1. 0 for a picture with no paper: details of a photo that are
        finer than the render are not missed.
    """
    height, width = edges.shape
    if sketch.width <= width or not _is_drawing(sketch):
        return 0.0
    rows, columns = np.nonzero(cv2.Canny(np.asarray(sketch), low_threshold, high_threshold))
    drawn = np.zeros((height, width), np.uint8)
    drawn[rows * height // sketch.height, columns * width // sketch.width] = 1
    # Within two pixels, as `fidelity` counts.
    lost = drawn & ~(cv2.dilate(edges, np.ones((5, 5), np.uint8)) > 0)
    _, _, pieces, _ = cv2.connectedComponentsWithStats(lost, connectivity=8)
    extents = pieces[1:, [cv2.CC_STAT_WIDTH, cv2.CC_STAT_HEIGHT]].max(axis=1, initial=0)
    long = pieces[1:, cv2.CC_STAT_AREA][extents >= min(height, width) * LINE]
    return float(long.sum() / max(1, drawn.sum()))


def _is_drawing(sketch: Image.Image) -> bool:
    """Whether most of it is of one shade, which is then the paper."""
    shades = np.convolve(sketch.convert("L").histogram(), np.ones(16), "same")
    return bool(shades.max() > sketch.width * sketch.height / 2)
