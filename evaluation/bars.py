"""What the measures must reach: the one home of these figures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
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

    def limit(self, found: Mapping[str, Any]) -> float:
        """The figure to compare with."""
        return self.value * (found[self.share_of] if self.share_of else 1.0)

    def holds(self, found: Mapping[str, Any], margin: float = 0.0) -> bool:
        """Whether `found` keeps to it, with `margin` for the chances of a small sample."""
        measured, limit = found[self.measure], self.limit(found)
        return bool(measured <= limit + margin if self.upper else measured >= limit - margin)


BARS = (
    Bar("structure_f1", 0.85),
    Bar("structure_f1", 0.95, share_of="structure_f1_vae"),
    Bar("structure_f1_gained_by_control", 0.35),
    Bar("style_accuracy", 0.90),
    Bar("style_accuracy_no_ip", 2 * CHANCE, upper=True),
    Bar("reference_wins", 0.80),
    Bar("text_top1", 0.95),
    Bar("text_top3", 0.99),
    Bar("image_top1", 0.98),
)
