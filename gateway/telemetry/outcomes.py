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
class Scores:
    """What a finished picture is measured by; None where the retrieval pair did not answer."""

    structure_f1: float
    """F1 of its edges against the sketch's, 0 to 1."""
    clip_score: float | None = None
    """How near it is to the prompt: cosine similarity, -1 to 1."""
    style_score: float | None = None
    """How near it is to its references: the weighted mean of cosine similarities, -1 to 1."""


@dataclass(frozen=True)
class RenderOutcome:
    """How a render went that brought pictures."""

    step_seconds: float
    """Of its mean step."""
    structure_f1: float
    """The mean of its pictures."""
