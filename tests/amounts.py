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


def sample(values: Iterable[Any], kept: Container[Any], *, several: bool = False) -> list[Any]:
    """Parameters: `values`, of which those that are not among `kept` are for a long run.

    Args:
        several: whether each value is a tuple of several parameters.
    """
    marked = [
        pytest.param(*(value if several else (value,)), marks=[] if value in kept else [long])
        for value in values
    ]
    assert any(not parameters.marks for parameters in marked), "no value is among those kept"
    return marked
