"""A render request: the one home of each of its fields."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from pipeline.errors import InvalidRequest, Words
from pipeline.fields import Field, Range, about, table
from pipeline.images import PICTURE
from pipeline.pinned_versions import ALIASES
from pipeline.prompt import SYNTAXES, parse, without_weights
from pipeline.samplers import SAMPLERS, STEP_LIMITS
from pipeline.tensor import shortest_decimal
from pipeline.topology import MAX_LAYERS, STYLE_MODES

MAX_PROMPT = 2000
MAX_STYLE_IMAGES = 8
MAX_STYLE_ID = 480
"""Characters of the longest id in a library."""
SKETCH_KINDS = ("auto", "clean", "inverted", "photo", "transparent")
CONTROL_MODES = ("canny", "lines")
MAX_TAGS = 16
MAX_TAG = 40
SIZE_STEP = 64
"""With every pack. Stable Diffusion 1.5's latents are an eighth of the picture, and its UNet halves
them three times; the exporter refuses a topology whose own step does not divide it."""
SEEDS = 2**32
STRENGTH = 0.8
"""Of a refined picture, as in diffusers' img2img pipelines."""
UPSCALES = (1, 2, 4)
Drawn = Literal["sketch", "image", "mask"]
STANDS_FOR: Mapping[str, tuple[str, ...]] = {
    "fidelity": (
        "controlnet_conditioning_scale", "control_guidance_start", "control_guidance_end",
    ),
    "profile": (
        "scheduler", "num_inference_steps", "guidance_scale", "guidance_start", "guidance_end",
    ),
}  # fmt: skip
"""Fields that set others; :mod:`pipeline.presets` says to what."""
PROFILES = ("quality", "balanced", "fast")
SOURCES: tuple[Drawn, ...] = ("image", "mask")
"""Fields with a picture that a render begins with, beside the sketch."""
RENDERED = "render/"
"""Begins an ``image`` that is no upload, but a picture of a render that is kept."""
_SHARE = Range(0, 1)
_SCALE = Range(0, 2)
_THRESHOLD = Range(0, 1000)
_SIDE = Range(128, 1024, SIZE_STEP)


