"""How much of a kind is tried: a sample in `make test`, the rest in `make test-long`.

One test does both, by parameters of which some have the marker `long`.
"""

from __future__ import annotations

from collections.abc import Container, Iterable
from typing import Any

import pytest

long = pytest.mark.long


def amounts(few: int, many: int) -> list[Any]:
    """Parameters: `few` in every run, `many` in a long one."""
    return [few, pytest.param(many, marks=long)]


def sample(values: Iterable[Any], kept: Container[Any]) -> list[Any]:
    """Parameters: `values`, of which those that are not among `kept` are for a long run."""
    return [value if value in kept else pytest.param(value, marks=long) for value in values]
