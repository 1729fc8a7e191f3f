"""Every served model's tensors: their one home.

Each ``model_repository/<model>/config.pbtxt`` is held against this module by a test, the exporter
takes its input and output names from here, and the clients build their requests with it.

Dims leave the batch dimension out, as Triton's configs do; -1 is a size that depends on the pack or
on the request. `d` is the width of the text embedding, `n` the number of image tokens, `h` and `w`
the latent size (pixels / 8).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pipeline.request import FIELDS
from pipeline.tensor import Tensor

Kind = Literal["network", "python", "ensemble"]

CONTEXT_LENGTH = 77
CLIP_DIM = 512
LATENT_CHANNELS = 4
VAE_SCALE_FACTOR = 8
BATCH_LIMIT = 16
"""Rows in one execution of a network. A render with guidance sends two rows per image."""
PICTURE_LIMIT = 4
"""Rows in one execution of the autoencoder, whose memory grows with the picture."""

CROSS_ATTENTION_LAYERS = (
    *(f"down_blocks.{block}.attentions.{i}" for block in (0, 1, 2) for i in (0, 1)),
    "mid_block.attentions.0",
    *(f"up_blocks.{block}.attentions.{i}" for block in (1, 2, 3) for i in (0, 1, 2)),
)
"""SD 1.5's 16 cross-attention layers in the order the signal meets them; the columns of
``ip_adapter_scale``."""

FEW_STEPS_VERSION = 2
"""Of the UNet: the one that an LCM-LoRA is fused into, which paints in few steps without guidance.
Every pack has version 1."""

DOWN_RESIDUALS = tuple(f"down_block_res_{i}" for i in range(12))
RESIDUALS = (*DOWN_RESIDUALS, "mid_block_res")
"""ControlNet's 12 + 1 outputs, in diffusers' order."""


@dataclass(frozen=True)
class Model:
    """One served model. ``max_batch_size`` 0 means that its tensors carry no batch dimension."""

    name: str
    kind: Kind
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    max_batch_size: int = 0
    decoupled: bool = False
    needs: str = ""
    """The engine, ``network/version``, without which it is not served; not every pack has it."""

    @property
    def optional(self) -> bool:
        """Whether it is served only where the pack has what it is made of."""
        return bool(self.needs)

    def input(self, name: str) -> Tensor:
        """The input called `name`; KeyError if there is none."""
        return {tensor.name: tensor for tensor in self.inputs}[name]


INPUT_IDS = Tensor("input_ids", "INT64", (CONTEXT_LENGTH,))
PIXEL_VALUES = Tensor("pixel_values", "FP32", (3, -1, -1))
TEXT_EMBEDDING = Tensor("text_embedding", "FP32", (CLIP_DIM,))
IMAGE_EMBEDDING = Tensor("image_embedding", "FP32", (CLIP_DIM,))
PROMPT_EMBEDS = Tensor("prompt_embeds", "FP32", (CONTEXT_LENGTH, -1))
IMAGE_EMBEDS = Tensor("image_embeds", "FP32", (-1, -1))
NEGATIVE_IMAGE_EMBEDS = Tensor("negative_image_embeds", "FP32", (-1, -1))
CONTROL_IMAGE = Tensor("control_image", "UINT8", (1, -1, -1))
LATENTS = Tensor("latents", "FP32", (LATENT_CHANNELS, -1, -1))
SAMPLE = Tensor("sample", "FP32", (LATENT_CHANNELS, -1, -1))
TIMESTEP = Tensor("timestep", "FP32", (1,))
CONDITIONING_SCALE = Tensor("conditioning_scale", "FP32", (1,))
IP_ADAPTER_SCALE = Tensor("ip_adapter_scale", "FP32", (len(CROSS_ATTENTION_LAYERS),))
RESIDUAL_TENSORS = tuple(Tensor(name, "FP32", (-1, -1, -1)) for name in RESIDUALS)
NOISE_PRED = Tensor("noise_pred", "FP32", (LATENT_CHANNELS, -1, -1))
DROPPED_TOKENS = Tensor("dropped_tokens", "INT32", (1,))
"""Tokens of a text that did not fit into the context."""
PIXELS = Tensor("pixels", "FP32", (3, -1, -1))
"""RGB in [-1, 1], as diffusers' VAE takes and gives it."""
UNSAFE = Tensor("unsafe", "FP32", (1,))
"""Above zero where a picture must not be shown."""

CANNY_INPUTS = (
    Tensor("sketch", "BYTES", (1,)),
    Tensor("width", "INT32", (1,)),
    Tensor("height", "INT32", (1,)),
    Tensor("canny_low_threshold", "INT32", (1,)),
    Tensor("canny_high_threshold", "INT32", (1,)),
)
STYLE_WEIGHTS = Tensor("style_weights", "FP32", (-1,))
IP_ADAPTER_IMAGE_EMBEDS = Tensor("ip_adapter_image_embeds", "FP32", (2, -1, -1))
"""Negative row first, as diffusers orders them."""
DENOISER_INPUTS = (
    SAMPLE,
    TIMESTEP,
    PROMPT_EMBEDS,
    CONTROL_IMAGE,
    CONDITIONING_SCALE,
    IMAGE_EMBEDS,
    IP_ADAPTER_SCALE,
)
SAFETY_CHECKER_ENGINE = "safety_checker/1"

