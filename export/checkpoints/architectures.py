"""What published checkpoints are made of: Stable Diffusion 1.5's sizes, and a small model of them.

A single-file checkpoint carries no config, so Stable Diffusion 1.5's is made from here; random
checkpoints are made from here as well. Sources: the configs published with each checkpoint.
"""

from __future__ import annotations

from dataclasses import dataclass

from diffusers import AutoencoderKL, ControlNetModel, UNet2DConditionModel
from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker
from transformers import (
    CLIPConfig,
    CLIPImageProcessorPil,
    CLIPModel,
    CLIPTextConfig,
    CLIPTextModel,
    CLIPVisionConfig,
    CLIPVisionModelWithProjection,
)

from pipeline.topology import SD15 as SD15_TOPOLOGY
from pipeline.topology import Topology

SCHEDULER: dict[str, object] = {
    "_class_name": "PNDMScheduler",
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "num_train_timesteps": 1000,
    "set_alpha_to_one": False,
    "skip_prk_steps": True,
    "steps_offset": 1,
    "trained_betas": None,
    "clip_sample": False,
}
"""The published noise schedule. ``clip_sample`` is not PNDM's; other samplers read it here."""


@dataclass(frozen=True)
class Tower:
    """A transformer of CLIP's kind. `patch` is 0 for text."""

    width: int
    layers: int
    heads: int
    activation: str = "quick_gelu"
    patch: int = 0
    projection: int = SD15_TOPOLOGY.clip_dim

    def text(self, vocabulary: int, context: int = SD15_TOPOLOGY.context_length) -> CLIPTextConfig:
        """The published configs' end-of-text id of 2 makes transformers take the largest id."""
        return CLIPTextConfig(
            vocab_size=vocabulary,
            hidden_size=self.width,
            intermediate_size=4 * self.width,
            num_hidden_layers=self.layers,
            num_attention_heads=self.heads,
            hidden_act=self.activation,
            max_position_embeddings=context,
            projection_dim=self.projection,
            bos_token_id=0,
            eos_token_id=2,
            pad_token_id=1,
        )

    def vision(self, crop: int) -> CLIPVisionConfig:
        """The tower over pictures of `crop` pixels a side."""
        return CLIPVisionConfig(
            hidden_size=self.width,
            intermediate_size=4 * self.width,
            num_hidden_layers=self.layers,
            num_attention_heads=self.heads,
            hidden_act=self.activation,
            patch_size=self.patch,
            image_size=crop,
            projection_dim=self.projection,
        )


@dataclass(frozen=True)
class Architecture:
    """Sizes of Stable Diffusion's family."""

    native_size: int
    channels: tuple[int, ...]
    groups: int
    hint_channels: tuple[int, ...]
    vae_channels: tuple[int, ...]
    vae_layers: int
    crop: int
    vocabulary: int
    text: Tower
    clip_text: Tower
    clip_image: Tower
    image_encoder: Tower
    safety: Tower
    lora_rank: int
    topology: Topology = SD15_TOPOLOGY

    def unet(self) -> UNet2DConditionModel:
        """8 heads at each cross-attention layer."""
        topology = self.topology
        kinds = ["CrossAttn" if attends else "" for attends in topology.attention]
        return UNet2DConditionModel(
            sample_size=self.native_size // topology.vae_scale_factor,
            in_channels=topology.latent_channels,
            out_channels=topology.latent_channels,
            down_block_types=tuple(f"{kind}DownBlock2D" for kind in kinds),
            up_block_types=tuple(f"{kind}UpBlock2D" for kind in reversed(kinds)),
            layers_per_block=topology.layers_per_block,
            block_out_channels=self.channels,
            cross_attention_dim=self.text.width,
            norm_num_groups=self.groups,
        )

    def controlnet(self, unet: UNet2DConditionModel) -> ControlNetModel:
        """ControlNet on `unet`'s encoder."""
        return ControlNetModel.from_unet(
            unet, conditioning_embedding_out_channels=self.hint_channels
        )

    def vae(self) -> AutoencoderKL:
        """The autoencoder, whose levels but the last halve pictures."""
        levels = len(self.vae_channels)
        return AutoencoderKL(
            down_block_types=("DownEncoderBlock2D",) * levels,
            up_block_types=("UpDecoderBlock2D",) * levels,
            block_out_channels=self.vae_channels,
            layers_per_block=self.vae_layers,
            latent_channels=self.topology.latent_channels,
            norm_num_groups=self.groups,
            sample_size=self.native_size,
        )

    def text_config(self) -> CLIPTextConfig:
        """Of the UNet's text encoder."""
        return self.text.text(self.vocabulary, self.topology.context_length)

    def text_encoder(self) -> CLIPTextModel:
        """CLIP ViT-L/14's text tower in Stable Diffusion 1.5."""
        return CLIPTextModel(self.text_config())

    def clip(self) -> CLIPModel:
        """The retrieval pair: CLIP ViT-B/32."""
        return CLIPModel(
            CLIPConfig(
                text_config=self.clip_text.text(
                    self.vocabulary, self.topology.context_length
                ).to_dict(),
                vision_config=self.clip_image.vision(self.crop).to_dict(),
                projection_dim=self.topology.clip_dim,
            )
        )

    def vision_tower(self) -> CLIPVisionModelWithProjection:
        """IP-Adapter's image encoder: OpenCLIP's ViT-H/14."""
        return CLIPVisionModelWithProjection(self.image_encoder.vision(self.crop))

    def safety_checker(self) -> StableDiffusionSafetyChecker:
        """CLIP ViT-L/14's vision tower, and the concepts that pictures are held against."""
        return StableDiffusionSafetyChecker(
            CLIPConfig(
                vision_config=self.safety.vision(self.crop).to_dict(),
                projection_dim=self.safety.projection,
            )
        )

    def feature_extractor(self) -> CLIPImageProcessorPil:
        """CLIP's preprocessing."""
        return CLIPImageProcessorPil(
            size={"shortest_edge": self.crop}, crop_size={"height": self.crop, "width": self.crop}
        )


SD15 = Architecture(
    native_size=512,
    channels=(320, 640, 1280, 1280),
    groups=32,
    hint_channels=(16, 32, 96, 256),
    vae_channels=(128, 256, 512, 512),
    vae_layers=2,
    crop=224,
    vocabulary=49408,
    text=Tower(width=768, layers=12, heads=12, projection=768),
    clip_text=Tower(width=512, layers=12, heads=8),
    clip_image=Tower(width=768, layers=12, heads=12, patch=32),
    image_encoder=Tower(1280, layers=32, heads=16, activation="gelu", patch=14, projection=1024),
    safety=Tower(width=1024, layers=24, heads=16, patch=14, projection=768),
    lora_rank=64,
)
SMALL = Architecture(
    native_size=128,
    channels=(16, 32, 32, 64),
    groups=8,
    hint_channels=(8, 16, 16, 32),
    vae_channels=(8, 16, 16, 32),
    vae_layers=1,
    crop=32,
    vocabulary=1024,
    text=Tower(width=64, layers=2, heads=4, projection=64),
    clip_text=Tower(width=64, layers=2, heads=4),
    clip_image=Tower(width=64, layers=2, heads=4, patch=8),
    image_encoder=Tower(64, layers=3, heads=4, activation="gelu", patch=8, projection=96),
    safety=Tower(width=64, layers=2, heads=4, patch=8, projection=48),
    lora_rank=4,
)
