"""A render request: its fields, their defaults and their ranges."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from pipeline import contract
from pipeline.errors import InvalidRequest, Words
from pipeline.pinned_versions import ALIASES
from pipeline.samplers import SAMPLERS, STEP_LIMITS


@dataclass(frozen=True)
class Range:
    """Inclusive bounds of a number, and the step it must be a multiple of."""

    low: float
    high: float
    multiple_of: int | None = None

    def __str__(self) -> str:
        words = f"{_plain(self.low)} to {_plain(self.high)}"
        return words if self.multiple_of is None else f"{words}, a multiple of {self.multiple_of}"

    def holds(self, value: float) -> bool:
        """Whether `value` is inside; never true for NaN."""
        inside = self.low <= value <= self.high
        return inside and (self.multiple_of is None or value % self.multiple_of == 0)

    def nearest(self, value: float) -> str:
        """A value near `value` that would pass; NaN is near to none."""
        # A whole number too large for a float is one all the same.
        if isinstance(value, float) and math.isnan(value):
            return "a number instead"
        inside = min(max(value, self.low), self.high)
        step = self.multiple_of
        return _plain(round(inside / step) * step if step else inside)


def _plain(number: float) -> str:
    return str(int(number)) if number == int(number) else f"{number:g}"


SAMPLER_NAMES = ", ".join(SAMPLERS)
MAX_PROMPT = 500
MAX_STYLE_IMAGES = 8
SIZE_STEP = 64
"""Latents are an eighth of the picture, and the UNet halves them three times."""

RANGES = {
    "seed": Range(0, 2**32 - 1),
    "num_inference_steps": Range(1, 150),
    "guidance_scale": Range(0, 30),
    "controlnet_conditioning_scale": Range(0, 2),
    "control_guidance_start": Range(0, 1),
    "control_guidance_end": Range(0, 1),
    "ip_adapter_scale": Range(0, 2),
    "canny_low_threshold": Range(0, 1000),
    "canny_high_threshold": Range(0, 1000),
    "width": Range(128, 1024, SIZE_STEP),
    "height": Range(128, 1024, SIZE_STEP),
    "num_images": Range(1, 4),
    "style_weights": Range(0, 1),
    "preview_interval": Range(0, 150),
}


@dataclass(frozen=True)
class RenderRequest:
    """One render. Field names are diffusers' wherever diffusers has a word for it.

    ``seed``, ``width`` and ``height`` may be None: then the seed is drawn, and the size follows the
    sketch's aspect ratio at the pack's native pixel count. The style is ``style_images`` if given,
    else the library's ``style``, else whatever the prompt retrieves within ``style_filter``.
    ``preview_interval`` is how many steps apart previews are; 0 makes none. ``versions`` is an
    alias of the networks' versions; empty leaves it to the service.

    Raises:
        InvalidRequest: a field is outside its range; the message names it.
    """

    sketch: bytes
    prompt: str
    negative_prompt: str = ""
    style: str = ""
    style_filter: tuple[str, ...] = ()
    style_images: tuple[bytes, ...] = ()
    style_weights: tuple[float, ...] = ()
    seed: int | None = None
    num_inference_steps: int = 20
    guidance_scale: float = 7.5
    controlnet_conditioning_scale: float = 1.5
    control_guidance_start: float = 0.0
    control_guidance_end: float = 1.0
    ip_adapter_scale: tuple[float, ...] = (0.8,)
    canny_low_threshold: int = 50
    canny_high_threshold: int = 150
    scheduler: str = "dpmpp_2m"
    width: int | None = None
    height: int | None = None
    num_images: int = 1
    preview_interval: int = 0
    versions: str = ""

    def __post_init__(self) -> None:
        check_prompt(self.prompt)
        _check_length("negative_prompt", self.negative_prompt)
        for name, allowed in RANGES.items():
            _check_numbers(name, getattr(self, name), allowed)
        _check_styles(self)
        _check_versions(self.versions)
        _check_together(self)

    @property
    def uploads(self) -> tuple[bytes, ...]:
        """Every picture in it."""
        return (self.sketch, *self.style_images)

    @property
    def weights(self) -> tuple[float, ...]:
        """One weight per style image, summing to 1; equal shares when none were given."""
        given = self.style_weights or (1.0,) * len(self.style_images)
        return tuple(weight / sum(given) for weight in given)


DEFAULTS: Mapping[str, Any] = {field.name: field.default for field in fields(RenderRequest)}


def check_prompt(prompt: str) -> None:
    """Check a sentence that a style is to be found with.

    Raises:
        InvalidRequest: it is empty or too long.
    """
    if not prompt.strip():
        remedy = "Say in a sentence what the building is like."
        raise InvalidRequest("prompt", prompt, f"1 to {MAX_PROMPT} characters", remedy)
    _check_length("prompt", prompt)


def _check_length(field: str, text: str) -> None:
    if len(text) > MAX_PROMPT:
        remedy = f"It has {len(text):,}; say it shorter."
        raise InvalidRequest(field, text, f"at most {MAX_PROMPT} characters", remedy)


def _check_numbers(name: str, value: Any, allowed: Range) -> None:
    if value is None:
        return
    for number in value if isinstance(value, tuple) else (value,):
        if not allowed.holds(number):
            near = f"Try {allowed.nearest(number)}."
            # Elsewhere -1 stands for "any"; the nearest seed would be no help to who sends it.
            remedy = "Leave it out to have one drawn." if name == "seed" else near
            raise InvalidRequest(name, number, str(allowed), remedy)


def _check_versions(alias: str) -> None:
    if alias and alias not in ALIASES:
        remedy = "Leave it empty for the service's choice."
        raise InvalidRequest("versions", alias, ", ".join(ALIASES), remedy)


def _check_styles(request: RenderRequest) -> None:
    images, weights = len(request.style_images), len(request.style_weights)
    if images > MAX_STYLE_IMAGES:
        found, remedy = Words(f"{images} images"), "Send the few that matter most."
        raise InvalidRequest("style_images", found, f"at most {MAX_STYLE_IMAGES} images", remedy)
    if weights and weights != images:
        remedy = "Send one weight per style image, or none for equal shares."
        found = Words(f"{weights} weights")
        raise InvalidRequest("style_weights", found, f"{images} weights", remedy)
    if weights and sum(request.style_weights) == 0:
        remedy = "Give the picture that should show a weight of 1."
        raise InvalidRequest("style_weights", request.style_weights, "one above 0", remedy)
    if request.style and request.style_images:
        remedy = "Send either a style from the library or your own images."
        raise InvalidRequest("style", request.style, "empty when style_images is set", remedy)


def _check_together(request: RenderRequest) -> None:
    layers = len(contract.CROSS_ATTENTION_LAYERS)
    if len(request.ip_adapter_scale) not in (1, layers):
        found = Words(f"{len(request.ip_adapter_scale)} values")
        allowed = f"1 value, or {layers} (one per cross-attention layer)"
        raise InvalidRequest("ip_adapter_scale", found, allowed, "Send one value for all layers.")
    low, high = request.canny_low_threshold, request.canny_high_threshold
    if low > high:
        remedy = "Swap the two thresholds."
        raise InvalidRequest(
            "canny_low_threshold", low, f"0 to canny_high_threshold ({high})", remedy
        )
    start, end = request.control_guidance_start, request.control_guidance_end
    if start >= end:
        allowed = f"less than control_guidance_end ({end:g})"
        remedy = "Leave both out to have the sketch hold throughout."
        raise InvalidRequest("control_guidance_start", start, allowed, remedy)
    if request.scheduler not in SAMPLERS:
        remedy = f"Leave it out for {DEFAULTS['scheduler']}."
        raise InvalidRequest("scheduler", request.scheduler, f"one of {SAMPLER_NAMES}", remedy)
    limit = STEP_LIMITS.get(request.scheduler)
    if limit and request.num_inference_steps > limit:
        allowed = f"1 to {limit} with the scheduler {request.scheduler}"
        remedy = "Try 4, or another scheduler."
        raise InvalidRequest("num_inference_steps", request.num_inference_steps, allowed, remedy)
