"""What the drill's figures must be, and the table that tells."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.table import Table

from bench.bars import Bar, missed
from bench.report import COLOURS, shown

SWAPS = 100
BARS = (
    Bar("swaps", SWAPS),
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
    return (Bar("swaps", swaps), *BARS[1:])


def table(found: Mapping[str, Any], asked: tuple[Bar, ...]) -> Table:
    """Figure, found, bar, reached or missed."""
    rows = Table("figure", "found", "bar", "", title=f"{found['renders']} renders")
    for bar in asked:
        verdict, limit = bar.verdict(found), bar.limit(found)
        wanted = shown(limit) if isinstance(limit, bool) else f"{'≤' if bar.upper else '≥'} {limit}"
        colour = COLOURS[verdict]
        told = f"[{colour}]{verdict}[/{colour}]"
        rows.add_row(bar.figure, shown(found[bar.figure]), wanted, told)
    return rows


def holds(found: Mapping[str, Any], asked: tuple[Bar, ...]) -> bool:
    """Whether every bar is reached."""
    return not any(missed(found, asked))
