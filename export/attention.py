"""Attention as it is exported: one operator of ONNX Runtime, and IP-Adapter's strength an input."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import TypeVar

import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL, ControlNetModel, UNet2DConditionModel
from diffusers.models.attention_processor import Attention, IPAdapterAttnProcessor2_0
from torch import Tensor, nn

Attend = Callable[[int, Tensor, Tensor, Tensor], Tensor]
"""``heads``, then query, key and value ``[batch, positions, width]``, to ``[batch, positions,
width]``."""
Network = TypeVar("Network", UNet2DConditionModel, ControlNetModel, AutoencoderKL)


def plain(heads: int, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Multi-head attention that any ONNX tool reads; TensorRT finds and fuses it by itself."""
    batch, _, width = query.shape

    def split(tensor: Tensor) -> Tensor:
        return tensor.view(batch, -1, heads, width // heads).transpose(1, 2)

    mixed = F.scaled_dot_product_attention(split(query), split(key), split(value))
    return mixed.transpose(1, 2).reshape(batch, -1, width)


def fused(heads: int, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """The same as one operator, whose kernels never hold the matrix of all pairs of positions.

    Source: ONNX Runtime's contrib operator ``MultiHeadAttention``.
    """
    if not torch.compiler.is_exporting():
        return plain(heads, query, key, value)
    result: Tensor = torch.onnx.ops.symbolic(
        "com.microsoft::MultiHeadAttention",
        (query, key, value),
        {"num_heads": heads},
        dtype=query.dtype,
        shape=query.shape,
        version=1,
    )
    return result


class ExportedAttention(nn.Module):
    """diffusers' attention without masks, which SD 1.5 has none of, over an `attend` of choice.

    Args:
        attend: :func:`plain` or :func:`fused`.
    """

    def __init__(self, attend: Attend) -> None:
        super().__init__()
        self.attend = attend

    def forward(
        self,
        attn: Attention,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: None = None,  # noqa: ARG002 - diffusers passes it
        temb: Tensor | None = None,  # noqa: ARG002 - the autoencoder passes it
    ) -> Tensor:
        """``hidden_states [batch, positions, width]``, or ``[batch, width, height, width]``."""
        residual, hidden = hidden_states, hidden_states
        if hidden.ndim == 4:
            hidden = hidden.flatten(2).transpose(1, 2)
        if attn.group_norm is not None:
            hidden = attn.group_norm(hidden.transpose(1, 2)).transpose(1, 2)
        context = hidden if encoder_hidden_states is None else encoder_hidden_states
        mixed = self.attend(attn.heads, attn.to_q(hidden), attn.to_k(context), attn.to_v(context))
        projected: Tensor = attn.to_out[0](mixed)
        if residual.ndim == 4:
            projected = projected.transpose(1, 2).reshape(residual.shape)
        if attn.residual_connection:
            projected = projected + residual
        return projected / attn.rescale_output_factor


class ImagePrompt(nn.Module):
    """Stands where a UNet keeps IP-Adapter's projection, and hands on tokens and scale as they are.

    The served image encoder has projected the tokens already, so that this happens once per render
    and not once per step.
    """

    def forward(self, prompt: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """``(image_embeds [batch, n, d], scale [batch, layers])``, unchanged."""
        return prompt


class ScaledImageAttention(nn.Module):
    """Cross-attention to the text plus ``scale`` times cross-attention to the image tokens.

    diffusers' processor keeps its scale as a Python number, which an export would freeze.
    Source: Ye et al. (2023), "IP-Adapter", equation 5.

    Args:
        trained: diffusers' processor of the same layer, whose weights are taken over.
        layer: the column of ``ip_adapter_scale`` that is this layer's.
        attend: :func:`plain` or :func:`fused`.
    """

    def __init__(self, trained: IPAdapterAttnProcessor2_0, layer: int, attend: Attend) -> None:
        super().__init__()
        self.attend = attend
        self.to_k_ip = trained.to_k_ip[0]
        self.to_v_ip = trained.to_v_ip[0]
        self.layer = layer

    def forward(
        self,
        attn: Attention,
        hidden_states: Tensor,
        encoder_hidden_states: tuple[Tensor, tuple[Tensor, Tensor]],
        attention_mask: None = None,  # noqa: ARG002 - diffusers passes it; SD 1.5 has no mask
    ) -> Tensor:
        """``hidden_states [batch, positions, width]`` with both prompts attended to."""
        text, (image, scale) = encoder_hidden_states
        query = attn.to_q(hidden_states)
        attended = self.attend(attn.heads, query, attn.to_k(text), attn.to_v(text))
        styled = self.attend(attn.heads, query, self.to_k_ip(image), self.to_v_ip(image))
        mixed = attended + scale[:, self.layer, None, None] * styled
        projected: Tensor = attn.to_out[0](mixed)
        return projected


def with_attention(network: Network, attend: Attend) -> Network:
    """A copy of `network`, one of diffusers', whose attention goes through `attend`.

    The copy shares the original's weights; the original stays diffusers' own.
    """
    copied = _sharing_weights(network)
    copied.set_attn_processor(ExportedAttention(attend))
    return copied


def _sharing_weights(network: Network) -> Network:
    shared = {id(weight): weight for weight in (*network.parameters(), *network.buffers())}
    return copy.deepcopy(network, shared)


def with_scale_input(
    unet: UNet2DConditionModel, attend: Attend, layers: Sequence[str]
) -> UNet2DConditionModel:
    """A copy of `unet` that takes ``(image_embeds, scale)`` as its image prompt.

    The copy shares the original's weights; the original stays diffusers' own.

    Args:
        layers: its cross-attention layers, in the order of the scale's columns.

    Raises:
        ValueError: it has others.
    """
    copied = _sharing_weights(unet)
    # First of all: the projection of IP-Adapter Plus has attention too, and is not the UNet's.
    copied.encoder_hid_proj = ImagePrompt()
    columns = {name: index for index, name in enumerate(layers)}
    processors = dict(copied.attn_processors)
    for name, processor in copied.attn_processors.items():
        if name.endswith("attn1.processor"):
            processors[name] = ExportedAttention(attend)
        else:
            layer = name.split(".transformer_blocks")[0]
            if layer not in columns:
                raise ValueError(f"unet: cross-attention layer {layer} is not one of its topology")
            processors[name] = ScaledImageAttention(processor, columns.pop(layer), attend)
    if columns:
        raise ValueError(f"unet: cross-attention layers are missing: {', '.join(columns)}")
    copied.set_attn_processor(processors)
    return copied
