"""The pack's torch networks with the contract's signatures.

Each wrapper's ``forward`` takes the contract's inputs by name and returns its outputs in order, so
one list of names serves the export, the parity check and Triton.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from diffusers.models.embeddings import ImageProjection
from torch import Tensor, nn

from export.attention import Attend, fused, with_attention, with_scale_input
from export.pack import Pack
from pipeline import contract

CARE = 0.01
"""What the thresholds of a picture that calls for special care are lowered by."""
ROUNDED_AWAY = 0.0005
"""diffusers rounds scores to three digits: up to here, one above zero becomes zero."""


class TextEncoder(nn.Module):
    """``input_ids [batch, 77]`` to ``prompt_embeds [batch, 77, d]``."""

    def __init__(self, pack: Pack) -> None:
        super().__init__()
        self.network = pack.text_encoder

    def forward(self, input_ids: Tensor) -> Tensor:
        embeds: Tensor = self.network(input_ids)[0]
        return embeds


class ClipText(nn.Module):
    """``input_ids [batch, 77]`` to a unit vector ``[batch, 512]``."""

    def __init__(self, pack: Pack) -> None:
        super().__init__()
        self.tower = pack.clip.text_model
        self.projection = pack.clip.text_projection

    def forward(self, input_ids: Tensor) -> Tensor:
        return nn.functional.normalize(self.projection(self.tower(input_ids).pooler_output))


class ClipImage(nn.Module):
    """``pixel_values [batch, 3, size, size]`` to a unit vector ``[batch, 512]``."""

    def __init__(self, pack: Pack) -> None:
        super().__init__()
        self.tower = pack.clip.vision_model
        self.projection = pack.clip.visual_projection

    def forward(self, pixel_values: Tensor) -> Tensor:
        return nn.functional.normalize(self.projection(self.tower(pixel_values).pooler_output))


class ImageEncoder(nn.Module):
    """``pixel_values`` to IP-Adapter's tokens ``[batch, n, d]``, and those of an absent image.

    As in diffusers, IP-Adapter projects the tower's embedding, and a zero one for an absent image;
    IP-Adapter Plus resamples the last hidden states but one, and those of a zero image.
    """

    def __init__(self, pack: Pack) -> None:
        super().__init__()
        self.encoder = pack.image_encoder
        self.projection = pack.image_projection
        self.reads_embedding = isinstance(self.projection, ImageProjection)

    def forward(self, pixel_values: Tensor) -> tuple[Tensor, Tensor]:
        if self.reads_embedding:
            embeds = self.encoder(pixel_values).image_embeds
            return self.projection(embeds), self.projection(torch.zeros_like(embeds))
        absent = torch.zeros_like(pixel_values)
        return self._resample(pixel_values), self._resample(absent)

    def _resample(self, pixel_values: Tensor) -> Tensor:
        hidden = self.encoder(pixel_values, output_hidden_states=True).hidden_states[-2]
        tokens: Tensor = self.projection(hidden)
        return tokens


class ControlNet(nn.Module):
    """ControlNet over a one-channel byte image, with its own scale for each row."""

    def __init__(self, pack: Pack, attend: Attend) -> None:
        super().__init__()
        self.network = with_attention(pack.controlnet, attend)

    def forward(
        self,
        sample: Tensor,
        timestep: Tensor,
        prompt_embeds: Tensor,
        control_image: Tensor,
        conditioning_scale: Tensor,
    ) -> tuple[Tensor, ...]:
        # The edges travel as bytes in one channel and are widened here, beside the network.
        hint = (control_image.float() / 255).expand(-1, 3, -1, -1)
        down, mid = self.network(
            sample,
            timestep[:, 0],
            encoder_hidden_states=prompt_embeds,
            controlnet_cond=hint,
            conditioning_scale=conditioning_scale[:, :, None, None],
            return_dict=False,
        )
        return (*down, mid)


class UNet(nn.Module):
    """The UNet with IP-Adapter's strength and ControlNet's residuals as inputs."""

    def __init__(self, pack: Pack, attend: Attend) -> None:
        super().__init__()
        self.network = with_scale_input(pack.unet, attend, pack.topology.cross_attention_layers)

    def forward(
        self,
        sample: Tensor,
        timestep: Tensor,
        prompt_embeds: Tensor,
        image_embeds: Tensor,
        ip_adapter_scale: Tensor,
        *residuals: Tensor,
    ) -> Tensor:
        noise_pred: Tensor = self.network(
            sample,
            timestep[:, 0],
            encoder_hidden_states=prompt_embeds,
            down_block_additional_residuals=residuals[:-1],
            mid_block_additional_residual=residuals[-1],
            added_cond_kwargs={"image_embeds": (image_embeds, ip_adapter_scale)},
            return_dict=False,
        )[0]
        return noise_pred


class VaeEncoder(nn.Module):
    """``pixels [batch, 3, h * 8, w * 8]`` to the mode of the latents, scaled for the UNet."""

    def __init__(self, pack: Pack, attend: Attend) -> None:
        super().__init__()
        self.vae = with_attention(pack.vae, attend)

    def forward(self, pixels: Tensor) -> Tensor:
        moments = self.vae.encode(pixels, return_dict=False)[0]
        latents: Tensor = moments.mode() * self.vae.config.scaling_factor
        return latents


class VaeDecoder(nn.Module):
    """Scaled ``latents [batch, 4, h, w]`` to ``pixels [batch, 3, h * 8, w * 8]``."""

    def __init__(self, pack: Pack, attend: Attend) -> None:
        super().__init__()
        self.vae = with_attention(pack.vae, attend)

    def forward(self, latents: Tensor) -> Tensor:
        pixels: Tensor = self.vae.decode(
            latents / self.vae.config.scaling_factor, return_dict=False
        )[0]
        return pixels


class SafetyChecker(nn.Module):
    """``pixel_values`` to a margin ``[batch, 1]``: above zero, the picture is unsafe.

    A concept's score is its cosine with the picture minus its threshold; the margin is the highest
    of them. Where one of the special concepts is found, all thresholds are lower.
    Source: diffusers' ``StableDiffusionSafetyChecker``.
    """

    def __init__(self, pack: Pack) -> None:
        super().__init__()
        self.checker = pack.safety_checker

    def forward(self, pixel_values: Tensor) -> Tensor:
        checker = self.checker
        embeds = checker.visual_projection(checker.vision_model(pixel_values).pooler_output)
        special = _scores(embeds, checker.special_care_embeds, checker.special_care_embeds_weights)
        concepts = _scores(embeds, checker.concept_embeds, checker.concept_embeds_weights)
        margin: Tensor = concepts + torch.where(special > 0, CARE, 0.0)
        return margin


def _scores(embeds: Tensor, concepts: Tensor, thresholds: Tensor) -> Tensor:
    """The highest score of each row ``[batch, 1]``; above zero where diffusers' is, rounded."""
    cosines = nn.functional.normalize(embeds) @ nn.functional.normalize(concepts).T
    return (cosines - thresholds).amax(dim=1, keepdim=True) - ROUNDED_AWAY


