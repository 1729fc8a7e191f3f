"""What the measures must reach: the one home of these figures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from training.styles import STYLES

CHANCE = 1 / len(STYLES)


@dataclass(frozen=True)
class Bar:
    """A limit of one measure: plain, or a share of another one."""

    measure: str
    value: float
    share_of: str | None = None
    upper: bool = False
    """Whether it is not to be exceeded, instead of to be reached."""
    slack: float = 0.0
    """What may be missing."""

    def limit(self, found: Mapping[str, Any]) -> float:
        """The figure to compare with."""
        limit = self.value * (found[self.share_of] if self.share_of else 1.0)
        return limit + self.slack if self.upper else limit - self.slack

    def holds(self, found: Mapping[str, Any], margin: float = 0.0) -> bool:
        """Whether `found` keeps to it, with `margin` for the chances of a small sample."""
        measured, limit = found[self.measure], self.limit(found)
        return bool(measured <= limit + margin if self.upper else measured >= limit - margin)


PAINTING = (
    Bar("structure_f1", 0.85),
    Bar("structure_f1", 0.95, share_of="structure_f1_vae"),
    Bar("structure_f1_gained_by_control", 0.35),
    Bar("style_accuracy", 0.90),
    Bar("style_accuracy_no_ip", 2 * CHANCE, upper=True),
    Bar("reference_wins", 0.80),
)
RETRIEVAL = (
    Bar("text_top1", 0.95),
    Bar("text_top3", 0.99),
    Bar("image_top1", 0.98),
)
BARS = (*PAINTING, *RETRIEVAL)
FEW_STEPS_SLACK = 0.05
"""What renders in few steps may be worse by."""
FEW_STEPS_BARS = (*(replace(bar, slack=FEW_STEPS_SLACK) for bar in PAINTING), *RETRIEVAL)
