"""The bodies of /v1/images: OpenAI's fields, and those of a render."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal, Self

from pydantic import BaseModel, Field, ValidationInfo, field_validator, model_validator

from gateway.doors.http.bodies import Boolean, Text, Whole, model_of
from gateway.doors.http.submissions import Submission
from gateway.doors.validation import refused
from gateway.information import VIRTUAL_MODEL
from pipeline.attempts import Attempt
from pipeline.errors import InvalidRequest, Words
from pipeline.request import FIELDS, RANGES, SIZE_STEP, RenderRequest

MODEL = VIRTUAL_MODEL
MAX_PARTIAL = 3
"""Partial images of a render, as OpenAI bounds them."""

# What else OpenAI's models know. Nothing is dropped without a word.
NEVER = {
    "markup": "The sketch itself guides the render: leave it out.",
    "svg": "Pictures are PNG files.",
    "frame_count": "Pictures are PNG files.",
    "frame_duration_ms": "Pictures are PNG files.",
}
"""Fields that are refused, and what to do instead."""
ONLY: Mapping[str, tuple[tuple[str | int, ...], str]] = {
    "response_format": (("b64_json",), "Pictures come in the answer, never as links."),
    "output_format": (("png",), "Convert the picture yourself."),
    "output_compression": ((100,), "PNG loses nothing."),
    "background": (("opaque", "auto"), "Renders are opaque."),
}
"""Fields that may say what is so anyway."""
NO_EFFECT = {
    "quality": "num_inference_steps decides",
    "complexity": "num_inference_steps decides",
    "input_fidelity": "fidelity decides",
    "moderation": "the service's own moderation decides",
}
"""Fields that change nothing, which a warning tells."""
SAME = {"n": ("num_images",), "size": ("width", "height"), "partial_images": ("preview_interval",)}
"""Fields that say what ours say."""
_WIDTHS = RANGES["width"]
SIDES = "|".join(map(str, range(int(_WIDTHS.low), int(_WIDTHS.high) + 1, SIZE_STEP)))


def _fixed(name: str) -> Any:
    allowed, _ = ONLY[name]
    return Field(allowed[0], json_schema_extra={"enum": [*allowed]})


def _idle(name: str) -> Any:
    return Field("auto", description=f"No effect: {NO_EFFECT[name]}.")


class ImagesSubmission(Submission):
    """OpenAI's fields of a request. Those of a render are added from their table."""

    model: Text = Field(MODEL, json_schema_extra={"enum": [MODEL]})
    n: Whole = Field(1, json_schema_extra={**FIELDS["num_images"].bounds})
    size: Text = Field(
        "auto",
        description="WIDTHxHEIGHT, or auto to follow the sketch.",
        json_schema_extra={"pattern": f"^(auto|({SIDES})x({SIDES}))$"},
    )
    stream: Boolean = Field(False, description="Answer with events.")
    partial_images: Whole = Field(
        0,
        description="Previews in the events, at most; only with stream.",
        json_schema_extra={"minimum": 0, "maximum": MAX_PARTIAL},
    )
    response_format: Text = _fixed("response_format")
    output_format: Text = _fixed("output_format")
    output_compression: Whole = _fixed("output_compression")
    background: Text = _fixed("background")
    quality: Text = _idle("quality")
    complexity: Text = _idle("complexity")
    input_fidelity: Text = _idle("input_fidelity")
    moderation: Text = _idle("moderation")
    user: Text = Field("", description="Changes nothing.")
    safety_identifier: Text = Field("", description="Changes nothing.")

    @model_validator(mode="before")
    @classmethod
    def _never(cls, sent: dict[str, Any]) -> dict[str, Any]:
        for name in NEVER.keys() & sent.keys():
            raise InvalidRequest(name, Words("set"), "nothing here", NEVER[name])
        return sent

    @field_validator(*ONLY)
    @classmethod
    def _only(cls, value: str | int, about: ValidationInfo) -> str | int:
        allowed, remedy = ONLY[str(about.field_name)]
        if value not in allowed:
            raise refused(" or ".join(map(str, allowed)), remedy)
        return value

    @model_validator(mode="after")
    def _check(self) -> Self:
        partial = self.partial_images
        if not 0 <= partial <= MAX_PARTIAL:
            raise InvalidRequest("partial_images", partial, f"0 to {MAX_PARTIAL}", "Send fewer.")
        if partial and not self.stream:
            remedy = "Set stream to true."
            raise InvalidRequest("partial_images", partial, "0 without stream", remedy)
        for name in filter(self._says, SAME):
            for other in self.model_fields_set.intersection(SAME[name]):
                found, allowed = getattr(self, other), f"nothing where {name} is set"
                raise InvalidRequest(other, found, allowed, "Send one of the two.")
        return self

    def render_request(self, **changed: Any) -> RenderRequest:
        """The render that is asked for, by OpenAI's fields and ours.

        Raises:
            InvalidRequest: a field is outside its range.
        """
        count = {"num_images": self.n} if self._says("n") else {}
        return super().render_request(**count, **_size(self.size), **changed)

    def with_previews(self, wanted: RenderRequest, steps: int) -> RenderRequest:
        """`wanted`, whose partial images are spread evenly over the `steps` that it takes."""
        if "partial_images" not in self.model_fields_set:
            return wanted
        partial = self.partial_images
        apart = math.ceil(steps / (partial + 1)) if partial else 0
        return replace(wanted, preview_interval=apart)

    @property
    def warnings(self) -> list[str]:
        """What was asked for in vain."""
        idle = (name for name in NO_EFFECT if self._says(name))
        return [f"{name} has no effect here; {NO_EFFECT[name]}." for name in idle]

    def _says(self, name: str) -> bool:
        return name in self.model_fields_set and getattr(self, name) != "auto"


