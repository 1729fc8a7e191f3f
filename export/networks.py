"""The pack's torch networks with the contract's signatures.

Each wrapper's ``forward`` takes the contract's inputs by name and returns its outputs in order, so
one list of names serves the export, the parity check and Triton.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from export.attention import with_scale_input
from export.pack import Pack


class TextEncoder(nn.Module):
    """``input_ids [batch, 77]`` to ``prompt_embeds [batch, 77, d]``."""

    def __init__(self, pack: Pack) -> None:
        super().__init__()
        self.network = pack.pipeline.text_encoder

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

    diffusers stands an absent image in by a zero embedding and projects that.
    """

    def __init__(self, pack: Pack) -> None:
        super().__init__()
        self.encoder = pack.pipeline.image_encoder
        self.projection = pack.pipeline.unet.encoder_hid_proj.image_projection_layers[0]

    def forward(self, pixel_values: Tensor) -> tuple[Tensor, Tensor]:
        embeds = self.encoder(pixel_values).image_embeds
        return self.projection(embeds), self.projection(torch.zeros_like(embeds))


class ControlNet(nn.Module):
    """ControlNet over a one-channel byte image, with its own scale for each row."""

    def __init__(self, pack: Pack) -> None:
        super().__init__()
        self.network = pack.pipeline.controlnet

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

    def __init__(self, pack: Pack) -> None:
        super().__init__()
        self.network = with_scale_input(pack.pipeline.unet)

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

    def __init__(self, pack: Pack) -> None:
        super().__init__()
        self.vae = pack.pipeline.vae

    def forward(self, pixels: Tensor) -> Tensor:
        moments = self.vae.encode(pixels, return_dict=False)[0]
        latents: Tensor = moments.mode() * self.vae.config.scaling_factor
        return latents


class VaeDecoder(nn.Module):
    """Scaled ``latents [batch, 4, h, w]`` to ``pixels [batch, 3, h * 8, w * 8]``."""

    def __init__(self, pack: Pack) -> None:
        super().__init__()
        self.vae = pack.pipeline.vae

    def forward(self, latents: Tensor) -> Tensor:
        pixels: Tensor = self.vae.decode(
            latents / self.vae.config.scaling_factor, return_dict=False
        )[0]
        return pixels


WRAPPERS: dict[str, Callable[[Pack], nn.Module]] = {
    "text_encoder": TextEncoder,
    "clip_text": ClipText,
    "clip_image": ClipImage,
    "image_encoder": ImageEncoder,
    "controlnet": ControlNet,
    "unet": UNet,
    "vae_encoder": VaeEncoder,
    "vae_decoder": VaeDecoder,
}
