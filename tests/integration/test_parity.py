"""The served picture against diffusers' own pipeline: same pack, noise, prompt, style, sketch."""

from __future__ import annotations

import io
from unittest import mock

import cv2
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
from PIL import Image

from export.pack import Pack
from maquette.v1 import maquette_pb2 as pb
from pipeline.denoise import Noise
from tests.conftest import ROOT
from tests.pictures import encoded

SCHEDULERS = {
    "ddim": DDIMScheduler,
    "euler": EulerDiscreteScheduler,
    "euler_a": EulerAncestralDiscreteScheduler,
    "dpmpp_2m": DPMSolverMultistepScheduler,
    "lcm": LCMScheduler,
}
PROMPT, NEGATIVE = "watercolour library with arched windows", "neon, night"
SEED, SIZE = 1234, (256, 192)


@pytest.fixture(scope="module")
def reference():
    return Pack(ROOT / "packs" / "tiny").pipeline


def pixels(png):
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"), int)


def by_diffusers(reference, sketch, style_image, scheduler, steps, **options):
    width, height = SIZE
    paper = Image.open(io.BytesIO(sketch)).convert("RGB")
    edges = cv2.Canny(np.asarray(paper.resize(SIZE, Image.Resampling.LANCZOS)), 50, 150)
    reference.scheduler = SCHEDULERS[scheduler].from_config(reference.scheduler.config)
    reference.set_ip_adapter_scale(options.pop("ip_adapter_scale", 0.8))
    noise = Noise([SEED], height, width)

    def draw(*_, **__):
        return torch.from_numpy(noise())

    # These two draw more noise on their way: it is to be the same noise.
    ancestral, consistent = (
        mock.patch.object(module, "randn_tensor", side_effect=draw)
        for module in (scheduling_euler_ancestral_discrete, scheduling_lcm)
    )
    with torch.inference_mode(), ancestral, consistent:
        done = reference(
            prompt=PROMPT,
            negative_prompt=NEGATIVE,
            image=Image.fromarray(edges).convert("RGB"),
            ip_adapter_image=Image.open(io.BytesIO(style_image)).convert("RGB"),
            latents=draw(),
            num_inference_steps=steps,
            width=width,
            height=height,
            **{"guidance_scale": 7.5, "controlnet_conditioning_scale": 1.5, **options},
        )
    return np.asarray(done.images[0], int)


def served(stub, sketch, style_image, scheduler, steps, **options):
    response = stub.Render(
        pb.RenderRequest(
            sketch=sketch, prompt=PROMPT, negative_prompt=NEGATIVE, style_images=[style_image],
            seed=SEED, scheduler=scheduler, num_inference_steps=steps, width=SIZE[0],
            height=SIZE[1], **options,
        )
    )  # fmt: skip
    return pixels(response.images[0].png)


@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_twenty_steps_equal_diffusers(stub, reference, sketch, style_image, scheduler):
    expected = by_diffusers(reference, sketch, style_image, scheduler, steps=20)
    found = served(stub, sketch, style_image, scheduler, steps=20)
    assert found.shape == expected.shape
    assert expected.std() > 10, "a flat picture would prove nothing"
    assert np.abs(found - expected).max() <= 2


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


def test_style_strength_means_what_it_means_in_diffusers(stub, reference, sketch, style_image):
    expected = by_diffusers(reference, sketch, style_image, "ddim", 8, ip_adapter_scale=0.3)
    found = served(stub, sketch, style_image, "ddim", 8, ip_adapter_scale=[0.3])
    assert np.abs(found - expected).max() <= 2


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
        {"width": 192},
    ],
    ids=lambda changed: next(iter(changed)),
)
def test_every_field_changes_the_picture(stub, request_for, changed):
    plain = pixels(stub.Render(request_for()).images[0].png)
    other = pixels(stub.Render(request_for(**changed)).images[0].png)
    assert plain.shape != other.shape or np.abs(plain - other).max() > 2


def test_the_thresholds_decide_what_controlnet_sees(stub, request_for):
    faint = Image.new("RGB", (256, 256), "white")
    faint.paste((205, 205, 205), (60, 60, 200, 200))
    edges = [
        pixels(stub.Render(request_for(sketch=encoded(faint), **thresholds)).control_image)
        for thresholds in ({}, {"canny_low_threshold": 900, "canny_high_threshold": 1000})
    ]
    assert edges[0].any()
    assert not edges[1].any()
