"""Writes the tiny pack: a folder in the Hugging Face diffusers layout."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import torch
from diffusers import StableDiffusionControlNetPipeline, UNet2DConditionModel
from safetensors.torch import save_file
from torch import nn
from transformers import CLIPImageProcessorPil

from pipeline import contract
from training import networks
from training.tokenizer import END, make_tokenizer

IP_ADAPTER_FILE = "ip-adapter_tiny.safetensors"
CONSTANT_SPREAD = 0.05
"""Deviation given to weights that a fresh network leaves at 0 or 1."""


def write_random_pack(folder: Path, seed: int, report: Callable[[str], None]) -> None:
    """Write the tiny pack with seeded random weights; the same seed writes the same weights.

    Nothing in it is zero or constant: ControlNet's output convolutions and IP-Adapter's keys and
    values get weights too, so that a parity test notices a tensor that is dropped or swapped.

    Args:
        folder: replaced when it exists.
        seed: of every weight.
        report: told which part is being written.
    """
    aside = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(aside, ignore_errors=True)
    tokenizer = make_tokenizer()
    vocabulary, eos = len(tokenizer), tokenizer.convert_tokens_to_ids(END)
    processor = CLIPImageProcessorPil(
        size={"shortest_edge": networks.VISION_SIZE},
        crop_size={"height": networks.VISION_SIZE, "width": networks.VISION_SIZE},
    )

    torch.manual_seed(seed)
    report("networks")
    unet = networks.unet()
    controlnet = networks.controlnet(unet)
    pipeline = StableDiffusionControlNetPipeline(
        vae=networks.vae(),
        text_encoder=networks.text_encoder(vocabulary, eos),
        tokenizer=tokenizer,
        unet=unet,
        controlnet=controlnet,
        scheduler=networks.scheduler(),
        safety_checker=None,
        feature_extractor=processor,
        image_encoder=networks.image_encoder(),
        requires_safety_checker=False,
    )
    clip = networks.clip(vocabulary, eos)
    for network in (unet, controlnet, pipeline.vae, pipeline.text_encoder, pipeline.image_encoder):
        _leave_nothing_constant(network)
    _leave_nothing_constant(clip)
    report("files")
    pipeline.save_pretrained(aside)
    clip.save_pretrained(aside / "clip")
    tokenizer.save_pretrained(aside / "clip")
    processor.save_pretrained(aside / "clip")
    _save_ip_adapter(unet, aside / "ip_adapter")
    (aside / "pack.json").write_text(
        json.dumps({"name": "tiny", "native_size": networks.NATIVE_SIZE, "weights": "random"})
    )
    shutil.rmtree(folder, ignore_errors=True)
    aside.rename(folder)


@torch.no_grad()
def _leave_nothing_constant(network: nn.Module) -> None:
    for parameter in network.parameters():
        if parameter.min() == parameter.max():
            parameter.add_(torch.randn_like(parameter), alpha=CONSTANT_SPREAD)


def _save_ip_adapter(unet: UNet2DConditionModel, folder: Path) -> None:
    """Random IP-Adapter weights in the layout that ``load_ip_adapter`` reads."""
    width, tokens = networks.TEXT_WIDTH, networks.IMAGE_TOKENS
    state = {
        "image_proj.proj.weight": torch.randn(tokens * width, contract.CLIP_DIM),
        "image_proj.proj.bias": torch.randn(tokens * width),
        "image_proj.norm.weight": 1 + CONSTANT_SPREAD * torch.randn(width),
        "image_proj.norm.bias": CONSTANT_SPREAD * torch.randn(width),
    }
    cross_attention = [name for name in unet.attn_processors if name.endswith("attn2.processor")]
    for index, name in enumerate(cross_attention):
        hidden = unet.get_submodule(name.removesuffix(".processor")).inner_dim
        for projection in ("to_k_ip", "to_v_ip"):
            key = f"ip_adapter.{2 * index + 1}.{projection}.weight"
            state[key] = torch.randn(hidden, width) / width**0.5
    folder.mkdir()
    save_file(state, folder / IP_ADAPTER_FILE)
