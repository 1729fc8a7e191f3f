"""What the denoiser trains on: the pictures' latents and style embeddings, computed once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from diffusers import AutoencoderKL
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import CLIPModel

from training.autoencoder import scaling_factor, to_pixels
from training.contrastive import pixel_values
from training.dataset import Dataset

FILE = "latents.safetensors"
BATCH = 16
MEASURED = 256
"""Pictures over which the latents' spread is measured."""


def encode(
    data: Dataset,
    vae: AutoencoderKL,
    clip: CLIPModel,
    folder: Path,
    device: str,
    report: Callable[[int], None],
) -> None:
    """Write every picture's scaled latents and CLIP image embedding to `folder`."""
    pixels = torch.from_numpy(data.pixels)
    vae, clip = vae.to(device), clip.to(device)
    spread = torch.linspace(0, len(pixels) - 1, min(MEASURED, len(pixels))).long()
    kind = torch.device(device).type
    with torch.inference_mode(), torch.autocast(kind, dtype=torch.bfloat16):
        factor = scaling_factor(vae, to_pixels(pixels[spread].to(device)))
        latents, embeds = [], []
        for start in range(0, len(pixels), BATCH):
            pictures = pixels[start : start + BATCH].to(device)
            moments = vae.encode(to_pixels(pictures)).latent_dist
            latents.append((moments.mode() * factor).half().cpu())
            tower = clip.vision_model(pixel_values(pictures)).pooler_output
            embeds.append(clip.visual_projection(tower).half().cpu())
            report(len(pictures))
    folder.mkdir(parents=True, exist_ok=True)
    save_file(
        {
            "latents": torch.cat(latents).contiguous(),
            "image_embeds": torch.cat(embeds),
            "scaling_factor": torch.tensor(factor),
        },
        folder / FILE,
    )


def read(folder: Path) -> dict[str, Tensor]:
    """``latents [count, 4, 32, 32]``, ``image_embeds [count, 512]`` and ``scaling_factor``.

    Raises:
        FileNotFoundError: they have not been computed.
    """
    path = folder / FILE
    if not path.exists():
        raise FileNotFoundError(f"{path} is missing; run `python -m training latents`")
    tensors: dict[str, Tensor] = load_file(path)
    return tensors
