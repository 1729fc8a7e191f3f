"""How a pack's networks are put together: what the number and size of their tensors follow from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.errors import InvalidRequest, Words

MAX_LAYERS = 256
"""More cross-attention layers than any network has: the bound while the pack is not known."""

STYLE_MODES = ("both", "style", "composition")

MAX_CHUNKS = 4
"""Texts of ``context_length`` that one prompt may fill."""


@dataclass(frozen=True)
class Topology:
    """The structure of a pack's networks; how wide they are is not part of it.

    The exporter reads it from the pack's configs and writes it into ``pack.json``.
    """

    attention: tuple[bool, ...]
    """Whether each level of the UNet attends to prompts, finest first. Its middle always does."""
    layers_per_block: int
    latent_channels: int
    vae_scale_factor: int
    """Pixels a side that one latent stands for."""
    context_length: int
    """Token ids of one text."""
    clip_dim: int
    """Of the vectors that styles are searched by."""
    text_encoders: tuple[str, ...] = ("text_encoder",)
    """The networks that read the prompt for the UNet."""

    @property
    def levels(self) -> int:
        """Of the UNet; each but the last halves the latents."""
        return len(self.attention)

    @property
    def size_step(self) -> int:
        """What a picture's sides in pixels have to be multiples of."""
        return self.vae_scale_factor << (self.levels - 1)

    @property
    def cross_attention_layers(self) -> tuple[str, ...]:
        """In the order the signal meets them, which is that of ``ip_adapter_scale``'s columns."""
        down = [block for block, attends in enumerate(self.attention) if attends]
        up = [block for block, attends in enumerate(reversed(self.attention)) if attends]
        layers = self.layers_per_block
        return (
            *(f"down_blocks.{block}.attentions.{i}" for block in down for i in range(layers)),
            "mid_block.attentions.0",
            *(f"up_blocks.{block}.attentions.{i}" for block in up for i in range(layers + 1)),
        )

    def style_shares(self, mode: str) -> tuple[float, ...]:
        """What `mode`, one of ``STYLE_MODES``, leaves of each cross-attention layer's strength.

        Source: the weight types of ComfyUI_IPAdapter_plus for SD 1.5: composition enters at the
        deepest level that attends, on the way down, and style everywhere but at that level.
        """
        layers, count = self.cross_attention_layers, self.layers_per_block
        down = [layer for layer in layers if layer.startswith("down")]
        up = [layer for layer in layers if layer.startswith("up")]
        deepest = dict.fromkeys(down[-count:], 0.25) | dict.fromkeys(down[-1:], 1.0)
        shares = {
            "both": dict.fromkeys(layers, 1.0),
            "style": dict.fromkeys(set(layers) - {*deepest, *up[: count + 1]}, 1.0),
            "composition": deepest,
        }[mode]
        return tuple(shares.get(layer, 0.0) for layer in layers)

    @property
    def residuals(self) -> tuple[str, ...]:
        """ControlNet's outputs: conv_in's, each level's layers and downsampler's, the middle's.

        The last level has no downsampler. The order is diffusers'.
        """
        count = 1 + self.levels * self.layers_per_block + self.levels - 1
        return (*(f"down_block_res_{i}" for i in range(count)), "mid_block_res")

    def layer_scales(self, given: tuple[float, ...], style_mode: str = "both") -> tuple[float, ...]:
        """IP-Adapter's strength at each cross-attention layer.

        Raises:
            InvalidRequest: `given` is neither one value nor one for each layer.
        """
        layers = len(self.cross_attention_layers)
        if len(given) not in (1, layers):
            raise InvalidRequest(
                "ip_adapter_scale",
                Words(f"{len(given)} values"),
                f"1 value, or {layers} (one per cross-attention layer)",
                "Send one value for all layers.",
            )
        each = given if len(given) == layers else given * layers
        shares = self.style_shares(style_mode)
        return tuple(scale * share for scale, share in zip(each, shares, strict=True))


SD15 = Topology(
    attention=(True, True, True, False),
    layers_per_block=2,
    latent_channels=4,
    vae_scale_factor=8,
    context_length=77,
    clip_dim=512,
)
"""Stable Diffusion 1.5's, and that of the pack that ships."""


def from_facts(facts: Mapping[str, Any]) -> Topology:
    """The topology that ``pack.json`` names; older exports have Stable Diffusion 1.5's unsaid.

    Raises:
        TypeError: it names other properties than there are.
    """
    named = facts.get("topology")
    if named is None:
        return SD15
    lists = {key: tuple(value) for key, value in named.items() if isinstance(value, list)}
    return Topology(**{**named, **lists})


def is_residual(tensor: str) -> bool:
    """Whether `tensor` is the name of one of ControlNet's outputs."""
    return tensor.startswith(("down_block_res_", "mid_block_res"))
