"""How well a render keeps its sketch's geometry."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from pipeline.control import canny

TOLERANCE = 2
"""Pixels by which an edge may move and still count as kept."""

Edges = npt.NDArray[np.uint8]


def structure_f1(control_image: Edges, render: npt.NDArray[np.uint8], low: int, high: int) -> float:
    """Edge F1 of `render` against the edges it was asked to keep.

    Args:
        control_image: ``[height, width]``, non-zero on an edge.
        render: ``[height, width, 3]`` RGB.
        low, high: the Canny thresholds the control image was made with.

    Returns:
        0 (nothing kept) to 1 (every edge kept and none added).
    """
    height, width = control_image.shape
    found = canny(Image.fromarray(render), width, height, low, high)[0]
    return edge_f1(control_image, found)


def edge_f1(wanted: Edges, found: Edges, tolerance: int = TOLERANCE) -> float:
    """Harmonic mean of edge precision and recall, where an edge matches within `tolerance` pixels.

    Two empty edge maps agree (1.0); one empty map against a full one does not (0.0).

    Source: the boundary F-measure of Martin, Fowlkes and Malik (2004), matching by distance.
    """
    if not wanted.any() and not found.any():
        return 1.0
    precision = _share_near(found, wanted, tolerance)
    recall = _share_near(wanted, found, tolerance)
    total = precision + recall
    return 2 * precision * recall / total if total else 0.0


def _share_near(edges: Edges, target: Edges, tolerance: int) -> float:
    if not edges.any() or not target.any():
        return 0.0
    distance = cv2.distanceTransform((target == 0).astype(np.uint8), cv2.DIST_L2, 5)
    return float(np.mean(distance[edges > 0] <= tolerance))
