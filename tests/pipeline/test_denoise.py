from __future__ import annotations

import numpy as np
import pytest

from pipeline import contract, topology
from pipeline.denoise import Conditioning, Guidance, Noise, denoise
from pipeline.samplers import SAMPLERS, NoiseSchedule
from tests.pipeline.test_samplers import SD15

LAYERS = len(topology.SD15.cross_attention_layers)


class RecordingDenoiser:
    """A closed-form network that keeps what it was asked."""

    def __init__(self):
        self.calls = []

    async def __call__(self, inputs):
        self.calls.append(inputs)
        pull = inputs["prompt_embeds"].mean(axis=(1, 2)) + inputs["image_embeds"].mean(axis=(1, 2))
        return inputs["sample"] * 0.1 + pull[:, None, None, None].astype(np.float32)


def conditioning():
    rows = np.array([-1.0, 2.0], np.float32)[:, None, None]
    return Conditioning(
        prompt_embeds=rows * np.ones((2, topology.SD15.context_length, 8), np.float32),
        image_embeds=rows * np.ones((2, 4, 8), np.float32),
        control_image=np.full((1, 64, 64), 255, np.uint8),
    )


def guidance(**changed):
    plain = {
        "guidance_scale": 7.5,
        "guidance_start": 0.0,
        "guidance_end": 1.0,
        "controlnet_conditioning_scale": 1.5,
        "control_guidance_start": 0.0,
        "control_guidance_end": 1.0,
        "ip_adapter_scale": (0.8,) * LAYERS,
    }
    return Guidance(**{**plain, **changed})


async def ignore(step, prediction):
    pass


async def run(strength, images=1, steps=4, on_prediction=ignore):

    denoiser = RecordingDenoiser()
    noise = Noise(range(images), 64, 64)
    sampling = SAMPLERS["ddim"](NoiseSchedule.from_config(SD15), steps, noise)
    latents = await denoise(denoiser, sampling, steps, conditioning(), strength, on_prediction)
    return latents, denoiser.calls


async def test_each_call_has_the_contracts_shapes():
    _, calls = await run(guidance(), images=2)
    expected = {tensor.name: tensor for tensor in contract.MODELS["denoiser"].inputs}
    for call in calls:
        assert set(call) == set(expected)
        for name, array in call.items():
            dims = expected[name].dims
            assert array.shape[0] == 4
            assert all(want in (-1, got) for want, got in zip(dims, array.shape[1:], strict=True))


async def test_negative_rows_come_first_and_pair_with_their_image():
    _, calls = await run(guidance(), images=2)
    assert (calls[0]["prompt_embeds"][:, 0, 0] == [-1, -1, 2, 2]).all()
    assert (calls[0]["image_embeds"][:, 0, 0] == [-1, -1, 2, 2]).all()
    sample = calls[0]["sample"]
    assert np.array_equal(sample[0], sample[2])
    assert np.array_equal(sample[1], sample[3])
    assert not np.array_equal(sample[0], sample[1])


@pytest.mark.parametrize("scale", [0.0, 1.0])
async def test_guidance_of_one_or_less_leaves_the_negative_rows_out(scale):
    _, calls = await run(guidance(guidance_scale=scale))
    assert (calls[0]["prompt_embeds"] == 2).all()
    assert len(calls[0]["sample"]) == 1


async def test_guidance_is_the_published_formula():
    latents, calls = await run(guidance(guidance_scale=3.0), steps=1)
    sample = calls[0]["sample"][:1]
    negative, positive = sample * 0.1 - 2, sample * 0.1 + 4
    guided = negative + 3.0 * (positive - negative)
    sampling = SAMPLERS["ddim"](NoiseSchedule.from_config(SD15), 1, Noise([0], 64, 64))
    next(sampling)
    with pytest.raises(StopIteration) as finished:
        sampling.send(guided)
    np.testing.assert_allclose(latents, finished.value.value, atol=1e-6)


async def test_control_acts_only_between_its_start_and_end():
    strength = guidance(control_guidance_start=0.25, control_guidance_end=0.75)
    _, calls = await run(strength, steps=8)
    scales = [float(call["conditioning_scale"][0, 0]) for call in calls]
    assert scales == [0, 0, 1.5, 1.5, 1.5, 1.5, 0, 0]


