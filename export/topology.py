"""Whether a pack is what maquette serves, as far as its configs tell."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from export.files import PackError
from export.pack_files import ATTENDING, PackFiles, context_length
from pipeline.images import ClipPreprocessing
from pipeline.request import SIZE_STEP
from pipeline.samplers import NoiseSchedule

PLAIN, MIDDLE = "DownBlock2D", "UNetMidBlock2DCrossAttn"
HINT_CHANNELS = (16, 32, 96, 256)
"""Of ControlNet's layers over the edges, where its config says none; each but the last halves."""
UNSAID: Mapping[str, object] = {
    "attention_type": "default",
    "conditioning_channels": 3,
    "mid_block_type": MIDDLE,
    "transformer_layers_per_block": 1,
}
"""diffusers' values of what older configs do not name."""
INPUTS_NOT_GIVEN = (
    "addition_embed_type",
    "class_embed_type",
    "num_class_embeds",
    "encoder_hid_dim",
    "encoder_hid_dim_type",
    "time_cond_proj_dim",
)
"""Each asks for weights behind an input that no render gives; without it they would do nothing."""


def require_topology(pack: PackFiles) -> None:
    """Check that the networks of `pack` are of a topology that is served, and fit one another.

    Raises:
        PackError: one is not.
    """
    _require_denoiser(pack)
    _require_vae(pack)
    _require_towers(pack)


def require_servable(pack: PackFiles) -> None:
    """Have the Python models' own readers read what they will read of `pack`.

    Raises:
        PackError: one of them refuses; without this it would when Triton starts.
    """
    readers: dict[str, Callable[[], object]] = {
        "scheduler/scheduler_config.json": lambda: NoiseSchedule.from_config(
            pack.scheduler_config()
        ),
        "feature_extractor/preprocessor_config.json": lambda: ClipPreprocessing.from_config(
            pack.preprocessor_config()
        ),
        "unet/config.json": pack.facts,
        "tokenizer": pack.tokenizer_json,
    }
    for name, read in readers.items():
        try:
            read()
        except (ValueError, TypeError, LookupError, AttributeError) as error:
            raise PackError(
                f"{pack.folder / name} cannot be served: {error}. Correct it, or take this part "
                "from a checkpoint for SD 1.5."
            ) from error


def _require_denoiser(pack: PackFiles) -> None:
    unet, controlnet = pack.config("unet"), pack.config("controlnet")
    if unet.get("addition_embed_type") == "text_time":
        raise _unfit(pack, "unet", "it is an SDXL checkpoint")
    _require_blocks(pack)
    _require(pack, "unet", in_channels=unet["out_channels"])
    width = unet["cross_attention_dim"]
    found = pack.config("text_encoder")["hidden_size"]
    if found != width:
        raise _unfit(pack, "text_encoder", f"its prompts have width {found}, the UNet's {width}")
    found = controlnet["cross_attention_dim"]
    if found != width:
        raise PackError(
            f"{pack.folder / 'controlnet'}: its prompts have width {found}, the UNet's "
            f"{width}. They are of different families of Stable Diffusion: take both for 1.5."
        )
    if controlnet["block_out_channels"] != unet["block_out_channels"]:
        raise _unfit(pack, "controlnet", "its channels are not the UNet's")
    for name, config in (("unet", unet), ("controlnet", controlnet)):
        for key in INPUTS_NOT_GIVEN:
            if config.get(key) is not None:
                reason = f"{key} is {config[key]}, which asks for an input that no render gives"
                raise _unfit(pack, name, reason)
    _require(pack, "unet", attention_type="default")
    _require(pack, "controlnet", conditioning_channels=3)
    if controlnet.get("global_pool_conditions"):
        raise _unfit(pack, "controlnet", "global_pool_conditions is true; expected: false")


def _require_blocks(pack: PackFiles) -> None:
    """Check that `pack`'s UNet is a U of blocks that are exported, and its ControlNet the same."""
    unet = pack.config("unet")
    layers, down = unet["layers_per_block"], unet["down_block_types"]
    if not isinstance(layers, int):
        raise _unfit(pack, "unet", f"layers_per_block is {layers}; expected: one number")
    unknown = sorted(set(down) - {ATTENDING, PLAIN})
    if unknown:
        expected = f"{ATTENDING} or {PLAIN}"
        raise _unfit(pack, "unet", f"down_block_types has {unknown[0]}; expected: {expected}")
    _require(pack, "unet", up_block_types=[kind.replace("Down", "Up") for kind in down[::-1]])
    same = {"layers_per_block": layers, "down_block_types": down}
    for name in ("unet", "controlnet"):
        _require(pack, name, **same, mid_block_type=MIDDLE, transformer_layers_per_block=1)
    step = pack.topology.size_step
    if SIZE_STEP % step:
        reason = f"pictures of {len(down)} levels have sides that are multiples of {step}"
        raise _unfit(pack, "unet", f"{reason}; expected: of {SIZE_STEP} or of a part of it")


def _require_vae(pack: PackFiles) -> None:
    vae, topology = pack.config("vae"), pack.topology
    _require(pack, "vae", latent_channels=topology.latent_channels)
    hint = pack.config("controlnet").get("conditioning_embedding_out_channels", HINT_CHANNELS)
    factor = 2 ** (len(hint) - 1)
    if topology.vae_scale_factor != factor:
        reason = f"a latent is {topology.vae_scale_factor} pixels a side, and ControlNet's {factor}"
        raise _unfit(pack, "vae", reason)
    for key in ("shift_factor", "latents_mean", "latents_std"):
        if vae.get(key) is not None:
            raise _unfit(pack, "vae", f"{key} is {vae[key]}, and latents are not shifted here")


def _require_towers(pack: PackFiles) -> None:
    crop = pack.preprocessor_config()["crop_size"]["height"]
    towers = {
        "image_encoder": pack.config("image_encoder"),
        "clip": pack.config("clip")["vision_config"],
    }
    if pack.has("safety_checker"):
        towers["safety_checker"] = pack.config("safety_checker")["vision_config"]
    for folder, config in towers.items():
        size = config["image_size"]
        if size != crop:
            raise _unfit(pack, folder, f"its pictures have {size} pixels, not {crop}")
    found = context_length(pack.config("clip")["text_config"])
    if found != pack.topology.context_length:
        reason = f"its texts have {found} tokens, the text encoder's {pack.topology.context_length}"
        raise _unfit(pack, "clip", reason)


def _require(pack: PackFiles, folder: str, **expected: Any) -> None:
    config = pack.config(folder)
    for name, value in expected.items():
        found = config.get(name, UNSAID[name]) if name in UNSAID else config[name]
        if found != value:
            raise _unfit(pack, folder, f"{name} is {found}; expected: {value}")


def _unfit(pack: PackFiles, folder: str, reason: str) -> PackError:
    return PackError(
        f"{pack.folder / folder}: {reason}. maquette serves Stable Diffusion 1.5 and networks "
        "of its topology: take this part from a checkpoint for SD 1.5."
    )
