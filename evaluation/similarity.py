"""How alike two pictures look."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from pipeline.images import Picture

WINDOW, SIGMA = 11, 1.5
SCALE_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
"""From the finest scale to the coarsest."""
STABLE_LUMINANCE = (0.01 * 255) ** 2
STABLE_CONTRAST = (0.03 * 255) ** 2

Array = npt.NDArray[np.float64]


def ms_ssim(one: Picture, other: Picture) -> float:
    """Multi-scale structural similarity of two pictures ``[height, width, 3]``.

    Colour counts, as the mean over red, green and blue. Pictures too small for all five scales
    are compared at those that they have room for.

    Source: Wang, Simoncelli and Bovik (2003), "Multiscale structural similarity for image quality
    assessment", with its weights of the scales.

    Returns:
        1 for the same picture, 0 for nothing in common.

    Raises:
        ValueError: they differ in size, or a side is shorter than the window.
    """
    if one.shape != other.shape or min(one.shape[:2]) < WINDOW:
        raise ValueError(f"pictures of one size, {WINDOW} or more: {one.shape} and {other.shape}")
    scales = min(len(SCALE_WEIGHTS), 1 + int(np.log2(min(one.shape[:2]) / WINDOW)))
    weights = np.array(SCALE_WEIGHTS[:scales]) / sum(SCALE_WEIGHTS[:scales])
    first, second = one.astype(np.float64), other.astype(np.float64)
    likeness = np.ones(3)
    for index, weight in enumerate(weights):
        luminance, structure = _compare(first, second)
        last = index == scales - 1
        mean = (luminance * structure if last else structure).mean(axis=(0, 1))
        # Opposite structure would have a root that is not real.
        likeness *= np.maximum(mean, 0) ** weight
        first, second = _halved(first), _halved(second)
    return float(likeness.mean())


def _compare(one: Array, other: Array) -> tuple[Array, Array]:
    """Luminance, and contrast times structure, at each place and of each colour."""
    mean_one, mean_other = _blurred(one), _blurred(other)
    spread = _blurred(one * one) - mean_one**2 + _blurred(other * other) - mean_other**2
    shared = _blurred(one * other) - mean_one * mean_other
    luminance = (2 * mean_one * mean_other + STABLE_LUMINANCE) / (
        mean_one**2 + mean_other**2 + STABLE_LUMINANCE
    )
    return luminance, (2 * shared + STABLE_CONTRAST) / (spread + STABLE_CONTRAST)


def _blurred(picture: Array) -> Array:
    """Under the window, only where all of it is in the picture."""
    edge = WINDOW // 2
    blurred = cv2.GaussianBlur(picture, (WINDOW, WINDOW), SIGMA)
    return np.asarray(blurred[edge:-edge, edge:-edge], np.float64)


def _halved(picture: Array) -> Array:
    height, width = picture.shape[0] // 2, picture.shape[1] // 2
    halved = cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)
    return np.asarray(halved, np.float64)
