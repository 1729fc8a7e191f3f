"""Fields that stand for several others."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline import presets
from pipeline.errors import InvalidRequest
from pipeline.presets import FIDELITY
from pipeline.request import DEFAULTS, PROFILES, STANDS_FOR, RenderRequest


def request(**fields):
    return RenderRequest(b"sketch", "a house", **fields)


def resolved(asked, *, few_steps=False):
    return presets.resolved(asked, few_steps=few_steps)


def holds(found):
    return tuple(getattr(found, name) for name in STANDS_FOR["fidelity"])


def work(profile, **given):
    found = resolved(request(profile=profile), **given)
    return tuple(getattr(found, name) for name in STANDS_FOR["profile"])


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


@pytest.mark.parametrize(
    ("preset", "chosen", "name"),
    [
        (preset, {"fidelity": 0.5, "profile": "fast"}[preset], name)
        for preset, names in STANDS_FOR.items()
        for name in names
    ],
)
def test_it_is_not_sent_together_with_what_it_sets(preset, chosen, name):
    other = "euler" if name == "scheduler" else type(DEFAULTS[name])(0.25) or 3
    with pytest.raises(InvalidRequest) as raised:
        request(**{preset: chosen, name: other})
    assert raised.value.field == name
    assert f"allowed: left out where {preset} ({chosen}) is set. Send one" in str(raised.value)
    assert getattr(request(**{preset: chosen, name: DEFAULTS[name]}), preset) == chosen


@pytest.mark.parametrize("few_steps", [False, True])
def test_a_profile_sets_every_field_that_it_stands_for(few_steps):
    for profile in PROFILES:
        found = resolved(request(profile=profile, fidelity=0.5), few_steps=few_steps)
        assert (found.profile, found.fidelity, holds(found)) == ("", None, (1.0, 0.0, 1.0))
    assert resolved(request(profile="quality"), few_steps=few_steps) == request()


def test_less_work_is_fewer_rows():
    """Rows of the denoiser: two a step where the prompt pulls, else one."""

    def rows(profile, **given):
        _, steps, scale, start, end = work(profile, **given)
        return steps * (1 + (end - start) * (scale > 1))

    for few_steps in (False, True):
        quality, balanced, fast = (rows(name, few_steps=few_steps) for name in PROFILES)
        assert fast <= balanced / 1.5
        assert balanced <= quality / 2


def test_fast_takes_the_network_for_few_steps_where_there_is_one():
    assert work("fast", few_steps=True)[:3] == ("lcm", 4, 1.0)
    assert work("fast", few_steps=False)[0] == DEFAULTS["scheduler"]


def test_what_a_profile_comes_to_is_checked_with_the_rest():
    asked = request(profile="fast", image=b"image", strength=0.2)
    with pytest.raises(InvalidRequest, match="strength is 0.2; allowed: 0.25 to 1 with 4 steps"):
        resolved(asked, few_steps=True)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("fidelity", 1.5, "fidelity is 1.5; allowed: 0 to 1. Try 1."),
        ("fidelity", float("nan"), "fidelity is nan; allowed: 0 to 1. Try a number instead."),
        ("structure_min", -0.5, "structure_min is -0.5; allowed: 0 to 1. Try 0."),
        (
            "profile",
            "best",
            "profile is 'best'; allowed: one of quality, balanced, fast. Leave it empty to set "
            "the fields yourself.",
        ),
        ("max_attempts", 0, "max_attempts is 0; allowed: 1 to 5. Try 1."),
        ("max_attempts", 6, "max_attempts is 6; allowed: 1 to 5. Try 5."),
    ],
)
def test_what_is_out_of_range_is_refused_with_a_remedy(name, value, words):
    with pytest.raises(InvalidRequest) as raised:
        request(**{name: value})
    assert str(raised.value) == words
