"""Candidate and champion at the same scenes in the same server, in turn."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import median
from typing import Any

import numpy as np
from grpc import StatusCode

from evaluation.console import Advance
from evaluation.golden import Scene, decoded
from evaluation.measures import mean
from evaluation.similarity import ms_ssim
from evaluation.stylometry import Stylometer
from maquette.client import CallFailed, Client
from pipeline.errors import Unavailable
from pipeline.images import Picture

STEPS = 10
"""Of each render: half of the usual, which is enough to compare two."""
REPEATED = 3
"""Scenes that the candidate is asked for once more."""
POLL_SECONDS = 0.2
PATIENCE_SECONDS = 120.0
"""For one render that is refused because others are made; a quota of a minute is over by then."""
SIDES = ("champion", "candidate")
BLANK = 1.0
"""The standard deviation, in levels of 255, that a picture of anything exceeds."""


@dataclass(frozen=True)
class Made:
    """A render as its caller gets it."""

    png: bytes
    versions: Mapping[str, int]
    """That made it, by the network's name."""
    seconds: float
    """From the queue's end to the picture."""

    @cached_property
    def picture(self) -> Picture:
        """``[height, width, 3]``."""
        return decoded(self.png)

    @property
    def is_blank(self) -> bool:
        """Whether all of it has one colour, which is what NaN and infinity come out as."""
        return bool(np.std(self.picture.astype(float), axis=(0, 1)).max() < BLANK)


def paint(client: Client, scene: Scene, alias: str) -> Made:
    """A render of `scene` by the versions that `alias` stands for.

    While the gateway is full, or the caller's renders of this minute are used up, it waits as long
    as the gateway says.

    Raises:
        CallFailed: it fails, or is refused for longer than that.
    """
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            result = client.render(**asked_for(scene, alias))
        except CallFailed as error:
            wait = error.retry_after or 0.0
            passes = error.code is StatusCode.RESOURCE_EXHAUSTED and error.retry_after is not None
            if not passes or time.monotonic() + wait > deadline:
                raise
            time.sleep(wait)
        else:
            seconds = result.timings.total_seconds - result.timings.queue_seconds
            return Made(result.images[0].png, result.versions, seconds)


def asked_for(scene: Scene, alias: str) -> dict[str, Any]:
    """The fields of the request for `scene` by the versions that `alias` stands for."""
    return {
        "sketch": scene.sketch,
        "prompt": scene.prompt,
        "style_images": (scene.style_image,) if scene.style_image else (),
        "seed": scene.seed,
        "num_inference_steps": STEPS,
        "versions": alias,
    }


def wait_for(
    client: Client, served_versions: Mapping[str, Mapping[str, int]], seconds: float
) -> None:
    """Return when `served_versions`, by alias, serve; a gateway follows a change at its own pace.

    Raises:
        Unavailable: they are not within `seconds`; says what is served.
    """
    deadline = time.monotonic() + seconds
    while True:
        found = client.info()
        wrong = [
            name
            for name in served_versions
            if found.served_versions.get(name) != served_versions[name]
        ]
        if not wrong:
            return
        if found.problem or time.monotonic() > deadline:
            served = _versions(found.served_versions.get(wrong[0], {})) or "none"
            raise Unavailable(
                f"The server does not serve the {wrong[0]} of this repository "
                f"({_versions(served_versions[wrong[0]])}) but {served}. "
                f"{found.problem or 'See that it serves this repository.'}"
            )
        time.sleep(POLL_SECONDS)


@dataclass(frozen=True)
class Comparison:
    """One scene, as both painted it."""

    scene: Scene
    champion: Made
    candidate: Made | None
    """None where it failed."""
    failure: str = ""
    again: Made | None = None
    """The candidate's, asked for once more."""

    @property
    def distance(self) -> float:
        """1 - MS-SSIM of the two; 1 where there is one picture only, or two sizes."""
        if self.candidate is None or self.candidate.picture.shape != self.champion.picture.shape:
            return 1.0
        return 1 - ms_ssim(self.champion.picture, self.candidate.picture)

    @property
    def repeat_difference(self) -> float:
        """The largest difference of a pixel between the candidate's two renders, of 255."""
        if self.candidate is None or self.again is None:
            return 0.0
        return largest_difference(self.candidate.picture, self.again.picture)

    def structure_f1(self, made: Made | None) -> float:
        """How well `made` keeps the sketch; what is not there keeps nothing."""
        return 0.0 if made is None else self.scene.structure_f1(made.picture)


