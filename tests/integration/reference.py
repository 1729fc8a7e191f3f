"""A picture by diffusers' own pipeline, for the served one to be held against."""

from __future__ import annotations

import io

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

from pipeline.denoise import Noise

SCHEDULERS = {
    "ddim": DDIMScheduler,
    "euler": EulerDiscreteScheduler,
    "euler_a": EulerAncestralDiscreteScheduler,
    "dpmpp_2m": DPMSolverMultistepScheduler,
    "lcm": LCMScheduler,
}


def picture(data):
    return Image.open(io.BytesIO(data)).convert("RGB")


def pixels(png):
    return np.asarray(picture(png), int)


def by_diffusers(reference, sketch, scheduler, steps, **options):
    """diffusers' pipeline on what maquette would send its networks; options are its own."""
    width, height = options["width"], options["height"]
    paper = picture(sketch)
    edges = cv2.Canny(np.asarray(paper.resize((width, height), Image.Resampling.LANCZOS)), 50, 150)
    reference.scheduler = SCHEDULERS[scheduler].from_config(reference.scheduler.config)
    reference.set_ip_adapter_scale(options.pop("ip_adapter_scale", 0.8))
    noise = Noise([options.pop("seed")], height, width)

    def draw(*_, **__):
        return torch.from_numpy(noise())

    # These two draw more noise on their way: it is to be the same noise.
    with torch.inference_mode(), pytest.MonkeyPatch.context() as patch:
        for module in (scheduling_euler_ancestral_discrete, scheduling_lcm):
            patch.setattr(module, "randn_tensor", draw)
        done = reference(
            image=Image.fromarray(edges).convert("RGB"),
            latents=draw(),
            num_inference_steps=steps,
            **{"guidance_scale": 7.5, "controlnet_conditioning_scale": 1.5, **options},
        )
    return np.asarray(done.images[0], int)
