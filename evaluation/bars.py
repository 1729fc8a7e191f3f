"""Limits of figures, the table that shows whether they are reached, and the limits of a pack."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from rich.table import Table

from training.styles import STYLES


class Verdict(StrEnum):
    """How a figure stands to its bar."""

    REACHED = "reached"
    MISSED = "missed"
    NOT_MEASURED = "not measured"


COLOURS = {Verdict.REACHED: "green", Verdict.MISSED: "red", Verdict.NOT_MEASURED: "yellow"}


@dataclass(frozen=True)
class Bar:
    """A limit of one figure: plain, or a share of another one."""

    figure: str
    """Its key in the report; ``overload.ratio`` is the ``ratio`` of ``overload``."""
    value: float
    share_of: str | None = None
    upper: bool = False
    """Whether it is not to be exceeded, instead of to be reached."""
    slack: float = 0.0
    """What may be missing."""

    def limit(self, found: Mapping[str, Any]) -> float | None:
        """The value to compare with; None when what it is a share of was not measured."""
        if self.share_of is None and not self.slack:
            return self.value
        other = look_up(found, self.share_of) if self.share_of else 1.0
        slack = self.slack if self.upper else -self.slack
        return None if other is None else self.value * other + slack

    def verdict(self, found: Mapping[str, Any], margin: float = 0.0) -> Verdict:
        """How `found`, give or take `margin`, stands to it."""
        measured, limit = look_up(found, self.figure), self.limit(found)
        if measured is None or limit is None:
            return Verdict.NOT_MEASURED
        holds = measured <= limit + margin if self.upper else measured >= limit - margin
        return Verdict.REACHED if holds else Verdict.MISSED

    def holds(self, found: Mapping[str, Any], margin: float = 0.0) -> bool:
        """Whether it is reached, with `margin` for the chances of a small sample."""
        return self.verdict(found, margin) is Verdict.REACHED


def look_up(found: Mapping[str, Any], key: str) -> Any:
    """The figure at the dotted `key`; None where there is none."""
    value: Any = found
    for part in key.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def missed(found: Mapping[str, Any], bars: Iterable[Bar]) -> Iterator[Bar]:
    """The bars that `found` does not keep to; what was not measured is not missed."""
    return (bar for bar in bars if bar.verdict(found) is Verdict.MISSED)


def table(
    found: Mapping[str, Any], bars: Iterable[Bar], others: Iterable[str] = (), title: str = ""
) -> Table:
    """Figure, found, bar, verdict; then the figures `others`, which have no bar."""
    rows = Table("figure", "found", "bar", "", title=title or None)
    for bar in bars:
        verdict, limit = bar.verdict(found), bar.limit(found)
        sign = "" if isinstance(limit, bool) else "≤ " if bar.upper else "≥ "
        colour = COLOURS[verdict]
        figure = shown(look_up(found, bar.figure))
        rows.add_row(bar.figure, figure, sign + shown(limit), f"[{colour}]{verdict}[/{colour}]")
    for name in others:
        if (value := look_up(found, name)) is not None:
            rows.add_row(name, shown(value), "", "")
    return rows


def shown(value: Any) -> str:
    """A figure as it is printed."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.3f}" if isinstance(value, float) else str(value)


CHANCE = 1 / len(STYLES)
PAINTING = (
    Bar("structure_f1", 0.85),
    Bar("structure_f1", 0.95, share_of="structure_f1_vae"),
    Bar("structure_f1_gained_by_control", 0.35),
    Bar("structure_f1_gained_by_attempts", 0.02),
    Bar("style_accuracy", 0.90),
    Bar("style_accuracy_no_ip", 2 * CHANCE, upper=True),
    Bar("reference_wins", 0.80),
    Bar("balanced_f1_change", -0.02),
    Bar("balanced_style_change", -0.03),
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