def largest_difference(one: Picture, other: Picture) -> float:
    """Of a pixel, in levels of 255; all of them where the sizes differ."""
    if one.shape != other.shape:
        return 255.0
    return float(np.abs(one.astype(int) - other.astype(int)).max())


def fight(
    client: Client,
    scenes: Sequence[Scene],
    served_versions: Mapping[str, Mapping[str, int]],
    advance: Advance,
) -> list[Comparison]:
    """A comparison for each of `scenes`; whose turn is first alternates, for the same load.

    Args:
        served_versions: what each alias must stand for.
        advance: called after each render.

    Raises:
        Unavailable: a reply names other versions, so it would tell of something else.
        CallFailed: the champion, or the server itself, does not paint.
    """
    for alias in SIDES:
        # The first render of a network is slower, and counts for nobody.
        _attempt(client, scenes[0], alias, served_versions[alias])
        advance()
    comparisons = []
    for index, scene in enumerate(scenes):
        found: dict[str, Any] = {}
        for alias in SIDES[:: -1 if index % 2 else 1]:
            found[alias] = _attempt(client, scene, alias, served_versions[alias])
            advance()
        again: Made | str = ""
        if index < REPEATED:
            again = _attempt(client, scene, "candidate", served_versions["candidate"])
            advance()
        comparisons.append(_bout(scene, found["champion"], found["candidate"], again))
    return comparisons


def renders_to_make(scenes: int) -> int:
    """How many renders :func:`fight` makes."""
    return len(SIDES) * (scenes + 1) + min(scenes, REPEATED)


def measured(comparisons: Sequence[Comparison], stylometer: Stylometer) -> dict[str, float]:
    """Every figure that pictures and clocks give."""
    found = {
        **_both("structure_f1", *(_mean_f1(comparisons, side) for side in SIDES)),
        "latency_ratio": _latency_ratio(comparisons),
        "repeat_difference": max(comparison.repeat_difference for comparison in comparisons),
        "failed_renders": float(sum(bool(comparison.failure) for comparison in comparisons)),
        "blank_renders": float(
            sum(bool(b.candidate and b.candidate.is_blank) for b in comparisons)
        ),
        "perceptual_distance": mean(comparison.distance for comparison in comparisons),
    }
    told = [comparison for comparison in comparisons if comparison.scene.style]
    if told:
        shares = (_style_accuracy(told, side, stylometer) for side in SIDES)
        found |= _both("style_accuracy", *shares)
    return found


def _attempt(client: Client, scene: Scene, alias: str, pinned: Mapping[str, int]) -> Made | str:
    """A render, or why the candidate's failed."""
    try:
        made = paint(client, scene, alias)
    except CallFailed as error:
        if alias != "candidate" or error.retry_after is not None:
            raise  # The champion's failure, and a server's that is away, is not the candidate's.
        return str(error)
    if dict(made.versions) != dict(pinned):
        raise Unavailable(
            f"A render by the {alias} was made by {_versions(made.versions)}, not by "
            f"{_versions(pinned)}, so the gate would tell nothing. Run it again when nobody "
            "changes versions, on the server of this repository."
        )
    return made


def _bout(scene: Scene, champion: Made, candidate: Made | str, again: Made | str) -> Comparison:
    failures = [one for one in (candidate, again) if one and isinstance(one, str)]
    return Comparison(
        scene,
        champion,
        candidate if isinstance(candidate, Made) else None,
        next(iter(failures), ""),
        again if isinstance(again, Made) else None,
    )


def _both(name: str, champion: float, candidate: float) -> dict[str, float]:
    loss = round(champion - candidate, 4)
    return {name: candidate, f"{name}_champion": champion, f"{name}_loss": loss}


def _mean_f1(comparisons: Sequence[Comparison], side: str) -> float:
    return mean(comparison.structure_f1(getattr(comparison, side)) for comparison in comparisons)


def _style_accuracy(comparisons: Sequence[Comparison], side: str, stylometer: Stylometer) -> float:
    pairs = [(getattr(comparison, side), comparison.scene.style) for comparison in comparisons]
    return mean(made is not None and stylometer.style_of(made.picture) == s for made, s in pairs)


def _latency_ratio(comparisons: Sequence[Comparison]) -> float:
    """Of the medians; 0 where the candidate painted nothing, which is missed elsewhere."""
    took = [comparison.candidate.seconds for comparison in comparisons if comparison.candidate]
    if not took:
        return 0.0
    return round(
        median(took) / median(comparison.champion.seconds for comparison in comparisons), 4
    )


def _versions(pinned: Mapping[str, int]) -> str:
    return ", ".join(f"{network} {version}" for network, version in sorted(pinned.items()))
