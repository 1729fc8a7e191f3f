"""Each sampler against diffusers' scheduler of the same config, over a non-linear network."""

from __future__ import annotations

from contextlib import contextmanager

import numpy as np
import pytest
import torch
from diffusers import (
    DDIMScheduler,
    DPMSolverMultistepScheduler,
    EulerAncestralDiscreteScheduler,
    EulerDiscreteScheduler,
    LCMScheduler,
)
from diffusers.schedulers import scheduling_euler_ancestral_discrete, scheduling_lcm

from pipeline.samplers import FROM_NOISE, SAMPLERS, STEP_LIMITS, NoiseSchedule, Start

REFERENCES = {
    "ddim": DDIMScheduler,
    "euler": EulerDiscreteScheduler,
    "euler_a": EulerAncestralDiscreteScheduler,
    "dpmpp_2m": DPMSolverMultistepScheduler,
    "lcm": LCMScheduler,
}
SD15 = {
    "num_train_timesteps": 1000,
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "steps_offset": 1,
    "set_alpha_to_one": False,
    "clip_sample": False,
}


def network(sample, timestep):
    """Bends, mixes channels and depends on the timestep, so that no term can hide."""
    return np.tanh(sample + 0.3 * np.roll(sample, 1, axis=1)) * (0.8 + timestep / 2000)


def draws(seed, shape=(2, 4, 6, 5)):
    """Noise, new with each call."""
    random = np.random.default_rng(seed)
    return lambda: random.standard_normal(shape).astype(np.float32)


def ours(name, config, steps, draw, start=FROM_NOISE):
    sampling = SAMPLERS[name](NoiseSchedule.from_config(config), steps, draw, start)
    query, timesteps = next(sampling), []
    while True:
        sample, timestep = query
        timesteps.append(timestep)
        try:
            query = sampling.send(network(sample, timestep).astype(np.float32))
        except StopIteration as finished:
            return finished.value, timesteps


@contextmanager
def same_noise(draw):
    """Have the schedulers that draw noise on their way draw it from us."""
    with pytest.MonkeyPatch.context() as patch:
        for module in (scheduling_euler_ancestral_discrete, scheduling_lcm):
            patch.setattr(module, "randn_tensor", draw)
        yield


def theirs(name, config, steps, draw):
    scheduler = REFERENCES[name].from_config(config)
    scheduler.set_timesteps(steps)
    latents = torch.from_numpy(draw()) * scheduler.init_noise_sigma
    with same_noise(lambda *_, **__: torch.from_numpy(draw())):
        for timestep in scheduler.timesteps:
            sample = scheduler.scale_model_input(latents, timestep)
            predicted = network(sample.numpy(), float(timestep)).astype(np.float32)
            latents = scheduler.step(torch.from_numpy(predicted), timestep, latents).prev_sample
    return latents.numpy(), scheduler.timesteps.tolist()


def refined_by_theirs(name, config, steps, taken, draw, picture, mask=None):
    """What diffusers' img2img and, with a `mask` of 0 and 1, inpainting pipelines do."""
    scheduler = REFERENCES[name].from_config(config)
    scheduler.set_timesteps(steps)
    timesteps = scheduler.timesteps[steps - taken :]
    if hasattr(scheduler, "set_begin_index"):
        scheduler.set_begin_index(steps - taken)
    noise = torch.from_numpy(draw())
    original = torch.from_numpy(picture).repeat(len(noise), 1, 1, 1)
    latents = scheduler.add_noise(original, noise, timesteps[:1].repeat(len(noise)))
    if mask is not None and steps == taken:
        latents = noise * scheduler.init_noise_sigma
    with same_noise(lambda *_, **__: torch.from_numpy(draw())):
        for timestep in timesteps:
            sample = scheduler.scale_model_input(latents, timestep)
            predicted = network(sample.numpy(), float(timestep)).astype(np.float32)
            latents = scheduler.step(torch.from_numpy(predicted), timestep, latents).prev_sample
            if mask is not None:
                kept, index = original, timesteps.tolist().index(timestep)
                if index < taken - 1:
                    kept = scheduler.add_noise(original, noise, timesteps[index + 1 : index + 2])
                latents = torch.where(torch.from_numpy(mask > 0), latents, kept)
    return latents.numpy()


def test_every_sampler_has_a_reference():
    assert set(REFERENCES) == set(SAMPLERS)


CASES = [
    (name, steps)
    for name in SAMPLERS
    for steps in (1, 2, 4, 13, 20, 50, 150)
    if steps <= STEP_LIMITS.get(name, 150)
]


