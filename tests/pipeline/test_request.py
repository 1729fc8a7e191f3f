from __future__ import annotations

import math
import re
from itertools import combinations

import numpy as np
import pytest

from pipeline.errors import InvalidRequest
from pipeline.request import DEFAULTS, MAX_PROMPT, RANGES, RenderRequest
from pipeline.topology import MAX_LAYERS

VALID = {"sketch": b"x", "prompt": "a house"}


def test_defaults_are_the_documented_ones():
    request = RenderRequest(**VALID)
    assert request.num_inference_steps == 20
    assert request.guidance_scale == 7.5
    assert request.controlnet_conditioning_scale == 1.5
    assert (request.control_guidance_start, request.control_guidance_end) == (0, 1)
    assert (request.guidance_start, request.guidance_end) == (0, 1)
    assert request.ip_adapter_scale == (0.8,)
    assert (request.canny_low_threshold, request.canny_high_threshold) == (50, 150)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("prompt", ""),
        ("prompt", "  \n"),
        ("prompt", "x" * (MAX_PROMPT + 1)),
        ("negative_prompt", "x" * 100_000),
        ("num_inference_steps", 0),
        ("num_inference_steps", -1),
        ("num_inference_steps", 10_000),
        ("guidance_scale", math.nan),
        ("guidance_scale", math.inf),
        ("controlnet_conditioning_scale", -0.1),
        ("control_guidance_end", 1.1),
        ("ip_adapter_scale", (0.5, math.nan)),
        ("ip_adapter_scale", (0.5,) * (MAX_LAYERS + 1)),
        ("ip_adapter_scale", ()),
        ("seed", -1),
        ("seed", 2**32),
        ("width", 130),
        ("height", 64),
        ("width", 2048),
        ("num_images", 5),
        ("preview_interval", -1),
        ("preview_interval", 151),
        ("scheduler", "magic"),
        ("style_weights", (0.5,)),
        ("style_images", (b"x",) * 9),
        ("canny_low_threshold", 200),
        ("control_guidance_start", 1.0),
        ("guidance_start", 1.0),
        ("guidance_end", 1.1),
        ("style_start", 1.0),
        ("style_end", math.nan),
        ("style_mode", "colour"),
        ("style_count", 0),
        ("style_count", 9),
        ("styles", ("a",) * 9),
        ("styles", ("a", " ")),
    ],
)
def test_a_bad_value_is_refused_with_its_name_and_range(field, value):
    with pytest.raises(InvalidRequest, match=rf"^{field} is .+; allowed: .+") as refused:
        RenderRequest(**{**VALID, field: value})
    assert refused.value.field == field
    assert len(str(refused.value)) < 300


@pytest.mark.parametrize(
    "field", sorted(RANGES.keys() - {"seed", "style_weights", "variation_seed"})
)
def test_the_value_that_a_message_proposes_is_accepted(field):
    allowed = RANGES[field]
    for wrong in (allowed.low - 1, allowed.high + 1):
        message = str(_refusal(field, wrong))
        proposed = float(re.search(r"Try ([\d.]+)\.$", message).group(1))
        assert allowed.holds(proposed)


def test_no_seed_is_proposed_to_who_wants_any():
    assert str(_refusal("seed", -1)).endswith("Leave it out to have one drawn.")


def test_a_sampler_with_fewer_steps_says_so():
    RenderRequest(**VALID, scheduler="lcm", num_inference_steps=50)
    with pytest.raises(InvalidRequest, match=r"^num_inference_steps is 51; allowed: 1 to 50 with"):
        RenderRequest(**VALID, scheduler="lcm", num_inference_steps=51)


@pytest.mark.parametrize("strength", [0, 0.0, math.nan, 1.5, -1])
def test_a_strength_that_changes_nothing_or_more_than_all_is_refused(strength):
    with pytest.raises(InvalidRequest, match=r"^strength is .+; allowed: 0\.01 to 1\. Try "):
        RenderRequest(**VALID, image=b"i", strength=strength)


def test_a_strength_needs_an_image_and_a_step():
    with pytest.raises(InvalidRequest, match=r"^strength is 0\.5; allowed: empty without an image"):
        RenderRequest(**VALID, strength=0.5)
    few = {**VALID, "image": b"i", "num_inference_steps": 3}
    message = r"^strength is 0\.3; allowed: 0\.34 to 1 with 3 steps.+ Try 0\.34\.$"
    with pytest.raises(InvalidRequest, match=message):
        RenderRequest(**few, strength=0.3)
    assert RenderRequest(**few, strength=0.34).steps_taken == 1


