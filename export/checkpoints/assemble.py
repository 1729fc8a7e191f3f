"""Published checkpoints to a pack: one folder that the exporter reads, with a manifest."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import UNet2DConditionModel
from safetensors.torch import save_file
from transformers import CLIPTextModel

from export.checkpoints import parts, single_file
from export.checkpoints.architectures import SD15, Architecture
from export.checkpoints.hub import Source
from export.checkpoints.parts import Mapped, Part
from export.files import PackError, read_header, require_room
from export.lora import fuse_lora
from export.pack import Pack
from export.pack_files import context_length
from export.weights import load_network
from versions import durable

MANIFEST = "pack.json"
PICKLES = (".bin", ".pt", ".pth", ".ckpt")


@dataclass(frozen=True)
class Checkpoints:
    """Everything that a pack is made of. `base` is a folder or a single file."""

    base: Source
    controlnet: Source
    ip_adapter: Source
    image_encoder: Source
    clip: Source
    lora: Source | None = None
    safety_checker: bool = False

    @property
    def by_name(self) -> dict[str, Source]:
        """Each source by the name of its field."""
        return {name: value for name, value in vars(self).items() if isinstance(value, Source)}


def assemble(
    made_of: Checkpoints,
    folder: Path,
    report: Callable[[str], None],
    architecture: Architecture = SD15,
) -> Pack:
    """The pack at `folder` made of these checkpoints; left alone when it already is.

    It is written aside, checked, and takes its place at once.

    Args:
        report: told what is being worked on.
        architecture: of a single-file `base`.

    Raises:
        PackError: a checkpoint is not what it should be, or there is no room.
    """
    files = _files(made_of)
    require_replaceable(folder)
    there = _read_manifest(folder)
    report("checksums")
    manifest = _manifest(made_of, files)
    if there.get("sources") == manifest["sources"]:
        return Pack(folder)
    # A single file is taken apart, and a LoRA's UNet written anew in fp32.
    needed = 2 * sum(path.stat().st_size for path in files.values())
    require_room(folder, needed, f"the pack {folder.name}", "--packs")
    aside = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(aside, ignore_errors=True)
    try:
        _write(made_of, files, aside, report, architecture)
        report("checking")
        Pack(aside).check()
    except PackError as error:
        # The files are named where the user has them, or will have them.
        raise PackError(str(error).replace(str(aside), str(folder))) from error
    else:
        durable.write_json(aside / MANIFEST, manifest)
        shutil.rmtree(folder, ignore_errors=True)
        aside.rename(folder)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return Pack(folder)


def require_replaceable(folder: Path) -> None:
    """Check that a pack may be made at `folder`.

    Raises:
        PackError: something else is there.
    """
    if folder.exists() and "sources" not in _read_manifest(folder):
        raise PackError(
            f"{folder} is there already and was not made from checkpoints, so it is not replaced. "
            "Choose another folder with --packs."
        )


def require_base(base: Source, safety_checker: bool) -> None:
    """Check what can be seen of a base checkpoint, before anything else is fetched.

    Raises:
        PackError: it is not Stable Diffusion 1.5, or not whole.
    """
    if base.path.is_dir():
        _chosen(base, needs("base", safety_checker))
    elif base.path.suffix == ".safetensors":
        if safety_checker:
            raise PackError(
                f"{base.path} is a single file, which brings no safety checker. Leave "
                "--safety-checker out, or take a folder in the diffusers layout."
            )
        single_file.require_sd15(base.path)
    else:
        raise PackError(
            f"{base.path} is no .safetensors file. Take the checkpoint in that format, or a folder "
            "in the diffusers layout."
        )


def needs(part: str, safety_checker: bool = False) -> tuple[Part, ...]:
    """The pack's folders that checkpoint `part` fills; none where it is a single file."""
    base = (*parts.BASE, parts.SAFETY_CHECKER) if safety_checker else parts.BASE
    return {
        "base": base,
        "controlnet": parts.CONTROLNET,
        "image_encoder": parts.IMAGE_ENCODER,
        "clip": parts.CLIP,
    }.get(part, ())


def _files(made_of: Checkpoints) -> dict[str, Path]:
    """From names in the pack to files on disk; a single file keeps its own name."""
    files = {}
    for name, source in made_of.by_name.items():
        if source.path.is_file():
            files[f"{name}/{source.path.name}"] = source.path
            continue
        mapped = _chosen(source, needs(name, made_of.safety_checker))
        files |= {ours: source.path / theirs for ours, theirs in mapped.items()}
    for part in parts.FROM_CLIP:
        if not any(name.startswith(f"{part.folder}/") for name in files):
            mapped = _chosen(made_of.clip, (part,))
            files |= {ours: made_of.clip.path / theirs for ours, theirs in mapped.items()}
    return files


def _chosen(source: Source, wanted: tuple[Part, ...]) -> Mapped:
    if not wanted:
        raise PackError(f"{source.path} is a folder. Name the file in it.")
    names = [path.relative_to(source.path).as_posix() for path in source.path.rglob("*")]
    if parts.is_sdxl(names):
        raise PackError(
            f"{source.path} is an SDXL checkpoint (it has text_encoder_2). maquette serves Stable "
            "Diffusion 1.5: take a checkpoint of that."
        )
    try:
        return parts.choose_all(wanted, names, prefer_half=source.from_hub)
    except PackError as error:
        raise PackError(f"{source.path}: {error}") from error


