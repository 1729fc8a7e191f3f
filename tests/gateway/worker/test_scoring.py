"""How near a picture is to prompt and references, over a pair whose vectors are known."""

from __future__ import annotations

import math

import numpy as np
import pytest

from gateway.telemetry.outcomes import Scores
from gateway.worker.scoring import scored
from pipeline.errors import Unavailable
from pipeline.request import RenderRequest


class Pair:
    """Embeds every content as a direction in the plane, by its angle in degrees."""

    def __init__(self, **degrees):
        self.degrees = degrees
        self.asked = []
        self.failure = None

    async def embed_text(self, prompt, clip=1):
        return await self._embed(prompt, clip)

    async def embed_image(self, png, clip=1):
        return await self._embed(png.decode(), clip)

    async def _embed(self, content, clip):
        self.asked.append((content, clip))
        if self.failure:
            raise self.failure
        angle = math.radians(self.degrees[content])
        return np.array([math.cos(angle), math.sin(angle)], np.float32)


@pytest.fixture
def pair():
    return Pair(house=0, near=0, far=60, first=60, second=90)


def asked(*styles, prompt="house", **fields):
    return RenderRequest(b"sketch", prompt, style_images=styles, **fields)


async def test_each_picture_is_compared_with_prompt_and_reference(pair):
    near, far = await scored(pair, asked(b"near"), [b"first", b"second"], [0.5, 0.75], 3)
    assert vars(near) == pytest.approx(
        {"structure_f1": 0.5, "clip_score": 0.5, "style_score": 0.5}, abs=1e-6
    )
    assert vars(far) == pytest.approx(
        {"structure_f1": 0.75, "clip_score": 0, "style_score": 0}, abs=1e-6
    )
    assert {clip for _, clip in pair.asked} == {3}


@pytest.mark.parametrize(
    ("weights", "wanted"), [((), 0.75), ((0.5, 0.0), 1.0), ((0.25, 0.75), 0.625)]
)
async def test_of_several_references_the_weighted_mean_counts(pair, weights, wanted):
    request = asked(b"near", b"far", style_weights=weights)
    [score] = await scored(pair, request, [b"near"], [1.0], 1)
    assert score.style_score == pytest.approx(wanted, abs=1e-6)


@pytest.mark.parametrize(("syntax", "read"), [("weighted", "house"), ("plain", "(house:1.3)")])
async def test_the_prompt_is_read_without_its_weights(pair, syntax, read):
    pair.degrees[read] = 0
    await scored(pair, asked(b"near", prompt="(house:1.3)", prompt_syntax=syntax), [b"far"], [1], 1)
    assert pair.asked[0] == (read, 1)


async def test_a_picture_is_not_lost_when_the_pair_is_away(pair):
    pair.failure = Unavailable("Triton does not answer at the moment.")
    assert await scored(pair, asked(b"near"), [b"far"], [0.5], 1) == (Scores(0.5),)