@pytest.mark.parametrize(
    ("field", "value"),
    [("mask", b"m"), ("pad", (0, 0, 64, 0)), ("mask_blur", 3), ("pad", (1, 2, 3)),
     ("pad", (-1,) * 4), ("mask_blur", 65), ("variation_strength", math.nan),
     ("variation_seed", -1)],
)  # fmt: skip
def test_what_is_painted_anew_is_a_part_of_an_image(field, value):
    with pytest.raises(InvalidRequest, match=rf"^{field} is .+; allowed: .+") as refused:
        RenderRequest(**VALID, **{field: value})
    assert refused.value.field == field


@pytest.mark.parametrize("upscale", [0, 3, 8, -2])
def test_pictures_grow_by_two_or_four(upscale):
    with pytest.raises(InvalidRequest) as refused:
        RenderRequest(**VALID, upscale=upscale)
    wanted = f"upscale is {upscale}; allowed: one of 1, 2, 4. Leave it out for 1."
    assert str(refused.value) == wanted


@pytest.mark.parametrize(
    ("changed", "steps"),
    [({}, 0), ({"strength": 0.5}, 10), ({"mask": b"m"}, 20), ({"pad": (0, 0, 64, 0)}, 20),
     ({"image": b""}, 20), ({"upscale": 1}, 16), ({"num_inference_steps": 1}, 0)],
)  # fmt: skip
def test_an_image_is_enlarged_as_it_is_unless_something_of_it_is_to_change(changed, steps):
    asked = RenderRequest(**{**VALID, "image": b"i", "upscale": 2, **changed})
    assert (asked.steps_taken, asked.only_enlarges) == (steps, steps == 0)


def test_variations_of_one_seed_have_seeds_in_a_row():
    asked = RenderRequest(**VALID, variation_seed=2**32 - 1, num_images=2, variation_strength=0.1)
    assert asked.variation_seeds == (2**32 - 1, 0)
    assert RenderRequest(**VALID, num_images=2).variation_seeds == (None, None)


def test_the_steps_of_a_refined_picture_are_diffusers():
    for strength, steps, taken in ((None, 20, 16), (0.7, 10, 7), (0.29, 100, 28), (1, 5, 5)):
        image = {"image": b"i", "num_inference_steps": steps}
        # As gRPC brings it.
        sent = strength and float(np.float32(strength))
        assert RenderRequest(**VALID, **image, strength=sent).steps_taken == taken
    assert RenderRequest(**VALID).steps_taken == 20


def _refusal(field, value):
    sent = (value,) if isinstance(DEFAULTS[field], tuple) else value
    with pytest.raises(InvalidRequest) as refused:
        RenderRequest(**{**VALID, field: sent})
    return refused.value


def test_the_ends_of_every_range_are_allowed():
    for field in ("num_inference_steps", "guidance_scale", "width", "num_images", "seed"):
        for value in (RANGES[field].low, RANGES[field].high):
            assert getattr(RenderRequest(**{**VALID, field: value}), field) == value


def test_weights_are_shares():
    images = (b"a", b"b")
    assert RenderRequest(**VALID, style_images=images).weights == (0.5, 0.5)
    weighted = RenderRequest(**VALID, style_images=images, style_weights=(0.2, 0.6))
    assert weighted.weights == pytest.approx((0.25, 0.75))


def test_weights_that_are_all_zero_are_refused():
    with pytest.raises(InvalidRequest, match="style_weights"):
        RenderRequest(**VALID, style_images=(b"a",), style_weights=(0.0,))


NAMED = {"style": "pencil", "styles": ("ink", "winter"), "style_images": (b"a",)}


@pytest.mark.parametrize(("one", "other"), [*combinations(NAMED, 2)])
def test_styles_are_named_in_one_way(one, other):
    with pytest.raises(InvalidRequest, match=rf"^{one} is .+; allowed: empty when {other} is set"):
        RenderRequest(**VALID, **{name: NAMED[name] for name in (one, other)})


@pytest.mark.parametrize("name", NAMED)
def test_styles_that_are_named_are_not_counted(name):
    with pytest.raises(InvalidRequest, match=rf"^style_count is 2; allowed: 1 when {name} is set"):
        RenderRequest(**VALID, **{name: NAMED[name]}, style_count=2)


@pytest.mark.parametrize(
    ("weights", "found"),
    [((0.5,), "1 weights; allowed: 2 weights"), ((0.0, 0.0), "(0.0, 0.0); allowed: one above 0")],
)
def test_named_styles_have_weights_of_which_one_counts(weights, found):
    with pytest.raises(InvalidRequest, match=f"^style_weights is {re.escape(found)}"):
        RenderRequest(**VALID, styles=("ink", "winter"), style_weights=weights)