NETWORKS = (
    Model("text_encoder", "network", (INPUT_IDS,), (PROMPT_EMBEDS,), BATCH_LIMIT),
    Model("clip_text", "network", (INPUT_IDS,), (TEXT_EMBEDDING,), BATCH_LIMIT),
    Model("clip_image", "network", (PIXEL_VALUES,), (IMAGE_EMBEDDING,), BATCH_LIMIT),
    Model(
        "image_encoder",
        "network",
        (PIXEL_VALUES,),
        (IMAGE_EMBEDS, NEGATIVE_IMAGE_EMBEDS),
        BATCH_LIMIT,
    ),
    Model(
        "controlnet",
        "network",
        (SAMPLE, TIMESTEP, PROMPT_EMBEDS, CONTROL_IMAGE, CONDITIONING_SCALE),
        RESIDUAL_TENSORS,
        BATCH_LIMIT,
    ),
    Model(
        "unet",
        "network",
        (SAMPLE, TIMESTEP, PROMPT_EMBEDS, IMAGE_EMBEDS, IP_ADAPTER_SCALE, *RESIDUAL_TENSORS),
        (NOISE_PRED,),
        BATCH_LIMIT,
    ),
    Model("vae_encoder", "network", (PIXELS,), (LATENTS,), PICTURE_LIMIT),
    Model("vae_decoder", "network", (LATENTS,), (PIXELS,), PICTURE_LIMIT),
    Model(
        "safety_checker",
        "network",
        (PIXEL_VALUES,),
        (UNSAFE,),
        BATCH_LIMIT,
        needs=SAFETY_CHECKER_ENGINE,
    ),
)

PYTHON_MODELS = (
    Model(
        "tokenizer",
        "python",
        (Tensor("text", "BYTES", (1,)),),
        (INPUT_IDS, DROPPED_TOKENS),
        BATCH_LIMIT,
    ),
    Model(
        "image_processor",
        "python",
        (Tensor("image", "BYTES", (1,)),),
        (PIXEL_VALUES,),
        BATCH_LIMIT,
    ),
    Model("canny", "python", CANNY_INPUTS, (CONTROL_IMAGE,)),
    Model(
        "ip_adapter",
        "python",
        (
            Tensor("image_embeds", "FP32", (-1, -1, -1)),
            Tensor("negative_image_embeds", "FP32", (-1, -1, -1)),
            STYLE_WEIGHTS,
        ),
        (IP_ADAPTER_IMAGE_EMBEDS,),
    ),
    Model(
        "render",
        "python",
        (
            *(field.tensor for field in FIELDS.values() if field.served),
            Tensor("pinned", "BYTES", (1,), optional=True),
        ),
        (
            Tensor("step", "INT32", (1,)),
            Tensor("preview", "BYTES", (-1,)),
            Tensor("images", "BYTES", (-1,)),
            Tensor("control_image", "BYTES", (1,)),
            Tensor("seeds", "INT64", (-1,)),
            Tensor("structure_f1", "FP32", (-1,)),
            Tensor("warnings", "BYTES", (-1,)),
            Tensor("condition_seconds", "FP32", (1,)),
            Tensor("denoise_seconds", "FP32", (1,)),
            Tensor("decode_seconds", "FP32", (1,)),
            Tensor("pack", "BYTES", (1,)),
            Tensor("versions", "BYTES", (1,)),
        ),
        decoupled=True,
    ),
)

ENSEMBLES = (
    Model(
        "embed_text",
        "ensemble",
        (Tensor("text", "BYTES", (1,)),),
        (TEXT_EMBEDDING,),
        BATCH_LIMIT,
    ),
    Model(
        "embed_image",
        "ensemble",
        (Tensor("image", "BYTES", (1,)),),
        (IMAGE_EMBEDDING,),
        BATCH_LIMIT,
    ),
    Model(
        "check_image",
        "ensemble",
        (Tensor("image", "BYTES", (1,)),),
        (UNSAFE,),
        BATCH_LIMIT,
        needs=SAFETY_CHECKER_ENGINE,
    ),
    Model(
        "condition",
        "ensemble",
        (
            *CANNY_INPUTS,
            Tensor("texts", "BYTES", (-1, 1)),
            Tensor("style_images", "BYTES", (-1, 1)),
            STYLE_WEIGHTS,
        ),
        (
            CONTROL_IMAGE,
            Tensor("prompt_embeds", "FP32", (-1, CONTEXT_LENGTH, -1)),
            IP_ADAPTER_IMAGE_EMBEDS,
            Tensor("dropped_tokens", "INT32", (-1, 1)),
        ),
    ),
    Model("denoiser", "ensemble", DENOISER_INPUTS, (NOISE_PRED,), BATCH_LIMIT),
    Model(
        "denoiser_lcm",
        "ensemble",
        DENOISER_INPUTS,
        (NOISE_PRED,),
        BATCH_LIMIT,
        needs=f"unet/{FEW_STEPS_VERSION}",
    ),
)

MODELS = {model.name: model for model in (*NETWORKS, *PYTHON_MODELS, *ENSEMBLES)}
