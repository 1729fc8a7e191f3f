"""How wrong networks are where the right answer is known: on noise that was added here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from evaluation.cases import Case
from evaluation.in_process import InProcess
from pipeline import images
from pipeline.denoise import Noise
from pipeline.request import DEFAULTS
from pipeline.samplers import NoiseSchedule
from training.samples import SIDE

TIMES = (0.1, 0.3, 0.5, 0.7, 0.9)
"""Shares of the forward process, from nearly clean to nearly noise."""
NAMES = ("denoising_error", "autoencoder_error")

Array = npt.NDArray[np.float32]


def errors(
    networks: InProcess, schedule: NoiseSchedule, asked: list[Case], advance: Callable[[], None]
) -> dict[str, float]:
    """Mean squared errors of the noise that is found, and of pictures after the VAE.

    A render hides small faults of a network: guidance and many steps lead back to a picture that
    looks right. The loss that networks are trained with does not hide them.

    Source: L_simple of Ho, Jain and Abbeel (2020), at a few fixed timesteps.

    Args:
        asked: cases whose true renders are noised, under the conditions they are asked for with.
        advance: called after each case.
    """
    denoising, autoencoder = [], []
    for case in asked:
        pixels = images.to_pixels(case.truth())[None]
        latents = networks.run("vae_encoder", pixels=pixels)["latents"]
        again = networks.run("vae_decoder", latents=latents)["pixels"]
        autoencoder.append(_squared(again, pixels))
        denoising.append(_denoising_error(networks, schedule, case, latents))
        advance()
    return dict(zip(NAMES, (float(np.mean(denoising)), float(np.mean(autoencoder))), strict=True))


def _denoising_error(
    networks: InProcess, schedule: NoiseSchedule, case: Case, latents: Array
) -> float:
    condition = _condition(networks, case)
    noise = Noise([case.index], SIDE, SIDE, networks.topology)
    found = []
    for time in TIMES:
        timestep = int(time * schedule.num_train_timesteps)
        alpha, added = schedule.alphas_cumprod[timestep], noise()
        noised = (alpha**0.5 * latents + (1 - alpha) ** 0.5 * added).astype(np.float32)
        timesteps = np.array([[timestep]], np.float32)
        outputs = networks.denoise({**condition, "sample": noised, "timestep": timesteps})
        found.append(_squared(outputs["noise_pred"], added))
    return float(np.mean(found))


def _condition(networks: InProcess, case: Case) -> dict[str, npt.NDArray[Any]]:
    """One row of what a denoiser is given beside a sample: conditioned, at full strength."""
    ask = case.ask()
    outputs = networks.condition(
        {
            "sketch": np.array([ask.sketch], np.object_),
            "width": np.array([SIDE]),
            "height": np.array([SIDE]),
            "canny_low_threshold": np.array([DEFAULTS["canny_low_threshold"]]),
            "canny_high_threshold": np.array([DEFAULTS["canny_high_threshold"]]),
            **{
                name: np.array([value.encode()], np.object_)
                for name, value in (("sketch_kind", "clean"), ("control_mode", "canny"))
            },
            "texts": np.array([[b""], [ask.prompt.encode()]], np.object_),
            "prompt_syntax": np.array([DEFAULTS["prompt_syntax"].encode()], np.object_),
            "style_images": np.array([[image] for image in ask.style_images], np.object_),
            "style_weights": np.ones(1, np.float32),
        }
    )
    return {
        "prompt_embeds": outputs["prompt_embeds"][1:],
        "image_embeds": outputs["ip_adapter_image_embeds"][1:],
        "control_image": outputs["control_image"][None],
        "conditioning_scale": np.ones((1, 1), np.float32),
        "ip_adapter_scale": np.ones((1, len(networks.topology.cross_attention_layers)), np.float32),
    }


def _squared(one: Array, other: Array) -> float:
    return float(np.mean((one - other) ** 2))