@pytest.mark.parametrize(("name", "steps"), CASES)
@pytest.mark.parametrize("spacing", [None, "leading", "linspace", "trailing"])
@pytest.mark.parametrize("alpha_to_one", [False, True])
def test_equals_diffusers(name, steps, spacing, alpha_to_one):
    config = {**SD15, "set_alpha_to_one": alpha_to_one}
    if spacing:
        config["timestep_spacing"] = spacing
    expected, expected_timesteps = theirs(name, config, steps, draws(steps))
    found, timesteps = ours(name, config, steps, draws(steps))
    np.testing.assert_allclose(timesteps, expected_timesteps, atol=1e-3)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=2e-4)
    assert found.dtype == np.float32


@pytest.mark.parametrize("name", SAMPLERS)
@pytest.mark.parametrize("spacing", [None, "leading", "trailing"])
@pytest.mark.parametrize(("steps", "taken"), [(20, 16), (20, 1), (13, 13), (4, 2)])
def test_a_picture_is_refined_as_in_diffusers(name, spacing, steps, taken):
    config = SD15 if spacing is None else {**SD15, "timestep_spacing": spacing}
    picture = draws(99, (1, 4, 6, 5))()
    expected = refined_by_theirs(name, config, steps, taken, draws(steps), picture)
    start = Start(steps - taken, picture)
    found, timesteps = ours(name, config, steps, draws(steps), start)
    assert len(timesteps) == taken
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=2e-4)
    assert found.dtype == np.float32


MASK = np.zeros((6, 5), np.float32)
MASK[1:4, 2:] = 1


@pytest.mark.parametrize("name", SAMPLERS)
@pytest.mark.parametrize(("steps", "taken"), [(20, 20), (20, 13), (4, 1)])
def test_a_part_is_repainted_as_in_diffusers(name, steps, taken):
    picture = draws(99, (1, 4, 6, 5))()
    expected = refined_by_theirs(name, SD15, steps, taken, draws(steps), picture, MASK)
    start = Start(steps - taken, picture, MASK, taken)
    found, _ = ours(name, SD15, steps, draws(steps), start)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=2e-4)
    kept = np.broadcast_to(picture, found.shape)[..., MASK == 0]
    np.testing.assert_allclose(found[..., MASK == 0], kept, atol=1e-6)


def test_grey_goes_free_at_the_step_that_it_says():
    picture, steps = draws(99, (1, 4, 6, 5))(), 8
    grey = np.linspace(0, 1, 30, dtype=np.float32).reshape(6, 5)
    start = Start(0, picture, grey, steps)
    free = [
        start.hold(np.full_like(picture, 9), np.zeros_like(picture), done, (1, 0))[0, 0] == 9
        for done in range(1, steps + 1)
    ]
    for done, found in enumerate(free[:-1], 1):
        assert np.array_equal(found, 1 - grey <= done / steps)
    # What never took part in a step is the picture's.
    assert np.array_equal(free[-1], free[-2])
    assert not free[-1][0, 0]


@pytest.mark.parametrize("name", ["euler_a", "lcm"])
def test_these_take_new_noise_at_every_step_but_the_last(name):
    drawn = []
    draw = draws(0)
    ours(name, SD15, 4, lambda: drawn.append(draw()) or drawn[-1])
    assert len(drawn) == 4


@pytest.mark.parametrize("name", [name for name in SAMPLERS if name not in STEP_LIMITS])
@pytest.mark.parametrize("steps", [61, 103, 121, 122])
def test_trailing_takes_as_many_steps_as_asked(name, steps):
    """Where diffusers' floating-point range takes one more."""
    config = {**SD15, "timestep_spacing": "trailing"}
    _, timesteps = ours(name, config, steps, draws(0))
    assert len(timesteps) == steps


def test_a_linear_beta_schedule_equals_diffusers():
    config = {**SD15, "beta_schedule": "linear"}
    found, expected = (way("ddim", config, 10, draws(0))[0] for way in (ours, theirs))
    np.testing.assert_allclose(found, expected, atol=1e-4)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("prediction_type", "v_prediction"),
        ("clip_sample", True),
        ("beta_schedule", "squaredcos_cap_v2"),
        ("timestep_spacing", "random"),
        ("rescale_betas_zero_snr", True),
        ("use_karras_sigmas", True),
    ],
)
def test_a_config_that_would_be_ignored_is_refused(key, value):
    with pytest.raises(ValueError, match=key):
        NoiseSchedule.from_config({**SD15, key: value})