@dataclass(frozen=True)
class RenderRequest:
    """One render. Field names are diffusers' wherever diffusers has a word for it.

    ``seed``, ``width`` and ``height`` may be None: then the seed is drawn, and the size follows the
    sketch's aspect ratio at the pack's native pixel count. The style is ``style_images`` if given,
    else the library's ``style`` or ``styles``, else the ``style_count`` that the prompt retrieves
    within ``style_filter``.

    Raises:
        InvalidRequest: a field is outside its range; the message names it.
    """

    sketch: bytes = field(default=b"", metadata=about(
        f"{PICTURE} May be left out where there is an image: its edges hold then.", pixels=True,
    ))  # fmt: skip
    prompt: str = field(default="", metadata=about(
        "What it should look like.",
        max_length=MAX_PROMPT, blank=False, remedy="Say in a sentence what the building is like.",
        required=True, pixels=True,
    ))  # fmt: skip
    negative_prompt: str = field(default="", metadata=about(
        "What it should not look like.",
        max_length=MAX_PROMPT, option="negative", pixels=True,
    ))  # fmt: skip
    prompt_syntax: str = field(default="weighted", metadata=about(
        "How both prompts are read: weighted, with brackets as in (words:1.3) and BREAK, in up to "
        "four chunks of 75 tokens, or plain, up to 75 tokens in which no character is special.",
        choices=SYNTAXES, before="plain", pixels=True,
    ))  # fmt: skip
    style: str = field(default="", metadata=about(
        "Id of a style in the library. Left out, the style is retrieved with the prompt.",
        served=False, pixels=True,
    ))  # fmt: skip
    styles: tuple[str, ...] = field(default=(), metadata=about(
        "Ids of several styles in the library, which are blended.",
        max_items=MAX_STYLE_IMAGES, max_length=MAX_STYLE_ID, noun="styles",
        remedy="Name styles of the library.", count_remedy="Name the few that matter most.",
        option="style", served=False, pixels=True,
    ))  # fmt: skip
    style_count: int = field(default=1, metadata=about(
        "Styles that the prompt retrieves, to be blended; the nearer, the more each weighs.",
        allowed=Range(1, MAX_STYLE_IMAGES), served=False,
    ))  # fmt: skip
    style_filter: tuple[str, ...] = field(default=(), metadata=about(
        "Tags that a retrieved style must all have.",
        max_items=MAX_TAGS, max_length=MAX_TAG, noun="tags",
        count_remedy="Keep the ones that tell styles apart.", option="tag", served=False,
    ))  # fmt: skip
    style_images: tuple[bytes, ...] = field(default=(), metadata=about(
        f"Your own reference pictures, instead of the library. {PICTURE}",
        max_items=MAX_STYLE_IMAGES, noun="images", count_remedy="Send the few that matter most.",
        option="style-image", pixels=True,
    ))  # fmt: skip
    style_weights: tuple[float, ...] = field(default=(), metadata=about(
        "One weight per style image, or per one of styles; equal shares when left out.",
        allowed=_SHARE, max_items=MAX_STYLE_IMAGES, noun="weights", option="style-weight",
        pixels=True,
    ))  # fmt: skip
    seed: int | None = field(default=None, metadata=about(
        "Repeats a render; drawn when left out.",
        # Elsewhere -1 stands for "any"; the nearest seed would be no help to who sends it.
        allowed=Range(0, SEEDS - 1), remedy="Leave it out to have one drawn.", dtype="INT64",
        pixels=True,
    ))  # fmt: skip
    num_inference_steps: int = field(default=20, metadata=about(
        "Denoising steps; some schedulers take fewer, as the server's information says.",
        allowed=Range(1, 150), option="steps", pixels=True,
    ))  # fmt: skip
    guidance_scale: float = field(default=7.5, metadata=about(
        "Pull of the prompt; 1 or less switches the negative prompt off.",
        allowed=Range(0, 30), option="guidance", pixels=True,
    ))  # fmt: skip
    guidance_start: float = field(default=0.0, metadata=about(
        "Share of the steps before the prompt pulls; below the end. Outside the two a step is "
        "computed without the negative prompt, in half the time.",
        allowed=_SHARE, option="guidance-start", pixels=True,
    ))  # fmt: skip
    guidance_end: float = field(default=1.0, metadata=about(
        "Share of the steps after which it no longer does.",
        allowed=_SHARE, option="guidance-end", pixels=True,
    ))  # fmt: skip
    controlnet_conditioning_scale: float = field(default=1.5, metadata=about(
        "How strongly the sketch's edges hold.",
        allowed=_SCALE, option="control", pixels=True,
    ))  # fmt: skip
    control_guidance_start: float = field(default=0.0, metadata=about(
        "Share of the steps before the edges hold; below the end.",
        allowed=_SHARE, option="control-start", pixels=True,
    ))  # fmt: skip
    control_guidance_end: float = field(default=1.0, metadata=about(
        "Share of the steps after which they no longer hold.",
        allowed=_SHARE, option="control-end", pixels=True,
    ))  # fmt: skip
    ip_adapter_scale: tuple[float, ...] = field(default=(0.8,), metadata=about(
        "How strongly the style shows: once, or once per cross-attention layer of the pack, as "
        "the server's information says.",
        allowed=_SCALE, min_items=1, max_items=MAX_LAYERS,
        count_remedy="Send one value for all layers.", option="style-scale", pixels=True,
    ))  # fmt: skip
    style_mode: str = field(default="both", metadata=about(
        "What shows of the style picture: style, its colours and materials, composition, where "
        "what is in it, or both. The first two switch layers of ip_adapter_scale off.",
        choices=STYLE_MODES, pixels=True,
    ))  # fmt: skip
    style_start: float = field(default=0.0, metadata=about(
        "Share of the steps before the style shows; below the end.",
        allowed=_SHARE, pixels=True,
    ))  # fmt: skip
    style_end: float = field(default=1.0, metadata=about(
        "Share of the steps after which it no longer does.",
        allowed=_SHARE, pixels=True,
    ))  # fmt: skip
    sketch_kind: str = field(default="auto", metadata=about(
        "What the sketch is: clean, inverted (light lines on dark), photo (of a drawing on paper, "
        "which is freed of paper and shadow; also faint pencil) or transparent; auto looks at it.",
        choices=SKETCH_KINDS, before="clean", pixels=True,
    ))  # fmt: skip
    control_mode: str = field(default="canny", metadata=about(
        "What holds of the sketch: canny, its edges, or lines, the straight ones, of which nearly "
        "level and upright ones are made so.",
        choices=CONTROL_MODES, pixels=True,
    ))  # fmt: skip
    canny_low_threshold: int = field(default=50, metadata=about(
        "Edges weaker than this are dropped; at most canny_high_threshold.",
        allowed=_THRESHOLD, option="canny LOW", pixels=True,
    ))  # fmt: skip
    canny_high_threshold: int = field(default=150, metadata=about(
        "Edges stronger than this are kept.",
        allowed=_THRESHOLD, option="canny HIGH", pixels=True,
    ))  # fmt: skip
    scheduler: str = field(default="dpmpp_2m", metadata=about(
        "The sampler.",
        choices=tuple(SAMPLERS), pixels=True,
    ))  # fmt: skip
    width: int | None = field(default=None, metadata=about(
        "Pixels; follows the sketch when left out. Times the height at most the pack's "
        "max_pixels, as the server's information says.",
        allowed=_SIDE, pixels=True,
    ))  # fmt: skip
    height: int | None = field(default=None, metadata=about(
        "Pixels; follows the sketch when left out.",
        allowed=_SIDE, pixels=True,
    ))  # fmt: skip
    num_images: int = field(default=1, metadata=about(
        "Pictures, with seeds in a row.",
        allowed=Range(1, 4), option="count",
    ))  # fmt: skip
    preview_interval: int = field(default=0, metadata=about(
        "Steps from one preview to the next; 0 makes none.",
        allowed=Range(0, 150), option="preview",
    ))  # fmt: skip
    versions: str = field(default="", metadata=about(
        "Of the networks; left out, the service chooses: the champion, as a rule.",
        choices=("", *ALIASES), remedy="Leave it empty for the service's choice.", served=False,
        pixels=True,
    ))  # fmt: skip

    image: bytes = field(default=b"", metadata=about(
        "A picture to go on from: PNG, JPEG or WebP, or render/<id>/<n> for the picture n (from 0) "
        "of a render of yours that is kept.", pixels=True,
    ))  # fmt: skip
    strength: float | None = field(default=None, metadata=about(
        f"How much of the image changes: the share of the steps that are taken; {STRENGTH:g} when "
        "left out, 1 with a mask or pad.",
        allowed=Range(0.01, 1), pixels=True,
    ))  # fmt: skip
    mask: bytes = field(default=b"", metadata=about(
        "Where the image is painted anew, of its size: white, or what is transparent. Grey goes "
        "free on the way. Where it is black, the picture comes back pixel for pixel.", pixels=True,
    ))  # fmt: skip
    mask_blur: int = field(default=0, metadata=about(
        "Pixels by which the mask's border is blurred.",
        allowed=Range(0, 64), pixels=True,
    ))  # fmt: skip
    control_in_mask: bool = field(default=True, metadata=about(
        "Whether the edges hold where it is painted anew.", pixels=True,
    ))  # fmt: skip
    pad: tuple[int, ...] = field(default=(), metadata=about(
        "Pixels that are painted around the image: left, top, right, bottom.",
        allowed=Range(0, 512), max_items=4, count_remedy="Send four, or none.", pixels=True,
    ))  # fmt: skip
    variation_strength: float = field(default=0.0, metadata=about(
        "How far the noise is turned to that of variation_seed; above 0, several pictures have one "
        "seed, and variation seeds in a row.",
        allowed=_SHARE, pixels=True,
    ))  # fmt: skip
    variation_seed: int | None = field(default=None, metadata=about(
        "The seed of the noise that is mixed in; drawn when left out.",
        allowed=Range(0, SEEDS - 1), remedy="Leave it out to have one drawn.", dtype="INT64",
        pixels=True,
    ))  # fmt: skip
    upscale: int = field(default=1, metadata=about(
        "How many times as wide and high the picture becomes in the end, painted in tiles. An "
        "image without strength, mask and pad is enlarged as it is.",
        choices=UPSCALES, pixels=True,
    ))  # fmt: skip
    upscale_strength: float = field(default=0.35, metadata=about(
        "How much of the picture changes as it is enlarged: the share of the steps that are taken.",
        allowed=Range(0.05, 1), pixels=True,
    ))  # fmt: skip

    structure_min: float = field(default=0.0, metadata=about(
        "The least structure_f1 of a picture: one that is below it is painted again, and the best "
        "is returned. 0 takes every picture.",
        allowed=_SHARE, served=False,
    ))  # fmt: skip
    max_attempts: int = field(default=3, metadata=about(
        "How often a picture is painted to reach structure_min: with other seeds, from the third "
        "time on with more control.",
        allowed=Range(1, 5), served=False,
    ))  # fmt: skip
    fidelity: float | None = field(default=None, metadata=about(
        "How much of the sketch holds: 0 nothing, 0.75 as much as by default, 1 most; stands for "
        "controlnet_conditioning_scale, control_guidance_start and control_guidance_end.",
        allowed=_SHARE, served=False,
    ))  # fmt: skip
    profile: str = field(default="", metadata=about(
        "How much work is put into it: quality is what is painted by default, balanced about half "
        "of that, fast as little as the pack is good for; stands for the scheduler, "
        "num_inference_steps, guidance_scale, guidance_start and guidance_end.",
        choices=("", *PROFILES), remedy="Leave it empty to set the fields yourself.", served=False,
    ))  # fmt: skip

    def __post_init__(self) -> None:
        for name, known in FIELDS.items():
            known.check(getattr(self, name))
        _check_styles(self)
        _check_together(self)
        _check_image(self)
        _check_presets(self)

    @property
    def words(self) -> str:
        """The prompt as CLIP is to read it: what it says, without weights."""
        return self.prompt if self.prompt_syntax == "plain" else without_weights(self.prompt)

    @property
    def uploads(self) -> tuple[bytes, ...]:
        """Every picture in it."""
        return (*self.drawn.values(), *self.style_images)

    @property
    def drawn(self) -> dict[Drawn, bytes]:
        """The pictures that are no references, by field. Where there is none, one is missing."""
        fields: tuple[Drawn, ...] = ("sketch", *SOURCES)
        sent = {name: getattr(self, name) for name in fields}
        return {name: file for name, file in sent.items() if file} or {"sketch": b""}

    @property
    def variation_seeds(self) -> tuple[int | None, ...]:
        """Of each picture; in a row where they take part."""
        first, count = self.variation_seed, self.num_images
        if first is None or not self.variation_strength:
            return (first,) * count
        return tuple((first + index) % SEEDS for index in range(count))

    @property
    def repaints(self) -> bool:
        """Whether only a part of the image, or what is around it, is painted."""
        return bool(self.mask or any(self.pad))

    @property
    def drawing(self) -> bytes:
        """What the edges are taken from."""
        return self.sketch or self.image

    @property
    def only_enlarges(self) -> bool:
        """Whether the image is enlarged as it is, so that no step is taken at its own size."""
        return bool(self.image) and self.upscale > 1 and self.strength is None and not self.repaints

    @property
    def upscale_steps(self) -> tuple[int, int]:
        """Steps of the schedule that pictures are enlarged by, and how many of them are taken.

        One is, at least, and for that a short schedule becomes longer: with few steps the first of
        them changes more than the strength says.
        """
        strength = shortest_decimal(self.upscale_strength)
        taken = int(self.num_inference_steps * strength)
        return (self.num_inference_steps, taken) if taken else (math.ceil(1 / strength), 1)

    @property
    def steps_taken(self) -> int:
        """Of the ``num_inference_steps`` those that are left when it begins with a picture.

        Source: ``get_timesteps`` of diffusers' img2img pipelines.
        """
        if self.only_enlarges:
            return 0
        if not self.image:
            return self.num_inference_steps
        usual = 1.0 if self.repaints else STRENGTH
        strength = usual if self.strength is None else shortest_decimal(self.strength)
        return int(self.num_inference_steps * strength)

    @property
    def first_steps(self) -> int:
        """Of the size that is painted at first, which may be the larger one."""
        return self.steps_taken or self.upscale_steps[1]

    @property
    def weights(self) -> tuple[float, ...]:
        """One weight per style, summing to 1; equal shares when none were given."""
        given = self.style_weights or (1.0,) * len(self.style_images or self.styles)
        return tuple(weight / sum(given) for weight in given)


