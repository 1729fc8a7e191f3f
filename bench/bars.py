"""What the figures must reach: the one home of these limits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Verdict(StrEnum):
    """How a figure stands to its bar."""

    REACHED = "reached"
    MISSED = "missed"
    NOT_MEASURED = "not measured"


@dataclass(frozen=True)
class Bar:
    """A limit of one figure: plain, or a share of another one."""

    figure: str
    """Its key in the report; ``overload.ratio`` is the ``ratio`` of ``overload``."""
    value: float
    share_of: str | None = None
    upper: bool = False
    """Whether it is not to be exceeded, instead of to be reached."""

    def limit(self, found: Mapping[str, Any]) -> float | None:
        """The value to compare with; None when what it is a share of was not measured."""
        if self.share_of is None:
            return self.value
        other = look_up(found, self.share_of)
        return None if other is None else self.value * other

    def verdict(self, found: Mapping[str, Any]) -> Verdict:
        """Whether `found` keeps to it."""
        measured, limit = look_up(found, self.figure), self.limit(found)
        if measured is None or limit is None:
            return Verdict.NOT_MEASURED
        holds = measured <= limit if self.upper else measured >= limit
        return Verdict.REACHED if holds else Verdict.MISSED


BARS = (
    Bar("orchestration_overhead", 0.08, upper=True),
    Bar("speedup_vs_diffusers", 3.0),
    Bar("throughput_8_over_1", 0.95, share_of="engine_batch_gain_8"),
    Bar("throughput_8_over_1", 1.15),
    Bar("join_steps", 2.0, upper=True),
    Bar("short_among_long_steps", 6.0, upper=True),
    Bar("short_finished_first", True),
    Bar("executions_after_cancel", 1, upper=True),
    Bar("batched_max_diff", 1 / 255, upper=True),
    Bar("gateway_added_ms_p50", 5.0, upper=True),
    Bar("search_20k_ms_p95", 30.0, upper=True),
    Bar("memory_growth", 3_000, upper=True),
    Bar("overload.ratio", 1.5, upper=True),
    Bar("overload.refused", 1),
    Bar("overload.refused_with_retry_info", 1.0, share_of="overload.refused"),
    Bar("overload.other_failures", 0, upper=True),
    Bar("overload.largest_queue", 1.0, share_of="overload.queue_bound", upper=True),
    Bar("overload.recovered", True),
)


def look_up(found: Mapping[str, Any], key: str) -> Any:
    """The figure at the dotted `key`; None where there is none."""
    value: Any = found
    for part in key.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def missed(found: Mapping[str, Any], bars: tuple[Bar, ...] = BARS) -> Iterator[Bar]:
    """The bars that `found` does not keep to; what was not measured is not missed."""
    return (bar for bar in bars if bar.verdict(found) is Verdict.MISSED)