GenerationSubmission = model_of("GenerationSubmission", FIELDS, ImagesSubmission)


class EditSubmission(ImagesSubmission):
    """The same of images.edit, whose `image` is a sketch until it is to be refined."""

    @property
    def begins_with_image(self) -> bool:
        """Whether `image` is a picture to go on from: what says how is there."""
        return not self.model_fields_set.isdisjoint({"sketch", "strength", "mask", "pad"})

    def render_request(self, **changed: Any) -> RenderRequest:
        """The render that is asked for.

        Raises:
            InvalidRequest: a field is outside its range.
        """
        if not self.begins_with_image:
            changed |= {"sketch": getattr(self, "image"), "image": b""}  # noqa: B009 - from the table
        return super().render_request(**changed)


EditForm = model_of(
    "EditForm", {**FIELDS, "image": replace(FIELDS["image"], required=True)}, EditSubmission
)


class Usage(BaseModel):
    """OpenAI's clients want it, and nothing is counted in tokens here."""

    input_tokens: int = 0
    input_tokens_details: dict[str, int] = {"image_tokens": 0, "text_tokens": 0}
    output_tokens: int = 0
    total_tokens: int = 0


class ImageForm(BaseModel):
    """What a picture is as a file."""

    background: Literal["opaque"] = "opaque"
    output_format: Literal["png"] = "png"
    size: str = Field(description="WIDTHxHEIGHT.")


class ImageBody(BaseModel):
    """One finished picture."""

    b64_json: str
    seed: int
    structure_f1: float
    clip_score: float | None
    image_style_score: float | None


class RenderFacts(ImageForm):
    """What is so of every picture of a render."""

    style: str | None
    style_score: float | None
    attempts: tuple[Attempt, ...]
    styles: dict[str, float] = Field(description="The weight of each style, by its id.")
    warnings: list[str]
    usage: Usage = Usage()


class ImagesBody(RenderFacts):
    """The pictures of a render."""

    created: int
    data: list[ImageBody]


class ImageEvent(BaseModel):
    """A server-sent event."""

    type: str
    created_at: int
    quality: Literal["auto"] = "auto"


class PartialImage(ImageEvent, ImageForm):
    """A preview, smaller than the picture."""

    b64_json: str
    image_index: int
    partial_image_index: int


class CompletedImage(ImageEvent, ImageBody, RenderFacts):
    """A finished picture."""


def _size(size: str) -> dict[str, int]:
    if size == "auto":
        return {}
    found = re.fullmatch(r"([0-9]{1,5})x([0-9]{1,5})", size)
    width, height = map(int, found.groups()) if found else (0, 0)
    if not (RANGES["width"].holds(width) and RANGES["height"].holds(height)):
        allowed = f"auto, or WIDTHxHEIGHT such as 256x256, each {RANGES['width']}"
        raise InvalidRequest("size", size, allowed, "Leave it out to follow the sketch.")
    return {"width": width, "height": height}
