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
from gateway.background.jobs import Step
from gateway.doors.http.errors import Problem
from gateway.information import Facts
from gateway.renders.render import Render, State
from gateway.rollout.administration import Compared, Listed, Tried
from gateway.rollout.gating import Judged
from gateway.telemetry.outcomes import Timings
from gateway.worker import events
from retrieval.styles import ScoredStyle, Style
from versions.history import Entry, Page
from versions.operations import Outcome

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


class StylePage(BaseModel):
    """Some styles, in the order of their ids."""

    styles: list[StyleBody]
    next_page_token: str = Field(description="Asks for the next page; empty on the last one.")


class Scored(BaseModel):
    """A style, and how near it is to what was asked."""

    style: StyleBody
    score: float | None = Field(
        default=None, description="Cosine similarity, -1 to 1; null where nothing was compared."
    )

    @classmethod
    def of(cls, found: ScoredStyle | events.Chosen) -> Scored:
        """The body that tells `found`."""
        return cls(style=StyleBody.of(found.style), score=found.score)


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


class Image(BaseModel):
    """One finished picture."""

    seed: int
    structure_f1: float = Field(
        description="F1 of its edges against the sketch's, 2 pixels tolerance, 0 to 1."
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
    progress: ProgressBody | None = None
    style: Scored | None = Field(default=None, description="The style, once it is chosen.")
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
            style=Scored.of(render.chosen) if render.chosen else None,
            images=_images(render, with_images=with_images),
            timings=result.timings if result else None,
            warnings=list(result.warnings) if result else [],
            versions=dict(result.versions) if result else {},
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


class ManifestBody(BaseModel):
    """What an exporter says of one version of a network."""

    network: str
    pack: str
    revision: str = Field(description="sha256 over the pack's files that it was made of.")
    sha256: str = Field(description="Tells its files from any others.")
    build: dict[str, str] = Field(description="Its engine and precision.")
    error: float = Field(
        description="Largest difference from torch, relative to the largest value."
    )
    tolerance: float
    opset: int
    libraries: dict[str, str] = Field(description="The exporter's version and its libraries'.")
    created: str = Field(description="In ISO 8601.")
    licence: str = Field(description="As the pack names it; empty where it does not.")


class VersionBody(BaseModel):
    """One version of a network, or of the pair that finds styles."""

    model: str
    version: int
    aliases: list[str] = Field(description="Which of champion, candidate and previous it is.")
    few_steps: bool = Field(description="Whether it is served beside the champion, for few steps.")
    megabytes: float
    problem: str = Field(description="Why it is not whole; empty where it is.")
    loaded: bool = Field(description="Whether it answers now.")
    manifests: list[ManifestBody] = Field(description="One for each network in it.")

    @classmethod
    def of(cls, listed: Listed) -> VersionBody:
        """The body that tells `listed`."""
        found = listed.version
        manifests = [
            ManifestBody.model_validate(each, from_attributes=True)
            for each in found.manifests.values()
        ]
        return cls(
            model=found.model,
            version=found.version,
            aliases=list(found.aliases),
            few_steps=found.few_steps,
            megabytes=round(found.megabytes, 1),
            problem=found.problem,
            loaded=listed.loaded,
            manifests=manifests,
        )


class CanaryBody(BaseModel):
    """How the candidate is tried on what people ask for."""

    share: float = Field(description="Of the renders that it makes.")
    shadow: float = Field(description="Of the renders that it makes as well, unseen.")
    bounds: dict[str, float] = Field(description="Outside of them it is called off.")
    who: str
    why: str
    since: str = Field(description="In ISO 8601; empty where none was ever tried.")
    candidate_renders: int = Field(description="By the candidate by now, in this gateway.")
    failed_renders: int = Field(description="Those of them that failed by its fault.")
    champion_renders: int = Field(description="By the champion meanwhile.")

    @classmethod
    def of(cls, tried: Tried) -> CanaryBody:
        """The body that tells `tried`."""
        found = {**vars(tried.canary), "bounds": vars(tried.canary.bounds)}
        return cls(**found, **vars(tried.counts))


class VersionsBody(BaseModel):
    """The versions there are, and how the candidate is tried."""

    versions: list[VersionBody] = Field(description="Of each model the oldest first.")
    canary: CanaryBody


class ChangeBody(BaseModel):
    """What an operation on versions did."""

    said: list[str] = Field(description="Sentences; what was found half done comes first.")
    changed: bool = Field(description="Whether anything is otherwise than before.")
    would_change: bool = Field(description="Whether a dry run found something to change.")
    model: str
    version: int | None = Field(
        default=None,
        description="The one that was published, promoted, rolled back to or retired.",
    )
    champion: dict[str, int] = Field(
        description="The version of each network with which the champion paints afterwards."
    )

    @classmethod
    def of(cls, outcome: Outcome) -> ChangeBody:
        """The body that tells `outcome`."""
        return cls(
            said=list(outcome.said),
            changed=outcome.changed,
            would_change=outcome.would_change,
            model=outcome.model,
            version=outcome.version,
            champion=dict(outcome.serving),
        )


class DifferenceBody(BaseModel):
    """A fact that differs; empty where a version has no such fact."""

    name: str = Field(description="As it stands in the manifest, such as build.precision.")
    one: str
    other: str


class ComparedBody(BaseModel):
    """Two versions, and where they differ."""

    one: int
    other: int
    differences: list[DifferenceBody]

    @classmethod
    def of(cls, found: Compared) -> ComparedBody:
        """The body that tells `found`."""
        return cls.model_validate(found, from_attributes=True)


class PastChangeBody(BaseModel):
    """Something that was done with versions."""

    id: str
    time: str = Field(description="In ISO 8601.")
    action: str
    model: str = Field(description="Of a canary, every network that had a candidate.")
    who: str
    why: str
    from_version: int | None
    to_version: int | None
    source: str = Field(description="Of publishing, the URI that the engine was fetched from.")
    forced: bool = Field(description="Whether it was done without a passed gate.")
    passed: bool | None = Field(description="Of a gate, what it decided.")
    pinned: dict[str, int] = Field(
        description="Of a gate or a canary, the version of each network that was tried."
    )
    sha256: dict[str, str] = Field(description="What tells each of them from others.")
    report: str = Field(description="Path of the report, where it was written.")
    measures: dict[str, float] = Field(
        description="Of a gate its figures; of a canary its shares, and what it came to."
    )

    @classmethod
    def of(cls, entry: Entry) -> PastChangeBody:
        """The body that tells `entry`."""
        return cls(**vars(entry))


class PastChangesBody(BaseModel):
    """Some of what was done with versions, the newest first."""

    changes: list[PastChangeBody]
    next_page_token: str = Field(description="Asks for the next page; empty on the last one.")

    @classmethod
    def of(cls, page: Page) -> PastChangesBody:
        """The body that tells `page`."""
        changes = [PastChangeBody.of(entry) for entry in page.entries]
        return cls(changes=changes, next_page_token=page.next_id)


class StepBody(BaseModel):
    """How far a long operation is."""

    doing: str = Field(description="In a few words.")
    done: int = Field(description="Bytes or renders.")
    total: int = Field(description="0 where nobody knows.")

    @classmethod
    def of(cls, step: Step) -> StepBody:
        """The body that tells `step`."""
        return cls(**vars(step))


class VerdictBody(BaseModel):
    """How a candidate did beside the champion."""

    passed: bool
    said: list[str]
    missed: list[str] = Field(description="A sentence for each threshold that was not met.")
    pinned: dict[str, int] = Field(description="The version of each network that was tried.")
    champion: dict[str, int] = Field(description="The same of what it was compared with.")
    measures: dict[str, float]
    report: str = Field(description="Path on the server of a report with pictures.")

    @classmethod
    def of(cls, judged: Judged) -> VerdictBody:
        """The body that tells `judged`."""
        return cls(said=list(judged.said), **vars(judged.verdict))


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
            structure_f1=picture.structure_f1,
            url=f"{path_of(render)}/images/{n}",
            png=in_base64(picture.png) if with_images else None,
        )
        for n, picture in enumerate(pictures)
    ]
