"""Tests that go through inputs which Hypothesis draws: always the same ones, and all to the end."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from tests.amounts import amounts

STEADY = settings(
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)


def fuzzed(few: int, many: int, **strategies: Any) -> Callable:
    """A test that is called with inputs drawn from `strategies`: `few` in every run, `many` in a
    long one. Its other arguments are fixtures."""

    def decorate(test: Callable) -> Callable:
        @functools.wraps(test)
        def tried(count: int, **fixtures: Any) -> None:
            drawn = 0

            def each(**inputs: Any) -> None:
                nonlocal drawn
                drawn += 1
                test(**fixtures, **inputs)

            settings(STEADY, max_examples=count)(given(**strategies)(each))()
            assert drawn >= count

        named = [
            parameter
            for name, parameter in inspect.signature(test).parameters.items()
            if name not in strategies
        ]
        count = inspect.Parameter("count", inspect.Parameter.POSITIONAL_OR_KEYWORD)
        tried.__signature__ = inspect.Signature([count, *named])
        del tried.__wrapped__
        return pytest.mark.parametrize("count", amounts(few, many))(tried)

    return decorate
