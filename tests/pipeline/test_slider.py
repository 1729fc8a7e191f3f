"""The slider and the fields that it stands for."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.errors import InvalidRequest
from pipeline.request import DEFAULTS, SET_BY_FIDELITY, RenderRequest
from pipeline.slider import FIDELITY, resolved


def request(**fields):
    return RenderRequest(b"sketch", "a house", **fields)


def holds(found):
    return tuple(getattr(found, name) for name in SET_BY_FIDELITY)


@pytest.mark.parametrize(
    ("fidelity", "wanted"),
    [*((knot, (scale, 0.0, end)) for knot, (scale, end) in FIDELITY.items()),
     (float(np.float32(0.6)), (1.2, 0.0, 1.0)), (0.125, (0.25, 0.0, 0.625))],
)  # fmt: skip
def test_fidelity_stands_for_three_fields(fidelity, wanted):
    found = resolved(request(fidelity=fidelity, prompt_syntax="plain"))
    assert holds(found) == wanted
    assert (found.fidelity, found.prompt_syntax) == (None, "plain")


def test_more_fidelity_is_never_less_control():
    found = [holds(resolved(request(fidelity=share))) for share in np.linspace(0, 1, 41)]
    scales, starts, ends = zip(*found, strict=True)
    assert sorted(scales) == list(scales)
    assert sorted(ends) == list(ends)
    assert set(starts) == {0.0}


def test_without_it_nothing_changes():
    asked = request(controlnet_conditioning_scale=0.5)
    assert resolved(asked) is asked
    default = next(knot for knot, (scale, end) in FIDELITY.items() if (scale, end) == (1.5, 1.0))
    assert holds(resolved(request(fidelity=default))) == holds(request())


@pytest.mark.parametrize("name", SET_BY_FIDELITY)
def test_it_is_not_sent_together_with_what_it_sets(name):
    with pytest.raises(InvalidRequest) as raised:
        request(fidelity=0.5, **{name: 0.25})
    assert str(raised.value).startswith(
        f"{name} is 0.25; allowed: left out where fidelity (0.5) is set. Send one of the two."
    )
    assert request(fidelity=0.5, **{name: DEFAULTS[name]}).fidelity == 0.5


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("fidelity", 1.5, "fidelity is 1.5; allowed: 0 to 1. Try 1."),
        ("fidelity", float("nan"), "fidelity is nan; allowed: 0 to 1. Try a number instead."),
        ("structure_min", -0.5, "structure_min is -0.5; allowed: 0 to 1. Try 0."),
        ("max_attempts", 0, "max_attempts is 0; allowed: 1 to 5. Try 1."),
        ("max_attempts", 6, "max_attempts is 6; allowed: 1 to 5. Try 5."),
    ],
)
def test_what_is_out_of_range_is_refused_with_a_remedy(name, value, words):
    with pytest.raises(InvalidRequest) as raised:
        request(**{name: value})
    assert str(raised.value) == words
