"""Which set of versions made a picture, as its pixels tell."""

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
    """What each request looks like when one set of versions makes all of it."""

    pictures: dict[tuple[str, str], Picture] = field(default_factory=dict)
    """By the request's name and the set of versions's."""
    served_versions: dict[str, dict[str, int]] = field(default_factory=dict)
    """The version of each network, by the set of versions's name."""

    def learn(self, request: str, pinned: str, png: bytes, versions: Versions) -> None:
        """Take `png` for what `pinned` makes of `request`.

        Raises:
            ValueError: the set of versions was others before.
        """
        if self.served_versions.setdefault(pinned, dict(versions)) != dict(versions):
            raise ValueError(
                f"{pinned} was {self.served_versions[pinned]}, and is {dict(versions)}"
            )
        self.pictures[request, pinned] = _decoded(png)

    def tells_apart(self) -> bool:
        """Whether no request looks alike in two sets of versions, so that a mixture is found."""
        return not any(
            same(one, other)
            for (request, pinned), one in self.pictures.items()
            for (another, rival), other in self.pictures.items()
            if request == another and pinned < rival
        )

    def wrong(self, request: str, png: bytes, versions: Versions) -> str:
        """Why `png` is not what its `versions` make of `request`; empty where it is."""
        named = [name for name, pinned in self.served_versions.items() if pinned == dict(versions)]
        if not named:
            return f"{request}: made by {dict(versions)}, which is no set of versions of the drill"
        picture = _decoded(png)
        if same(picture, self.pictures[request, named[0]]):
            return ""
        alike = [
            pinned
            for (name, pinned), other in self.pictures.items()
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
