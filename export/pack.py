"""Reading a pack: the folder, its checks, and the torch networks in it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from diffusers import StableDiffusionControlNetPipeline
from transformers import CLIPImageProcessorPil, CLIPModel, CLIPTokenizer

NETWORK_FOLDERS = {
    "text_encoder": ("text_encoder",),
    "clip_text": ("clip",),
    "clip_image": ("clip",),
    "image_encoder": ("image_encoder", "ip_adapter"),
    "controlnet": ("controlnet",),
    "unet": ("unet", "ip_adapter"),
    "vae_encoder": ("vae",),
    "vae_decoder": ("vae",),
}
"""The pack folders that each served network is made of."""

REQUIRED = (
    *sorted({folder for folders in NETWORK_FOLDERS.values() for folder in folders}),
    "tokenizer",
    "scheduler",
    "feature_extractor",
)


class PackError(Exception):
    """The pack cannot be read; the message names the file and the remedy."""


@dataclass(frozen=True)
class Pack:
    """A pack on disk. Networks are loaded when they are first asked for."""

    folder: Path

    def __post_init__(self) -> None:
        missing = [name for name in REQUIRED if not (self.folder / name).is_dir()]
        if missing:
            raise PackError(
                f"{self.folder} is not a pack: it has no folder {', '.join(missing)}. A pack is a "
                f"folder in the diffusers layout with {', '.join(REQUIRED)}."
            )

    @cached_property
    def pipeline(self) -> StableDiffusionControlNetPipeline:
        """diffusers' own pipeline over this pack, with IP-Adapter loaded."""
        pipeline = StableDiffusionControlNetPipeline.from_pretrained(
            self.folder,
            feature_extractor=CLIPImageProcessorPil.from_pretrained(
                self.folder / "feature_extractor"
            ),
            safety_checker=None,
            local_files_only=True,
        )
        pipeline.load_ip_adapter(
            str(self.folder), subfolder="ip_adapter", weight_name=self._ip_adapter_file()
        )
        pipeline.set_progress_bar_config(disable=True)
        return pipeline

    @cached_property
    def clip(self) -> CLIPModel:
        """The retrieval pair."""
        return CLIPModel.from_pretrained(self.folder / "clip", local_files_only=True).eval()

    def _ip_adapter_file(self) -> str:
        files = sorted((self.folder / "ip_adapter").glob("*.safetensors"))
        if len(files) != 1:
            found = ", ".join(file.name for file in files) or "none"
            raise PackError(
                f"{self.folder / 'ip_adapter'} must hold one .safetensors file: {found}"
            )
        return files[0].name

    def tokenizer_json(self) -> str:
        """The tokenizer for the ``tokenizers`` library, padding and cutting to the context length.

        Raises:
            PackError: the retrieval pair was trained with another vocabulary.
        """
        folders = (self.folder / "tokenizer", self.folder / "clip")
        ours, clips = (CLIPTokenizer.from_pretrained(folder) for folder in folders)
        if ours.get_vocab() != clips.get_vocab():
            raise PackError(f"{folders[0]} and {folders[1]} hold different vocabularies")
        backend = ours.backend_tokenizer
        length = ours.model_max_length
        backend.enable_truncation(length)
        backend.enable_padding(length=length, pad_id=ours.pad_token_id, pad_token=ours.pad_token)
        text: str = backend.to_str()
        return text

    def preprocessor_config(self) -> dict[str, Any]:
        """How both vision towers want their pictures.

        Raises:
            PackError: the two want them differently.
        """
        name = "preprocessor_config.json"
        folders = (self.folder / "feature_extractor", self.folder / "clip")
        ours, clips = (
            json.loads((folder / name).read_text(encoding="utf-8")) for folder in folders
        )
        for key in ("size", "crop_size", "image_mean", "image_std"):
            if ours[key] != clips[key]:
                raise PackError(
                    f"{key} differs between {folders[0] / name} and {folders[1] / name}"
                )
        return dict(ours)

    def scheduler_config(self) -> dict[str, Any]:
        """The noise schedule the UNet was trained on."""
        path = self.folder / "scheduler" / "scheduler_config.json"
        return dict(json.loads(path.read_text(encoding="utf-8")))

    def facts(self) -> dict[str, Any]:
        """What the render loop needs to know of the pack."""
        unet = json.loads((self.folder / "unet" / "config.json").read_text(encoding="utf-8"))
        vae = json.loads((self.folder / "vae" / "config.json").read_text(encoding="utf-8"))
        factor = 2 ** (len(vae["block_out_channels"]) - 1)
        return {"pack": self.folder.name, "native_size": unet["sample_size"] * factor}

    def digest(self, network: str) -> str:
        """sha256 over the files that `network` is made of."""
        digest = hashlib.sha256()
        for folder in NETWORK_FOLDERS[network]:
            for path in sorted((self.folder / folder).rglob("*")):
                if path.is_file():
                    digest.update(path.relative_to(self.folder).as_posix().encode())
                    with path.open("rb") as file:
                        digest.update(hashlib.file_digest(file, "sha256").digest())
        return digest.hexdigest()
