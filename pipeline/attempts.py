"""Paints again what keeps too little of its sketch, and keeps the best of each picture."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy.typing as npt

from pipeline.request import RANGES, SEEDS, RenderRequest

MORE_CONTROL = 1.25
"""By which the third and each later attempt raises ControlNet's scale."""
FIRST_WITH_MORE = 3

Arrays = Mapping[str, npt.NDArray[Any]]
Paint = Callable[[RenderRequest], Awaitable[Arrays]]
"""Makes one render, and returns the outputs of the model ``render``."""


@dataclass(frozen=True)
class Attempt:
    """One picture that was painted to reach ``structure_min``."""

    attempt: int
    """From 1."""
    image: int
    """Which of the render's pictures it was to become, from 0."""
    seed: int
    structure_f1: float
    controlnet_conditioning_scale: float
    variation_seed: int | None = None
    """None where the noise was not turned."""


OnAttempt = Callable[[int, int, tuple[Attempt, ...]], object]
"""Takes the number of an attempt, from 1, how many there are at most, and what was painted."""


@dataclass(frozen=True)
class Painted:
    """A picture of one attempt, and what made it."""

    number: int
    """Of the attempt, from 1."""
    request: RenderRequest
    output: Arrays
    index: int
    """In `output`."""

    @property
    def png(self) -> bytes:
        """Its file."""
        return bytes(self.output["images"][self.index])

    @property
    def seed(self) -> int:
        """The seed of its noise."""
        return int(self.output["seeds"][self.index])

    @property
    def variation_seed(self) -> int | None:
        """The seed of the noise that was mixed in."""
        return self.request.variation_seeds[self.index]

    @property
    def structure_f1(self) -> float:
        """How well it keeps the sketch."""
        return float(self.output["structure_f1"][self.index])

    def at(self, image: int) -> Attempt:
        """The attempt that it is at the picture `image`."""
        turned = self.request.variation_strength > 0
        return Attempt(
            self.number,
            image,
            self.seed,
            self.structure_f1,
            self.request.controlnet_conditioning_scale,
            self.variation_seed if turned else None,
        )


@dataclass(frozen=True)
class Made:
    """What came of a render."""

    pictures: tuple[Painted, ...]
    """The best of each."""
    outputs: tuple[Arrays, ...]
    """Of every attempt."""
    attempts: tuple[Attempt, ...]
    """Empty where no structure was asked for."""
    warnings: tuple[str, ...]

    def seconds(self, stage: str) -> float:
        """What `stage` took, of all attempts together."""
        return float(sum(output[f"{stage}_seconds"][0] for output in self.outputs))


async def make(paint: Paint, request: RenderRequest, on_attempt: OnAttempt) -> Made:
    """The pictures of `request`, each painted until it reaches ``structure_min``.

    Pictures that have reached it are left alone by the attempts that follow.

    Args:
        request: with its seeds drawn.
    """
    floor = request.structure_min
    most = request.max_attempts if floor else 1
    best: dict[int, Painted] = {}
    below = list(range(request.num_images))
    outputs: list[Arrays] = []
    attempts: list[Attempt] = []
    while below and len(outputs) < most:
        asked = again(request, len(outputs) + 1, sum(map(_count, outputs)), len(below))
        outputs.append(await paint(asked))
        made = [Painted(len(outputs), asked, outputs[-1], index) for index in range(len(below))]
        for image, one in zip(below, made, strict=True):
            best[image] = max(best.get(image, one), one, key=lambda each: each.structure_f1)
        if floor:
            news = tuple(one.at(image) for image, one in zip(below, made, strict=True))
            attempts += news
            on_attempt(len(outputs), most, news)
        below = [image for image in below if best[image].structure_f1 < floor]
    pictures = tuple(best[image] for image in range(request.num_images))
    warnings = (_missed(request, len(outputs), [best[image] for image in below]),) if below else ()
    return Made(pictures, tuple(outputs), tuple(attempts), warnings)


def again(request: RenderRequest, number: int, painted: int, images: int) -> RenderRequest:
    """The render of `images` pictures that is attempt `number` at `request`.

    Its seeds follow those of the pictures that were painted before; where noise is turned, its
    variation seeds do. From the third attempt on, each has more control than the one before.

    Args:
        number: from 1.
        painted: pictures of the attempts before.
    """
    name = "variation_seed" if request.variation_strength else "seed"
    changed: dict[str, Any] = {name: ((getattr(request, name) or 0) + painted) % SEEDS}
    if number >= FIRST_WITH_MORE:
        more = MORE_CONTROL ** (number - FIRST_WITH_MORE + 1)
        most = RANGES["controlnet_conditioning_scale"].high
        scale = min(request.controlnet_conditioning_scale * more, most)
        changed["controlnet_conditioning_scale"] = round(scale, 4)
    return replace(request, num_images=images, **changed)


def _count(output: Arrays) -> int:
    return len(output["seeds"])


def _missed(request: RenderRequest, attempts: int, below: list[Painted]) -> str:
    worst = min(one.structure_f1 for one in below)
    count = request.num_images
    which = "the picture is" if count == 1 else f"{len(below)} of {count} pictures are"
    return (
        f"structure_min is {request.structure_min:g}, and {which} below it after all attempts "
        f"({attempts}), at {worst:.3f}. Raise fidelity, controlnet_conditioning_scale or "
        "max_attempts, or lower structure_min."
    )
