"""The samplers, in NumPy.

Each sampler is a generator: it yields ``(sample, timestep)``, is sent the predicted noise for it,
and returns the finished latents. It knows neither Triton nor torch, so the same function runs over
a served network, a reference and a test's closed form.

The numbers are those of diffusers' schedulers of the same config; tests hold them together.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]
Floats = npt.NDArray[np.float64]

Sampling = Generator[tuple[Array, float], Array, Array]
"""Yields ``(sample [n, 4, h, w], timestep)``, receives the noise prediction of the same shape."""
Draw = Callable[[], Array]
"""Standard normal noise ``[n, 4, h, w]``, new with each call; a render starts from the first."""


@dataclass(frozen=True)
class Start:
    """Where a sampling begins: with noise alone, or some steps later with a picture and noise.

    Source: ``get_timesteps`` of diffusers' img2img pipelines, ``add_noise`` of its schedulers.
    """

    step: int = 0
    """The first step that is taken, of those that the schedule has."""
    latents: Array | None = None
    """Of the picture, ``[1, 4, h, w]``."""
    change: Array | None = None
    """Where it is repainted, ``[h, w]``: from 0, where it is kept, to 1. What is between goes free
    on the way, the sooner the higher it is. None repaints all of it."""
    taken: int = 1
    """Steps that are taken."""

    def begin(self, noise: Array, signal: float, sigma: float, scale: float = 1.0) -> Array:
        """The first latents.

        Args:
            signal, sigma: what a picture and its noise are multiplied by at that step.
            scale: of latents that are noise alone.
        """
        if self.latents is None or (self.change is not None and not self.step):
            return noise * scale
        return signal * self.latents + sigma * noise

    def hold(self, latents: Array, noise: Array, done: int, level: tuple[float, float]) -> Array:
        """`latents` with those of the picture, and `noise`, where they are not free yet.

        Source: diffusers' inpainting pipelines for a UNet of 4 channels; for what is between 0 and
        1, Levin and Fried (2023), "Differential Diffusion".

        Args:
            noise: that the sampling began with.
            done: steps that were taken by now.
            level: what a picture and its noise are multiplied by after them.
        """
        if self.latents is None or self.change is None:
            return latents
        # What was never free in a step is the picture's to the end.
        kept = 1 - self.change > min(done, self.taken - 1) / self.taken
        signal, sigma = level
        return np.where(kept, signal * self.latents + sigma * noise, latents).astype(np.float32)


FROM_NOISE = Start()
CLEAN = (1.0, 0.0)
"""The level at the end."""


@dataclass(frozen=True)
class NoiseSchedule:
    """The forward process a network was trained on, from its pack's ``scheduler_config.json``.

    ``timestep_spacing`` None means that each sampler uses its own default, as in diffusers.
    """

    alphas_cumprod: Floats
    steps_offset: int = 0
    timestep_spacing: str | None = None
    set_alpha_to_one: bool = True

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> NoiseSchedule:
        """Read a diffusers scheduler config.

        Raises:
            ValueError: the config asks for something these samplers do not do.
        """
        for key, supported in _SUPPORTED.items():
            found = config.get(key, supported[0])
            if found not in supported:
                allowed = " or ".join(map(repr, supported))
                raise ValueError(f"scheduler config: {key} is {found!r}; supported: {allowed}")
        betas = _betas(config)
        return cls(
            alphas_cumprod=np.cumprod(1.0 - betas),
            steps_offset=int(config.get("steps_offset", 0)),
            timestep_spacing=config.get("timestep_spacing"),
            set_alpha_to_one=bool(config.get("set_alpha_to_one", True)),
        )

    @property
    def num_train_timesteps(self) -> int:
        """Progress of the forward process; timesteps run from 0 to one less."""
        return len(self.alphas_cumprod)

    def level(self, timestep: int | None) -> tuple[float, float]:
        """What a picture and its noise are multiplied by at `timestep`; None is the end."""
        if timestep is None:
            return CLEAN
        alpha = float(self.alphas_cumprod[timestep])
        return alpha**0.5, (1 - alpha) ** 0.5

    def sigmas(self, timesteps: Floats) -> list[float]:
        """Noise-to-signal ratio at each timestep, with the final 0 appended."""
        trained = np.sqrt((1.0 - self.alphas_cumprod) / self.alphas_cumprod)
        positions = np.arange(self.num_train_timesteps)
        found: list[float] = np.interp(timesteps, positions, trained).tolist()
        return [*found, 0.0]

    def spaced(self, steps: int, default: str) -> Floats:
        """`steps` timesteps from noisy to clean, not rounded.

        Source: Table 2 of Lin et al. (2023), "Common diffusion noise schedules and sample steps are
        flawed".
        """
        total = self.num_train_timesteps
        match self.timestep_spacing or default:
            case "linspace":
                return np.linspace(0, total - 1, steps)[::-1]
            case "leading":
                return np.arange(steps)[::-1] * float(total // steps) + self.steps_offset
            case "trailing":
                return (total - np.arange(steps) * (total / steps)).round() - 1
            case other:
                raise ValueError(f"timestep_spacing is {other!r}; supported: {_SPACINGS}")


_SPACINGS = ("leading", "linspace", "trailing")
_SUPPORTED: dict[str, tuple[Any, ...]] = {
    "beta_schedule": ("linear", "scaled_linear"),
    "prediction_type": ("epsilon",),
    "clip_sample": (False,),
    "thresholding": (False,),
    "rescale_betas_zero_snr": (False,),
    "trained_betas": (None,),
    "timestep_spacing": (None, *_SPACINGS),
    **dict.fromkeys(
        (
            "use_karras_sigmas",
            "use_exponential_sigmas",
            "use_beta_sigmas",
            "use_flow_sigmas",
            "use_lu_lambdas",
        ),
        (False, None),
    ),
}


def _betas(config: Mapping[str, Any]) -> Floats:
    names = ("beta_start", "beta_end", "num_train_timesteps")
    missing = [name for name in names if config.get(name) is None]
    if missing:
        raise ValueError(f"scheduler config: it has no {missing[0]}")
    start, end = float(config["beta_start"]), float(config["beta_end"])
    count = int(config["num_train_timesteps"])
    if not (0 < start <= end < 1 <= count):
        raise ValueError(
            f"scheduler config: beta_start is {start}, beta_end {end} and num_train_timesteps "
            f"{count}; supported: 0 < beta_start <= beta_end < 1 <= num_train_timesteps"
        )
    if config.get("beta_schedule", "linear") == "scaled_linear":
        return np.linspace(start**0.5, end**0.5, count) ** 2
    return np.linspace(start, end, count)


def ddim(schedule: NoiseSchedule, steps: int, draw: Draw, start: Start = FROM_NOISE) -> Sampling:
    """Deterministic DDIM. Source: equation 12 of Song et al. (2020) with eta = 0."""
    timesteps = schedule.spaced(steps, default="leading").round()
    stride = schedule.num_train_timesteps // steps
    final = 1.0 if schedule.set_alpha_to_one else float(schedule.alphas_cumprod[0])
    taken = timesteps.astype(int).tolist()[start.step :]
    latents = start.begin(noise := draw(), *schedule.level(taken[0]))
    for done, timestep in enumerate(taken, 1):
        noise_pred = yield latents, float(timestep)
        earlier = timestep - stride
        alpha = float(schedule.alphas_cumprod[timestep])
        alpha_next = float(schedule.alphas_cumprod[earlier]) if earlier >= 0 else final
        clean = (latents - (1 - alpha) ** 0.5 * noise_pred) / alpha**0.5
        latents = alpha_next**0.5 * clean + (1 - alpha_next) ** 0.5 * noise_pred
        level = schedule.level(taken[done] if done < len(taken) else None)
        latents = start.hold(latents, noise, done, level)
    return latents


def euler(schedule: NoiseSchedule, steps: int, draw: Draw, start: Start = FROM_NOISE) -> Sampling:
    """Euler steps along the probability-flow ODE.

    Source: algorithm 2 of Karras et al. (2022) without churn.
    """
    timesteps, sigmas, scale = _euler_schedule(schedule, steps, start.step)
    latents = start.begin(noise := draw(), 1, sigmas[0], scale)
    for done, (timestep, sigma, sigma_next) in enumerate(
        zip(timesteps, sigmas, sigmas[1:], strict=False), 1
    ):
        noise_pred = yield latents / (sigma**2 + 1) ** 0.5, timestep
        latents = latents + noise_pred * (sigma_next - sigma)
        latents = start.hold(latents, noise, done, (1, sigma_next))
    return latents


def euler_a(schedule: NoiseSchedule, steps: int, draw: Draw, start: Start = FROM_NOISE) -> Sampling:
    """Euler steps that go too far and add noise back.

    Source: ancestral sampling of Song et al. (2020), "Score-based generative modeling", in the
    variables of Karras et al. (2022).
    """
    timesteps, sigmas, scale = _euler_schedule(schedule, steps, start.step)
    latents = start.begin(noise := draw(), 1, sigmas[0], scale)
    for done, (timestep, sigma, sigma_next) in enumerate(
        zip(timesteps, sigmas, sigmas[1:], strict=False), 1
    ):
        noise_pred = yield latents / (sigma**2 + 1) ** 0.5, timestep
        added = sigma_next / sigma * (sigma**2 - sigma_next**2) ** 0.5
        reached = (sigma_next**2 - added**2) ** 0.5
        latents = latents + noise_pred * (reached - sigma)
        if sigma_next > 0:
            latents = latents + added * draw()
        latents = start.hold(latents, noise, done, (1, sigma_next))
    return latents


def _euler_schedule(
    schedule: NoiseSchedule, steps: int, first: int
) -> tuple[list[float], list[float], float]:
    """Timesteps from the `first` on, sigmas with the final 0, and the deviation of pure noise."""
    timesteps = schedule.spaced(steps, default="linspace").astype(np.float32).astype(np.float64)
    sigmas = schedule.sigmas(timesteps)
    leading = (schedule.timestep_spacing or "linspace") == "leading"
    scale = (sigmas[0] ** 2 + 1) ** 0.5 if leading else sigmas[0]
    return timesteps.tolist()[first:], sigmas[first:], scale


def dpmpp_2m(
    schedule: NoiseSchedule, steps: int, draw: Draw, start: Start = FROM_NOISE
) -> Sampling:
    """DPM-Solver++ (2M): second order, multistep, first order on the first and last step.

    Source: algorithm 2 of Lu et al. (2022), "DPM-Solver++", midpoint variant.
    """
    timesteps = _dpm_timesteps(schedule, steps)[start.step :]
    sigmas = schedule.sigmas(timesteps)
    latents = previous = start.begin(noise := draw(), *_signal_and_noise(sigmas[0]))
    previous_width = 0.0
    for index, timestep in enumerate(timesteps.tolist()):
        noise_pred = yield latents, timestep
        alpha, sigma = _signal_and_noise(sigmas[index])
        clean = (latents - sigma * noise_pred) / alpha
        if sigmas[index + 1] == 0:
            return start.hold(clean, noise, index + 1, CLEAN)
        alpha_next, sigma_next = _signal_and_noise(sigmas[index + 1])
        width = float(np.log(sigmas[index] / sigmas[index + 1]))
        target = clean
        if index > 0:
            target = clean + 0.5 * (width / previous_width) * (clean - previous)
        latents = (sigma_next / sigma) * latents - alpha_next * float(np.expm1(-width)) * target
        latents = start.hold(latents, noise, index + 1, (alpha_next, sigma_next))
        previous, previous_width = clean, width
    return latents


def _dpm_timesteps(schedule: NoiseSchedule, steps: int) -> Floats:
    if schedule.timestep_spacing == "trailing":
        return schedule.spaced(steps, default="trailing")
    return schedule.spaced(steps + 1, default="linspace").round()[:-1]


def _signal_and_noise(sigma: float) -> tuple[float, float]:
    alpha = 1 / (sigma**2 + 1) ** 0.5
    return alpha, sigma * alpha


LCM_STEPS = 50
"""Timesteps that consistency models are distilled on; a render takes some of them."""
LCM_SIGMA_DATA, LCM_TIMESTEP_SCALING = 0.5, 10.0


def lcm(schedule: NoiseSchedule, steps: int, draw: Draw, start: Start = FROM_NOISE) -> Sampling:
    """Multistep consistency sampling, for networks distilled to it: 2 to 8 steps.

    Source: algorithm 3 of Luo et al. (2023), "Latent Consistency Models".
    """
    distilled = np.arange(LCM_STEPS, 0, -1) * (schedule.num_train_timesteps // LCM_STEPS) - 1
    picked = np.floor(np.linspace(0, LCM_STEPS, num=steps, endpoint=False)).astype(int)
    timesteps = distilled[picked].tolist()[start.step :]
    latents = start.begin(noise := draw(), *schedule.level(timesteps[0]))
    for done, (timestep, following) in enumerate(
        zip(timesteps, [*timesteps[1:], None], strict=True), 1
    ):
        noise_pred = yield latents, float(timestep)
        alpha = float(schedule.alphas_cumprod[timestep])
        clean = (latents - (1 - alpha) ** 0.5 * noise_pred) / alpha**0.5
        scaled = timestep * LCM_TIMESTEP_SCALING
        spread = scaled**2 + LCM_SIGMA_DATA**2
        latents = scaled / spread**0.5 * clean + LCM_SIGMA_DATA**2 / spread * latents
        if following is not None:
            alpha_next = float(schedule.alphas_cumprod[following])
            latents = alpha_next**0.5 * latents + (1 - alpha_next) ** 0.5 * draw()
        latents = start.hold(latents, noise, done, schedule.level(following))
    return latents


STEP_LIMITS = {"lcm": LCM_STEPS}
"""Samplers that cannot take as many steps as the others."""

SAMPLERS: dict[str, Callable[..., Sampling]] = {
    "ddim": ddim,
    "euler": euler,
    "euler_a": euler_a,
    "dpmpp_2m": dpmpp_2m,
    "lcm": lcm,
}
