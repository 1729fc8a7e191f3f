"""What is measured of a render."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Timings:
    """Wall-clock seconds of each stage."""

    queue: float
    embed: float
    search: float
    condition: float
    denoise: float
    decode: float
    total: float


@dataclass(frozen=True)
class RenderOutcome:
    """How a render went that brought pictures."""

    step_seconds: float
    """Of its mean step."""
    structure_f1: float
    """The mean of its pictures."""