FIELDS: Mapping[str, Field] = table(RenderRequest)
DEFAULTS: Mapping[str, Any] = {name: known.default for name, known in FIELDS.items()}
RANGES: Mapping[str, Range] = {
    name: known.allowed for name, known in FIELDS.items() if known.allowed
}


def _check_styles(request: RenderRequest) -> None:
    named = [name for name in ("style", "styles", "style_images") if getattr(request, name)]
    if len(named) > 1:
        remedy = "Name one style, several in styles, or send your own images."
        found, allowed = getattr(request, named[0]), f"empty when {named[1]} is set"
        raise InvalidRequest(named[0], found, allowed, remedy)
    if request.style_count > 1 and named:
        remedy = f"Leave {named[0]} out to have them retrieved, or style_count."
        allowed = f"1 when {named[0]} is set"
        raise InvalidRequest("style_count", request.style_count, allowed, remedy)
    worn, weights = len(request.style_images or request.styles), len(request.style_weights)
    if weights and weights != worn:
        remedy = "Send one weight per style, or none for equal shares."
        found = Words(f"{weights} weights")
        raise InvalidRequest("style_weights", found, f"{worn} weights", remedy)
    if weights and sum(request.style_weights) == 0:
        remedy = "Give the style that should show a weight of 1."
        raise InvalidRequest("style_weights", request.style_weights, "one above 0", remedy)