def _write(
    made_of: Checkpoints,
    files: Mapping[str, Path],
    folder: Path,
    report: Callable[[str], None],
    architecture: Architecture,
) -> None:
    parts_in_one_file = (made_of.base, made_of.controlnet)
    unpacked = {
        one.path for one in (*parts_in_one_file, made_of.lora) if one and one.path.is_file()
    }
    for name, path in files.items():
        if path in unpacked:
            continue
        report(name)
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix in PICKLES:
            _unpickle(path, target.with_suffix(".safetensors"))
        elif path.suffix == ".safetensors":
            read_header(path)
            _link_or_copy(path.resolve(), target)
        else:
            # Small, and edited by people: an edit must not reach the checkpoint.
            shutil.copyfile(path, target)
    if made_of.base.path.is_file():
        report(made_of.base.path.name)
        single_file.unpack(made_of.base.path, architecture, folder)
    if made_of.controlnet.path.is_file():
        report(made_of.controlnet.path.name)
        with _as_safetensors(made_of.controlnet.path, folder) as path:
            single_file.unpack_controlnet(path, architecture, folder / "controlnet")
    _tell_context_length(folder)
    if made_of.lora:
        report("lora")
        with _as_safetensors(made_of.lora.path, folder) as path:
            _fuse(path, folder)
    durable.write_json(folder / "model_index.json", _PIPELINE)


_PIPELINE = {
    "_class_name": "StableDiffusionControlNetPipeline",
    "controlnet": ["diffusers", "ControlNetModel"],
    "feature_extractor": ["transformers", "CLIPImageProcessorPil"],
    "image_encoder": ["transformers", "CLIPVisionModelWithProjection"],
    "requires_safety_checker": False,
    "safety_checker": [None, None],
    "scheduler": ["diffusers", "PNDMScheduler"],
    "text_encoder": ["transformers", "CLIPTextModel"],
    "tokenizer": ["transformers", "CLIPTokenizer"],
    "unet": ["diffusers", "UNet2DConditionModel"],
    "vae": ["diffusers", "AutoencoderKL"],
}


def _tell_context_length(folder: Path) -> None:
    """CLIP's own tokenizer does not tell where it cuts, and diffusers asks it."""
    path = folder / "tokenizer" / "tokenizer_config.json"
    config = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    encoder = json.loads((folder / "text_encoder" / "config.json").read_text(encoding="utf-8"))
    config.setdefault("model_max_length", context_length(encoder))
    durable.write_json(path, config)


def _link_or_copy(path: Path, target: Path) -> None:
    """A hard link where the file system allows one, since weights are gigabytes."""
    try:
        os.link(path, target)
    except OSError:
        shutil.copyfile(path, target)


def _unpickle(path: Path, target: Path) -> None:
    """Weights of a pickle, nested or not, as safetensors. A pickle may hold nothing but tensors."""
    try:
        loaded = torch.load(path, map_location="cpu", weights_only=True)
        state = {name: tensor.contiguous() for name, tensor in _flatten(loaded).items()}
    except Exception as error:
        raise PackError(
            f"{path} is no file of weights, is cut short, or holds more than tensors, which could "
            "run code. Download it again, or take its .safetensors file."
        ) from error
    save_file(state, target, {"format": "pt"})


@contextmanager
def _as_safetensors(path: Path, folder: Path) -> Iterator[Path]:
    """`path`, or while it is read the weights of that pickle, in `folder`."""
    if path.suffix not in PICKLES:
        yield path
        return
    unpickled = folder / ".unpickled.safetensors"
    _unpickle(path, unpickled)
    try:
        yield unpickled
    except PackError as error:
        raise PackError(str(error).replace(str(unpickled), str(path))) from error
    finally:
        unpickled.unlink()


def _flatten(nested: Mapping[str, Any], prefix: str = "") -> dict[str, torch.Tensor]:
    flat = {}
    for name, value in nested.items():
        if isinstance(value, torch.Tensor):
            flat[f"{prefix}{name}"] = value
        else:
            flat |= _flatten(value, f"{prefix}{name}.")
    return flat


def _fuse(lora: Path, folder: Path) -> None:
    """Add a LoRA to the weights of the UNet and the text encoder in the pack `folder` for good."""
    networks = {
        "unet": load_network(UNet2DConditionModel, folder / "unet"),
        "text_encoder": load_network(CLIPTextModel, folder / "text_encoder"),
    }
    for name in fuse_lora(lora, networks, "Take a LoRA for Stable Diffusion 1.5."):
        # The files may be links to the user's own checkpoint: never write into them.
        for file in (folder / name).glob("*.safetensors*"):
            file.unlink()
        networks[name].save_pretrained(folder / name)


def _manifest(made_of: Checkpoints, files: Mapping[str, Path]) -> dict[str, Any]:
    sources: dict[str, Any] = {}
    for name, source in made_of.by_name.items():
        sources[name] = {
            "from": source.reference,
            "revision": source.revision,
            "licence": source.licence,
            "files": {
                ours: {"bytes": path.stat().st_size, "sha256": _sha256(path)}
                for ours, path in files.items()
                if path == source.path or source.path in path.parents
            },
        }
    return {"sources": sources}


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _read_manifest(folder: Path) -> dict[str, Any]:
    try:
        return dict(json.loads((folder / MANIFEST).read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return {}
