"""The style of a render: several references become one image prompt."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pipeline.samplers import Array

TEMPERATURE = 0.1
"""Of the softmax that makes weights of scores: a score higher by this weighs e times as much.

On the tiny pack the nearest style is 0.3 above the next where the prompt says one style, 0.15 or
less where it says two.
"""


def weights_of(scores: Sequence[float]) -> tuple[float, ...]:
    """The share of each retrieved style in a blend, by its cosine similarity to the prompt.

    They are told and sent again in decimals, so they have few: the same pixels come of them.
    """
    powers = np.exp((np.array(scores) - max(scores)) / TEMPERATURE)
    return tuple(round(float(power), 4) for power in powers / powers.sum())


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
