"""The published checkpoints that maquette knows, each pinned to a commit of the hub."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Published:
    """A repository on the hub at one commit, and the licence it is published under."""

    revision: str
    licence: str


PUBLISHED = {
    "stable-diffusion-v1-5/stable-diffusion-v1-5": Published(
        "451f4fe16113bff5a5d2269ed5ad43b0592e9a14", "creativeml-openrail-m"
    ),
    "lllyasviel/control_v11p_sd15_canny": Published(
        "115a470d547982438f70198e353a921996e2e819", "openrail"
    ),
    "lllyasviel/sd-controlnet-canny": Published(
        "7f2f69197050967007f6bbd23ab5e52f0384162a", "openrail"
    ),
    "h94/IP-Adapter": Published("018e402774aeeddd60609b4ecdb7e298259dc729", "apache-2.0"),
    # Its card names no licence; the code it was published with is under MIT.
    "openai/clip-vit-base-patch32": Published("3d74acf9a28c67741b2f4f2ea7635f0aaf6f0268", "mit"),
    "latent-consistency/lcm-lora-sdv1-5": Published(
        "cf2fced511dbe7e26c8d1d397e728fbab875db4b", "openrail++"
    ),
}

BASE = "stable-diffusion-v1-5/stable-diffusion-v1-5"
CONTROLNET = "lllyasviel/control_v11p_sd15_canny"
IP_ADAPTER = "h94/IP-Adapter/models/ip-adapter_sd15.safetensors"
IMAGE_ENCODER = "h94/IP-Adapter/models/image_encoder"
CLIP = "openai/clip-vit-base-patch32"
LCM_LORA = "latent-consistency/lcm-lora-sdv1-5/pytorch_lora_weights.safetensors"
