"""The files of a pack: its folders, its configs, and what the Python models read of it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from transformers import CLIPTokenizer

from export.files import PackError
from pipeline import contract
from pipeline.topology import Topology

NETWORK_FOLDERS = {
    "text_encoder": ("text_encoder",),
    "clip_text": ("clip",),
    "clip_image": ("clip",),
    "image_encoder": ("image_encoder", "ip_adapter"),
    "controlnet": ("controlnet",),
    "unet": ("unet", "ip_adapter"),
    "vae_encoder": ("vae",),
    "vae_decoder": ("vae",),
    "safety_checker": ("safety_checker",),
}
"""The pack folders that each served network is made of."""
ATTENDING = "CrossAttnDownBlock2D"
"""diffusers' name for a level of the UNet that attends to the prompts."""
LCM_LORA = "lcm_lora"
"""The folder of a LoRA that makes the UNet a latent consistency model; a pack may lack it."""

REQUIRED = (
    *sorted(
        {
            folder
            for network, folders in NETWORK_FOLDERS.items()
            for folder in folders
            if not contract.MODELS[network].optional
        }
    ),
    "tokenizer",
    "scheduler",
    "feature_extractor",
)


@dataclass(frozen=True)
class PackFiles:
    """A pack on disk, without its weights."""

    folder: Path
    few_steps: bool = False
    """Whether its UNet is the one that paints in few steps: the LCM-LoRA is fused into it."""

    def __post_init__(self) -> None:
        missing = [name for name in REQUIRED if not (self.folder / name).is_dir()]
        if missing:
            raise PackError(
                f"{self.folder} is not a pack: it has no folder {', '.join(missing)}. A pack is a "
                f"folder in the diffusers layout with {', '.join(REQUIRED)}."
            )

    def has(self, network: str) -> bool:
        """Whether everything that `network` is made of is here."""
        return all((self.folder / name).is_dir() for name in NETWORK_FOLDERS[network])

    @property
    def has_lcm_lora(self) -> bool:
        """Whether there is a second UNet, which paints in few steps."""
        return (self.folder / LCM_LORA).is_dir()

    @property
    def ip_adapter_file(self) -> Path:
        """The one file in ``ip_adapter``.

        Raises:
            PackError: there is none, or more than one.
        """
        return self._only_file("ip_adapter")

    @property
    def lcm_lora_file(self) -> Path:
        """The one file in ``lcm_lora``.

        Raises:
            PackError: there is none, or more than one.
        """
        return self._only_file(LCM_LORA)

    def _only_file(self, folder: str) -> Path:
        files = sorted((self.folder / folder).glob("*.safetensors"))
        if len(files) != 1:
            found = ", ".join(file.name for file in files) or "none"
            raise PackError(f"{self.folder / folder} must hold one .safetensors file: {found}")
        return files[0]

    def config(self, name: str) -> dict[str, Any]:
        """The ``config.json`` of the network in folder `name`.

        Raises:
            PackError: it is not there, or is not JSON.
        """
        return self._read_json(Path(name) / "config.json")

    @property
    def topology(self) -> Topology:
        """How its networks are put together, by their configs.

        Raises:
            PackError: a config is not there, or lacks what is asked for.
        """
        unet = self.config("unet")
        return Topology(
            attention=tuple(kind == ATTENDING for kind in unet["down_block_types"]),
            layers_per_block=unet["layers_per_block"],
            latent_channels=unet["out_channels"],
            vae_scale_factor=2 ** (len(self.config("vae")["block_out_channels"]) - 1),
            context_length=context_length(self.config("text_encoder")),
            clip_dim=self.config("clip")["projection_dim"],
        )

    def model(self, network: str) -> contract.Model:
        """The contract of `network` in this pack's topology."""
        return contract.models(self.topology)[network]

    def tokenizer_json(self) -> str:
        """The tokenizer for the ``tokenizers`` library, padding and cutting to the context length.

        Raises:
            PackError: the retrieval pair was trained with another vocabulary, or the text encoder
                with a smaller one.
        """
        folders = (self.folder / "tokenizer", self.folder / "clip")
        ours, clips = (CLIPTokenizer.from_pretrained(folder) for folder in folders)
        if ours.get_vocab() != clips.get_vocab():
            raise PackError(f"{folders[0]} and {folders[1]} hold different vocabularies")
        known = self.config("text_encoder")["vocab_size"]
        if len(ours) > known:
            raise PackError(
                f"{folders[0]} has {len(ours)} tokens, and {self.folder / 'text_encoder'} knows "
                f"{known}. Take both from the same checkpoint."
            )
        backend = ours.backend_tokenizer
        length = self.topology.context_length  # CLIP's own tokenizer does not tell it
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
        paths = (Path("feature_extractor") / name, Path("clip") / name)
        ours, clips = (_explicit_sizes(self._read_json(path)) for path in paths)
        for key in ("size", "crop_size", "image_mean", "image_std"):
            if ours[key] != clips[key]:
                raise PackError(
                    f"{key} differs between {self.folder / paths[0]} and {self.folder / paths[1]}"
                )
        return ours

    def scheduler_config(self) -> dict[str, Any]:
        """The noise schedule the UNet was trained on."""
        return self._read_json(Path("scheduler") / "scheduler_config.json")

    def facts(self) -> dict[str, Any]:
        """What the render loop needs to know of the pack.

        Raises:
            ValueError: the UNet does not say at which size it was trained.
        """
        size = self.config("unet").get("sample_size")
        if not isinstance(size, int) or size < 1:
            raise ValueError(
                f"sample_size is {size}; expected: the side in latents that the UNet was trained "
                "at, as 64 for Stable Diffusion 1.5"
            )
        return {
            "pack": self.folder.name,
            "native_size": size * self.topology.vae_scale_factor,
            "topology": asdict(self.topology),
        }

    def digest(self, network: str) -> str:
        """sha256 over the files that `network` is made of."""
        digest = hashlib.sha256()
        folders = NETWORK_FOLDERS[network]
        if self.few_steps and network == "unet":
            folders = (*folders, LCM_LORA)
        for folder in folders:
            for path in sorted((self.folder / folder).rglob("*")):
                if path.is_file():
                    digest.update(path.relative_to(self.folder).as_posix().encode())
                    with path.open("rb") as file:
                        digest.update(hashlib.file_digest(file, "sha256").digest())
        return digest.hexdigest()

    def _read_json(self, path: Path) -> _Config:
        def config(found: dict[str, Any]) -> _Config:
            return _Config(found, self.folder / path)

        try:
            text = (self.folder / path).read_text(encoding="utf-8")
            return config(dict(json.loads(text, object_hook=config)))
        except (OSError, ValueError) as error:
            raise PackError(
                f"{self.folder / path} cannot be read ({error}). Copy it from where the pack "
                "came from."
            ) from error


class _Config(dict[str, Any]):
    """What a config file, or a part of it, says."""

    def __init__(self, found: dict[str, Any], path: Path) -> None:
        super().__init__(found)
        self.path = path

    def __missing__(self, key: str) -> Any:
        raise PackError(f"{self.path} has no {key}. Copy it from where the weights came from.")


def context_length(text: Mapping[str, Any]) -> int:
    """Tokens that the text tower of config `text` reads; transformers takes 77 for unsaid."""
    return int(text.get("max_position_embeddings", 77))


def _explicit_sizes(config: _Config) -> _Config:
    """`config` with its sizes as named sides; older files give one number."""
    size, crop = config["size"], config["crop_size"]
    sizes = {
        "size": {"shortest_edge": size} if isinstance(size, int) else size,
        "crop_size": {"height": crop, "width": crop} if isinstance(crop, int) else crop,
    }
    return _Config({**config, **sizes}, config.path)
