"""Writes the tiny pack: a folder in the Hugging Face diffusers layout."""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from diffusers import (
    AutoencoderKL,
    ControlNetModel,
    StableDiffusionControlNetPipeline,
    UNet2DConditionModel,
)
from peft import get_peft_model_state_dict
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import CLIPImageProcessorPil, CLIPModel, CLIPTokenizer

from export.pack_files import LCM_LORA
from pipeline.topology import SD15
from training import consistency, networks
from training.denoiser import Denoiser, cross_attention, ip_adapter_key
from training.tokenizer import END, make_tokenizer

CARD = "README.md"
IP_ADAPTER_FILE = "ip-adapter_tiny.safetensors"
LICENCE = "Apache-2.0"
"""Of packs that are trained here: maquette's own. Manifests of versions name it."""
CONSTANT_SPREAD = 0.05
"""Deviation given to weights that a fresh network leaves at 0 or 1."""


@dataclass(frozen=True)
class Networks:
    """Everything in a pack that has weights.

    `ip_adapter` is in ``load_ip_adapter``'s layout, `lcm_lora` in that of ``save_lora_weights``.
    """

    vae: AutoencoderKL
    unet: UNet2DConditionModel
    controlnet: ControlNetModel
    ip_adapter: dict[str, Tensor]
    clip: CLIPModel
    lcm_lora: dict[str, Tensor] | None = None


def write_random_pack(folder: Path, seed: int, report: Callable[[str], None]) -> None:
    """Write the tiny pack with seeded random weights; the same seed writes the same weights.

    Nothing in it is zero or constant: ControlNet's output convolutions and IP-Adapter's keys and
    values get weights too, so that a parity test notices a tensor that is dropped or swapped.

    Args:
        folder: replaced when it exists.
        seed: of every weight.
        report: told which part is being written.
    """
    tokenizer = make_tokenizer()
    torch.manual_seed(seed)
    report("networks")
    made = random_networks(tokenizer)
    report("files")
    write_pack(folder, made, tokenizer, "random")


def random_networks(tokenizer: CLIPTokenizer) -> Networks:
    """Networks with random weights, none of them constant."""
    unet = networks.unet()
    made = Networks(
        vae=networks.vae(),
        unet=unet,
        controlnet=networks.controlnet(unet),
        ip_adapter=_random_ip_adapter(unet),
        clip=networks.clip(len(tokenizer), tokenizer.convert_tokens_to_ids(END)),
        lcm_lora=_random_lora(unet),
    )
    for network in (made.vae, made.unet, made.controlnet, made.clip):
        _leave_nothing_constant(network)
    return made


def trained_networks(
    vae: AutoencoderKL,
    scaling_factor: float,
    denoiser: Denoiser,
    clip: CLIPModel,
    lcm_lora: dict[str, Tensor] | None = None,
) -> Networks:
    """The training stages' results; the autoencoder learns the scale of its latents."""
    vae.register_to_config(scaling_factor=round(scaling_factor, 5))
    return Networks(
        vae=vae,
        unet=denoiser.plain_unet(),
        controlnet=denoiser.controlnet,
        ip_adapter=denoiser.ip_adapter(),
        clip=clip,
        lcm_lora=lcm_lora,
    )


def write_pack(
    folder: Path, made: Networks, tokenizer: CLIPTokenizer, weights: Literal["random", "trained"]
) -> None:
    """Write `made` as a pack of fp16 weights.

    `folder` is replaced when it exists, but for its model card, which people write.
    """
    aside = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(aside, ignore_errors=True)
    processor = CLIPImageProcessorPil(
        size={"shortest_edge": networks.VISION_SIZE},
        crop_size={"height": networks.VISION_SIZE, "width": networks.VISION_SIZE},
    )
    pipeline = StableDiffusionControlNetPipeline(
        vae=made.vae,
        text_encoder=networks.text_encoder(made.clip),
        tokenizer=tokenizer,
        unet=made.unet,
        controlnet=made.controlnet,
        scheduler=networks.scheduler(),
        safety_checker=None,
        feature_extractor=processor,
        image_encoder=networks.image_encoder(made.clip),
        requires_safety_checker=False,
    )
    pipeline.save_pretrained(aside)
    for part in (made.clip, tokenizer, processor):
        part.save_pretrained(aside / "clip")
    (aside / "ip_adapter").mkdir()
    save_file(made.ip_adapter, aside / "ip_adapter" / IP_ADAPTER_FILE)
    if made.lcm_lora:
        pipeline.save_lora_weights(aside / LCM_LORA, unet_lora_layers=made.lcm_lora)
    for file in aside.rglob("*.safetensors"):
        _halve(file)
    (aside / "pack.json").write_text(
        json.dumps(
            {
                "name": folder.name,
                "native_size": networks.NATIVE_SIZE,
                "weights": weights,
                "licence": LICENCE,
            }
        )
    )
    if (folder / CARD).exists():
        shutil.copy(folder / CARD, aside)
    shutil.rmtree(folder, ignore_errors=True)
    aside.rename(folder)


def megabytes(folder: Path) -> float:
    """The size of every file in `folder`."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) / 1e6


def _halve(file: Path) -> None:
    """Keep `file` in fp16. The configs still say float32, so that networks load in it."""
    weights = load_file(file)
    halved = {
        name: weight.half() if weight.is_floating_point() else weight
        for name, weight in weights.items()
    }
    save_file(halved, file, metadata={"format": "pt"})


@torch.no_grad()
def _leave_nothing_constant(network: nn.Module) -> None:
    for parameter in network.parameters():
        if parameter.min() == parameter.max():
            parameter.add_(torch.randn_like(parameter), alpha=CONSTANT_SPREAD)


def _random_lora(unet: UNet2DConditionModel) -> dict[str, Tensor]:
    adapted = copy.deepcopy(unet)
    adapted.add_adapter(consistency.lora_config())
    state = get_peft_model_state_dict(adapted)
    # The second matrix of a fresh LoRA is zero.
    return {name: torch.randn_like(weight) / consistency.RANK for name, weight in state.items()}


def _random_ip_adapter(unet: UNet2DConditionModel) -> dict[str, Tensor]:
    width, tokens = networks.TEXT_WIDTH, networks.IMAGE_TOKENS
    state = {
        "image_proj.proj.weight": torch.randn(tokens * width, SD15.clip_dim),
        "image_proj.proj.bias": torch.randn(tokens * width),
        "image_proj.norm.weight": 1 + CONSTANT_SPREAD * torch.randn(width),
        "image_proj.norm.bias": CONSTANT_SPREAD * torch.randn(width),
    }
    for index, name in enumerate(cross_attention(unet)):
        hidden = unet.get_submodule(name.removesuffix(".processor")).inner_dim
        for projection in ("to_k_ip", "to_v_ip"):
            key = f"{ip_adapter_key(index)}.{projection}.weight"
            state[key] = torch.randn(hidden, width) / width**0.5
    return state
