"""The tiny pack's networks: Stable Diffusion 1.5's topology, only narrower."""

from __future__ import annotations

from diffusers import AutoencoderKL, ControlNetModel, DDIMScheduler, UNet2DConditionModel
from transformers import (
    CLIPConfig,
    CLIPModel,
    CLIPTextConfig,
    CLIPTextModel,
    CLIPVisionConfig,
    CLIPVisionModelWithProjection,
)

from pipeline.topology import SD15

NATIVE_SIZE = 256
TEXT_WIDTH = 128
VISION_SIZE = 128
IMAGE_TOKENS = 4
CHANNELS = (48, 96, 128, 128)
GROUPS = 8
HEADS = 4
VAE_CHANNELS = (32, 32, 64, 96)
VAE_GROUPS = 8
"""Several channels a group: normalising each on its own would wash out flat colours."""


def scheduler() -> DDIMScheduler:
    """SD 1.5's noise schedule."""
    return DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
    )


def vae() -> AutoencoderKL:
    """Factor 8, 4 latent channels."""
    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=VAE_CHANNELS,
        layers_per_block=1,
        latent_channels=SD15.latent_channels,
        norm_num_groups=VAE_GROUPS,
        sample_size=NATIVE_SIZE,
    )


def unet() -> UNet2DConditionModel:
    """4 levels, 2 layers a block, 16 cross-attention layers."""
    return UNet2DConditionModel(
        sample_size=NATIVE_SIZE // SD15.vae_scale_factor,
        block_out_channels=CHANNELS,
        cross_attention_dim=TEXT_WIDTH,
        attention_head_dim=HEADS,
        norm_num_groups=GROUPS,
    )


def controlnet(unet: UNet2DConditionModel) -> ControlNetModel:
    """A ControlNet on `unet`'s encoder: 12 down residuals and 1 mid."""
    return ControlNetModel.from_unet(
        unet, conditioning_embedding_out_channels=(8, 16, 32, 64), load_weights_from_unet=True
    )


def _text_config(vocabulary: int, eos: int, width: int, layers: int) -> CLIPTextConfig:
    return CLIPTextConfig(
        vocab_size=vocabulary,
        hidden_size=width,
        intermediate_size=4 * width,
        num_hidden_layers=layers,
        num_attention_heads=4,
        max_position_embeddings=SD15.context_length,
        projection_dim=SD15.clip_dim,
        bos_token_id=eos - 1,
        eos_token_id=eos,
        pad_token_id=eos,
    )


def _vision_config() -> CLIPVisionConfig:
    return CLIPVisionConfig(
        hidden_size=128,
        intermediate_size=512,
        num_hidden_layers=4,
        num_attention_heads=4,
        image_size=VISION_SIZE,
        patch_size=16,
        projection_dim=SD15.clip_dim,
    )


def clip(vocabulary: int, eos: int) -> CLIPModel:
    """The retrieval pair."""
    text = _text_config(vocabulary, eos, width=128, layers=4)
    vision = _vision_config()
    return CLIPModel(
        CLIPConfig(
            text_config=text.to_dict(),
            vision_config=vision.to_dict(),
            projection_dim=SD15.clip_dim,
        )
    )


def text_encoder(clip: CLIPModel) -> CLIPTextModel:
    """The UNet's text encoder: CLIP's text tower, as in SD 1.5."""
    encoder = CLIPTextModel(clip.config.text_config)
    encoder.load_state_dict(clip.text_model.state_dict())
    return encoder


def image_encoder(clip: CLIPModel) -> CLIPVisionModelWithProjection:
    """IP-Adapter's vision tower: CLIP's."""
    encoder = CLIPVisionModelWithProjection(clip.config.vision_config)
    encoder.vision_model.load_state_dict(clip.vision_model.state_dict())
    encoder.visual_projection.load_state_dict(clip.visual_projection.state_dict())
    return encoder
