"""The first stage: an autoencoder that keeps fine lines.

Everything painted later passes through its decoder, so a line lost here is lost for good.
"""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL
from torch import Tensor

from training import networks
from training.dataset import Dataset
from training.loop import Plan, fit, load_average

KL_WEIGHT = 1e-6
"""Stable Diffusion's: only keeps the latents from growing without bound."""
EDGE_WEIGHT = 1.0
CROP = 128
COLOUR_WEIGHT = 2.0
FINAL_SHARE = 0.25
"""Of the steps, at the end: whole pictures, so that normalisation sees what it will when served,
and noise on the latents."""
LATENT_NOISE = 0.05
"""Its deviation, in the latents': a denoiser's latents are never exact. Not sooner, because faint
signals, such as colours are at first, would drown in it."""
FIRST_LOG_VARIANCE = -6.0


def train(data: Dataset, plan: Plan, folder: Path) -> None:
    """Train on random crops of the true renders, and at the end on whole ones."""
    torch.manual_seed(plan.seed)
    vae = begin().to(plan.device)
    pixels = torch.from_numpy(data.pixels).to(plan.device)

    def loss(step: int) -> Tensor:
        final = step >= (1 - FINAL_SHARE) * plan.steps
        side = pixels.shape[1] if final else CROP
        batch = max(1, plan.batch * CROP**2 // side**2)
        return reconstruction_loss(vae, _crops(pixels, batch, side), LATENT_NOISE * final)

    fit(vae, loss, plan, folder, "vae")


def begin() -> AutoencoderKL:
    """An untrained autoencoder whose latents are almost without noise.

    A fresh one draws them with deviation 1 around means near 0, in which faint signals drown.
    """
    vae = networks.vae()
    with torch.no_grad():
        vae.quant_conv.bias[vae.config.latent_channels :] = FIRST_LOG_VARIANCE
    return vae


def load(folder: Path) -> AutoencoderKL:
    """The trained autoencoder of `folder`, in evaluation mode."""
    vae = networks.vae()
    load_average(vae, folder)
    return vae.eval().requires_grad_(False)


def reconstruction_loss(vae: AutoencoderKL, images: Tensor, latent_noise: float = 0.0) -> Tensor:
    """Errors of pixels and colours, of edges at three scales, plus a little KL.

    Args:
        images: ``[batch, 3, height, width]`` in [-1, 1].
        latent_noise: deviation of the noise on the latents, as a share of theirs.
    """
    moments = vae.encode(images).latent_dist
    latents = moments.sample()
    latents = latents + latent_noise * latents.detach().std() * torch.randn_like(latents)
    decoded = vae.decode(latents).sample.float()
    colours = _distance(_opponents(decoded), _opponents(images))
    kl = moments.kl().mean() / images[0].numel()
    return (
        _distance(decoded, images)
        + COLOUR_WEIGHT * colours
        + EDGE_WEIGHT * edge_loss(decoded, images)
        + KL_WEIGHT * kl
    )


def _distance(decoded: Tensor, images: Tensor) -> Tensor:
    """L1, which asks for the median colour, and squared error, which minds rare ones too."""
    return F.l1_loss(decoded, images) + F.mse_loss(decoded, images)


def _opponents(images: Tensor) -> Tensor:
    """Red and blue against green: what is left of a picture without its lightness."""
    return images[:, [0, 2]] - images[:, [1]]


def edge_loss(decoded: Tensor, images: Tensor, scales: int = 3) -> Tensor:
    """Mean L1 between the two pictures' gradients at `scales` octaves.

    A line that is blurred away costs little in pixels and much here.
    Source: the gradient difference loss of Mathieu et al. (2016) with exponent 1.
    """
    total = images.new_zeros(())
    for _ in range(scales):
        total = total + sum(
            F.l1_loss(found, wanted)
            for found, wanted in zip(_gradients(decoded), _gradients(images), strict=True)
        )
        decoded, images = F.avg_pool2d(decoded, 2), F.avg_pool2d(images, 2)
    return total / scales


def _gradients(images: Tensor) -> tuple[Tensor, Tensor]:
    return images.diff(dim=-1), images.diff(dim=-2)


def _crops(pixels: Tensor, batch: int, side: int) -> Tensor:
    """Random pictures, cut at one random place: ``[batch, 3, side, side]`` in [-1, 1]."""
    picked = torch.randint(len(pixels), (batch,)).sort().values
    top, left = torch.randint(pixels.shape[1] - side + 1, (2,)).tolist()
    cut = pixels[picked.to(pixels.device), top : top + side, left : left + side]
    if torch.rand(()) < 0.5:
        cut = cut.flip(2)
    return to_pixels(cut)


def to_pixels(pictures: Tensor) -> Tensor:
    """uint8 ``[batch, height, width, 3]`` to ``[batch, 3, height, width]`` in [-1, 1]."""
    return pictures.permute(0, 3, 1, 2).float() / 127.5 - 1


@torch.no_grad()
def scaling_factor(vae: AutoencoderKL, images: Tensor) -> float:
    """One over the standard deviation of the latents, so that the UNet sees unit variance.

    Source: Rombach et al. (2022), appendix G.
    """
    return float(1 / vae.encode(images).latent_dist.mode().std())
