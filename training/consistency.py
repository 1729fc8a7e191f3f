"""The stage that lets the denoiser paint in four steps: a latent consistency model, as a LoRA.

The trained denoiser, guided as it is served, is the teacher. The student is the same network with a
LoRA in its UNet. From one prediction without guidance it learns where the teacher's path ends, so a
step costs one row instead of two, and a render a few steps instead of twenty.

Source: Luo et al. (2023), "Latent Consistency Models" and "LCM-LoRA".
"""

from __future__ import annotations

import random
from pathlib import Path

import torch
from diffusers import DDIMScheduler
from peft import LoraConfig, get_peft_model_state_dict
from torch import Tensor
from transformers import CLIPModel, CLIPTokenizer

from pipeline.request import DEFAULTS
from pipeline.samplers import LCM_SIGMA_DATA, LCM_STEPS, LCM_TIMESTEP_SCALING
from training import networks, painting
from training.dataset import Dataset
from training.denoiser import Conditions, Denoiser, Guided
from training.loop import Plan, fit, load_average

STAGE = "lcm"
RANK = 16
LORA_LAYERS = (
    *("to_q", "to_k", "to_v", "to_out.0", "ff.net.0.proj", "ff.net.2", "proj_in", "proj_out"),
    *("conv1", "conv2", "conv_shortcut", "time_emb_proj"),
    *("downsamplers.0.conv", "upsamplers.0.conv"),
)
"""Attention and convolutions. Source: diffusers' ``train_lcm_distill_lora_sd_wds.py``."""

FEW_STEPS = 4
"""The length of the renders that most of the training is for."""
FEW_SHARE = 0.75
"""Of the samples, at one of their positions; the others are anywhere, for 1 to 8 steps."""
LEAP = 13
"""Positions that the teacher walks before the student's own prediction is its guide: the distance
between two positions of such a render, or from its last one to the clean picture."""
TEACHER_STEPS = 2
"""DDIM steps of the teacher for that distance."""
HUBER = 0.01
"""The error of a latent value below which the loss is quadratic."""


