"""What a render tells on its way, whatever door it came through."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from gateway.telemetry.outcomes import Timings
from retrieval.styles import Style


@dataclass(frozen=True)
class Chosen:
    """The style of a render has been found."""

    style: Style
    score: float | None
    """None when the caller named the style, so that nothing was compared."""


@dataclass(frozen=True)
class Stepped:
    """A step is done; step 0 when the render has left the queue."""

    step: int
    steps: int
    previews: tuple[bytes, ...] = ()
    """One small PNG per picture; none at most steps."""

    @classmethod
    def of(cls, output: Mapping[str, Any], steps: int) -> Stepped:
        """Of what the model ``render`` tells after one of its `steps`."""
        return cls(int(output["step"][0]), steps, tuple(output.get("preview", ())))


@dataclass(frozen=True)
class Picture:
    """One finished picture."""

    png: bytes
    seed: int
    structure_f1: float


@dataclass(frozen=True)
class Finished:
    """The render is done."""

    pictures: tuple[Picture, ...]
    chosen: Chosen | None
    control_image: bytes
    style_image: bytes
    """The first reference, or a smaller PNG of it."""
    warnings: tuple[str, ...]
    timings: Timings
    versions: Mapping[str, int]
    """Of the networks that took part."""
    sketch_kind: str
    """What the sketch was taken for."""


Event = Chosen | Stepped | Finished
Tell = Callable[[Event], None]
"""Takes each event of a render as it comes."""
