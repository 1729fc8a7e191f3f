"""Attempts to reach ``structure_min``, over a painter whose scores are known."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.attempts import again, make
from pipeline.request import SEEDS, RenderRequest


class Scripted:
    """Paints pictures whose scores go by their seeds."""

    def __init__(self, scores):
        self.scores = scores
        self.asked = []

    async def __call__(self, request):
        self.asked.append(request)
        seeds = [request.seed + n for n in range(request.num_images)]
        return {
            "images": [f"picture {seed}".encode() for seed in seeds],
            "seeds": np.array(seeds),
            "structure_f1": np.array([self.scores[seed] for seed in seeds], np.float32),
            **{f"{stage}_seconds": np.array([0.5]) for stage in ("condition", "denoise", "decode")},
        }


def request(**fields):
    return RenderRequest(b"sketch", "a house", **fields)


async def made_of(scores, **fields):
    """What is made, what the painter was asked for, and the events."""
    paint, events = Scripted(scores), []
    made = await make(paint, request(**{"seed": 0, **fields}), lambda *told: events.append(told))
    return made, paint.asked, events


async def test_without_a_floor_there_is_one_attempt_and_nothing_to_say():
    made, asked, events = await made_of([0.1], max_attempts=5)
    assert (len(asked), events, made.attempts, made.warnings) == (1, [], (), ())
    assert made.pictures[0].png == b"picture 0"


@pytest.mark.parametrize(
    ("scores", "attempts", "best"),
    [([0.95], 1, 0), ([0.5, 0.95], 2, 1), ([0.5, 0.25, 0.75], 3, 2), ([0.75, 0.5, 0.5], 3, 0)],
)
async def test_it_ends_when_the_floor_is_reached_and_keeps_the_best(scores, attempts, best):
    made, asked, events = await made_of(scores, structure_min=0.9)
    assert [one.png for one in made.pictures] == [f"picture {best}".encode()]
    assert [one.seed for one in asked] == [*range(attempts)]
    assert [event[:2] for event in events] == [(number, 3) for number in range(1, attempts + 1)]
    assert made.attempts == sum((images for _, _, images in events), ())
    assert [one.structure_f1 for one in made.attempts] == pytest.approx(scores)
    assert made.seconds("denoise") == 0.5 * attempts
    assert made.attempts[best].seed == made.pictures[0].seed


async def test_the_picture_keeps_what_made_it():
    made, _, _ = await made_of([0.1, 0.2, 0.3], structure_min=0.9, seed=0)
    [picture] = made.pictures
    assert (picture.number, picture.request.controlnet_conditioning_scale) == (3, 1.875)
    scales = [one.controlnet_conditioning_scale for one in made.attempts]
    assert scales == [1.5, 1.5, 1.875]


async def test_only_pictures_below_the_floor_are_painted_again():
    scores = [0.95, 0.5, 0.9375, 0.25, 0.75, 0.95, 0.8]
    made, asked, events = await made_of(scores, structure_min=0.9, num_images=4)
    assert [(one.seed, one.num_images) for one in asked] == [(0, 4), (4, 2), (6, 1)]
    # The second picture is tried with 1, 4 and 6, the fourth with 3 and 5.
    assert [one.seed for one in made.pictures] == [0, 6, 2, 5]
    assert [[(one.image, one.seed) for one in images] for _, _, images in events] == [
        [(0, 0), (1, 1), (2, 2), (3, 3)], [(1, 4), (3, 5)], [(1, 6)],
    ]  # fmt: skip


async def test_what_stays_below_is_told_with_a_remedy():
    made, _, _ = await made_of([0.5, 0.75], structure_min=0.9, max_attempts=2)
    assert made.warnings == (
        "structure_min is 0.9, and the picture is below it after all attempts (2), at 0.750. Raise "
        "fidelity, controlnet_conditioning_scale or max_attempts, or lower structure_min.",
    )
    made, _, _ = await made_of([0.95, 0.5], structure_min=0.9, max_attempts=1, num_images=2)
    assert made.warnings[0].startswith("structure_min is 0.9, and 1 of 2 pictures are below it")


def test_attempts_take_the_next_seeds_and_from_the_third_on_more_control():
    asked = request(seed=SEEDS - 1, controlnet_conditioning_scale=1.0)
    made = [again(asked, number, number - 1, 1) for number in range(1, 6)]
    assert made[0] == asked
    assert [one.seed for one in made] == [SEEDS - 1, 0, 1, 2, 3]
    scales = [one.controlnet_conditioning_scale for one in made]
    assert scales == [1.0, 1.0, 1.25, 1.5625, 1.9531]


def test_there_is_no_more_control_than_a_render_may_have():
    made = again(request(seed=1), 4, 3, 1)
    assert made.controlnet_conditioning_scale == 2.0


def test_several_pictures_take_their_seeds_in_a_row():
    made = again(request(seed=7, num_images=4), 2, 4, 2)
    assert (made.seed, made.num_images, made.variation_seed) == (11, 2, None)


def test_of_a_variation_the_noise_that_is_mixed_in_is_another():
    asked = request(seed=7, variation_strength=0.2, variation_seed=3, num_images=2)
    made = again(asked, 2, 2, 1)
    assert (made.seed, made.variation_seed, made.variation_seeds) == (7, 5, (5,))
