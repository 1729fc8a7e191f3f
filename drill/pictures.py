"""Which line-up made a picture, as its pixels tell."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from pipeline import images
from pipeline.images import Picture

ROUNDING = 1
"""Levels of 255 by which a pixel may differ: networks round a little differently in a batch."""

Versions = Mapping[str, int]


@dataclass(frozen=True)
class References:
    """What each request looks like when one line-up makes all of it."""

    pictures: dict[tuple[str, str], Picture] = field(default_factory=dict)
    """By the request's name and the line-up's."""
    line_ups: dict[str, dict[str, int]] = field(default_factory=dict)
    """The version of each network, by the line-up's name."""

    def learn(self, request: str, line_up: str, png: bytes, versions: Versions) -> None:
        """Take `png` for what `line_up` makes of `request`.

        Raises:
            ValueError: the line-up was others before.
        """
        if self.line_ups.setdefault(line_up, dict(versions)) != dict(versions):
            raise ValueError(f"{line_up} was {self.line_ups[line_up]}, and is {dict(versions)}")
        self.pictures[request, line_up] = _decoded(png)

    def tells_apart(self) -> bool:
        """Whether no request looks alike in two line-ups, so that a mixture can be found out."""
        return not any(
            same(one, other)
            for (request, line_up), one in self.pictures.items()
            for (another, rival), other in self.pictures.items()
            if request == another and line_up < rival
        )

    def wrong(self, request: str, png: bytes, versions: Versions) -> str:
        """Why `png` is not what its `versions` make of `request`; empty where it is."""
        named = [name for name, line_up in self.line_ups.items() if line_up == dict(versions)]
        if not named:
            return f"{request}: made by {dict(versions)}, which is no line-up of the drill"
        picture = _decoded(png)
        if same(picture, self.pictures[request, named[0]]):
            return ""
        alike = [
            line_up
            for (name, line_up), other in self.pictures.items()
            if name == request and same(picture, other)
        ]
        like = f"looks like {alike[0]}" if alike else "looks like none"
        return f"{request}: said to be by {named[0]}, {like}"


def same(one: Picture, other: Picture) -> bool:
    """Whether two pictures differ by rounding at most."""
    if one.shape != other.shape:
        return False
    return int(np.abs(one.astype(int) - other.astype(int)).max()) <= ROUNDING


def _decoded(png: bytes) -> Picture:
    return np.asarray(images.decode(png, "render"))
