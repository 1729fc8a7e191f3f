"""What a render tells on its way, whatever door it came through."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from gateway.telemetry.outcomes import Scores, Timings
from pipeline.attempts import Attempt
from pipeline.style import TEMPERATURE
from retrieval.styles import Style


@dataclass(frozen=True)
class BlendedStyle:
    """A style of the library and its part in a render."""

    style: Style
    score: float | None
    """None when the caller named the style, so that nothing was compared."""
    weight: float = 1.0
    """Among the others; they need not sum to 1."""


@dataclass(frozen=True)
class Chosen:
    """The styles of a render have been found: one, or several to be blended."""

    styles: tuple[BlendedStyle, ...]
    """As the caller named them, or the nearest first."""

    @property
    def first(self) -> BlendedStyle:
        """The one that is told where only one can be."""
        return self.styles[0]

    @property
    def weights(self) -> dict[str, float]:
        """Of each style, by its id."""
        return {each.style.id: each.weight for each in self.styles}

    @property
    def temperature(self) -> float | None:
        """Of the softmax that made the weights of scores; None where it made none."""
        return TEMPERATURE if len(self.styles) > 1 and self.first.score is not None else None


@dataclass(frozen=True)
class Stepped:
    """A step is done; step 0 when the render has left the queue."""

    step: int
    steps: int
    previews: tuple[bytes, ...] = ()
    """One small PNG per picture; none at most steps."""

    @classmethod
    def of(cls, output: Mapping[str, Any]) -> Stepped:
        """Of what the model ``render`` tells after a step."""
        step, steps = (int(output[name][0]) for name in ("step", "steps"))
        return cls(step, steps, tuple(output.get("preview", ())))


@dataclass(frozen=True)
class Attempted:
    """An attempt to reach ``structure_min`` has ended; the next begins with step 1 again."""

    attempt: int
    """From 1."""
    max_attempts: int
    images: tuple[Attempt, ...]
    """The pictures that were painted in it."""


@dataclass(frozen=True)
class Picture:
    """One finished picture."""

    png: bytes
    seed: int
    scores: Scores


def flat(scores: Scores) -> dict[str, float | None]:
    """`scores` by the names they have where ``style_score`` is that of the style and the prompt."""
    other = {"style_score": "image_style_score"}
    return {other.get(name, name): score for name, score in vars(scores).items()}


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
    attempts: tuple[Attempt, ...] = ()
    """Every picture that was painted, where ``structure_min`` was set."""

    @property
    def rounds(self) -> int:
        """How often its steps were taken."""
        return max((one.attempt for one in self.attempts), default=1)


Event = Chosen | Stepped | Attempted | Finished
Tell = Callable[[Event], None]
"""Takes each event of a render as it comes."""
