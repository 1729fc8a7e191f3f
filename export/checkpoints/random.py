"""Random checkpoints with the published layouts, names and shapes.

Every loader, exporter and server path can so be run at full size where nothing is downloaded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path
from string import ascii_lowercase
from typing import Any

import torch
from diffusers.pipelines.stable_diffusion.safety_checker import cosine_distance
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers.convert_slow_tokenizer import bytes_to_unicode

from export.checkpoints import ldm
from export.checkpoints.architectures import SCHEDULER, Architecture
from pipeline.topology import SD15
from versions.durable import write_json

BASE = "stable-diffusion-v1-5"
SINGLE_FILE = "v1-5-pruned-emaonly.safetensors"
CONTROLNET = "control_v11p_sd15_canny"
IP_ADAPTER = "IP-Adapter/models"
CLIP = "clip-vit-base-patch32"
SAFETY_CHECKER = f"{BASE}/safety_checker"
LORA = "lcm-lora-sdv1-5/pytorch_lora_weights.safetensors"

SPREAD = 0.02
"""Deviation of what a fresh network leaves constant; nothing stays so, or a test might miss it."""
ALPHA = 8.0
"""The published LoRA's scale is this over its rank."""
RESAMPLER_LAYERS = 4
RESAMPLER_HEAD = 64
RESAMPLER_TOKENS = 16
PROJECTED_TOKENS = 4
TRIED_PICTURES = 16
"""What thresholds of random concepts are set on, so that some pictures are unsafe and some not."""


@torch.no_grad()
def write_checkpoints(
    folder: Path, architecture: Architecture, seed: int, report: Callable[[str], None]
) -> None:
    """Write one random checkpoint of every kind into `folder`, in fp16.

    Args:
        architecture: full size or small.
        seed: of every weight; the same seed writes the same weights.
        report: told which checkpoint is being written.
    """
    torch.manual_seed(seed)
    report(BASE)
    unet = _vary(architecture.unet())
    vae = _vary(architecture.vae())
    text = _published_text(_state(architecture.text_encoder()))
    base = folder / BASE
    _save(unet, base / "unet")
    _save(vae, base / "vae")
    _write_weights(
        base / "vae" / "diffusion_pytorch_model.safetensors", _published_vae(_state(vae))
    )
    _write_weights(base / "text_encoder" / "model.safetensors", text)
    write_json(base / "text_encoder" / "config.json", _text_config(architecture))
    (base / "scheduler").mkdir(exist_ok=True)
    write_json(base / "scheduler" / "scheduler_config.json", SCHEDULER)
    architecture.feature_extractor().save_pretrained(base / "feature_extractor")
    length = architecture.topology.context_length
    _write_tokenizer(base / "tokenizer", architecture.vocabulary, model_max_length=length)
    write_json(base / "model_index.json", {"_class_name": "StableDiffusionPipeline"})

    if architecture.topology == SD15:
        report(SINGLE_FILE)
        merged = ldm.single_file(_state(unet), _state(vae), text)
        _write_weights(folder / SINGLE_FILE, merged | _training_leftovers())

    report(CONTROLNET)
    _save(_vary(architecture.controlnet(unet)), folder / CONTROLNET)

    report(IP_ADAPTER)
    models = folder / IP_ADAPTER
    _save(_vary(architecture.vision_tower()), models / "image_encoder", _positions("vision_model"))
    for name, projection in (
        ("ip-adapter_sd15", _projection(architecture)),
        ("ip-adapter-plus_sd15", _resampler(architecture)),
    ):
        _write_ip_adapter(models / name, projection, _keys_and_values(architecture))

    report(CLIP)
    both = _positions("text_model") | _positions("vision_model")
    _save(_vary(architecture.clip()), folder / CLIP, both)
    architecture.feature_extractor().save_pretrained(folder / CLIP)
    _write_tokenizer(folder / CLIP, architecture.vocabulary)

    report(SAFETY_CHECKER)
    with torch.random.fork_rng(devices=[]):  # what follows stays as it is without one
        _write_safety_checker(architecture, folder / SAFETY_CHECKER)

    report(LORA)
    _write_weights(folder / LORA, _lora(unet, architecture.lora_rank))


def _vary(network: nn.Module) -> nn.Module:
    for parameter in network.parameters():
        if parameter.min() == parameter.max():
            parameter.add_(torch.randn_like(parameter), alpha=SPREAD)
    return network


