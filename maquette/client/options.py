"""The keywords of calls, made from the tables of fields by `make reference`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TypedDict

File = bytes | str | os.PathLike[str]
"""An encoded picture, or the path of one; for an ``image`` also ``render/<id>/<n>``."""


class RenderOptions(TypedDict, total=False):
    """What a render can be told beside its sketch and prompt. None: left out."""

    negative_prompt: str | None
    """What it should not look like."""
    prompt_syntax: str | None
    """How both prompts are read: weighted, with brackets as in (words:1.3) and BREAK, in up to four
    chunks of 75 tokens, or plain, up to 75 tokens in which no character is special. (weighted,
    plain; default: weighted)"""
    style: str | None
    """Id of a style in the library. Left out, the style is retrieved with the prompt."""
    styles: Sequence[str] | None
    """Ids of several styles in the library, which are blended."""
    style_count: int | None
    """Styles that the prompt retrieves, to be blended; the nearer, the more each weighs. (1 to 8;
    default: 1)"""
    style_filter: Sequence[str] | None
    """Tags that a retrieved style must all have."""
    style_images: Sequence[File] | None
    """Your own reference pictures, instead of the library. PNG, JPEG or WebP; at most 10,485,760
    bytes and 25,000,000 pixels (JPEG: 50,000,000). More than 2048 a side are scaled down."""
    style_weights: float | Sequence[float] | None
    """One weight per style image, or per one of styles; equal shares when left out. (0 to 1)"""
    seed: int | None
    """Repeats a render; drawn when left out. (0 to 4294967295)"""
    num_inference_steps: int | None
    """Denoising steps; some schedulers take fewer, as the server's information says. (1 to 150;
    default: 20)"""
    guidance_scale: float | None
    """Pull of the prompt; 1 or less switches the negative prompt off. (0 to 30; default: 7.5)"""
    guidance_start: float | None
    """Share of the steps before the prompt pulls; below the end. Outside the two a step is computed
    without the negative prompt, in half the time. (0 to 1; default: 0)"""
    guidance_end: float | None
    """Share of the steps after which it no longer does. (0 to 1; default: 1)"""
    controlnet_conditioning_scale: float | None
    """How strongly the sketch's edges hold. (0 to 2; default: 1.5)"""
    control_guidance_start: float | None
    """Share of the steps before the edges hold; below the end. (0 to 1; default: 0)"""
    control_guidance_end: float | None
    """Share of the steps after which they no longer hold. (0 to 1; default: 1)"""
    ip_adapter_scale: float | Sequence[float] | None
    """How strongly the style shows: once, or once per cross-attention layer of the pack, as the
    server's information says. (0 to 2; default: 0.8)"""
    style_mode: str | None
    """What shows of the style picture: style, its colours and materials, composition, where what is
    in it, or both. The first two switch layers of ip_adapter_scale off. (both, style, composition;
    default: both)"""
    style_start: float | None
    """Share of the steps before the style shows; below the end. (0 to 1; default: 0)"""
    style_end: float | None
    """Share of the steps after which it no longer does. (0 to 1; default: 1)"""
    sketch_kind: str | None
    """What the sketch is: clean, inverted (light lines on dark), photo (of a drawing on paper,
    which is freed of paper and shadow; also faint pencil) or transparent; auto looks at it. (auto,
    clean, inverted, photo, transparent; default: auto)"""
    control_mode: str | None
    """What holds of the sketch: canny, its edges, or lines, the straight ones, of which nearly
    level and upright ones are made so. (canny, lines; default: canny)"""
    canny_low_threshold: int | None
    """Edges weaker than this are dropped; at most canny_high_threshold. (0 to 1000; default: 50)"""
    canny_high_threshold: int | None
    """Edges stronger than this are kept. (0 to 1000; default: 150)"""
    scheduler: str | None
    """The sampler. (ddim, euler, euler_a, dpmpp_2m, lcm; default: dpmpp_2m)"""
    width: int | None
    """Pixels; follows the sketch when left out. Times the height at most the pack's max_pixels, as
    the server's information says. (128 to 1024, a multiple of 64)"""
    height: int | None
    """Pixels; follows the sketch when left out. (128 to 1024, a multiple of 64)"""
    num_images: int | None
    """Pictures, with seeds in a row. (1 to 4; default: 1)"""
    preview_interval: int | None
    """Steps from one preview to the next; 0 makes none. (0 to 150; default: 0)"""
    versions: str | None
    """Of the networks; left out, the service chooses: the champion, as a rule. (champion,
    candidate, previous)"""
    image: File | None
    """A picture to go on from: PNG, JPEG or WebP, or render/<id>/<n> for the picture n (from 0) of
    a render of yours that is kept."""
    strength: float | None
    """How much of the image changes: the share of the steps that are taken; 0.8 when left out, 1
    with a mask or pad. (0.01 to 1)"""
    mask: File | None
    """Where the image is painted anew, of its size: white, or what is transparent. Grey goes free
    on the way. Where it is black, the picture comes back pixel for pixel."""
    mask_blur: int | None
    """Pixels by which the mask's border is blurred. (0 to 64; default: 0)"""
    control_in_mask: bool | None
    """Whether the edges hold where it is painted anew. (default: true)"""
    pad: Sequence[int] | None
    """Pixels that are painted around the image: left, top, right, bottom. (0 to 512)"""
    variation_strength: float | None
    """How far the noise is turned to that of variation_seed; above 0, several pictures have one
    seed, and variation seeds in a row. (0 to 1; default: 0)"""
    variation_seed: int | None
    """The seed of the noise that is mixed in; drawn when left out. (0 to 4294967295)"""
    upscale: int | None
    """How many times as wide and high the picture becomes in the end, painted in tiles. An image
    without strength, mask and pad is enlarged as it is. (1, 2, 4; default: 1)"""
    upscale_strength: float | None
    """How much of the picture changes as it is enlarged: the share of the steps that are taken.
    (0.05 to 1; default: 0.35)"""
    structure_min: float | None
    """The least structure_f1 of a picture: one that is below it is painted again, and the best is
    returned. 0 takes every picture. (0 to 1; default: 0)"""
    max_attempts: int | None
    """How often a picture is painted to reach structure_min: with other seeds, from the third time
    on with more control. (1 to 5; default: 3)"""
    fidelity: float | None
    """How much of the sketch holds: 0 nothing, 0.75 as much as by default, 1 most; stands for
    controlnet_conditioning_scale, control_guidance_start and control_guidance_end. (0 to 1)"""
    profile: str | None
    """How much work is put into it: quality is what is painted by default, balanced about half of
    that, fast as little as the pack is good for; stands for the scheduler, num_inference_steps,
    guidance_scale, guidance_start and guidance_end. (quality, balanced, fast)"""
    id: str | None
    """The render's id, your choice: letters, digits, dots, hyphens, underscores."""
    keep_running: bool | None
    """Go on when nobody listens any more, so that the result can be fetched. (default: false)"""


class StyleOptions(TypedDict, total=False):
    """What a new style can have beside its image and name. None: left out."""

    tags: Sequence[str] | None
    """Short words that retrieval can filter by."""
    replace: bool | None
    """Take the place of a style that has the same id and differs. (default: false)"""