async def test_the_style_shows_only_between_its_start_and_end():
    each = tuple(np.linspace(0.1, 1, LAYERS, dtype=np.float32).tolist())
    strength = guidance(style_start=0.25, style_end=0.75, ip_adapter_scale=each)
    _, calls = await run(strength, steps=8)
    scales = [tuple(call["ip_adapter_scale"][-1].tolist()) for call in calls]
    none = (0.0,) * LAYERS
    assert scales == [none, none, each, each, each, each, none, none]


async def test_the_negative_prompt_is_computed_only_between_guidances_start_and_end():
    strength = guidance(guidance_start=0.25, guidance_end=0.75)
    _, calls = await run(strength, images=2, steps=8)
    rows = [call["prompt_embeds"][:, 0, 0].tolist() for call in calls]
    alone, pair = [2, 2], [-1, -1, 2, 2]
    assert rows == [alone, alone, pair, pair, pair, pair, alone, alone]
    assert all(len(array) == len(call["sample"]) for call in calls for array in call.values())


async def test_no_step_is_guided_where_the_scale_is_one():
    _, calls = await run(guidance(guidance_scale=1.0, guidance_start=0.5))
    assert {len(call["sample"]) for call in calls} == {1}


@pytest.mark.parametrize("steps", [10, 20, 30, 50])
@pytest.mark.parametrize("tenth", range(1, 10))
def test_a_bound_that_came_as_a_32_bit_float_costs_no_step(steps, tenth):
    bound = float(np.float32(tenth / 10))
    until = guidance(control_guidance_end=bound, guidance_end=bound)
    since = guidance(control_guidance_start=bound, guidance_start=bound)
    guided = round(steps * tenth / 10)
    assert sum(until.control_scale(step, steps) > 0 for step in range(steps)) == guided
    assert sum(since.control_scale(step, steps) > 0 for step in range(steps)) == steps - guided
    assert sum(until.guides(step, steps) for step in range(steps)) == guided
    assert sum(since.guides(step, steps) for step in range(steps)) == steps - guided


async def test_every_row_has_a_style_strength_per_layer():
    per_layer = tuple(index / LAYERS for index in range(LAYERS))
    _, calls = await run(guidance(ip_adapter_scale=per_layer))
    np.testing.assert_allclose(calls[0]["ip_adapter_scale"], [per_layer] * 2, rtol=1e-6)


async def test_steps_are_told_in_order_and_an_exception_ends_the_loop():
    told = []

    async def leave_at_two(step, prediction):
        told.append(step)
        if step == 2:
            raise LookupError

    with pytest.raises(LookupError):
        await run(guidance(), steps=8, on_prediction=leave_at_two)
    assert told == [1, 2]


async def test_each_step_tells_what_was_shown_and_what_guidance_made_of_the_answer():
    told = []

    async def keep(step, prediction):
        told.append(prediction)

    _, calls = await run(guidance(guidance_scale=3.0), on_prediction=keep)
    assert [prediction.timestep for prediction in told] == [call["timestep"][0] for call in calls]
    for prediction, call in zip(told, calls, strict=True):
        np.testing.assert_array_equal(prediction.sample, call["sample"][:1])
        negative, positive = prediction.sample * 0.1 - 2, prediction.sample * 0.1 + 4
        guided = negative + 3.0 * (positive - negative)
        np.testing.assert_allclose(prediction.noise_pred, guided, atol=1e-5)


def test_noise_belongs_to_its_seed_alone():
    together = Noise([3, 4, 5], 64, 128)()
    assert together.shape == (3, 4, 8, 16)
    np.testing.assert_array_equal(together[1:2], Noise([4], 64, 128)())
    assert not np.array_equal(together[0], together[1])


def test_noise_is_new_with_each_call_and_still_its_seed_s_own():
    together, alone = Noise([3, 4], 64, 64), Noise([4], 64, 64)
    first, second = together(), together()
    assert not np.array_equal(first, second)
    alone()
    np.testing.assert_array_equal(second[1:], alone())


def test_noise_is_standard_normal():
    many = Noise(range(64), 64, 64)()
    assert abs(many.mean()) < 0.02
    assert abs(many.std() - 1) < 0.02


def test_the_noise_of_a_seed_never_changes():
    first = Noise([7], 64, 64)()[0, 0, 0, :3]
    np.testing.assert_allclose(first, [-0.5023736, 0.50684536, 2.0193486], atol=1e-6)
