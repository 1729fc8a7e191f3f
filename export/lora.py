"""A LoRA held against the networks that it is for, and fused into them for good.

diffusers reads every layout, but leaves out what it does not know (DoRA's scales, an adapter's
metadata), and scales some of a text encoder's layers wrongly. So each tensor of the file is
accounted for here: it is fused, or the file is refused.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors import safe_open
from torch import Tensor, nn

from export.checkpoints import ldm
from export.files import PackError, listed, read_header

TENSOR = re.compile(
    r"(?P<layer>.+?)(?:"
    # kohya's and PEFT's names; diffusers' of today, and of before.
    r"\.lora_|\.lora\.|\.lora_linear_layer\.|_lora\.)(?P<end>down|up|A|B)(?:\.default)?\.weight"
    r"|(?P<scaled>.+)\.alpha"
)
ENDS = {"down": "down", "A": "down", "up": "up", "B": "up"}
PREFIXES = {
    "lora_unet_": "unet",
    "unet.": "unet",
    "lora_te_": "text_encoder",
    "lora_te1_": "text_encoder",
    "text_encoder.": "text_encoder",
}
"""What a name begins with, and the network that it means; one without is the UNet's."""
OLDER_NAMES = {
    "unet": {r"_processor_": "_", r"_to_out$": "_to_out_0"},
    "text_encoder": {
        r"^text_model_": "",
        r"_attn_to_([qkv])$": r"_attn_\1_proj",
        r"_attn_to_out$": "_attn_out_proj",
    },
}
"""Of layers, by network; the rest is spelt as the network spells it, with "_" for "."."""
METADATA = "lora_adapter_metadata"
UNUSUAL = ("use_dora", "use_rslora", "alpha_pattern", "lora_bias")
"""Entries of that metadata that change what the matrices mean."""


@dataclass
class Layer:
    """What a LoRA adds to one layer."""

    name: str
    """As the file spells it."""
    parts: dict[str, Tensor] = field(default_factory=dict)
    """``down [rank, in, ...]``, ``up [out, rank, ...]`` and, where the file has it, ``alpha``."""

    def added(self) -> Tensor:
        """``[out, in * kernel]``, to be added to the weights."""
        down, up = self.parts["down"], self.parts["up"]
        rank = down.shape[0]
        scale = float(self.parts.get("alpha", rank)) / rank
        return scale * (up.flatten(1).float() @ down.flatten(1).float())


def fuse_lora(path: Path, networks: Mapping[str, nn.Module], remedy: str) -> list[str]:
    """Add the LoRA at `path` to the weights of `networks`.

    Args:
        networks: ``unet`` and, where its half may be fused, ``text_encoder``.
        remedy: what to do about a LoRA that does not fit; the end of the message.

    Returns:
        The names of the networks that changed.

    Raises:
        PackError: it is cut short, has nothing for a UNet, is for another one, or has a part that
            is not fused here.
    """
    found = _read(path, remedy)
    if "unet" not in found:
        raise PackError(f"{path} has nothing for the UNet. {remedy}")
    homeless = [layer.name for name in set(found) - set(networks) for layer in found[name].values()]
    if homeless:
        raise PackError(
            f"{path} changes the text encoder, which stays as it is here: {listed(homeless)}. "
            f"{remedy}"
        )
    for name, layers in found.items():
        weights = _weights(name, networks[name])
        for key, layer in layers.items():
            _fuse(layer, weights.get(key), path, name, remedy)
    return list(found)


