"""The denoising loop: from seeds and a conditioning to finished latents."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from pipeline.samplers import Array, Sampling
from pipeline.topology import SD15, Topology

Tensors = Mapping[str, npt.NDArray[Any]]
FLOAT32_ROUNDING = 1e-6


class Denoiser(Protocol):
    """One evaluation of ControlNet and UNet: the ``denoiser`` model of the contract."""

    async def __call__(self, inputs: Tensors) -> Array:
        """``noise_pred [rows, 4, h, w]`` for the contract's ``denoiser`` inputs."""


@dataclass(frozen=True)
class Conditioning:
    """Everything that stays fixed during one render; negative row first where there are two."""

    prompt_embeds: Array
    """``[2, chunks * 77, d]``"""
    image_embeds: Array
    """``[2, n, d]``"""
    control_image: npt.NDArray[np.uint8]
    """``[1, height, width]``"""


@dataclass(frozen=True)
class Guidance:
    """How strongly each condition pulls. Names and meanings are diffusers'."""

    guidance_scale: float
    guidance_start: float
    guidance_end: float
    controlnet_conditioning_scale: float
    control_guidance_start: float
    control_guidance_end: float
    ip_adapter_scale: tuple[float, ...]
    """One value for each cross-attention layer."""
    style_start: float = 0.0
    style_end: float = 1.0

    @property
    def classifier_free(self) -> bool:
        """Whether the negative prompt takes part: guidance of 1 or less leaves it no weight."""
        return self.guidance_scale > 1

    def guides(self, step: int, steps: int) -> bool:
        """Whether the negative prompt takes part in `step` (0-based).

        Source: guidance in an interval, Kynkäänniemi et al. (2024).
        """
        return self.classifier_free and _inside(self.guidance_start, self.guidance_end, step, steps)

    def control_scale(self, step: int, steps: int) -> float:
        """ControlNet's weight at `step` (0-based): full inside start..end, else 0."""
        start, end = self.control_guidance_start, self.control_guidance_end
        return self.controlnet_conditioning_scale * _inside(start, end, step, steps)

    def style_scale(self, step: int, steps: int) -> Array:
        """IP-Adapter's strength in each layer at `step` (0-based): 0 outside start..end."""
        inside = _inside(self.style_start, self.style_end, step, steps)
        return np.array(self.ip_adapter_scale, np.float32) * inside


def _inside(start: float, end: float, step: int, steps: int) -> bool:
    """Whether all of `step` (0-based) lies in the shares `start` to `end` of `steps`."""
    # The bounds come as 32-bit floats: 0.7 arrives a little lower, and must not cost a step.
    before = step / steps < start - FLOAT32_ROUNDING
    after = (step + 1) / steps > end + FLOAT32_ROUNDING
    return not (before or after)


@dataclass(frozen=True)
class Prediction:
    """What the network said at one step, guidance applied."""

    sample: Array
    """``[n, 4, h, w]``, what it was shown."""
    timestep: float
    noise_pred: Array
    """``[n, 4, h, w]``, what it took for noise in it."""


OnPrediction = Callable[[int, Prediction], Awaitable[None]]


