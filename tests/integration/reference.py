"""A picture by diffusers' own pipeline, for the served one to be held against."""

from __future__ import annotations

import io
import sys

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
from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution
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


def prepared(reference, sketch, scheduler, options):
    """The edges of `sketch`, and what draws maquette's noise; `reference` takes the scheduler."""
    width, height = options["width"], options["height"]
    paper = picture(sketch)
    edges = cv2.Canny(np.asarray(paper.resize((width, height), Image.Resampling.LANCZOS)), 50, 150)
    reference.scheduler = SCHEDULERS[scheduler].from_config(reference.scheduler.config)
    reference.set_ip_adapter_scale(options.pop("ip_adapter_scale", 0.8))
    noise = Noise([options.pop("seed")], height, width)
    return Image.fromarray(edges).convert("RGB"), lambda *_, **__: torch.from_numpy(noise())


def from_image_by_diffusers(reference, pipeline, sketch, scheduler, steps, **options):
    """What `pipeline`, a class of diffusers that begins with an image, makes with the same noise.

    The image's latents are the mode of their distribution, as maquette takes them.
    """
    told = pipeline(**reference.components)
    edges, draw = prepared(told, sketch, scheduler, options)
    modules = (scheduling_euler_ancestral_discrete, scheduling_lcm)
    with torch.inference_mode(), pytest.MonkeyPatch.context() as patch:
        for module in (*modules, sys.modules[pipeline.__module__]):
            patch.setattr(module, "randn_tensor", draw)
        patch.setattr(DiagonalGaussianDistribution, "sample", lambda self, _=None: self.mode())
        done = told(
            control_image=edges,
            num_inference_steps=steps,
            **{"guidance_scale": 7.5, "controlnet_conditioning_scale": 1.5, **options},
        )
    return np.asarray(done.images[0], int)


def by_diffusers(reference, sketch, scheduler, steps, **options):
    """diffusers' pipeline on what maquette would send its networks; options are its own."""
    edges, draw = prepared(reference, sketch, scheduler, options)
    # These two draw more noise on their way: it is to be the same noise.
    with torch.inference_mode(), pytest.MonkeyPatch.context() as patch:
        for module in (scheduling_euler_ancestral_discrete, scheduling_lcm):
            patch.setattr(module, "randn_tensor", draw)
        done = reference(
            image=edges,
            latents=draw(),
            num_inference_steps=steps,
            **{"guidance_scale": 7.5, "controlnet_conditioning_scale": 1.5, **options},
        )
    return np.asarray(done.images[0], int)
