"""The geometry of a sketch: Canny edges, ControlNet's input."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image


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
    scaled = sketch.resize((width, height), Image.Resampling.LANCZOS)
    edges = cv2.Canny(np.asarray(scaled), low_threshold, high_threshold)
    return np.asarray(edges, dtype=np.uint8)[None]
