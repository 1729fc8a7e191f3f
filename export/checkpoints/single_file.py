"""A single-file checkpoint to the folders of a pack."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from safetensors import safe_open
from safetensors.torch import save_file

from export.checkpoints import ldm, parts
from export.checkpoints.architectures import SCHEDULER, Architecture
from export.files import PackError, read_header


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
    """
    require_sd15(path)
    for kind, network in (
        (UNet2DConditionModel, architecture.unet),
        (AutoencoderKL, architecture.vae),
    ):
        name = "unet" if kind is UNet2DConditionModel else "vae"
        with torch.device("meta"):
            network().save_config(folder / name)
        try:
            loaded = kind.from_single_file(
                str(path),
                config=str(folder / name),
                torch_dtype=_dtype(path),
                local_files_only=True,
            )
        except (ValueError, RuntimeError, KeyError) as error:
            raise PackError(
                f"{path}: its {name} is not Stable Diffusion 1.5's ({str(error).splitlines()[0]}). "
                "Take a checkpoint of that."
            ) from error
        loaded.save_pretrained(folder / name)
    _unpack_text_encoder(path, architecture, folder / "text_encoder")
    _write_json(folder / "scheduler" / "scheduler_config.json", SCHEDULER)


def _unpack_text_encoder(path: Path, architecture: Architecture, folder: Path) -> None:
    folder.mkdir()
    with safe_open(path, framework="pt") as file:
        names = [name for name in file.keys() if name.startswith(ldm.TEXT_ENCODER)]  # noqa: SIM118
        state = {name.removeprefix(ldm.TEXT_ENCODER): file.get_tensor(name) for name in names}
    save_file(state, folder / "model.safetensors", {"format": "pt"})
    config = architecture.text.text(architecture.vocabulary).to_dict()
    _write_json(folder / "config.json", config)


def _write_json(path: Path, value: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")


def _dtype(path: Path) -> torch.dtype:
    """The file's own precision, which the pack keeps."""
    with safe_open(path, framework="pt") as file:
        name = next(name for name in file.keys() if name.startswith(ldm.UNET))  # noqa: SIM118
        dtype: torch.dtype = file.get_tensor(name).dtype
    return dtype
