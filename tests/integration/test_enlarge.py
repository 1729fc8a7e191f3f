"""Enlarged pictures on the live stack: no seams, the sketch's lines, and memory of a tile."""

from __future__ import annotations

import io
import threading

import numpy as np
import pytest
from PIL import Image

from pipeline.fidelity import structure_f1
from tests.pictures import pixels

TILE_BORDERS = (128, 192, 256, 384, 448)
"""Of 512 pixels: where tiles of UNet and VAE begin or end."""


def picture_of(png):
    return Image.open(io.BytesIO(png))


def steps_across(picture, borders):
    """Mean differences of neighbours across `borders`, and of those everywhere else."""
    across, elsewhere = [], []
    for axis in (0, 1):
        steps = np.abs(np.diff(picture, axis=axis)).mean((1 - axis, 2))
        at = np.array(borders) - 1
        across.append(steps[at])
        elsewhere.append(np.delete(steps, at))
    return np.concatenate(across).mean(), np.concatenate(elsewhere).mean()


def test_a_render_ends_larger_without_seams(stub, request_for):
    small = stub.Render(request_for(num_inference_steps=8)).images[0]
    events = list(stub.RenderStream(request_for(num_inference_steps=8, upscale=2)))
    # Two of eight steps, in nine tiles each.
    told = [(e.progress.step, e.progress.steps) for e in events if e.HasField("progress")]
    assert told == [(0, 8), *((step, 8 + 18) for step in range(1, 8 + 18 + 1))]
    larger = events[-1].result
    picture = pixels(larger.images[0].png)
    assert picture.shape == pixels(larger.control_image).shape == (512, 512, 3)
    across, elsewhere = steps_across(picture, TILE_BORDERS)
    assert across <= 1.1 * elsewhere
    # Painting keeps the sketch's lines better than scaling alone.
    scaled = picture_of(small.png).resize((512, 512), Image.Resampling.LANCZOS)
    edges = np.asarray(picture_of(larger.control_image))
    assert larger.images[0].structure_f1 > structure_f1(edges, np.asarray(scaled), 50, 150)
    # Its colours are those of the small picture.
    mean = picture.reshape(256, 2, 256, 2, 3).mean((1, 3))
    assert np.abs(mean - pixels(small.png)).mean() < 10


@pytest.mark.long
@pytest.mark.timeout(1200)
def test_four_times_as_large_takes_little_more_memory_than_twice(live, stub, request_for):
    image = stub.Render(request_for()).images[0].png
    peaks = []
    for upscale in (2, 4):
        ended, found = threading.Event(), [0]

        def watch(ended=ended, found=found):
            while not ended.wait(0.1):
                found.append(live.resident_bytes())

        watching = threading.Thread(target=watch)
        watching.start()
        try:
            # A step in each tile; more take no more memory.
            asked = request_for(image=image, upscale=upscale, upscale_strength=0.05)
            assert pixels(stub.Render(asked).images[0].png).shape[0] == 256 * upscale
        finally:
            ended.set()
            watching.join()
        peaks.append(max(found))
    assert peaks[1] <= 1.3 * peaks[0]
