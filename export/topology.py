"""Whether a pack is what maquette serves, as far as its configs tell."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from export.files import PackError
from pipeline import contract
from pipeline.images import ClipPreprocessing
from pipeline.samplers import NoiseSchedule

if TYPE_CHECKING:
    from export.pack import Pack

DENOISER = {
    "layers_per_block": 2,
    "down_block_types": [*("CrossAttnDownBlock2D",) * 3, "DownBlock2D"],
}
"""What the UNet and ControlNet have to be, so that their residuals are the contract's."""
INPUTS_NOT_GIVEN = (
    "addition_embed_type",
    "class_embed_type",
    "num_class_embeds",
    "encoder_hid_dim",
    "encoder_hid_dim_type",
    "time_cond_proj_dim",
)
"""Each asks for weights behind an input that no render gives; without it they would do nothing."""


def require_topology(pack: Pack) -> None:
    """Check that the networks of `pack` are Stable Diffusion 1.5's, and fit one another.

    Raises:
        PackError: one is not.
    """
    _require_denoiser(pack)
    _require_vae(pack)
    _require_towers(pack)


def require_servable(pack: Pack) -> None:
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


def _require_denoiser(pack: Pack) -> None:
    unet, controlnet = pack.config("unet"), pack.config("controlnet")
    if unet.get("addition_embed_type") == "text_time":
        raise _unfit(pack, "unet", "it is an SDXL checkpoint")
    _require(pack, "unet", in_channels=contract.LATENT_CHANNELS)
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
        _require(pack, name, **DENOISER)
        for key in INPUTS_NOT_GIVEN:
            if config.get(key) is not None:
                reason = f"{key} is {config[key]}, which asks for an input that no render gives"
                raise _unfit(pack, name, reason)
    if unet.get("attention_type", "default") != "default":
        raise _unfit(pack, "unet", f"attention_type is {unet['attention_type']}; expected: default")
    if controlnet.get("global_pool_conditions"):
        raise _unfit(pack, "controlnet", "global_pool_conditions is true; expected: false")
    if controlnet.get("conditioning_channels", 3) != 3:
        channels = controlnet["conditioning_channels"]
        raise _unfit(pack, "controlnet", f"conditioning_channels is {channels}; expected: 3")


def _require_vae(pack: Pack) -> None:
    vae = pack.config("vae")
    if (len(vae["block_out_channels"]), vae["latent_channels"]) != (4, contract.LATENT_CHANNELS):
        raise _unfit(pack, "vae", "it has not 4 levels and 4 latent channels")
    for key in ("shift_factor", "latents_mean", "latents_std"):
        if vae.get(key) is not None:
            raise _unfit(pack, "vae", f"{key} is {vae[key]}, and latents are not shifted here")


def _require_towers(pack: Pack) -> None:
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
    _require(pack, "clip", projection_dim=contract.CLIP_DIM)


def _require(pack: Pack, folder: str, **expected: Any) -> None:
    config = pack.config(folder)
    for name, value in expected.items():
        if config[name] != value:
            raise _unfit(pack, folder, f"{name} is {config[name]}; expected: {value}")


def _unfit(pack: Pack, folder: str, reason: str) -> PackError:
    return PackError(
        f"{pack.folder / folder}: {reason}. maquette serves Stable Diffusion 1.5 and networks "
        "of its topology: take this part from a checkpoint for SD 1.5."
    )
