"""A render seen early: the picture that the network is heading for, without the decoder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from pipeline import images
from pipeline.denoise import Prediction
from pipeline.samplers import Array, NoiseSchedule
from pipeline.topology import SD15, Topology

ENLARGED = 4
"""A preview has half the side of its picture: latents have an eighth."""


@dataclass(frozen=True)
class LatentRgb:
    """The linear map from clean latents to colours that comes nearest to a pack's autoencoder."""

    weights: Array
    """``[channels + 1, 3]``: a row per latent channel, then the bias, to RGB in [-1, 1]."""

    @classmethod
    def from_config(cls, config: Mapping[str, Any], topology: Topology = SD15) -> LatentRgb:
        """Read ``latent_rgb.json``, which the exporter fits.

        Raises:
            ValueError: it holds another number of weights.
        """
        weights = np.array(config["weights"], np.float32)
        expected = (topology.latent_channels + 1, 3)
        if weights.shape != expected:
            raise ValueError(f"latent_rgb.json: weights are {weights.shape}; expected: {expected}")
        return cls(weights)

    def pixels(self, latents: Array) -> Array:
        """``[4, h, w]`` to ``[3, h, w]``, of about -1 to 1."""
        mapped: Array = np.tensordot(self.weights[:-1].T, latents, axes=1)
        return mapped + self.weights[-1][:, None, None]


def clean_latents(schedule: NoiseSchedule, prediction: Prediction) -> Array:
    """What is left of the sample ``[n, 4, h, w]`` when all the predicted noise is taken away.

    Every sampler yields ``sample = sqrt(a) * clean + sqrt(1 - a) * noise``, with
    ``a = 1 / (sigma ** 2 + 1)`` at its timestep. Source: equation 9 of Song et al. (2020), DDIM.
    """
    sigma = schedule.sigmas(np.array([prediction.timestep]))[0]
    return prediction.sample * (sigma**2 + 1) ** 0.5 - sigma * prediction.noise_pred


def previews(
    latent_rgb: LatentRgb, schedule: NoiseSchedule, prediction: Prediction
) -> tuple[bytes, ...]:
    """A PNG file for each image of the render, ``h * 4`` by ``w * 4`` pixels."""
    latents = clean_latents(schedule, prediction)
    return tuple(_encode(latent_rgb.pixels(row)) for row in latents)


def _encode(pixels: Array) -> bytes:
    small = Image.fromarray(images.from_pixels(pixels))
    size = (small.width * ENLARGED, small.height * ENLARGED)
    return images.encode_png(np.asarray(small.resize(size, Image.Resampling.BICUBIC)))
