"""A single-file checkpoint to the folders of a pack."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, ControlNetModel, UNet2DConditionModel
from safetensors import safe_open
from safetensors.torch import save_file

from export.checkpoints import ldm, parts
from export.checkpoints.architectures import SCHEDULER, Architecture
from export.files import PackError, listed, read_header
from versions.durable import write_json

NOT_PAINTED = re.compile(
    r"model_ema\..*|first_stage_model\.loss\..*|global_step|scale_factor"
    # The noise schedule, which the config says.
    r"|betas|alphas_cumprod(_prev)?|sqrt_\w+|log_one_minus_alphas_cumprod|posterior_\w+"
    r"|lvlb_weights|logvar"
    # Of CLIP as a whole: no prompt goes through them.
    r"|cond_stage_model\.(transformer\.)?(text_projection(\.weight)?|logit_scale)"
    r"|cond_stage_model\.transformer\.text_model\.embeddings\.position_ids"
)
"""What a single file may hold of its training, and of which no picture is made."""


def require_sd15(path: Path) -> None:
    """Check the names in `path`.

    Raises:
        PackError: it is no single-file checkpoint of Stable Diffusion 1.5.
    """
    names = read_header(path)
    if parts.is_sdxl(names):
        raise PackError(
            f"{path} is an SDXL checkpoint. maquette serves Stable Diffusion 1.5: take a "
            "checkpoint of that."
        )
    lacking = [
        prefix
        for prefix in (ldm.UNET, ldm.VAE, f"{ldm.TEXT_ENCODER}text_model.")
        if not any(name.startswith(prefix) for name in names)
    ]
    if lacking:
        raise PackError(
            f"{path} has no tensors {lacking[0]}*, which a single file of Stable Diffusion 1.5 "
            "has. Take such a file, or a folder in the diffusers layout."
        )


def unpack(path: Path, architecture: Architecture, folder: Path) -> None:
    """Write `path`'s networks into `folder` as ``unet``, ``vae``, ``text_encoder``, ``scheduler``.

    Args:
        architecture: whose configs the networks get; a single file carries none.

    Raises:
        PackError: it is no such file, or has parts that would be left out.
    """
    require_sd15(path)
    _require_nothing_else(path, read_header(path), (ldm.UNET, ldm.VAE, ldm.TEXT_ENCODER))
    _unpack(path, UNet2DConditionModel, architecture.unet, ldm.UNET, folder / "unet")
    _unpack(path, AutoencoderKL, architecture.vae, ldm.VAE, folder / "vae")
    _unpack_text_encoder(path, architecture, folder / "text_encoder")
    (folder / "scheduler").mkdir()
    write_json(folder / "scheduler" / "scheduler_config.json", SCHEDULER)


def unpack_controlnet(path: Path, architecture: Architecture, folder: Path) -> None:
    """Write the ControlNet in `path`, with the names of either layout, into `folder`.

    Raises:
        PackError: it is none for `architecture`, or has parts that would be left out.
    """
    names = read_header(path)
    if "controlnet_cond_embedding.conv_in.weight" in names:
        _controlnet(architecture).save_config(folder)
        shutil.copyfile(path, folder / f"{parts.DIFFUSERS}.safetensors")
        return
    prefix = ldm.CONTROLNET if any(name.startswith(ldm.CONTROLNET) for name in names) else ""
    _require_nothing_else(path, names, (prefix,))
    _unpack(path, ControlNetModel, lambda: _controlnet(architecture), prefix, folder)


def _controlnet(architecture: Architecture) -> ControlNetModel:
    with torch.device("meta"):
        return architecture.controlnet(architecture.unet())


def _require_nothing_else(path: Path, names: Iterable[str], prefixes: tuple[str, ...]) -> None:
    others = [
        name for name in names if not (name.startswith(prefixes) or NOT_PAINTED.fullmatch(name))
    ]
    if others:
        raise PackError(
            f"{path} holds parts that would be left out: {listed(others)}. Take a file without "
            "them, or a folder in the diffusers layout."
        )


_OURS: dict[type, Callable[[str], str]] = {
    UNet2DConditionModel: ldm.unet_name,
    AutoencoderKL: ldm.vae_name,
    ControlNetModel: ldm.controlnet_name,
}


def _unpack(
    path: Path, kind: Any, architecture: Callable[[], Any], prefix: str, folder: Path
) -> None:
    """Write one network, whose tensors in `path` begin with `prefix`, into `folder`."""
    with torch.device("meta"):
        empty = architecture()
    empty.save_config(folder)
    header = read_header(path)
    expected = {prefix + _OURS[kind](name) for name in empty.state_dict()}
    there = {name for name in header if name.startswith(prefix) and not NOT_PAINTED.fullmatch(name)}
    try:
        if missing := sorted(expected - there):
            raise ValueError(f"it lacks {listed(missing)}")
        if unknown := sorted(there - expected):
            raise ValueError(f"it has {listed(unknown)} besides")
        loaded = kind.from_single_file(
            str(path),
            config=str(folder),
            torch_dtype=_dtype(path, prefix),
            local_files_only=True,
        )
    except (ValueError, RuntimeError, KeyError) as error:
        raise PackError(
            f"{path}: its {folder.name} is not Stable Diffusion 1.5's "
            f"({str(error).splitlines()[0]}). Take a checkpoint of that."
        ) from error
    loaded.save_pretrained(folder)


def _unpack_text_encoder(path: Path, architecture: Architecture, folder: Path) -> None:
    folder.mkdir()
    with safe_open(path, framework="pt") as file:
        names = [
            name
            for name in file.keys()  # noqa: SIM118 - a file, not a dict
            if name.startswith(ldm.TEXT_ENCODER) and not NOT_PAINTED.fullmatch(name)
        ]
        state = {name.removeprefix(ldm.TEXT_ENCODER): file.get_tensor(name) for name in names}
    save_file(state, folder / "model.safetensors", {"format": "pt"})
    config = architecture.text_config().to_dict()
    write_json(folder / "config.json", config)


def _dtype(path: Path, prefix: str) -> torch.dtype:
    """The file's own precision, which the pack keeps."""
    with safe_open(path, framework="pt") as file:
        name = next(name for name in file.keys() if name.startswith(prefix))  # noqa: SIM118
        dtype: torch.dtype = file.get_tensor(name).dtype
    return dtype
