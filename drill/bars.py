"""What the drill's figures must be."""

from __future__ import annotations

from evaluation.bars import Bar

SWAPS = 100
BARS = (
    Bar("failed", 0, upper=True),
    Bar("mixed_versions", 0, upper=True),
    Bar("bad_candidates_refused", 3),
    Bar("p95_ratio_during_swaps", 1.5, upper=True),
    Bar("rollback_seconds", 5.0, upper=True),
    Bar("same_pixels_after_rollback", True),
    Bar("reembedded", 1),
    Bar("processes_left", 0, upper=True),
)


def bars(swaps: int) -> tuple[Bar, ...]:
    """The bars of a drill with so many swaps."""
    return (Bar("swaps", swaps), *BARS)