_TRANSFORMERS: dict[str, Callable[[Pack], nn.Module]] = {
    "text_encoder": TextEncoder,
    "clip_text": ClipText,
    "clip_image": ClipImage,
    "image_encoder": ImageEncoder,
    "safety_checker": SafetyChecker,
}
_DIFFUSERS: dict[str, Callable[[Pack, Attend], nn.Module]] = {
    "controlnet": ControlNet,
    "unet": UNet,
    "vae_encoder": VaeEncoder,
    "vae_decoder": VaeDecoder,
}
NAMES = tuple(name for name in (*_TRANSFORMERS, *_DIFFUSERS) if not contract.MODELS[name].optional)
"""The networks of every pack."""
OPTIONAL = tuple(name for name in _TRANSFORMERS if contract.MODELS[name].optional)
"""Those that a pack may lack."""


def names_of(pack: Pack) -> tuple[str, ...]:
    """The networks that `pack` has."""
    return (*NAMES, *(name for name in OPTIONAL if pack.has(name)))


def wrap(network: str, pack: Pack, attend: Attend = fused) -> nn.Module:
    """`pack`'s network of that name, ready to be exported or compared with.

    Args:
        attend: how diffusers' networks attend; transformers' keep their own attention, whose
            sequences are short.
    """
    if network in _TRANSFORMERS:
        module = _TRANSFORMERS[network](pack)
    else:
        module = _DIFFUSERS[network](pack, attend)
    return module.eval().requires_grad_(False)