class Path50:
    """Where a consistency model is trained: 50 of the timesteps, and 0, the clean picture.

    Attributes:
        timesteps: ``[51]``; a position's timestep. The last one is nothing but noise.
        alphas: ``[51]``; its ``alphas_cumprod``; 1 where the picture is clean.
        few: the positions that :func:`pipeline.samplers.lcm` visits in :data:`FEW_STEPS` steps.
    """

    def __init__(self, schedule: DDIMScheduler, device: str = "cpu") -> None:
        stride = len(schedule.alphas_cumprod) // LCM_STEPS
        visited = torch.arange(1, LCM_STEPS + 1) * stride - 1
        start = torch.zeros(1, dtype=torch.long)
        self.timesteps = torch.cat([start, visited]).to(device)
        self.alphas = torch.cat([torch.ones(1), schedule.alphas_cumprod[visited]]).to(device)
        self.few = [LCM_STEPS - step * LCM_STEPS // FEW_STEPS for step in range(FEW_STEPS)]

    def noisy(self, clean: Tensor, noise: Tensor, position: Tensor) -> Tensor:
        """`clean` ``[batch, 4, h, w]`` at `position` ``[batch]``.

        The last one is noise alone, as a render starts: of a picture even SD's noisiest timestep
        keeps a trace.
        """
        alphas = _across(self.alphas[position])
        mixed = alphas.sqrt() * clean + (1 - alphas).sqrt() * noise
        return torch.where(_across(position) == LCM_STEPS, noise, mixed)

    def ddim(
        self, sample: Tensor, noise_pred: Tensor, position: Tensor, following: Tensor
    ) -> Tensor:
        """One DDIM step. Source: equation 12 of Song et al. (2020) with eta = 0."""
        alphas = _across(self.alphas[following])
        clean = self._clean(sample, noise_pred, position)
        return alphas.sqrt() * clean + (1 - alphas).sqrt() * noise_pred

    def consistent(self, sample: Tensor, noise_pred: Tensor, position: Tensor) -> Tensor:
        """What a consistency model finds in `sample`; `sample` itself where that is clean.

        Source: equation 9 of Luo et al. (2023); the scalings are those of diffusers'
        ``LCMScheduler``.
        """
        scaled = _across(self.timesteps[position]) * LCM_TIMESTEP_SCALING
        spread = scaled**2 + LCM_SIGMA_DATA**2
        clean = self._clean(sample, noise_pred, position)
        return LCM_SIGMA_DATA**2 / spread * sample + scaled / spread**0.5 * clean

    def _clean(self, sample: Tensor, noise_pred: Tensor, position: Tensor) -> Tensor:
        alphas = _across(self.alphas[position])
        return (sample - (1 - alphas).sqrt() * noise_pred) / alphas.sqrt()


def _across(values: Tensor) -> Tensor:
    return values[:, None, None, None]


def train(data: Dataset, text: tuple[CLIPModel, CLIPTokenizer], work: Path, plan: Plan) -> None:
    """Train the LoRA on the cached latents in `work`, into ``work / STAGE``."""
    torch.manual_seed(plan.seed)
    teacher = painting.load(work).to(plan.device)
    student = with_lora(painting.load(work)).to(plan.device)
    samples = painting.Samples(painting.STAGES["joint"], data, text, work, plan.device)
    path = Path50(networks.scheduler(), plan.device)

    def loss(step: int) -> Tensor:
        chance = random.Random(plan.seed_at(step))
        clean, given = samples.draw(plan.batch, painting.WHOLE, chance)
        guided = samples.guided(given, DEFAULTS["guidance_scale"])
        position = torch.tensor(_positions(path, plan.batch, chance), device=plan.device)
        noise = torch.randn(clean.shape).to(plan.device)
        sample = path.noisy(clean, noise, position)
        target = end_of_path(teacher, student, path, sample, position, given, guided)
        found = path.consistent(sample, predict(student, path, sample, position, given), position)
        return pseudo_huber(found, target)

    fit(student, loss, plan, work / STAGE, STAGE)


def _positions(path: Path50, count: int, chance: random.Random) -> list[int]:
    anywhere = range(1, LCM_STEPS + 1)
    return [
        chance.choice(path.few if chance.random() < FEW_SHARE else anywhere) for _ in range(count)
    ]


def predict(
    denoiser: Denoiser, path: Path50, sample: Tensor, position: Tensor, given: Conditions
) -> Tensor:
    """The noise in `sample` ``[batch, 4, h, w]`` at `position` ``[batch]``."""
    return denoiser(sample, path.timesteps[position], given).float()


@torch.no_grad()
def end_of_path(
    teacher: Denoiser,
    student: Denoiser,
    path: Path50,
    sample: Tensor,
    position: Tensor,
    given: Conditions,
    guided: Guided,
) -> Tensor:
    """What the student is to find in `sample`: the teacher goes ahead, the student finishes."""
    for step in range(1, TEACHER_STEPS + 1):
        following = position - LEAP * step // TEACHER_STEPS + LEAP * (step - 1) // TEACHER_STEPS
        following = following.clamp(min=0)
        unprompted = predict(teacher, path, sample, position, guided.unprompted)
        prompted = predict(teacher, path, sample, position, given)
        noise_pred = unprompted + _across(guided.scale) * (prompted - unprompted)
        sample, position = path.ddim(sample, noise_pred, position, following), following
    return path.consistent(sample, predict(student, path, sample, position, given), position)


def pseudo_huber(found: Tensor, target: Tensor) -> Tensor:
    """Quadratic below :data:`HUBER`, then linear. Source: Song and Dhariwal (2023), section 3.3."""
    return (((found - target) ** 2 + HUBER**2).sqrt() - HUBER).mean()


def with_lora(denoiser: Denoiser) -> Denoiser:
    """`denoiser`, frozen but for a new LoRA in its UNet that changes nothing yet."""
    denoiser.requires_grad_(False)
    denoiser.unet.add_adapter(lora_config())
    return denoiser


def lora_config() -> LoraConfig:
    """Of which layers, and how wide."""
    return LoraConfig(r=RANK, lora_alpha=RANK, target_modules=list(LORA_LAYERS))


def load(work: Path) -> dict[str, Tensor]:
    """The trained LoRA, as ``save_lora_weights`` takes it.

    Raises:
        FileNotFoundError: it has not been trained.
    """
    student = with_lora(Denoiser())
    load_average(student, work / STAGE)
    return lora_of(student)


def lora_of(student: Denoiser) -> dict[str, Tensor]:
    """The LoRA in the UNet of `student`, as ``save_lora_weights`` takes it."""
    return dict(get_peft_model_state_dict(student.unet))
