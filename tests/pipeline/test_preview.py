"""Previews: what they show, when they come, and that nothing else changes."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from pipeline import topology
from pipeline.denoise import Prediction
from pipeline.preview import LatentRgb, clean_latents, previews
from pipeline.render import render
from pipeline.samplers import SAMPLERS, NoiseSchedule
from tests.pipeline.test_render import PACK, ClosedFormStack, request
from tests.pipeline.test_samplers import SD15, draws, network

SPACINGS = (None, "leading", "linspace", "trailing")
LATENT_RGB = LatentRgb.from_config(
    {"weights": [[0.3, 0, 0], [0, 0.3, 0], [0, 0, 0.3], [0.1, 0, -0.1], [0.2, 0, -0.2]]}
)


def schedule_of(spacing, *, alpha_to_one=True):
    spaced = {"timestep_spacing": spacing} if spacing else {}
    return NoiseSchedule.from_config({**SD15, "set_alpha_to_one": alpha_to_one, **spaced})


def sampled(name, schedule, steps, draw, predict):
    """Every prediction on the way, and the latents that the sampler ends with."""
    sampling, predictions = SAMPLERS[name](schedule, steps, draw), []
    sample, timestep = next(sampling)
    while True:
        noise_pred = predict(sample, timestep).astype(np.float32)
        predictions.append(Prediction(sample, timestep, noise_pred))
        try:
            sample, timestep = sampling.send(noise_pred)
        except StopIteration as finished:
            return predictions, finished.value


@pytest.mark.parametrize("name", SAMPLERS)
@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("steps", [1, 4, 20])
def test_what_is_clean_at_the_last_step_is_what_the_sampler_ends_with(name, spacing, steps):
    """Where the network bends and mixes channels, so that only the right estimate agrees."""
    schedule = schedule_of(spacing)
    predictions, latents = sampled(name, schedule, steps, draws(steps), network)
    estimate = clean_latents(schedule, predictions[-1])
    assert estimate.dtype == np.float32
    np.testing.assert_allclose(estimate, latents, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("name", SAMPLERS)
@pytest.mark.parametrize("spacing", [None, "leading", "trailing"])
def test_a_network_that_knows_the_picture_has_it_clean_at_every_step(name, spacing):
    schedule = schedule_of(spacing)
    shape = (2, 4, 32, 32)
    picture = np.linspace(-1, 1, np.prod(shape), dtype=np.float32).reshape(shape)

    def noise_in(sample, timestep):
        trained = ((1 - schedule.alphas_cumprod) / schedule.alphas_cumprod) ** 0.5
        sigma = np.interp(timestep, np.arange(len(trained)), trained)
        alpha = 1 / (sigma**2 + 1)
        return (sample - alpha**0.5 * picture) / (1 - alpha) ** 0.5

    predictions, latents = sampled(name, schedule, 20, draws(0, shape), noise_in)
    for prediction in predictions:
        # Noise of about unit variance, so the sample is what `clean_latents` takes it for.
        assert prediction.noise_pred.std() == pytest.approx(1, abs=0.1)
        np.testing.assert_allclose(clean_latents(schedule, prediction), picture, atol=1e-4)
    np.testing.assert_allclose(latents, picture, atol=1e-4)


def test_a_preview_is_the_map_of_the_clean_latents():
    colours = np.array([[-1.0, -0.2, 0.6], [0.8, 0.0, -0.6]], np.float32)
    latents = np.zeros((2, 4, 8, 16), np.float32)
    latents[:, :3] = ((colours - [0.2, 0, -0.2]) / 0.3)[:, :, None, None]
    noise = draws(0, latents.shape)()
    alpha = float(PACK.schedule.alphas_cumprod[700])
    sample = (alpha**0.5 * latents + (1 - alpha) ** 0.5 * noise).astype(np.float32)
    files = previews(LATENT_RGB, PACK.schedule, Prediction(sample, 700.0, noise))
    for file, colour in zip(files, colours, strict=True):
        picture = Image.open(io.BytesIO(file))
        assert (picture.format, picture.mode, picture.size) == ("PNG", "RGB", (64, 32))
        expected = np.broadcast_to((colour + 1) * 127.5, (32, 64, 3))
        np.testing.assert_allclose(np.asarray(picture), expected, atol=1)


def test_every_channel_has_its_place_in_the_map():
    latents = draws(3, (4, 5, 6))()
    pixels = LATENT_RGB.pixels(latents)
    red, green, blue = (0.3 * latents[:3]) + np.array([0.2, 0, -0.2])[:, None, None]
    np.testing.assert_allclose(
        pixels, [red + 0.1 * latents[3], green, blue - 0.1 * latents[3]], atol=1e-6
    )


def test_a_map_of_another_size_is_refused():
    with pytest.raises(ValueError, match=r"latent_rgb.json: weights are \(4, 3\); expected: \(5"):
        LatentRgb.from_config({"weights": [[0.0] * 3] * topology.SD15.latent_channels})


async def watched(wanted, latent_rgb=LATENT_RGB):
    """What was told at each step, and the render."""
    told = []

    async def on_step(step, steps, made):
        told.append((step, made))

    done = await render(ClosedFormStack(), wanted, replace(PACK, latent_rgb=latent_rgb), on_step)
    return told, done


@pytest.mark.parametrize(
    ("interval", "steps", "expected"),
    [(0, 6, []), (1, 4, [1, 2, 3]), (2, 6, [2, 4]), (4, 6, [4]), (6, 6, []), (150, 6, [])],
)
async def test_previews_come_at_their_interval_and_never_with_the_last_step(
    sketch, style_image, interval, steps, expected
):
    wanted = request(
        sketch, style_image, num_inference_steps=steps, preview_interval=interval, num_images=2
    )
    told, _ = await watched(wanted)
    assert [step for step, _ in told] == list(range(1, steps + 1))
    assert [step for step, made in told if made] == expected
    assert all(len(made) == 2 for _, made in told if made)


@pytest.mark.parametrize("scheduler", SAMPLERS)
async def test_previews_change_nothing_in_the_picture(sketch, style_image, scheduler):
    pictures = [
        (await watched(request(sketch, style_image, scheduler=scheduler, **asked)))[1].images
        for asked in ({}, {"preview_interval": 1})
    ]
    assert pictures[0] == pictures[1]


async def test_several_images_have_the_previews_of_single_ones(sketch, style_image):
    told, _ = await watched(request(sketch, style_image, preview_interval=3, num_images=2))
    single, _ = await watched(request(sketch, style_image, preview_interval=3, seed=6))
    assert told[2][1][1] == single[2][1][0]
    assert told[2][1][0] != told[2][1][1]


async def test_a_preview_has_the_shape_of_the_picture(sketch, style_image):
    told, _ = await watched(request(sketch, style_image, preview_interval=2, width=192, height=128))
    assert Image.open(io.BytesIO(told[1][1][0])).size == (96, 64)


async def test_engines_of_before_there_were_previews_render_without_and_say_so(sketch, style_image):
    told, done = await watched(request(sketch, style_image, preview_interval=1), latent_rgb=None)
    assert not any(made for _, made in told)
    assert done.warnings[0].startswith("preview_interval brings nothing")
    _, plain = await watched(request(sketch, style_image), latent_rgb=None)
    assert plain.images == done.images
    assert plain.warnings == ()
