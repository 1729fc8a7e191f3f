"""Reading a pack: its folders, its files for the Python models, and the torch networks in it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AutoencoderKL,
    ControlNetModel,
    StableDiffusionControlNetPipeline,
    UNet2DConditionModel,
)
from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker
from safetensors import safe_open
from torch import Tensor, nn
from transformers import (
    CLIPImageProcessorPil,
    CLIPModel,
    CLIPTextModel,
    CLIPTokenizer,
    CLIPVisionModelWithProjection,
)

from export.files import PackError, require_ip_adapter
from export.lora import fuse_lora
from export.topology import require_servable, require_topology
from export.weights import load_network
from pipeline import contract

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
class Pack:
    """A pack on disk. Networks are loaded in fp32 when they are first asked for."""

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

    @cached_property
    def text_encoder(self) -> CLIPTextModel:
        """What the UNet's prompts come from."""
        return self._load(CLIPTextModel, "text_encoder")

    @cached_property
    def clip(self) -> CLIPModel:
        """The retrieval pair."""
        return self._load(CLIPModel, "clip")

    @cached_property
    def image_encoder(self) -> CLIPVisionModelWithProjection:
        """IP-Adapter's vision tower."""
        return self._load(CLIPVisionModelWithProjection, "image_encoder")

    @cached_property
    def controlnet(self) -> ControlNetModel:
        """The network that holds the geometry."""
        return self._load(ControlNetModel, "controlnet")

    @cached_property
    def unet(self) -> UNet2DConditionModel:
        """The UNet with IP-Adapter in it, as ``load_ip_adapter`` leaves it."""
        unet = self._load(UNet2DConditionModel, "unet")
        if self.few_steps:
            remedy = f"Take it from where {self.folder} came from."
            fuse_lora(self.lcm_lora_file, {"unet": unet}, remedy)
        # What `pipeline.load_ip_adapter` calls; the pipeline itself would want every other network.
        unet._load_ip_adapter_weights([self._ip_adapter()])
        return unet.eval()

    @cached_property
    def image_projection(self) -> nn.Module:
        """What makes tokens of the vision tower's view, without the UNet that it belongs to."""
        with torch.device("meta"):
            unet = UNet2DConditionModel.from_config(self.config("unet"))
        state = self._ip_adapter()["image_proj"]
        try:
            projection: nn.Module = unet._convert_ip_adapter_image_proj_to_diffusers(
                state, low_cpu_mem_usage=False
            )
        except (RuntimeError, KeyError) as error:
            reason = " ".join(str(error).split())
            raise PackError(
                f"{self.ip_adapter_file} has no projection of IP-Adapter or its Plus ({reason}). "
                "Use ip-adapter_sd15 or ip-adapter-plus_sd15."
            ) from error
        return projection.eval()

    @cached_property
    def vae(self) -> AutoencoderKL:
        """The autoencoder."""
        return self._load(AutoencoderKL, "vae")

    @cached_property
    def safety_checker(self) -> StableDiffusionSafetyChecker:
        """What says which pictures must not be shown; a pack may lack it."""
        return self._load(StableDiffusionSafetyChecker, "safety_checker")

    @cached_property
    def pipeline(self) -> StableDiffusionControlNetPipeline:
        """diffusers' own pipeline over this pack: the reference that renders are held against."""
        pipeline = StableDiffusionControlNetPipeline.from_pretrained(
            self.folder,
            **{
                name: getattr(self, name)
                for name in ("text_encoder", "image_encoder", "controlnet", "unet", "vae")
            },
            feature_extractor=CLIPImageProcessorPil.from_pretrained(
                self.folder / "feature_extractor"
            ),
            safety_checker=None,
            local_files_only=True,
        )
        pipeline.set_progress_bar_config(disable=True)
        return pipeline

    def has(self, network: str) -> bool:
        """Whether everything that `network` is made of is here."""
        return all((self.folder / name).is_dir() for name in NETWORK_FOLDERS[network])

    @property
    def has_lcm_lora(self) -> bool:
        """Whether there is a second UNet, which paints in few steps."""
        return (self.folder / LCM_LORA).is_dir()

    def in_few_steps(self) -> Pack:
        """The same pack with the UNet that paints in few steps."""
        return replace(self, few_steps=True)

    def check(self) -> None:
        """Load every network once, and let go of it.

        Raises:
            PackError: something in the pack does not fit what maquette serves, or its neighbours.
        """
        require_topology(self)
        require_servable(self)
        require_ip_adapter(
            self.ip_adapter_file,
            self.config("unet")["cross_attention_dim"],
            len(contract.CROSS_ATTENTION_LAYERS),
            self.config("image_encoder"),
        )
        parts = ["text_encoder", "clip", "image_encoder", "controlnet", "vae", "image_projection"]
        if self.has("safety_checker"):
            parts.append("safety_checker")
        for name in (*parts, "unet"):
            getattr(self, name)
            self.release()
        if self.has_lcm_lora:
            self.in_few_steps().unet  # noqa: B018 - loading it is the check

    def release(self) -> None:
        """Let go of every network that was loaded."""
        kept = {field.name: getattr(self, field.name) for field in fields(self)}
        self.__dict__.clear()
        self.__dict__.update(kept)

    def _load(self, kind: Any, name: str) -> Any:
        return load_network(kind, self.folder / name)

    def _ip_adapter(self) -> dict[str, dict[str, Tensor]]:
        """IP-Adapter's weights, grouped as ``load_ip_adapter`` groups them."""
        grouped: dict[str, dict[str, Tensor]] = {"image_proj": {}, "ip_adapter": {}}
        with safe_open(self.ip_adapter_file, framework="pt") as file:
            for key in file.keys():  # noqa: SIM118 - a file, not a dict
                group, name = key.split(".", maxsplit=1)
                grouped[group][name] = file.get_tensor(key).float()
        return grouped

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
        length = contract.CONTEXT_LENGTH  # CLIP's own tokenizer does not tell it
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
        factor = 2 ** (len(self.config("vae")["block_out_channels"]) - 1)
        size = self.config("unet").get("sample_size")
        if not isinstance(size, int) or size < 1:
            raise ValueError(
                f"sample_size is {size}; expected: the side in latents that the UNet was trained "
                "at, as 64 for Stable Diffusion 1.5"
            )
        native_size = size * factor
        return {"pack": self.folder.name, "native_size": native_size}

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


def _explicit_sizes(config: _Config) -> _Config:
    """`config` with its sizes as named sides; older files give one number."""
    size, crop = config["size"], config["crop_size"]
    sizes = {
        "size": {"shortest_edge": size} if isinstance(size, int) else size,
        "crop_size": {"height": crop, "width": crop} if isinstance(crop, int) else crop,
    }
    return _Config({**config, **sizes}, config.path)
