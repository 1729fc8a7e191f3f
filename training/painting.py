"""The stages that learn to paint: what each one trains, and what it shows its samples.

One loop serves all: the text-to-image UNet, ControlNet and IP-Adapter on the frozen UNet, or all
three at once (`joint`), which reaches more in little time because nothing is learnt twice.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from transformers import CLIPModel, CLIPTokenizer

from pipeline.request import DEFAULTS
from pipeline.topology import SD15
from training import latents as cache
from training import networks
from training.captions import caption, neutral_caption
from training.contrastive import tokens
from training.dataset import Dataset
from training.denoiser import PARTS, Conditions, Denoiser, Guided, Part, denoising_loss
from training.loop import Plan, fit, load_average
from training.styles import STYLES

FACTOR = SD15.vae_scale_factor
WHOLE = networks.NATIVE_SIZE // FACTOR
"""Side of a whole picture's latents."""
NOTHING_SHARE = 0.1
"""Samples without any prompt, for classifier-free guidance."""
IMAGE_SCALES = (0.6, 1.1)
CONTROL_SCALES = (0.8, 1.7)
"""Strengths seen in training: around those that are served, so that none is a surprise."""


@dataclass(frozen=True)
class Stage:
    """What one stage trains, from which stage's weights, and on what mixture of samples."""

    name: str
    parts: tuple[Part, ...]
    after: str | None = None
    image_share: float = 0.0
    control_share: float = 0.0


STAGES = {
    stage.name: stage
    for stage in (
        Stage("unet", ("unet",)),
        Stage("controlnet", ("controlnet",), after="unet", control_share=1.0),
        Stage(
            "ip_adapter", ("ip_adapter",), after="controlnet", image_share=0.9, control_share=0.5
        ),
        Stage("joint", PARTS, image_share=0.75, control_share=0.9),
    )
}


