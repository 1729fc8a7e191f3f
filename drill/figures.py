"""What is made of the renders and swaps of a drill."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bench.arithmetic import percentile
from drill.load import Made

TOLD = 20
"""Sentences of a kind that the report repeats."""
Span = tuple[float, float]


@dataclass(frozen=True)
class Swap:
    """One change of the champion. Moments are of ``time.monotonic``."""

    action: str
    began: float
    served: float
    by_command: bool = False

    @property
    def seconds(self) -> float:
        """From asking for it until every new render is made with it."""
        return self.served - self.began


def figures(
    calm: Sequence[Made],
    made: Sequence[Made],
    swaps: Sequence[Swap],
    disturbed: Sequence[Span],
) -> dict[str, Any]:
    """The figures of a drill.

    Args:
        calm: the renders before the first swap.
        made: those from then on.
        disturbed: when something else than swaps went on, which is no swap's fault.
    """
    everything = [*calm, *made]
    spans = [(swap.began, swap.served) for swap in swaps]
    during = [one for one in made if one.overlaps(spans) and not one.overlaps(disturbed)]
    before_p95, during_p95 = _p95(calm), _p95(during)
    rollbacks = [swap.seconds for swap in swaps if swap.action == "rollback"]
    failures = [one.failure for one in everything if one.failure]
    wrong = [one.wrong for one in everything if one.wrong]
    return {
        "swaps": len(swaps),
        "swaps_by_command": sum(swap.by_command for swap in swaps),
        "renders": len(everything),
        "failed": len(failures),
        "mixed_versions": len(wrong),
        "p95_ratio_during_swaps": round(during_p95 / before_p95, 4)
        if during_p95 and before_p95
        else None,
        "p95_before_s": before_p95,
        "p95_during_swaps_s": during_p95,
        "renders_before": len(calm),
        "renders_during_swaps": len(during),
        "rollback_seconds": round(max(rollbacks), 3) if rollbacks else None,
        "rollbacks": len(rollbacks),
        "failures": failures[:TOLD],
        "mixtures": wrong[:TOLD],
    }


def _p95(made: Sequence[Made]) -> float | None:
    return percentile([one.seconds for one in made if not one.failure], 95)
