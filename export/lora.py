"""A LoRA held against the UNet it is for, and fused into it for good."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from diffusers import UNet2DConditionModel
from diffusers.loaders import StableDiffusionLoraLoaderMixin
from diffusers.utils import convert_unet_state_dict_to_peft
from torch import Tensor

from export.files import PackError, read_header

PREFIX = "unet."
DOWN, UP = ".lora_A.weight", ".lora_B.weight"


def fuse_lora(network: UNet2DConditionModel, path: Path, remedy: str) -> None:
    """Add the LoRA at `path`, in any layout that diffusers reads, to the weights of `network`.

    Args:
        remedy: what to do about one that does not fit; the end of the message.

    Raises:
        PackError: it is cut short, has nothing for a UNet, or is for another one.
    """
    read_header(path)
    loader = StableDiffusionLoraLoaderMixin
    try:
        state, alphas = loader.lora_state_dict(str(path), unet_config=network.config)
        _require_fit(network, path, state, remedy)
        loader.load_lora_into_unet(state, alphas, network)
    except (ValueError, RuntimeError, KeyError) as error:
        reason = str(error).splitlines()[0]
        raise PackError(f"{path} is no LoRA for this UNet ({reason}). {remedy}") from error
    network.fuse_lora(safe_fusing=True)
    network.unload_lora()


def _require_fit(
    network: UNet2DConditionModel, path: Path, state: Mapping[str, Tensor], remedy: str
) -> None:
    """Check what diffusers would leave out with a word, or refuse in hundreds of lines."""
    ours = {
        name.removeprefix(PREFIX): tensor
        for name, tensor in state.items()
        if name.startswith(PREFIX)
    }
    if not ours:
        raise PackError(f"{path} has nothing for the UNet. {remedy}")
    found = convert_unet_state_dict_to_peft(ours)
    layers = {name.rsplit(".lora_", 1)[0] for name in found}
    weights = dict(network.named_parameters())
    for layer in sorted(layers):
        weight = weights.get(f"{layer}.weight")
        if weight is None:
            raise PackError(f"{path} is for a layer {layer}, which the UNet has not. {remedy}")
        absent = [end for end in (DOWN, UP) if layer + end not in found]
        if absent:
            raise PackError(f"{path} lacks {layer}{absent[0]}. {remedy}")
        down, up = found[layer + DOWN], found[layer + UP]
        sizes, expected = [up.shape[0], down.shape[1]], list(weight.shape[:2])
        if sizes != expected:
            raise PackError(
                f"{path} changes {layer} of size {sizes}, where the UNet's is {expected}. {remedy}"
            )