@dataclass(frozen=True)
class Crops:
    """Small pieces first: cheaper steps, more of them, while local drawing is learnt."""

    side: int = 16
    """In latents."""
    share: float = 0.0
    """Of the steps, from the start."""

    def at(self, step: int, plan: Plan) -> tuple[int, int]:
        """The side of the latents and the batch at `step`; every step costs about the same."""
        if step < self.share * plan.steps:
            return self.side, plan.batch * (WHOLE // self.side) ** 2
        return WHOLE, plan.batch


def train(
    stage: Stage,
    data: Dataset,
    text: tuple[CLIPModel, CLIPTokenizer],
    work: Path,
    plan: Plan,
    crops: Crops,
    guided_share: float,
) -> None:
    """Train `stage` on the cached latents in `work`, into ``work / stage.name``.

    The last `guided_share` of the steps train under the guidance that is served.
    """
    torch.manual_seed(plan.seed)
    denoiser = begin(stage, work).to(plan.device)
    denoiser.train_only(stage.parts)
    samples = Samples(stage, data, text, work, plan.device)
    schedule = networks.scheduler()

    def loss(step: int) -> Tensor:
        side, batch = crops.at(step, plan)
        chance = random.Random(plan.seed_at(step))
        clean, given = samples.draw(batch, side, chance)
        guided = None
        if step >= (1 - guided_share) * plan.steps:
            guided = samples.guided(given, DEFAULTS["guidance_scale"])
        with _attention(side, plan.device):
            return denoising_loss(denoiser, schedule, clean, given, guided)

    fit(denoiser, loss, plan, work / stage.name, stage.name)


def _attention(side: int, device: str) -> AbstractContextManager[None]:
    """Which attention to use over latents of `side`.

    On a CPU the gradient of torch's fused attention takes four times as long as that of the plain
    one as long as the pieces are small, a third of a whole step.
    """
    if device == "cpu" and side < WHOLE:
        return sdpa_kernel(SDPBackend.MATH)
    return nullcontext()


def begin(stage: Stage, work: Path) -> Denoiser:
    """The network `stage` starts from: new, or what the stage before it left."""
    denoiser = Denoiser()
    if stage.after:
        load_average(denoiser, work / stage.after)
    if stage.name == "controlnet":
        denoiser.copy_unet_into_controlnet()
    return denoiser


def load(work: Path) -> Denoiser:
    """The most finished denoiser in `work`: `joint` if it was trained, else the last stage."""
    denoiser = Denoiser()
    last = "joint" if (work / "joint").is_dir() else "ip_adapter"
    load_average(denoiser, work / last)
    return denoiser.eval().requires_grad_(False)


class Samples:
    """Batches of latents with their conditions."""

    def __init__(
        self,
        stage: Stage,
        data: Dataset,
        text: tuple[CLIPModel, CLIPTokenizer],
        work: Path,
        device: str,
    ) -> None:
        cached = cache.read(work / "latents")
        self.stage, self.device = stage, device
        self.latents = cached["latents"].to(device)
        self.image_embeds = cached["image_embeds"].to(device)
        self.edges = torch.from_numpy(data.edges).to(device)
        self.styles = data.styles.tolist()
        self.tower, self.tokenizer = text[0].text_model.to(device), text[1]

    def draw(self, batch: int, side: int, chance: random.Random) -> tuple[Tensor, Conditions]:
        """`batch` samples cut to `side` x `side` latents, all at one random place."""
        indices = sorted(chance.randrange(len(self.styles)) for _ in range(batch))
        top, left = (chance.randint(0, self.latents.shape[-1] - side) for _ in range(2))
        picked = torch.tensor(indices, device=self.device)
        clean = self.latents[picked, :, top : top + side, left : left + side].float()
        prompts = [self._prompt(self.styles[index], chance) for index in indices]
        image_embeds = self.image_embeds[picked ^ 1].float()
        shown = self._tensor([prompt.image for prompt in prompts])
        return clean, Conditions(
            prompt_embeds=self._embed([prompt.text for prompt in prompts]),
            image_embeds=image_embeds * shown[:, None],
            ip_adapter_scale=self._tensor([prompt.image_scale for prompt in prompts]),
            edges=self._edges(picked, top, left, side),
            conditioning_scale=self._scales(batch, chance),
        )

    def guided(self, given: Conditions, scale: float) -> Guided:
        """`given` beside what the negative row of a render sees: no text, no image."""
        nothing = self._embed([""]).expand(len(given.prompt_embeds), -1, -1)
        absent = torch.zeros_like(given.image_embeds)
        said = (given.prompt_embeds != nothing).any(dim=2).any(dim=1)
        prompted = said | given.image_embeds.any(dim=1)
        return Guided(
            replace(given, prompt_embeds=nothing, image_embeds=absent),
            torch.where(prompted, scale, 1.0),
        )

    def _prompt(self, style: int, chance: random.Random) -> Prompt:
        shown = chance.random() < self.stage.image_share
        nothing = chance.random() < NOTHING_SHARE
        scale = chance.uniform(*IMAGE_SCALES) if self.stage.image_share else 0.0
        if nothing:
            return Prompt("", 0.0, scale)
        if not shown:
            return Prompt(caption(STYLES[style], chance), 0.0, scale * chance.randint(0, 1))
        return Prompt(_beside_image(style, chance), 1.0, scale)

    @torch.no_grad()
    def _embed(self, texts: list[str]) -> Tensor:
        ids = tokens(self.tokenizer, texts).to(self.device)
        embeds: Tensor = self.tower(ids).last_hidden_state
        return embeds.float()

    def _edges(self, picked: Tensor, top: int, left: int, side: int) -> Tensor | None:
        if not self.stage.control_share:
            return None
        packed = self.edges[picked, top * FACTOR : (top + side) * FACTOR, left : left + side]
        shifts = torch.arange(7, -1, -1, device=packed.device, dtype=torch.uint8)
        bits = (packed[..., None] >> shifts) & 1
        return bits.flatten(2)[:, None].float()

    def _scales(self, batch: int, chance: random.Random) -> Tensor:
        used = (chance.random() < self.stage.control_share for _ in range(batch))
        return self._tensor([chance.uniform(*CONTROL_SCALES) if use else 0.0 for use in used])

    def _tensor(self, values: list[float]) -> Tensor:
        return torch.tensor(values, device=self.device)


@dataclass(frozen=True)
class Prompt:
    """One sample's text, whether (1 or 0) it sees its image prompt, and how strongly."""

    text: str
    image: float
    image_scale: float


def _beside_image(style: int, chance: random.Random) -> str:
    """A text beside an image prompt: of its style, of none, or of another, which must not win."""
    pick: Callable[[], str] = chance.choice(
        (
            lambda: caption(STYLES[style], chance),
            lambda: neutral_caption(chance),
            lambda: caption(chance.choice(STYLES), chance),
        )
    )
    return pick()