def _state(network: nn.Module) -> dict[str, Tensor]:
    return {name: _half(tensor) for name, tensor in network.state_dict().items()}


def _published_text(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """With the prefix that transformers wrote when it was published."""
    named = {f"text_model.{name}": tensor for name, tensor in state.items()}
    return named | _positions("text_model")


def _training_leftovers() -> dict[str, Tensor]:
    """What else published single files hold: the schedule, and of the averaged weights."""
    return {"betas": torch.rand(1000), "model_ema.decay": torch.tensor(0.9999)}


def _positions(tower: str) -> dict[str, Tensor]:
    """A constant that published towers carry and today's have no use for."""
    return {f"{tower}.embeddings.position_ids": torch.arange(77)[None]}


def _published_vae(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """With the names that diffusers gave to attention when it was published."""
    names = {
        ".to_q.": ".query.",
        ".to_k.": ".key.",
        ".to_v.": ".value.",
        ".to_out.0.": ".proj_attn.",
    }

    def published(name: str) -> str:
        for ours, theirs in names.items():
            name = name.replace(ours, theirs)
        return name

    return {published(name): tensor for name, tensor in state.items()}


def _write_safety_checker(architecture: Architecture, folder: Path) -> None:
    """As it was published, with the tower inside the tower."""
    checker: Any = architecture.safety_checker()
    side = architecture.crop
    pictures = torch.randn(TRIED_PICTURES, 3, side, side)
    pictures += 2 * torch.randn(TRIED_PICTURES, 3, 1, 1)  # of different colours
    embeds = checker.visual_projection(checker.vision_model(pictures).pooler_output)
    for name in ("concept_embeds", "special_care_embeds"):
        cosines = cosine_distance(embeds, getattr(checker, name).normal_())
        thresholds = cosines.quantile(1 - 0.5 / cosines.shape[1], dim=0)
        getattr(checker, f"{name}_weights").copy_(thresholds)
    checker.config.save_pretrained(folder)
    named = {
        f"vision_model.{name}" if name.startswith("vision_model.") else name: tensor
        for name, tensor in checker.state_dict().items()
    }
    _write_weights(folder / "model.safetensors", named | _positions("vision_model.vision_model"))


def _half(tensor: Tensor) -> Tensor:
    return (tensor.half() if tensor.is_floating_point() else tensor).contiguous()


def _save(network: Any, folder: Path, constants: dict[str, Tensor] | None = None) -> None:
    """A folder as ``save_pretrained`` leaves it, in fp16 and one file."""
    file = "diffusion_pytorch_model" if hasattr(network, "save_config") else "model"
    network.config.save_pretrained(folder) if file == "model" else network.save_config(folder)
    _write_weights(folder / f"{file}.safetensors", _state(network) | (constants or {}))


def _write_weights(path: Path, state: dict[str, Tensor]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({name: _half(tensor) for name, tensor in state.items()}, path, {"format": "pt"})


def _text_config(architecture: Architecture) -> dict[str, object]:
    config = architecture.text_config().to_dict()
    return {**config, "architectures": ["CLIPTextModel"]}


def _write_tokenizer(folder: Path, vocabulary: int, **settings: object) -> None:
    """``vocab.json`` and ``merges.txt`` of a byte-pair encoding with `vocabulary` tokens."""
    letters = list(bytes_to_unicode().values())
    special = ["<|startoftext|>", "<|endoftext|>"]
    tokens = letters + [f"{letter}</w>" for letter in letters]
    merges = []
    for left, right in _pairs():
        if len(tokens) + len(special) == vocabulary:
            break
        merges.append(f"{left} {right}")
        tokens.append(left + right)
    folder.mkdir(parents=True, exist_ok=True)
    write_json(
        folder / "vocab.json", {token: index for index, token in enumerate(tokens + special)}
    )
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *merges]) + "\n")
    write_json(
        folder / "tokenizer_config.json",
        {
            "tokenizer_class": "CLIPTokenizer",
            "bos_token": special[0],
            "eos_token": special[1],
            "unk_token": special[1],
            "pad_token": special[1],
            "errors": "replace",
            **settings,
        },
    )


def _pairs() -> Iterator[tuple[str, str]]:
    """Merges in an order in which both halves exist already."""
    ends = [*ascii_lowercase, *(f"{letter}</w>" for letter in ascii_lowercase)]
    yield from product(ascii_lowercase, ends)
    two = ["".join(pair) for pair in product(ascii_lowercase, repeat=2)]
    yield from product(two, ends)
    yield from product(two, two)


