"""Which seeds are trained on, looked at and held out: their one home.

Seeds below 1,000 belong to the bundled styles and example sketches, which are never trained on.
"""

from __future__ import annotations

from typing import Literal

Split = Literal["train", "development", "held_out"]

SEEDS: dict[Split, range] = {
    "train": range(1_000_000, 9_000_000),
    "development": range(9_000_000, 10_000_000),
    "held_out": range(10_000_000, 11_000_000),
}
"""A recipe is tried on `development`; `held_out` only measures what came of it."""


def seed_of(split: Split, index: int) -> int:
    """The seed of a split's `index`-th sample.

    Raises:
        IndexError: the split has no such sample.
    """
    return SEEDS[split][index]
