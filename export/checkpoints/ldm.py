"""The tensor names of single-file checkpoints, from diffusers'.

Source: the module names of CompVis's latent-diffusion, which published checkpoints keep.
"""

from __future__ import annotations

import re

from torch import Tensor

UNET = "model.diffusion_model."
VAE = "first_stage_model."
TEXT_ENCODER = "cond_stage_model.transformer."
CONTROLNET = "control_model."
LEVELS = 4

_UNET_EDGES = {
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "conv_in": "input_blocks.0.0",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
}
_RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}
_VAE_ATTENTION = {
    "group_norm": "norm",
    "to_q": "q",
    "to_k": "k",
    "to_v": "v",
    "to_out.0": "proj_out",
}


def unet_name(name: str) -> str:
    """The UNet's tensor `name` as a single file calls it, without the prefix."""
    for ours, theirs in _UNET_EDGES.items():
        if name.startswith(f"{ours}."):
            return name.replace(ours, theirs, 1)
    part, rest = _unet_part(name)
    if ".resnets." in name:
        module, kind = rest.rsplit(".", 1)
        rest = f"{_RESNET[module]}.{kind}"
    return f"{part}.{rest}"


def _unet_part(name: str) -> tuple[str, str]:
    """Where in the numbered blocks `name` lies, and what is left of it."""
    middle = re.match(r"mid_block\.(resnets|attentions)\.(\d)\.(.*)", name)
    if middle:
        kind, index, rest = middle.groups()
        return f"middle_block.{1 if kind == 'attentions' else 2 * int(index)}", rest
    found = re.match(r"(down|up)_blocks\.(\d)\.(\w+)\.(\d)\.(.*)", name)
    if not found:
        raise ValueError(f"{name} is no tensor of Stable Diffusion 1.5's UNet")
    side, level, kind, layer, rest = found[1], int(found[2]), found[3], int(found[4]), found[5]
    match side, kind:
        case "down", "resnets" | "attentions":
            return f"input_blocks.{3 * level + layer + 1}.{int(kind == 'attentions')}", rest
        case "down", _:
            return f"input_blocks.{3 * (level + 1)}.0.op", rest.removeprefix("conv.")
        case _, "resnets" | "attentions":
            return f"output_blocks.{3 * level + layer}.{int(kind == 'attentions')}", rest
        case _:
            # The first level up has no attention before its upsampler.
            return f"output_blocks.{3 * level + 2}.{1 if level == 0 else 2}", rest


def controlnet_name(name: str) -> str:
    """ControlNet's tensor `name` as a single file calls it, without the prefix."""
    part, _, kind = name.rpartition(".")
    if part.startswith("controlnet_cond_embedding."):
        found = re.search(r"blocks\.(\d)", part)
        last = "14" if part.endswith("conv_out") else "0"
        return f"input_hint_block.{2 * int(found[1]) + 2 if found else last}.{kind}"
    if part.startswith("controlnet_down_blocks."):
        return f"zero_convs.{part.split('.')[1]}.0.{kind}"
    return f"middle_block_out.0.{kind}" if part == "controlnet_mid_block" else unet_name(name)


def vae_name(name: str) -> str:
    """The autoencoder's tensor `name` as a single file calls it, without the prefix."""
    name = re.sub(r"down_blocks\.(\d)\.resnets\.(\d)", r"down.\1.block.\2", name)
    name = re.sub(r"down_blocks\.(\d)\.downsamplers\.0", r"down.\1.downsample", name)
    name = re.sub(
        r"up_blocks\.(\d)\.(resnets\.|upsamplers\.0)",
        lambda m: f"up.{LEVELS - 1 - int(m[1])}.{'block.' if 'res' in m[2] else 'upsample'}",
        name,
    )
    name = re.sub(r"mid_block\.resnets\.(\d)", lambda m: f"mid.block_{int(m[1]) + 1}", name)
    name = name.replace("mid_block.attentions.0", "mid.attn_1")
    if ".attn_1." in name:
        part, rest = name.split(".attn_1.")
        module, kind = rest.rsplit(".", 1)
        name = f"{part}.attn_1.{_VAE_ATTENTION[module]}.{kind}"
    return name.replace("conv_shortcut", "nin_shortcut").replace("conv_norm_out", "norm_out")


def single_file(
    unet: dict[str, Tensor], vae: dict[str, Tensor], text_encoder: dict[str, Tensor]
) -> dict[str, Tensor]:
    """One checkpoint of the three state dicts; `text_encoder`'s names already are the published."""
    merged = {f"{UNET}{unet_name(name)}": tensor for name, tensor in unet.items()}
    for name, tensor in vae.items():
        theirs = vae_name(name)
        # The autoencoder's attention was written as convolutions.
        convolved = ".attn_1." in theirs and tensor.ndim == 2
        merged[f"{VAE}{theirs}"] = tensor[:, :, None, None] if convolved else tensor
    merged |= {f"{TEXT_ENCODER}{name}": tensor for name, tensor in text_encoder.items()}
    return merged
