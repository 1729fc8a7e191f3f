"""UNet, ControlNet and IP-Adapter as one network, and the stages that train its parts.

The parts are diffusers' own classes. IP-Adapter's strength is a tensor here, as it is when served,
so that one batch can hold samples with and without an image prompt.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from diffusers import DDIMScheduler, UNet2DConditionModel
from torch import Tensor, nn

from export.attention import plain, with_scale_input
from pipeline.topology import SD15
from training import networks

Part = Literal["unet", "controlnet", "ip_adapter"]
PARTS: tuple[Part, ...] = ("unet", "controlnet", "ip_adapter")

OFFSET_NOISE = 0.3
REGION_NOISE = 0.15
REGIONS = 4
"""Deviations of shifts of the whole noise and of its 4 x 4 regions, per channel.

White noise averages out: even SD's noisiest step leaves a picture's mean colour to be read. A small
network learns to read it rather than its prompts, and a render, which starts from noise that holds
no colour, wears any style. The shifts hide the trace.
Source: Guttenberg (2023), "Diffusion with offset noise".
"""
SNR_RANGE = (0.2, 5.0)
"""Signal-to-noise ratios between which a clean picture's error counts in proportion.

Below, the prediction of the noise says next to nothing about the picture, yet that is where a
render's colours are decided. Without the lower bound lines are learnt long before styles.
"""
TIMESTEP_POWER = 2 / 3
"""Of the uniform draw; below 1 noisy steps are trained more often than clean ones."""


@dataclass(frozen=True)
class Conditions:
    """What a batch of noise predictions is conditioned on."""

    prompt_embeds: Tensor
    """``[batch, 77, d]``"""
    image_embeds: Tensor
    """CLIP's, ``[batch, 512]``; zeros where there is no image prompt."""
    ip_adapter_scale: Tensor
    """``[batch]``"""
    edges: Tensor | None
    """``[batch, 1, h * 8, w * 8]``, 0 or 1; None leaves ControlNet out altogether."""
    conditioning_scale: Tensor
    """``[batch]``"""


class Denoiser(nn.Module):
    """One served denoising step: ControlNet's residuals and the image tokens go into the UNet."""

    def __init__(self) -> None:
        super().__init__()
        unet = networks.unet()
        self.controlnet = networks.controlnet(unet)
        unet._load_ip_adapter_weights([fresh_ip_adapter(unet)])
        self.unet = with_scale_input(unet, plain, SD15.cross_attention_layers)
        self.projection = unet.encoder_hid_proj.image_projection_layers[0]

    def forward(self, sample: Tensor, timestep: Tensor, given: Conditions) -> Tensor:
        """``sample [batch, 4, h, w]`` at ``timestep [batch]`` to the noise in it."""
        down, mid = self._residuals(sample, timestep, given)
        layers = len(SD15.cross_attention_layers)
        scales = given.ip_adapter_scale[:, None].expand(-1, layers)
        noise_pred: Tensor = self.unet(
            sample,
            timestep,
            encoder_hidden_states=given.prompt_embeds,
            down_block_additional_residuals=down,
            mid_block_additional_residual=mid,
            added_cond_kwargs={"image_embeds": (self.projection(given.image_embeds), scales)},
            return_dict=False,
        )[0]
        return noise_pred

    def _residuals(
        self, sample: Tensor, timestep: Tensor, given: Conditions
    ) -> tuple[tuple[Tensor, ...] | None, Tensor | None]:
        if given.edges is None:
            return None, None
        down, mid = self.controlnet(
            sample,
            timestep,
            encoder_hidden_states=given.prompt_embeds,
            controlnet_cond=given.edges.expand(-1, 3, -1, -1),
            conditioning_scale=given.conditioning_scale[:, None, None, None],
            return_dict=False,
        )
        return tuple(down), mid

    def train_only(self, parts: tuple[Part, ...]) -> None:
        """Freeze everything but `parts`."""
        for name, weight in self.named_parameters():
            weight.requires_grad_(part_of(name) in parts)

    def copy_unet_into_controlnet(self) -> None:
        """Begin ControlNet anew, as a copy of the UNet's encoder with zero convolutions."""
        self.controlnet = networks.controlnet(self.plain_unet())

    def plain_unet(self) -> UNet2DConditionModel:
        """The UNet as diffusers saves it, without IP-Adapter."""
        unet = networks.unet()
        state = self.unet.state_dict()
        unet.load_state_dict({name: state[name] for name in unet.state_dict()})
        return unet

    def ip_adapter(self) -> dict[str, Tensor]:
        """The image prompt's weights in the layout that ``load_ip_adapter`` reads."""
        state = {
            "image_proj.proj.weight": self.projection.image_embeds.weight,
            "image_proj.proj.bias": self.projection.image_embeds.bias,
            "image_proj.norm.weight": self.projection.norm.weight,
            "image_proj.norm.bias": self.projection.norm.bias,
        }
        for index, name in enumerate(cross_attention(self.unet)):
            processor = self.unet.attn_processors[name]
            state[f"{ip_adapter_key(index)}.to_k_ip.weight"] = processor.to_k_ip.weight
            state[f"{ip_adapter_key(index)}.to_v_ip.weight"] = processor.to_v_ip.weight
        return {name: weight.detach().contiguous() for name, weight in state.items()}