def _write_ip_adapter(
    stem: Path, projection: dict[str, Tensor], attention: dict[str, Tensor]
) -> None:
    """The same weights as the nested pickle and as the flat safetensors file."""
    parts = {"image_proj": projection, "ip_adapter": attention}
    flat = {f"{part}.{name}": t for part, state in parts.items() for name, t in state.items()}
    _write_weights(stem.with_name(f"{stem.name}.safetensors"), flat)
    halved = {part: {n: _half(t) for n, t in state.items()} for part, state in parts.items()}
    torch.save(halved, stem.with_name(f"{stem.name}.bin"))


def _keys_and_values(architecture: Architecture) -> dict[str, Tensor]:
    """Per cross-attention layer, in the order of diffusers' processors: down, up, middle."""
    topology = architecture.topology
    attending = [
        width
        for width, attends in zip(architecture.channels, topology.attention, strict=True)
        if attends
    ]
    widths = [width for width in attending for _ in range(topology.layers_per_block)]
    widths += [width for width in attending[::-1] for _ in range(topology.layers_per_block + 1)]
    widths.append(architecture.channels[-1])
    return {
        f"{2 * index + 1}.{name}.weight": _matrix(width, architecture.text.width)
        for index, width in enumerate(widths)
        for name in ("to_k_ip", "to_v_ip")
    }


def _projection(architecture: Architecture) -> dict[str, Tensor]:
    width = architecture.text.width
    return {
        "proj.weight": _matrix(PROJECTED_TOKENS * width, architecture.image_encoder.projection),
        "proj.bias": SPREAD * torch.randn(PROJECTED_TOKENS * width),
        **_norm("norm", width),
    }


def _resampler(architecture: Architecture) -> dict[str, Tensor]:
    """IP-Adapter Plus: 16 tokens that attend to the vision tower's hidden states."""
    width, inner = architecture.text.width, max(architecture.text.width, RESAMPLER_HEAD)
    state = {
        "latents": torch.randn(1, RESAMPLER_TOKENS, width) / width**0.5,
        "proj_in.weight": _matrix(width, architecture.image_encoder.width),
        "proj_in.bias": SPREAD * torch.randn(width),
        "proj_out.weight": _matrix(width, width),
        "proj_out.bias": SPREAD * torch.randn(width),
        **_norm("norm_out", width),
    }
    for layer in range(RESAMPLER_LAYERS):
        attention, feed_forward = f"layers.{layer}.0", f"layers.{layer}.1"
        state |= _norm(f"{attention}.norm1", width) | _norm(f"{attention}.norm2", width)
        state |= {
            f"{attention}.to_q.weight": _matrix(inner, width),
            f"{attention}.to_kv.weight": _matrix(2 * inner, width),
            f"{attention}.to_out.weight": _matrix(width, inner),
            f"{feed_forward}.1.weight": _matrix(4 * width, width),
            f"{feed_forward}.3.weight": _matrix(width, 4 * width),
            **_norm(f"{feed_forward}.0", width),
        }
    return state


def _matrix(rows: int, columns: int) -> Tensor:
    return torch.randn(rows, columns) / columns**0.5


def _norm(name: str, width: int) -> dict[str, Tensor]:
    return {
        f"{name}.weight": 1 + SPREAD * torch.randn(width),
        f"{name}.bias": SPREAD * torch.randn(width),
    }


def _lora(unet: nn.Module, rank: int) -> dict[str, Tensor]:
    """LCM-LoRA's layers: all but the first and last convolution and the time embedding."""
    state: dict[str, Tensor] = {}
    for name, module in unet.named_modules():
        if not isinstance(module, nn.Linear | nn.Conv2d) or "." not in name:
            continue
        if name.startswith("time_embedding"):
            continue
        weight = module.weight
        kernel = weight.shape[2:]
        down = (rank, weight.shape[1], *kernel)
        up = (weight.shape[0], rank, *(1 for _ in kernel))
        key = "lora_unet_" + name.replace(".", "_")
        state |= {
            f"{key}.alpha": torch.tensor(ALPHA),
            f"{key}.lora_down.weight": torch.randn(down) / weight[0].numel() ** 0.5,
            f"{key}.lora_up.weight": torch.randn(up) / rank**0.5,
        }
    return state