def _read(path: Path, remedy: str) -> dict[str, dict[str, Layer]]:
    """The layers of each network that the file at `path` changes, by their names in `_weights`."""
    matched = {key: TENSOR.fullmatch(key) for key in read_header(path)}
    unknown = [key for key, match in matched.items() if match is None]
    if unknown:
        raise PackError(
            f"{path} holds parts that are not fused here: {listed(unknown)}. A LoRA has pairs of "
            "matrices, down and up, and alphas; LoHa, LoKr, DoRA and changed biases are something "
            f"else. {remedy}"
        )
    found: dict[str, dict[str, Layer]] = {}
    with safe_open(path, framework="pt") as file:
        alphas = _alphas(path, file.metadata() or {}, remedy)
        for key, match in matched.items():
            assert match  # noqa: S101 - none is unknown
            spelt = match["layer"] or match["scaled"]
            network, name = _place(spelt)
            layer = found.setdefault(network, {}).setdefault(name, Layer(spelt))
            layer.parts[ENDS.get(match["end"], "alpha")] = file.get_tensor(key)
    for network, layers in found.items():
        for layer in layers.values():
            if network in alphas:
                layer.parts.setdefault("alpha", torch.tensor(alphas[network]))
    return found


def _alphas(path: Path, metadata: Mapping[str, str], remedy: str) -> dict[str, float]:
    """The alpha of each network, where the adapter's metadata tells one."""
    try:
        told = dict(json.loads(metadata.get(METADATA, "{}")))
        alphas = {
            network: float(told[f"{network}.lora_alpha"])
            for network in OLDER_NAMES
            if told.get(f"{network}.lora_alpha") is not None
        }
    except (ValueError, TypeError) as error:
        reason = f"its {METADATA} is not what PEFT writes ({error})"
        raise PackError(f"{path} cannot be fused: {reason}. {remedy}") from error
    unusual = [key for key, value in told.items() if value and key.split(".")[-1] in UNUSUAL]
    if unusual:
        raise PackError(f"{path} asks for {listed(unusual)}, which is not done here. {remedy}")
    return alphas


def _place(spelt: str) -> tuple[str, str]:
    """The network that a layer is of, and its name there."""
    prefix = next((prefix for prefix in PREFIXES if spelt.startswith(prefix)), "")
    network = PREFIXES.get(prefix, "unet")
    name = spelt.removeprefix(prefix).replace(".", "_")
    for older, ours in OLDER_NAMES[network].items():
        name = re.sub(older, ours, name)
    return network, name


def _weights(network: str, module: nn.Module) -> dict[str, nn.Parameter]:
    """The weights that a LoRA can change, by the names of their layers."""
    found = {}
    for name, weight in module.named_parameters():
        if name.endswith(".weight") and weight.ndim > 1:
            for spelling in _spellings(network, name):
                found[spelling.removesuffix(".weight").replace(".", "_")] = weight
    return found


def _spellings(network: str, name: str) -> Iterator[str]:
    """The names of one tensor: diffusers', and for a UNet that of single files."""
    yield name
    if network == "unet":
        # It knows Stable Diffusion 1.5's tensors, and no others.
        with suppress(KeyError, ValueError):
            yield ldm.unet_name(name)


def _fuse(layer: Layer, weight: nn.Parameter | None, path: Path, network: str, remedy: str) -> None:
    who = {"unet": "UNet", "text_encoder": "text encoder"}[network]
    if weight is None:
        raise PackError(f"{path} is for a layer {layer.name}, which the {who} has not. {remedy}")
    absent = [end for end in ("down", "up") if end not in layer.parts]
    if absent:
        raise PackError(f"{path} lacks the {absent[0]} matrix of {layer.name}. {remedy}")
    down, up = layer.parts["down"], layer.parts["up"]
    sizes = [up.shape[0], *down.shape[1:]]
    fits = up.flatten(1).shape[1] == down.shape[0] and sizes[:2] == list(weight.shape[:2])
    if not fits or sizes[0] * down[0].numel() != weight.numel():
        raise PackError(
            f"{path} changes {layer.name} of size {sizes}, where the {who}'s is "
            f"{list(weight.shape)}. {remedy}"
        )
    added = layer.added()
    if not bool(added.isfinite().all()):
        raise PackError(f"{path} has numbers for {layer.name} that are not finite. {remedy}")
    with torch.no_grad():
        weight.add_(added.reshape(weight.shape))
