"""IP-Adapter attention whose strength is an input of the network."""

from __future__ import annotations

import copy

import torch.nn.functional as F
from diffusers import UNet2DConditionModel
from diffusers.models.attention_processor import Attention, IPAdapterAttnProcessor2_0
from torch import Tensor, nn

from pipeline import contract


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
    """

    def __init__(self, trained: IPAdapterAttnProcessor2_0, layer: int) -> None:
        super().__init__()
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
        attended = _attend(attn.heads, query, attn.to_k(text), attn.to_v(text))
        styled = _attend(attn.heads, query, self.to_k_ip(image), self.to_v_ip(image))
        mixed = attended + scale[:, self.layer, None, None] * styled
        projected: Tensor = attn.to_out[0](mixed)
        return projected


def _attend(heads: int, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Multi-head attention; all tensors ``[batch, positions, width]``."""
    batch, _, width = query.shape

    def split(tensor: Tensor) -> Tensor:
        return tensor.view(batch, -1, heads, width // heads).transpose(1, 2)

    mixed = F.scaled_dot_product_attention(split(query), split(key), split(value))
    return mixed.transpose(1, 2).reshape(batch, -1, width)


def with_scale_input(unet: UNet2DConditionModel) -> UNet2DConditionModel:
    """A copy of `unet` that takes ``(image_embeds, scale)`` as its image prompt.

    The copy shares the original's weights; the original stays diffusers' own.

    Raises:
        ValueError: its cross-attention layers are not SD 1.5's 16.
    """
    shared = {id(weight): weight for weight in (*unet.parameters(), *unet.buffers())}
    copied = copy.deepcopy(unet, shared)
    columns = {name: index for index, name in enumerate(contract.CROSS_ATTENTION_LAYERS)}
    processors = dict(copied.attn_processors)
    for name, processor in copied.attn_processors.items():
        if name.endswith("attn2.processor"):
            layer = name.split(".transformer_blocks")[0]
            if layer not in columns:
                raise ValueError(f"unet: cross-attention layer {layer} is not one of SD 1.5's")
            processors[name] = ScaledImageAttention(processor, columns.pop(layer))
    if columns:
        raise ValueError(f"unet: cross-attention layers are missing: {', '.join(columns)}")
    copied.set_attn_processor(processors)
    copied.encoder_hid_proj = ImagePrompt()
    return copied
