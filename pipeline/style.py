"""The style of a render: several references become one image prompt."""

from __future__ import annotations

import numpy as np

from pipeline.samplers import Array


def blend(image_embeds: Array, negative_image_embeds: Array, weights: Array) -> Array:
    """Weighted mean of k references' image tokens.

    Args:
        image_embeds, negative_image_embeds: ``[k, n, d]``.
        weights: ``[k]``, summing to 1.

    Returns:
        ``[2, n, d]``, negative row first. One reference of weight 1 comes back unchanged.
    """
    shares = weights[:, None, None]
    rows = [(shares * embeds).sum(axis=0) for embeds in (negative_image_embeds, image_embeds)]
    return np.stack(rows).astype(np.float32)
