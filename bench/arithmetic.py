"""What is made of measured times: percentiles, ratios, schedules of arrivals."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

PERCENTILES = (50, 95, 99)


def percentile(values: Sequence[float], share: float) -> float | None:
    """The `share`-th percentile (0 to 100) of `values`, interpolated; None when there are none."""
    return round(float(np.percentile(values, share)), 6) if len(values) else None


def median(values: Sequence[float]) -> float:
    """The median of `values`.

    Raises:
        ValueError: there are none.
    """
    if not len(values):
        raise ValueError("nothing was measured")
    return float(np.median(values))


def latencies(seconds: Sequence[float]) -> dict[str, float | None]:
    """``p50_s``, ``p95_s`` and ``p99_s`` of `seconds`."""
    return {f"p{share}_s": percentile(seconds, share) for share in PERCENTILES}


def overhead(whole: Sequence[float], bare: Sequence[float]) -> float:
    """How much more than `bare` `whole` takes, as a share of `bare`; medians of rounds."""
    return median(whole) / median(bare) - 1


def slope(xs: Sequence[float], ys: Sequence[float]) -> float:
    """How much `ys` grow by one of `xs`: of the line with the least squares."""
    return float(np.polyfit(xs, ys, 1)[0])


def intervals(times: Sequence[float], since: float, until: float) -> list[float]:
    """Seconds between neighbours of `times` that overlap `since` to `until`."""
    return [after - before for before, after in pairwise(times) if after > since and before < until]


def poisson(rate: float, seconds: float, seed: int) -> list[float]:
    """Moments, in seconds from now, of arrivals at random.

    A Poisson process of which it is given that as many arrive as do on average: in a short time
    its own number of arrivals would say more about the luck of the draw than about the load.

    Args:
        rate: arrivals a second.
        seconds: none comes later.
        seed: the same seed makes the same arrivals.
    """
    count = max(1, round(rate * seconds))
    return sorted(np.random.default_rng(seed).uniform(0, seconds, count).tolist())


def shuffled_decks(cards: Sequence[Any], seed: int) -> Iterator[Any]:
    """All of `cards` in random order, again and again: every run has the same mix."""
    random = np.random.default_rng(seed)
    while True:
        for index in random.permutation(len(cards)):
            yield cards[index]
