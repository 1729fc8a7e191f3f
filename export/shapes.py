"""Concrete shapes for the contract's open dims: what a pack fixes, and what a request chooses."""

from __future__ import annotations

from dataclasses import dataclass

from safetensors import safe_open

from export.pack_files import PackFiles
from pipeline.tensor import Tensor
from pipeline.topology import Topology


@dataclass(frozen=True)
class Size:
    """The sizes that a request chooses: rows, and latent height and width."""

    batch: int
    height: int
    width: int
    chunks: int = 1
    """Texts that a prompt fills."""


@dataclass(frozen=True)
class Widths:
    """The sizes that a pack fixes."""

    topology: Topology
    text: int
    """`d`, the width of the text embedding."""
    image_tokens: int
    """`n`, the number of tokens that stand for a style picture."""
    crop: int
    """Side in pixels of what the vision towers see."""
    channels: tuple[int, ...]
    """Of the UNet's levels."""
    vocabulary: int

    @classmethod
    def of(cls, pack: PackFiles) -> Widths:
        """Read from `pack`'s configs; no network is loaded."""
        unet = pack.config("unet")
        return cls(
            topology=pack.topology,
            text=unet["cross_attention_dim"],
            image_tokens=_image_tokens(pack),
            crop=pack.config("image_encoder")["image_size"],
            channels=tuple(unet["block_out_channels"]),
            vocabulary=pack.config("text_encoder")["vocab_size"],
        )


def _image_tokens(pack: PackFiles) -> int:
    """Tokens of IP-Adapter's projection, from the shapes of its weights."""
    width = pack.config("unet")["cross_attention_dim"]
    with safe_open(pack.ip_adapter_file, framework="pt") as file:
        if "image_proj.latents" in file.keys():  # noqa: SIM118 - a file, not a dict
            return int(file.get_slice("image_proj.latents").get_shape()[1])
        return int(file.get_slice("image_proj.proj.weight").get_shape()[0]) // width


def dims(
    tensor: Tensor, widths: Widths, height: int, width: int, chunks: int = 1
) -> tuple[int, ...]:
    """`tensor`'s dims, batch left out, in a pack of `widths` at a latent size.

    A `height` and `width` of -1 stay open, as does every size that grows with them, and `chunks` of
    -1, the texts that a prompt fills.
    """
    topology = widths.topology
    factor, latents = topology.vae_scale_factor, (topology.latent_channels, height, width)
    pixels = tuple(side if side == -1 else side * factor for side in (height, width))
    fixed = tensor.dims[0] != -1 or chunks == -1
    tokens = tensor.dims[0] if fixed else chunks * topology.context_length
    known = {
        "prompt_embeds": (tokens, widths.text),
        "image_embeds": (widths.image_tokens, widths.text),
        "negative_image_embeds": (widths.image_tokens, widths.text),
        "pixel_values": (3, widths.crop, widths.crop),
        "control_image": (1, *pixels),
        "pixels": (3, *pixels),
        "sample": latents,
        "latents": latents,
        "noise_pred": latents,
        **_residuals(widths, height, width),
    }
    return known.get(tensor.name, tensor.dims)


def _residuals(widths: Widths, height: int, width: int) -> dict[str, tuple[int, ...]]:
    """conv_in, then each level's layers and, but for the last, its downsampler, then the middle."""
    topology, channels = widths.topology, widths.channels

    def at(level: int, count: int) -> tuple[int, ...]:
        return (count, *(side if side == -1 else side >> level for side in (height, width)))

    shapes = [at(0, channels[0])]
    for level, count in enumerate(channels):
        shapes += [at(level, count)] * topology.layers_per_block
        if level < len(channels) - 1:
            shapes.append(at(level + 1, count))
    shapes.append(shapes[-1])
    return dict(zip(topology.residuals, shapes, strict=True))