def part_of(name: str) -> Part:
    """Which part of a :class:`Denoiser` its parameter `name` belongs to."""
    if name.startswith("controlnet."):
        return "controlnet"
    return "ip_adapter" if name.startswith("projection.") or ".processor." in name else "unet"


def cross_attention(unet: UNet2DConditionModel) -> list[str]:
    """The processors that attend to a prompt, in diffusers' order."""
    return [name for name in unet.attn_processors if name.endswith("attn2.processor")]


def ip_adapter_key(index: int) -> str:
    """The checkpoint's name for the `index`-th cross-attention layer: 1, 3, 5 and so on."""
    return f"ip_adapter.{2 * index + 1}"


def fresh_ip_adapter(unet: UNet2DConditionModel) -> dict[str, dict[str, Tensor]]:
    """Untrained image-prompt weights; keys and values begin as the UNet's own for text.

    Source: the initialisation in IP-Adapter's ``tutorial_train.py`` (Ye et al., 2023).
    """
    width, count = networks.TEXT_WIDTH, networks.IMAGE_TOKENS
    linear = nn.Linear(SD15.clip_dim, count * width)
    adapter = {}
    for index, name in enumerate(cross_attention(unet)):
        layer = unet.get_submodule(name.removesuffix(".processor"))
        key = ip_adapter_key(index).removeprefix("ip_adapter.")
        adapter[f"{key}.to_k_ip.weight"] = layer.to_k.weight.detach().clone()
        adapter[f"{key}.to_v_ip.weight"] = layer.to_v.weight.detach().clone()
    return {
        "image_proj": {
            "proj.weight": linear.weight.detach(),
            "proj.bias": linear.bias.detach(),
            "norm.weight": torch.ones(width),
            "norm.bias": torch.zeros(width),
        },
        "ip_adapter": adapter,
    }


@dataclass(frozen=True)
class Guided:
    """Training as it is served: the loss is taken of the guided prediction."""

    unprompted: Conditions
    """The same samples without their prompts."""
    scale: Tensor
    """Classifier-free guidance, ``[batch]``; 1 for a sample that had no prompt anyway."""


def training_noise(shape: torch.Size) -> Tensor:
    """White noise of `shape` ``[batch, channels, h, w]``, shifted as a whole and by regions."""
    regions = REGION_NOISE * torch.randn(*shape[:2], REGIONS, REGIONS)
    shift = OFFSET_NOISE * torch.randn(*shape[:2], 1, 1) + regions
    return torch.randn(shape) + F.interpolate(shift, shape[2:], mode="bilinear")


def denoising_loss(
    denoiser: nn.Module,
    schedule: DDIMScheduler,
    latents: Tensor,
    given: Conditions,
    guided: Guided | None = None,
) -> Tensor:
    """Mean squared error of the predicted noise, weighted as :data:`SNR_RANGE` says.

    A small network under strong guidance overshoots: what it gets wrong between its two predictions
    is multiplied. With `guided` the error is that of the guided prediction, so the network learns
    to be right at the guidance it is served with. The unprompted prediction gets no gradient.

    Sources: Ho et al. (2020), equation 14; the weights of Hang et al. (2023), min-SNR,
    with a lower bound too.

    Args:
        latents: clean and scaled, ``[batch, 4, h, w]``.
    """
    count, device = len(latents), latents.device
    noise = training_noise(latents.shape).to(device)
    timestep = (len(schedule.alphas_cumprod) * torch.rand(count) ** TIMESTEP_POWER).long()
    timestep = timestep.to(device)
    noisy = schedule.add_noise(latents, noise, timestep)
    noise_pred = denoiser(noisy, timestep, given).float()
    if guided:
        with torch.no_grad():
            unprompted = denoiser(noisy, timestep, guided.unprompted).float()
        noise_pred = unprompted + guided.scale[:, None, None, None] * (noise_pred - unprompted)
    error = F.mse_loss(noise_pred, noise, reduction="none").mean(dim=(1, 2, 3))
    alphas = schedule.alphas_cumprod.to(device)[timestep]
    ratio = alphas / (1 - alphas)
    return (error * ratio.clamp(*SNR_RANGE) / ratio).mean()