class Noise:
    """Standard normal noise ``[len(seeds), 4, height / 8, width / 8]``, new with each call.

    4 and 8 are the latent channels and the VAE's factor in Stable Diffusion 1.5's `topology`.

    Each row comes from its own seed, so a seed gives the same noise whatever else is in the batch.
    Philox is named because NumPy does not promise that its default generator stays the same.
    """

    def __init__(
        self,
        seeds: Sequence[int],
        height: int,
        width: int,
        topology: Topology = SD15,
        variation: tuple[float, Sequence[int]] = (0.0, ()),
    ) -> None:
        factor = topology.vae_scale_factor
        self._shape = (topology.latent_channels, height // factor, width // factor)
        self._rows = [np.random.Generator(np.random.Philox(seed)) for seed in seeds]
        self._variation = variation
        """How far the first noise is turned, and to that of which seeds."""

    def __call__(self) -> Array:
        """The next noise of every seed."""
        noise = self._drawn(self._rows)
        (strength, others), self._variation = self._variation, (0.0, ())
        if not strength:
            return noise
        rows = [np.random.Generator(np.random.Philox(seed)) for seed in others]
        return np.stack([*map(partial(slerp, strength), noise, self._drawn(rows))])

    def _drawn(self, rows: Sequence[np.random.Generator]) -> Array:
        return np.stack([row.standard_normal(self._shape, dtype=np.float32) for row in rows])


def slerp(share: float, low: Array, high: Array) -> Array:
    """The noise ``[4, h, w]`` that is `share` of the way from `low` to `high`, on a sphere.

    Each column ``[h]`` is turned by itself. Source: ``slerp`` in A1111's ``modules/rng.py``, which
    is followed in that as well.
    """
    low_norm, high_norm = (
        part / np.linalg.norm(part, axis=1, keepdims=True) for part in (low, high)
    )
    dot = (low_norm * high_norm).sum(1, keepdims=True)
    if dot.mean() > 0.9995:
        return (low * share + high * (1 - share)).astype(np.float32)
    omega = np.arccos(np.clip(dot, -1, 1))
    mixed = np.sin((1 - share) * omega) * low + np.sin(share * omega) * high
    return (mixed / np.sin(omega)).astype(np.float32)


async def denoise(
    denoiser: Denoiser,
    sampling: Sampling,
    steps: int,
    conditioning: Conditioning,
    guidance: Guidance,
    on_prediction: OnPrediction,
) -> Array:
    """Drive `sampling` to its end.

    Args:
        denoiser: predicts the noise; called once per step with every row of the render: two for
            each picture where guidance applies, else one.
        sampling: a sampler from :mod:`pipeline.samplers`, already given its noise.
        steps: how many steps `sampling` will take.
        on_prediction: awaited with the number of finished steps and what was predicted in the last;
            what it raises ends the loop.

    Returns:
        Latents ``[n, 4, h, w]``.
    """
    sample, timestep = next(sampling)
    images = len(sample)
    fixed = {
        guided: _fixed_inputs(conditioning, images, guided=guided)
        for guided in {guidance.guides(step, steps) for step in range(steps)}
    }
    for step in range(steps):
        guided = guidance.guides(step, steps)
        scales = {
            "timestep": np.array([timestep], np.float32),
            "conditioning_scale": np.array([guidance.control_scale(step, steps)], np.float32),
            "ip_adapter_scale": guidance.style_scale(step, steps),
        }
        noise_pred = await _predict(denoiser, sample, scales, fixed[guided])
        if guided:
            noise_pred = _guide(noise_pred, guidance.guidance_scale)
        await on_prediction(step + 1, Prediction(sample, timestep, noise_pred))
        try:
            sample, timestep = sampling.send(noise_pred)
        except StopIteration as finished:
            latents: Array = finished.value
            return latents
    raise RuntimeError(f"the sampler asked for more than {steps} steps")


async def _predict(denoiser: Denoiser, sample: Array, scales: Tensors, fixed: Tensors) -> Array:
    rows = len(fixed["prompt_embeds"])
    every = {name: np.tile(scale, (rows, 1)) for name, scale in scales.items()}
    return await denoiser(
        {**fixed, **every, "sample": np.tile(sample, (rows // len(sample), 1, 1, 1))}
    )


def _fixed_inputs(conditioning: Conditioning, images: int, *, guided: bool) -> Tensors:
    """What no step changes: all negative rows where it is `guided`, then all positive ones."""
    first = 0 if guided else 1
    rows, control_image = images * (2 - first), conditioning.control_image
    return {
        "prompt_embeds": np.repeat(conditioning.prompt_embeds[first:], images, axis=0),
        "image_embeds": np.repeat(conditioning.image_embeds[first:], images, axis=0),
        # Not copied: of an enlarged picture, only tiles of it are sent.
        "control_image": np.broadcast_to(control_image, (rows, *control_image.shape)),
    }


def _guide(noise_pred: Array, guidance_scale: float) -> Array:
    """Classifier-free guidance. Source: equation 6 of Ho and Salimans (2022)."""
    negative, positive = np.split(noise_pred, 2)
    guided: Array = negative + guidance_scale * (positive - negative)
    return guided
