"""The JSON that is answered, and how our own objects become it."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Annotated, Any

from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from gateway.auth.caller import Caller
from gateway.doors.http.errors import Problem
from gateway.information import Facts
from gateway.renders.render import Render, State
from gateway.telemetry.outcomes import Timings
from gateway.worker import events
from pipeline.attempts import Attempt
from retrieval.styles import ScoredStyle, Style

THUMBNAIL = 256
"""Longest side in pixels of the pictures that lists link to."""

Base64 = Annotated[str, Field(description="A PNG file, in base64.")]


class StyleBody(BaseModel):
    """A picture in the style library."""

    id: str = Field(description="Lower-case words joined by hyphens.")
    name: str
    tags: tuple[str, ...]
    sha256: str = Field(description="Of the stored PNG.")
    width: int
    height: int
    thumbnail: str = Field(description="Path of a small picture of it.")

    @classmethod
    def of(cls, style: Style) -> StyleBody:
        """The body that tells `style`."""
        path = f"/v1/styles/{style.id}/image?size={THUMBNAIL}"
        return cls(**style.payload(), thumbnail=path)


class AddedBody(StyleBody):
    """A style that was added, or was there already."""

    warnings: tuple[str, ...] = Field(description="Whether the picture was scaled down.")


class StylePage(BaseModel):
    """Some styles, in the order of their ids."""

    styles: list[StyleBody]
    next_page_token: str = Field(description="Asks for the next page; empty on the last one.")


class Scored(BaseModel):
    """A style, how near it is to what was asked, and its part in a render."""

    style: StyleBody
    score: float | None = Field(
        default=None, description="Cosine similarity, -1 to 1; null where nothing was compared."
    )
    weight: float | None = Field(
        default=None, description="Among the render's styles; null where nothing is rendered."
    )

    @classmethod
    def of(cls, found: ScoredStyle | events.BlendedStyle) -> Scored:
        """The body that tells `found`."""
        weight = found.weight if isinstance(found, events.BlendedStyle) else None
        return cls(style=StyleBody.of(found.style), score=found.score, weight=weight)


class Found(BaseModel):
    """What a search found, nearest first."""

    styles: list[Scored]


class ProgressBody(BaseModel):
    """A step is done; step 0 when the render has left the queue."""

    step: int
    steps: int
    previews: list[str] = Field(
        default=[], description="One small picture per image, as data: URLs; none at most steps."
    )

    @classmethod
    def of(cls, step: events.Stepped) -> ProgressBody:
        """The body that tells `step`."""
        previews = [f"data:image/png;base64,{in_base64(png)}" for png in step.previews]
        return cls(step=step.step, steps=step.steps, previews=previews)


class AttemptedBody(BaseModel):
    """An attempt to reach structure_min has ended; the next one begins with step 1 again."""

    attempt: int = Field(description="From 1.")
    max_attempts: int
    images: tuple[Attempt, ...] = Field(description="The pictures that were painted in it.")


class Image(BaseModel):
    """One finished picture."""

    seed: int
    structure_f1: float = Field(
        description="F1 of its edges against the sketch's, 2 pixels tolerance, 0 to 1."
    )
    clip_score: float | None = Field(
        default=None, description="Cosine similarity of picture and prompt; null: not measured."
    )
    style_score: float | None = Field(
        default=None, description="Cosine similarity of picture and references, by their weights."
    )
    url: str = Field(description="Path of the PNG, while the result is kept.")
    png: Base64 | None = Field(
        default=None, description="The PNG in base64; null where a render is only looked up."
    )


class Accepted(BaseModel):
    """The render is accepted: its id, and where to find it."""

    id: str
    links: dict[str, str]


class RenderBody(BaseModel):
    """A render, wherever it is."""

    id: str
    state: State
    created: datetime
    ahead: int | None = Field(
        default=None, description="Renders that wait before it, where it is looked up and waits."
    )
    progress: ProgressBody | None = None
    style: Scored | None = Field(
        default=None, description="The style, once it is chosen; the first of several."
    )
    styles: list[Scored] = Field(default=[], description="All of them, with their weights.")
    style_temperature: float | None = Field(
        default=None,
        description="Of the softmax that made weights of scores; null where it made none.",
    )
    images: list[Image] = []
    timings: Timings | None = Field(
        default=None, description="Wall-clock seconds of each stage, in order."
    )
    warnings: list[str] = Field(
        default=[],
        description="What the caller may want to change: a prompt that was cut, and the like.",
    )
    versions: dict[str, int] = Field(
        default={}, description="The version of each network that took part."
    )
    sketch_kind: str | None = Field(
        default=None, description="What the sketch was taken for, once it is rendered."
    )
    attempts: tuple[Attempt, ...] = Field(
        default=(), description="Every picture that was painted, where structure_min was set."
    )
    error: Problem | None = Field(default=None, description="Why it failed, if it did.")
    links: dict[str, str] = Field(description="Paths: self, events, cancel, control_image.")

    @classmethod
    def of(cls, render: Render, *, with_images: bool = False) -> RenderBody:
        """The body that tells `render`.

        Args:
            with_images: whether the pictures themselves are in it, or only where they are.
        """
        result = render.result
        return cls(
            id=render.id,
            state=render.state,
            created=render.created,
            progress=ProgressBody.of(render.progress) if render.progress else None,
            style=Scored.of(render.chosen.first) if render.chosen else None,
            styles=[*map(Scored.of, render.chosen.styles)] if render.chosen else [],
            style_temperature=render.chosen.temperature if render.chosen else None,
            images=_images(render, with_images=with_images),
            timings=result.timings if result else None,
            warnings=list(result.warnings) if result else [],
            versions=dict(result.versions) if result else {},
            sketch_kind=result.sketch_kind if result else None,
            attempts=result.attempts if result else (),
            error=Problem.of(render.error) if render.error else None,
            links=links(render),
        )


class RenderPage(BaseModel):
    """Some renders, the newest first."""

    renders: list[RenderBody]
    next_page_token: str = Field(description="Asks for the next page; empty on the last one.")


class ModelBody(BaseModel):
    """A model that Triton serves."""

    name: str
    version: str
    ready: bool


class RenderLimitsBody(BaseModel):
    """Which pictures can be asked for, in pixels."""

    native_side: int = Field(description="Of a square; what the pack is made for. 0: not known.")
    max_pixels: int = Field(description="Width times height at most. 0: not known.")
    min_side: int
    max_side: int
    side_step: int = Field(description="Sides are multiples of it.")
    max_steps: dict[str, int] = Field(description="Denoising steps at most, by scheduler.")
    cross_attention_layers: int = Field(
        description="Values of ip_adapter_scale, if there is more than one. 0: not known."
    )


class InfoBody(BaseModel):
    """What serves, and what the caller may do."""

    version: str
    triton_version: str = Field(description="Empty while Triton does not answer.")
    models: list[ModelBody]
    pack: str = Field(description="Empty until a render has told it.")
    pack_revision: str = Field(
        description="Changes with every engine that is exported anew or promoted."
    )
    schedulers: list[str]
    scopes: list[str] = Field(description="The caller's.")
    served_versions: dict[str, dict[str, int]] = Field(
        description="What `versions` may ask for: by alias, the version of each network."
    )
    problem: str = Field(description="Why the newest choice of versions does not serve, if so.")
    clip: int = Field(description="The version of the pair that embeds and finds styles.")
    limits: RenderLimitsBody

    @classmethod
    def of(cls, facts: Facts, caller: Caller) -> InfoBody:
        """The body that tells `facts` to `caller`."""
        served = {alias: pinned.versions for alias, pinned in facts.served_versions.items()}
        found = {**vars(facts), "served_versions": served, "scopes": sorted(caller.scopes)}
        return cls.model_validate(found, from_attributes=True)


def in_base64(png: bytes) -> str:
    """`png` as JSON can carry it."""
    return base64.b64encode(png).decode()


async def in_json(make: Callable[[], Any], headers: Mapping[str, str]) -> JSONResponse:
    """A response with what `make` makes, which holds pictures.

    Megabytes of base64 and JSON take a while, and others are served meanwhile.
    """
    return await asyncio.to_thread(lambda: JSONResponse(make(), headers=dict(headers)))


def path_of(render: Render) -> str:
    """Where `render` is looked up."""
    return f"/v1/renders/{render.id}"


def links(render: Render) -> dict[str, str]:
    """Where there is more of `render`."""
    path = path_of(render)
    found = {"self": path, "events": f"{path}/events", "cancel": f"{path}/cancel"}
    return found | ({"control_image": f"{path}/control_image"} if render.result else {})


def _images(render: Render, *, with_images: bool) -> list[Image]:
    pictures: Any = render.result.pictures if render.result else ()
    return [
        Image(
            seed=picture.seed,
            **vars(picture.scores),
            url=f"{path_of(render)}/images/{n}",
            png=in_base64(picture.png) if with_images else None,
        )
        for n, picture in enumerate(pictures)
    ]
