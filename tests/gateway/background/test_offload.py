"""What is done at once, and what in a thread."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from PIL import Image

from gateway.background import offload
from tests.pictures import encoded

NOISE = np.random.default_rng(0).integers(0, 256, (300, 300, 3), np.uint8)
SMALL = encoded(Image.new("RGB", (64, 64), "orange"))
LARGE = encoded(Image.fromarray(NOISE))


def test_a_few_small_pictures_are_little():
    assert offload.are_little([SMALL, SMALL])


@pytest.mark.parametrize(
    "pictures",
    [
        pytest.param([SMALL, LARGE], id="more bytes than are little"),
        # A thousand of its bytes may be one of the file's.
        pytest.param([encoded(Image.new("RGB", (64, 64)), "JPEG")], id="one that must be unpacked"),
        pytest.param([SMALL, encoded(Image.new("RGB", (64, 64)), "WEBP")], id="one among others"),
    ],
)
def test_others_are_not(pictures):
    assert len(SMALL) < offload.LITTLE < len(LARGE)
    assert not offload.are_little(pictures)


@pytest.mark.parametrize("is_little", [True, False])
async def test_only_little_work_is_done_where_every_call_waits_for_it(is_little):
    here = threading.get_ident()
    assert (await offload.run(is_little, threading.get_ident) == here) is is_little
