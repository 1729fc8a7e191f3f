"""The torch networks of a pack."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import TypeVar

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
    CLIPVisionModelWithProjection,
)

from export.files import PackError, require_ip_adapter
from export.lora import fuse_lora
from export.pack_files import PackFiles
from export.topology import require_servable, require_topology
from export.weights import load_network

Network = TypeVar("Network")


def _network(kind: type[Network], folder: str) -> cached_property[Network]:
    """The network in `folder` of a pack, loaded in fp32 when it is first asked for."""
    return cached_property(lambda pack: load_network(kind, pack.folder / folder))


@dataclass(frozen=True)
class Pack(PackFiles):
    """A pack on disk. Networks are loaded in fp32 when they are first asked for."""

    text_encoder = _network(CLIPTextModel, "text_encoder")
    """What the UNet's prompts come from."""
    clip = _network(CLIPModel, "clip")
    """The retrieval pair."""
    image_encoder = _network(CLIPVisionModelWithProjection, "image_encoder")
    """IP-Adapter's vision tower."""
    controlnet = _network(ControlNetModel, "controlnet")
    """The network that holds the geometry."""
    vae = _network(AutoencoderKL, "vae")
    """The autoencoder."""
    safety_checker = _network(StableDiffusionSafetyChecker, "safety_checker")
    """What says which pictures must not be shown; a pack may lack it."""

    @cached_property
    def unet(self) -> UNet2DConditionModel:
        """The UNet with IP-Adapter in it, as ``load_ip_adapter`` leaves it."""
        unet = load_network(UNet2DConditionModel, self.folder / "unet")
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
            len(self.topology.cross_attention_layers),
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

    def _ip_adapter(self) -> dict[str, dict[str, Tensor]]:
        """IP-Adapter's weights, grouped as ``load_ip_adapter`` groups them."""
        grouped: dict[str, dict[str, Tensor]] = {"image_proj": {}, "ip_adapter": {}}
        with safe_open(self.ip_adapter_file, framework="pt") as file:
            for key in file.keys():  # noqa: SIM118 - a file, not a dict
                group, name = key.split(".", maxsplit=1)
                grouped[group][name] = file.get_tensor(key).float()
        return grouped