def _check_together(request: RenderRequest) -> None:
    if request.prompt_syntax == "weighted":
        for name in ("prompt", "negative_prompt"):
            parse(name, getattr(request, name))
    low, high = request.canny_low_threshold, request.canny_high_threshold
    if low > high:
        remedy = "Swap the two thresholds."
        raise InvalidRequest(
            "canny_low_threshold", low, f"0 to canny_high_threshold ({high})", remedy
        )
    for interval, what in (
        ("control_guidance", "the sketch hold"),
        ("guidance", "the prompt pull"),
        ("style", "the style show"),
    ):
        start, end = getattr(request, f"{interval}_start"), getattr(request, f"{interval}_end")
        if start >= end:
            allowed = f"less than {interval}_end ({end:g})"
            remedy = f"Leave both out to have {what} throughout."
            raise InvalidRequest(f"{interval}_start", start, allowed, remedy)
    limit = STEP_LIMITS.get(request.scheduler)
    if limit and request.num_inference_steps > limit:
        allowed = f"1 to {limit} with the scheduler {request.scheduler}"
        remedy = "Try 4, or another scheduler."
        raise InvalidRequest("num_inference_steps", request.num_inference_steps, allowed, remedy)


def _check_image(request: RenderRequest) -> None:
    for name in ("strength", "mask", "pad"):
        value = getattr(request, name)
        if value not in (None, b"", ()) and not request.image:
            remedy = f"Send the picture to begin with as image, or leave {name} out."
            raise InvalidRequest(name, value, "empty without an image", remedy)
    if len(request.pad) not in (0, 4):
        found = Words(f"{len(request.pad)} values")
        raise InvalidRequest("pad", found, "left, top, right, bottom", "Send four, or none.")
    if request.mask_blur and not request.repaints:
        remedy = "Send a mask, or leave mask_blur out."
        raise InvalidRequest("mask_blur", request.mask_blur, "0 without a mask or pad", remedy)
    if not request.steps_taken and not request.only_enlarges:
        steps = request.num_inference_steps
        least = math.ceil(100 / steps) / 100
        allowed = f"{least:g} to 1 with {steps} steps, so that one is taken"
        raise InvalidRequest("strength", request.strength or STRENGTH, allowed, f"Try {least:g}.")


def _check_presets(request: RenderRequest) -> None:
    for preset, names in STANDS_FOR.items():
        chosen = getattr(request, preset)
        for name in names if chosen != DEFAULTS[preset] else ():
            if (value := getattr(request, name)) != DEFAULTS[name]:
                allowed = f"left out where {preset} ({chosen}) is set"
                raise InvalidRequest(name, value, allowed, "Send one of the two.")
