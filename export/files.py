"""Weight files without their weights: whole or cut short, and room for them. Needs no torch."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

HEADER_BYTES = 8
LARGEST_HEADER = 100_000_000
"""Of safetensors' own reader."""
SHOWN = 3


class PackError(Exception):
    """A pack or checkpoint cannot be used; the message names the file and the remedy."""


def read_header(path: Path) -> dict[str, tuple[int, ...]]:
    """The shapes of the tensors in safetensors file `path`, by name.

    Raises:
        PackError: it is no such file, or its end is missing.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(HEADER_BYTES).ljust(HEADER_BYTES, b"\0"), "little")
        text = file.read(length) if 0 < length <= min(size, LARGEST_HEADER) else b""
    try:
        header = {name: entry for name, entry in json.loads(text).items() if name != "__metadata__"}
        end = max((entry["data_offsets"][1] for entry in header.values()), default=0)
        shapes = {name: tuple(entry["shape"]) for name, entry in header.items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise PackError(
            f"{path} is no safetensors file, or only its first {size:,} bytes. "
            "Download or copy it again."
        ) from error
    expected = HEADER_BYTES + length + end
    if size != expected:
        raise PackError(
            f"{path} has {size:,} bytes, where its header tells of {expected:,}. "
            "Download or copy it again."
        )
    return shapes


def elements(folder: Path) -> int:
    """Numbers in all safetensors files of `folder`."""
    shapes = (
        shape for path in folder.rglob("*.safetensors") for shape in read_header(path).values()
    )
    return sum(math.prod(shape) for shape in shapes)


def read_headers(folder: Path) -> dict[str, Path]:
    """The tensors in the weights of `folder`, one file or shards, and which file has each.

    Raises:
        PackError: there are none, or more than one file and no index; a shard is missing, cut
            short, or not the one that the index names.
    """
    files = sorted(folder.glob("*.safetensors"))
    indices = sorted(folder.glob("*.safetensors.index.json"))
    if not indices and len(files) != 1:
        found = ", ".join(file.name for file in files) or "none"
        raise PackError(f"{folder} must hold one .safetensors file; found: {found}.")
    there = {name: file for file in files for name in read_header(file)}
    if indices:
        _require_index(indices[0], {name: file.name for name, file in there.items()})
    return there


def _require_index(path: Path, there: Mapping[str, str]) -> None:
    """Check that the shards' tensors `there`, with their files, are those that `path` names."""
    try:
        named = dict(json.loads(path.read_text(encoding="utf-8"))["weight_map"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise PackError(f"{path} is no index of shards ({error}). Copy it again.") from error
    differing = sorted(name for name in {*named, *there} if named.get(name) != there.get(name))
    if differing:
        raise PackError(
            f"{path} and the shards beside it disagree on {listed(differing)}. Copy all of them "
            "again."
        )


def and_more(count: int) -> str:
    """What follows the first of `count` findings."""
    return f" (and {count - 1} more)" if count > 1 else ""


def listed(names: Sequence[str]) -> str:
    """The first of `names`, and how many more there are."""
    shown, more = ", ".join(names[:SHOWN]), len(names) - SHOWN
    return f"{shown} (and {more} more)" if more > 0 else shown


def require_ip_adapter(
    path: Path, text_width: int, layers: int, encoder: Mapping[str, int]
) -> None:
    """Check that `path` is IP-Adapter, plain or Plus, for Stable Diffusion 1.5.

    Args:
        text_width: of the UNet's prompts.
        layers: its cross-attention layers.
        encoder: the config of the pack's image encoder.

    Raises:
        PackError: a name is unknown, or a size is not the UNet's.
    """
    shapes = read_header(path)
    remedy = "Use ip-adapter_sd15 or ip-adapter-plus_sd15."
    attention = {
        f"ip_adapter.{2 * layer + 1}.{name}.weight"
        for layer in range(layers)
        for name in ("to_k_ip", "to_v_ip")
    }
    unknown = sorted(
        name for name in shapes if name not in attention and not name.startswith("image_proj.")
    )
    if unknown:
        raise PackError(
            f"{path} holds tensors that IP-Adapter for SD 1.5 has not: {listed(unknown)}. {remedy}"
        )
    projection = {"image_proj.proj.weight", "image_proj.latents"} & set(shapes)
    missing = sorted(attention - set(shapes))
    if missing or not projection:
        lacking = missing[0] if missing else "image_proj.proj.weight or image_proj.latents"
        raise PackError(f"{path} lacks {lacking}. {remedy}")
    width = shapes["ip_adapter.1.to_k_ip.weight"][1]
    if width != text_width:
        raise PackError(
            f"{path} is made for prompts of width {width}; this UNet's have {text_width}. {remedy}"
        )
    plus = "image_proj.latents" in shapes
    reads = shapes["image_proj.proj_in.weight" if plus else "image_proj.proj.weight"][1]
    gives = encoder["hidden_size" if plus else "projection_dim"]
    if reads != gives:
        raise PackError(
            f"{path} reads an image encoder of width {reads}; this pack's has {gives}. "
            "Take both from the same place, for SD 1.5 h94/IP-Adapter."
        )


def require_room(folder: Path, needed: int, what: str, setting: str) -> None:
    """Check that `needed` bytes fit where `folder` is or will be.

    Raises:
        PackError: they do not.
    """
    existing = next(
        path for path in (folder.absolute(), *folder.absolute().parents) if path.exists()
    )
    free = shutil.disk_usage(existing).free
    if needed > free:
        raise PackError(
            f"{what} needs {needed / 1e9:.1f} GB in {folder}, and {free / 1e9:.1f} GB are free. "
            f"Make room, or choose another folder with {setting}."
        )
