"""Every served model's tensors: their one home.

They follow from a pack's topology. Each ``model_repository/<model>/config.pbtxt`` is held against
Stable Diffusion 1.5's by a test, the exporter takes its input and output names from here, and the
clients build their requests with it.

Dims leave the batch dimension out, as Triton's configs do; -1 is a size that depends on the pack or
on the request. `d` is the width of the text embedding, `n` the number of image tokens, `h` and `w`
the latent size (pixels / 8). Prompts fill one text of the context length, or several.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pipeline.request import FIELDS
from pipeline.tensor import Tensor
from pipeline.topology import SD15, Topology

Kind = Literal["network", "python", "ensemble"]

BATCH_LIMIT = 16
"""Rows in one execution of a network. A render with guidance sends two rows per image."""
PICTURE_LIMIT = 4
"""Rows in one execution of the autoencoder, whose memory grows with the picture."""

FEW_STEPS_VERSION = 2
"""Of the UNet: the one that an LCM-LoRA is fused into, which paints in few steps without guidance.
Every pack has version 1."""


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


PIXEL_VALUES = Tensor("pixel_values", "FP32", (3, -1, -1))
CONTROL_IMAGE = Tensor("control_image", "UINT8", (1, -1, -1))
TIMESTEP = Tensor("timestep", "FP32", (1,))
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
    Tensor("sketch_kind", "BYTES", (1,)),
    Tensor("control_mode", "BYTES", (1,)),
)
PROMPT_INPUTS = (
    Tensor("texts", "BYTES", (-1, 1)),
    Tensor("prompt_syntax", "BYTES", (1,)),
)
STYLE_WEIGHTS = Tensor("style_weights", "FP32", (-1,))
IP_ADAPTER_IMAGE_EMBEDS = Tensor("ip_adapter_image_embeds", "FP32", (2, -1, -1))
"""Negative row first, as diffusers orders them."""
SAFETY_CHECKER_ENGINE = "safety_checker/1"
_SAMPLE = ("sample", "timestep", "prompt_embeds")
_CONTROL = (*_SAMPLE, "control_image", "conditioning_scale")
Tensors = tuple[Tensor, ...]

_OF_ANY_TOPOLOGY = (
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
            Tensor("steps", "INT32", (1,)),
            Tensor("preview", "BYTES", (-1,)),
            Tensor("images", "BYTES", (-1,)),
            Tensor("control_image", "BYTES", (1,)),
            Tensor("seeds", "INT64", (-1,)),
            Tensor("structure_f1", "FP32", (-1,)),
            Tensor("sketch_kind", "BYTES", (1,)),
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


def models(topology: Topology) -> dict[str, Model]:
    """Every served model of a pack with that topology, by name."""
    python = (_tokenizer(topology), _prompt_tokenizer(topology), *_OF_ANY_TOPOLOGY)
    return {model.name: model for model in (*_networks(topology), *python, *_ensembles(topology))}


def _networks(topology: Topology) -> tuple[Model, ...]:
    tensors = _tensors(topology)
    residuals, style = topology.residuals, ("image_embeds", "ip_adapter_scale")
    wired = {
        **dict.fromkeys(topology.text_encoders, (("input_ids",), ("chunk_embeds",))),
        "clip_text": (("input_ids",), ("text_embedding",)),
        "clip_image": (("pixel_values",), ("image_embedding",)),
        "image_encoder": (("pixel_values",), ("image_embeds", "negative_image_embeds")),
        "controlnet": (_CONTROL, residuals),
        "unet": ((*_SAMPLE, *style, *residuals), ("noise_pred",)),
        "vae_encoder": (("pixels",), ("latents",)),
        "vae_decoder": (("latents",), ("pixels",)),
        "safety_checker": (("pixel_values",), ("unsafe",)),
    }
    return tuple(
        Model(
            name,
            "network",
            tuple(tensors[each] for each in inputs),
            tuple(tensors[each] for each in outputs),
            PICTURE_LIMIT if name.startswith("vae") else BATCH_LIMIT,
            needs=SAFETY_CHECKER_ENGINE if name == "safety_checker" else "",
        )
        for name, (inputs, outputs) in wired.items()
    )


def _tensors(topology: Topology) -> dict[str, Tensor]:
    """What networks take and give, by name."""
    latents = (topology.latent_channels, -1, -1)
    floats: dict[str, tuple[int, ...]] = {
        "text_embedding": (topology.clip_dim,),
        "image_embedding": (topology.clip_dim,),
        "prompt_embeds": (-1, -1),
        "image_embeds": (-1, -1),
        "negative_image_embeds": (-1, -1),
        "latents": latents,
        "sample": latents,
        "noise_pred": latents,
        "conditioning_scale": (1,),
        "ip_adapter_scale": (len(topology.cross_attention_layers),),
        **dict.fromkeys(topology.residuals, (-1, -1, -1)),
    }
    chunk = Tensor("prompt_embeds", "FP32", (topology.context_length, -1))
    others = (_input_ids(topology), PIXEL_VALUES, CONTROL_IMAGE, TIMESTEP, PIXELS, UNSAFE)
    return (
        {name: Tensor(name, "FP32", dims) for name, dims in floats.items()}
        | {tensor.name: tensor for tensor in others}
        | {"chunk_embeds": chunk}
    )


def _input_ids(topology: Topology) -> Tensor:
    return Tensor("input_ids", "INT64", (topology.context_length,))


def _tokenizer(topology: Topology) -> Model:
    outputs = (_input_ids(topology), Tensor("dropped_tokens", "INT32", (1,)))
    return Model("tokenizer", "python", (Tensor("text", "BYTES", (1,)),), outputs, BATCH_LIMIT)


def _prompt_tokenizer(topology: Topology) -> Model:
    chunks = (-1, topology.context_length)
    return Model(
        "prompt_tokenizer",
        "python",
        PROMPT_INPUTS,
        (
            Tensor("input_ids", "INT64", chunks),
            Tensor("token_weights", "FP32", chunks),
            Tensor("dropped_tokens", "INT32", (-1, 1)),
        ),
    )


def _ensembles(topology: Topology) -> tuple[Model, ...]:
    tensors = _tensors(topology)
    text, image = Tensor("text", "BYTES", (1,)), Tensor("image", "BYTES", (1,))
    context = topology.context_length
    condition = Model(
        "condition",
        "ensemble",
        (
            *CANNY_INPUTS,
            *PROMPT_INPUTS,
            Tensor("style_images", "BYTES", (-1, 1)),
            STYLE_WEIGHTS,
        ),
        (
            CONTROL_IMAGE,
            Tensor("prompt_embeds", "FP32", (-1, context, -1)),
            IP_ADAPTER_IMAGE_EMBEDS,
            *_prompt_tokenizer(topology).outputs[1:],
        ),
    )
    step = tuple(tensors[name] for name in (*_CONTROL, "image_embeds", "ip_adapter_scale"))
    noise = (tensors["noise_pred"],)
    few_steps = f"unet/{FEW_STEPS_VERSION}"

    def batched(name: str, inputs: Tensors, outputs: Tensors, needs: str = "") -> Model:
        return Model(name, "ensemble", inputs, outputs, BATCH_LIMIT, needs=needs)

    return (
        batched("embed_text", (text,), (tensors["text_embedding"],)),
        batched("embed_image", (image,), (tensors["image_embedding"],)),
        batched("check_image", (image,), (UNSAFE,), SAFETY_CHECKER_ENGINE),
        condition,
        batched("denoiser", step, noise),
        batched("denoiser_lcm", step, noise, few_steps),
    )


MODELS = models(SD15)
"""What ships, for packs of Stable Diffusion 1.5's topology. Names of models and of their outputs
are the same in every pack, but for ControlNet's residuals."""
NETWORKS = tuple(model for model in MODELS.values() if model.kind == "network")
PYTHON_MODELS = tuple(model for model in MODELS.values() if model.kind == "python")
ENSEMBLES = tuple(model for model in MODELS.values() if model.kind == "ensemble")
