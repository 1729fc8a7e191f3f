"""The second stage: CLIP's two towers learn which sentences and which pictures share a style."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import CLIPModel, CLIPTokenizer

from training import networks
from training.captions import caption
from training.dataset import Dataset
from training.loop import Plan, fit, load_average
from training.styles import STYLES
from training.tokenizer import END, make_tokenizer

MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)
"""CLIP's own, as ``CLIPImageProcessor`` has them by default."""
SMALLEST_CROP = 160


def train(data: Dataset, plan: Plan, folder: Path) -> None:
    """Train both towers on pictures and freshly made captions of their styles."""
    tokenizer = make_tokenizer()
    torch.manual_seed(plan.seed)
    clip = build(tokenizer).to(plan.device)
    pixels = torch.from_numpy(data.pixels).to(plan.device)
    styles = torch.from_numpy(data.styles)

    def loss(step: int) -> Tensor:
        picked = torch.randint(len(pixels), (plan.batch,)).sort().values
        chance = random.Random(plan.seed_at(step))
        kinds = styles[picked]
        texts = [caption(STYLES[kind], chance) for kind in kinds.tolist()]
        pictures = pixel_values(_cut(pixels[picked.to(plan.device)]))
        ids = tokens(tokenizer, texts).to(plan.device)
        return contrastive_loss(clip, ids, pictures, kinds.to(plan.device))

    fit(clip, loss, plan, folder, "clip")


def build(tokenizer: CLIPTokenizer) -> CLIPModel:
    """Untrained towers for `tokenizer`."""
    return networks.clip(len(tokenizer), tokenizer.convert_tokens_to_ids(END))


def load(folder: Path, tokenizer: CLIPTokenizer) -> CLIPModel:
    """The trained towers of `folder`, in evaluation mode."""
    clip = build(tokenizer)
    load_average(clip, folder)
    return clip.eval().requires_grad_(False)


def contrastive_loss(clip: CLIPModel, ids: Tensor, pictures: Tensor, styles: Tensor) -> Tensor:
    """Cross-entropy over the batch, where every pair of one style is a right answer.

    Sources: Radford et al. (2021), figure 3, with the several positives of Khosla et al. (2020).

    Args:
        ids: ``[batch, 77]``.
        pictures: ``[batch, 3, size, size]``, normalised.
        styles: ``[batch]``.
    """
    texts, images = embed_texts(clip, ids), embed_pictures(clip, pictures)
    logits = clip.logit_scale.exp().clamp(max=100) * texts.float() @ images.float().T
    same = (styles[:, None] == styles[None]).float()
    targets = same / same.sum(dim=1, keepdim=True)
    return (F.cross_entropy(logits, targets) + F.cross_entropy(logits.T, targets)) / 2


def embed_texts(clip: CLIPModel, ids: Tensor) -> Tensor:
    """``[batch, 77]`` token ids to unit vectors ``[batch, 512]``."""
    return F.normalize(clip.text_projection(clip.text_model(ids).pooler_output), dim=-1)


def embed_pictures(clip: CLIPModel, pictures: Tensor) -> Tensor:
    """``[batch, 3, size, size]`` to unit vectors ``[batch, 512]``."""
    return F.normalize(clip.visual_projection(clip.vision_model(pictures).pooler_output), dim=-1)


def tokens(tokenizer: CLIPTokenizer, texts: Sequence[str]) -> Tensor:
    """``[len(texts), 77]`` token ids, padded and cut as the served tokenizer does."""
    encoded = tokenizer(list(texts), padding="max_length", truncation=True, return_tensors="pt")
    ids: Tensor = encoded.input_ids
    return ids


def pixel_values(pictures: Tensor) -> Tensor:
    """uint8 ``[batch, side, side, 3]`` to a vision tower's input ``[batch, 3, size, size]``.

    Agrees with ``pipeline.images.clip_pixel_values`` on square pictures within a grey level.
    """
    size = (networks.VISION_SIZE, networks.VISION_SIZE)
    planes = pictures.permute(0, 3, 1, 2).float()
    scaled = F.interpolate(planes, size, mode="bicubic", antialias=True).round().clamp(0, 255)
    mean, std = (torch.tensor(row, device=planes.device)[:, None, None] for row in (MEAN, STD))
    return (scaled / 255 - mean) / std


def _cut(pictures: Tensor) -> Tensor:
    """At times, a part of the pictures: a reference need not be framed as ours are."""
    side = pictures.shape[1]
    if torch.rand(()) < 0.5:
        return pictures
    part = int(torch.randint(SMALLEST_CROP, side + 1, ()))
    top, left = torch.randint(side - part + 1, (2,)).tolist()
    return pictures[:, top : top + part, left : left + part]
