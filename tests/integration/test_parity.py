"""The served picture against diffusers' own pipeline: same pack, noise, prompt, style, sketch."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch
from diffusers import (
    StableDiffusionControlNetImg2ImgPipeline,
    StableDiffusionControlNetInpaintPipeline,
)
from PIL import Image

from export.pack import Pack
from maquette.v1 import maquette_pb2 as pb
from tests.amounts import sample
from tests.conftest import ROOT
from tests.integration.reference import (
    SCHEDULERS,
    from_image_by_diffusers,
    picture,
    pixels,
)
from tests.integration.reference import by_diffusers as reference_picture
from tests.integration.stack import stub_of
from tests.pictures import encoded

PROMPT, NEGATIVE = "watercolour library with arched windows", "neon, night"
SEED, SIZE, LARGE = 1234, (192, 128), (256, 192)


@pytest.fixture(scope="module")
def reference():
    return Pack(ROOT / "packs" / "tiny").pipeline


def by_diffusers(reference, sketch, style_image, scheduler, steps, size=SIZE, **options):
    return reference_picture(
        reference, sketch, scheduler, steps,
        prompt=PROMPT, negative_prompt=NEGATIVE, seed=SEED, width=size[0], height=size[1],
        ip_adapter_image=picture(style_image), **options,
    )  # fmt: skip


def served(stub, sketch, style_image, scheduler, steps, size=SIZE, **options):
    response = stub.Render(
        pb.RenderRequest(
            sketch=sketch, prompt=PROMPT, negative_prompt=NEGATIVE, style_images=[style_image],
            seed=SEED, scheduler=scheduler, num_inference_steps=steps, width=size[0],
            height=size[1], **options,
        )
    )  # fmt: skip
    return pixels(response.images[0].png)


@pytest.mark.parametrize("scheduler", SCHEDULERS)
@pytest.mark.parametrize("size", sample([SIZE, LARGE], [SIZE]))
def test_twenty_steps_equal_diffusers(stub, reference, sketch, style_image, scheduler, size):
    expected = by_diffusers(reference, sketch, style_image, scheduler, 20, size)
    found = served(stub, sketch, style_image, scheduler, 20, size)
    assert found.shape == expected.shape
    assert expected.std() > 10, "a flat picture would prove nothing"
    assert np.abs(found - expected).max() <= 2


@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_a_refined_picture_equals_diffusers(stub, reference, sketch, style_image, scheduler):
    image = (ROOT / "examples/styles/ghibli.png").read_bytes()
    expected = from_image_by_diffusers(
        reference, StableDiffusionControlNetImg2ImgPipeline, sketch, scheduler, 20,
        image=picture(image).resize(SIZE, Image.Resampling.LANCZOS), strength=0.6,
        prompt=PROMPT, negative_prompt=NEGATIVE, seed=SEED, width=SIZE[0], height=SIZE[1],
        ip_adapter_image=picture(style_image),
    )  # fmt: skip
    found = served(stub, sketch, style_image, scheduler, 20, image=image, strength=0.6)
    assert expected.std() > 10, "a flat picture would prove nothing"
    assert np.abs(found - expected).max() <= 2


@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_a_repainted_part_equals_diffusers(stub, reference, sketch, style_image, scheduler):
    image = (ROOT / "examples/styles/ghibli.png").read_bytes()
    scaled = picture(image).resize(SIZE, Image.Resampling.LANCZOS)
    mask = Image.new("L", SIZE)
    mask.paste(255, (48, 32, 144, 96))
    inside = np.asarray(mask) > 0
    expected = from_image_by_diffusers(
        reference, StableDiffusionControlNetInpaintPipeline, sketch, scheduler, 12,
        image=scaled, mask_image=mask, strength=1.0,
        prompt=PROMPT, negative_prompt=NEGATIVE, seed=SEED, width=SIZE[0], height=SIZE[1],
        ip_adapter_image=picture(style_image),
    )  # fmt: skip
    found = served(
        stub, sketch, style_image, scheduler, 12, image=encoded(scaled), mask=encoded(mask)
    )
    assert np.abs(found - expected)[inside].max() <= 2
    assert np.array_equal(found[~inside], np.asarray(scaled, int)[~inside])


@pytest.mark.parametrize(
    "options",
    [
        {"guidance_scale": 1.0},
        {"guidance_scale": 3.0, "controlnet_conditioning_scale": 0.4},
        {"control_guidance_start": 0.25, "control_guidance_end": 0.75},
    ],
    ids=["no guidance", "weak control", "control in the middle"],
)
def test_options_mean_what_they_mean_in_diffusers(stub, reference, sketch, style_image, options):
    expected = by_diffusers(reference, sketch, style_image, "ddim", steps=8, **options)
    found = served(stub, sketch, style_image, "ddim", steps=8, **options)
    assert np.abs(found - expected).max() <= 2


def test_guidance_in_an_interval_is_diffusers_with_another_scale_outside(
    stub, reference, sketch, style_image
):
    # With 1 it would take the negative row away, which its loop cannot bring back.
    none, steps = 1 + 1e-6, 8

    def choose(pipe, step, _timestep, _tensors):
        pipe._guidance_scale = 7.5 if 2 <= step + 1 < 6 else none
        return {}

    options = {"guidance_scale": none, "callback_on_step_end": choose}
    expected = by_diffusers(reference, sketch, style_image, "ddim", steps, **options)
    interval = {"guidance_start": 0.25, "guidance_end": 0.75}
    found = served(stub, sketch, style_image, "ddim", steps, **interval)
    assert np.abs(found - expected).max() <= 2
    whole = served(stub, sketch, style_image, "ddim", steps)
    assert np.abs(found - whole).max() > 20, "the interval changed nothing"


def test_style_strength_means_what_it_means_in_diffusers(stub, reference, sketch, style_image):
    expected = by_diffusers(reference, sketch, style_image, "ddim", 8, ip_adapter_scale=0.3)
    found = served(stub, sketch, style_image, "ddim", 8, ip_adapter_scale=[0.3])
    assert np.abs(found - expected).max() <= 2


@pytest.mark.parametrize("mode", ["style", "composition"])
def test_a_style_mode_is_diffusers_with_scales_by_layer(stub, reference, sketch, style_image, mode):
    blocks = {
        "style": {
            "down": {"block_0": [0.8] * 2, "block_1": [0.8] * 2},
            "mid": 0.8,
            "up": {"block_2": [0.8] * 3, "block_3": [0.8] * 3},
        },
        "composition": {"down": {"block_2": [0.2, 0.8]}},
    }
    expected = by_diffusers(
        reference, sketch, style_image, "ddim", 8, ip_adapter_scale=blocks[mode]
    )
    found = served(stub, sketch, style_image, "ddim", 8, style_mode=mode)
    assert np.abs(found - expected).max() <= 2
    whole = served(stub, sketch, style_image, "ddim", 8)
    # The deepest level, which `style` leaves out, brings the tiny pack little.
    assert np.abs(found - whole).max() > 10, "the mode changed nothing"


def test_a_style_in_an_interval_is_diffusers_with_no_strength_outside(
    stub, reference, sketch, style_image
):
    steps = 8

    def choose(pipe, step, _timestep, _tensors):
        pipe.set_ip_adapter_scale(0.8 if 2 <= step + 1 < 6 else 0.0)
        return {}

    options = {"ip_adapter_scale": 0.0, "callback_on_step_end": choose}
    expected = by_diffusers(reference, sketch, style_image, "ddim", steps, **options)
    interval = {"style_start": 0.25, "style_end": 0.75}
    found = served(stub, sketch, style_image, "ddim", steps, **interval)
    assert np.abs(found - expected).max() <= 2
    whole = served(stub, sketch, style_image, "ddim", steps)
    assert np.abs(found - whole).max() > 20, "the interval changed nothing"


class AlreadyProjected(torch.nn.Module):
    def forward(self, image_embeds):
        return [image_embeds[0][:, None]]


def test_a_blend_of_references_is_diffusers_on_the_mean_of_their_tokens(
    stub, reference, sketch, style_image
):
    other = (ROOT / "examples/styles/ghibli.png").read_bytes()
    weights = np.array([0.3, 0.7])
    with torch.inference_mode():
        (embeds,) = reference.prepare_ip_adapter_image_embeds(
            [[picture(style_image), picture(other)]], None, "cpu", 1, True
        )
        tokens = reference.unet.encoder_hid_proj([embeds])[0]
        shares = torch.tensor(weights, dtype=torch.float32)[None, :, None, None]
        blended = (tokens * shares).sum(1)
    options = {
        "prompt": PROMPT, "negative_prompt": NEGATIVE, "seed": SEED, "width": SIZE[0],
        "height": SIZE[1],
    }  # fmt: skip
    # A module is no attribute of the kind that monkeypatch puts back.
    projection, reference.unet.encoder_hid_proj = (
        reference.unet.encoder_hid_proj,
        AlreadyProjected(),
    )
    try:
        expected = reference_picture(
            reference, sketch, "ddim", 8, ip_adapter_image_embeds=[blended], **options
        )
    finally:
        reference.unet.encoder_hid_proj = projection
    answer = stub.Render(
        pb.RenderRequest(
            sketch=sketch, style_images=[style_image, other], style_weights=weights,
            num_inference_steps=8, scheduler="ddim", **options,
        )
    )  # fmt: skip
    assert np.abs(pixels(answer.images[0].png) - expected).max() <= 2
    alone = by_diffusers(reference, sketch, style_image, "ddim", 8)
    assert np.abs(alone - expected).max() > 20, "one reference must not pass for two"


SMALL = {"width": 192, "height": 128}


@pytest.fixture(scope="module")
def plain(live, request_for):
    with live.channel() as channel:
        return pixels(stub_of(channel).Render(request_for(**SMALL)).images[0].png)


@pytest.mark.parametrize(
    "changed",
    [
        {"prompt": "brick factory"},
        {"negative_prompt": "sunny"},
        {"controlnet_conditioning_scale": 0.0},
        {"ip_adapter_scale": [0.0]},
        {"style": "ghibli"},
        {"guidance_scale": 3.0},
        {"scheduler": "euler"},
        {"seed": 12},
        {"width": 256},
    ],
    ids=lambda changed: next(iter(changed)),
)
def test_every_field_changes_the_picture(stub, request_for, plain, changed):
    other = pixels(stub.Render(request_for(**SMALL | changed)).images[0].png)
    assert plain.shape != other.shape or np.abs(plain - other).max() > 2


def test_the_thresholds_decide_what_controlnet_sees(stub, request_for):
    faint = Image.new("RGB", (256, 256), "white")
    faint.paste((205, 205, 205), (60, 60, 200, 200))
    # Where the sketch is to hold nothing, it may be without edges.
    asked = partial(
        request_for, sketch=encoded(faint), sketch_kind="clean", controlnet_conditioning_scale=0.0
    )
    edges = [
        pixels(stub.Render(asked(**thresholds)).control_image)
        for thresholds in ({}, {"canny_low_threshold": 900, "canny_high_threshold": 1000})
    ]
    assert edges[0].any()
    assert not edges[1].any()
