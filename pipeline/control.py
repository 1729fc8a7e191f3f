"""The geometry of a sketch: Canny edges, ControlNet's input."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from pipeline import images
from pipeline.sketch import without_paper

Edges = npt.NDArray[np.uint8]

SHORTEST = 6
"""Pixels; what is shorter belongs to a curve."""
LEVEL = 0.06
"""Slope, 3.4 degrees, up to which a line is taken for level or upright."""
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


def trace(
    sketch: Image.Image, size: tuple[int, int], thresholds: tuple[int, int], kind: str, mode: str
) -> Edges:
    """What ControlNet is shown of a sketch.

    Args:
        size: width and height of the render.
        thresholds: of :func:`canny`.
        kind: what the sketch is; not ``auto``.
        mode: one of :data:`pipeline.request.CONTROL_MODES`.

    Returns:
        ``[1, height, width]``, 255 on an edge and 0 elsewhere.
    """
    scaled = images.scaled(sketch, size)
    drawn = without_paper(scaled) if kind == "photo" else scaled
    return lines(drawn) if mode == "lines" else canny(drawn, *size, *thresholds)


def of_tensors(inputs: Mapping[str, npt.NDArray[Any]]) -> Edges:
    """As :func:`trace`, of the inputs of the served model ``canny``."""
    width, height, low, high = (
        int(inputs[name][0])
        for name in ("width", "height", "canny_low_threshold", "canny_high_threshold")
    )
    kind, mode = (inputs[name][0].decode() for name in ("sketch_kind", "control_mode"))
    sketch = images.decode(inputs["sketch"][0], "sketch")
    return trace(sketch, (width, height), (low, high), kind, mode)


def lines(sketch: Image.Image) -> Edges:
    """The straight lines of `sketch`, those that are nearly level or upright made so.

    Source: the line segment detector of Grompone von Gioi et al. (2012), as OpenCV has it.
    """
    grey = np.asarray(sketch).min(axis=2)
    drawn = np.zeros(grey.shape, np.uint8)
    found = cv2.createLineSegmentDetector(cv2.LSD_REFINE_STD).detect(grey)[0]
    for start, end in () if found is None else found.reshape(-1, 2, 2):
        across, down = abs(end - start)
        if down <= across * LEVEL:
            start[1] = end[1] = (start[1] + end[1]) / 2
        elif across <= down * LEVEL:
            start[0] = end[0] = (start[0] + end[0]) / 2
        if max(across, down) >= SHORTEST:
            cv2.line(drawn, start.round().astype(int), end.round().astype(int), (255,))
    return drawn[None]


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
