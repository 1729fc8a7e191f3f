"""What calls bring: plain objects, without protobuf."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeVar

from maquette.v1 import maquette_pb2 as pb
from versions import durable

Kind = TypeVar("Kind")


def numbered(path: Path, count: int) -> list[Path]:
    """Names for `count` pictures: house.png, house-2.png and so on."""
    return [path, *(path.with_stem(f"{path.stem}-{n}") for n in range(2, count + 1))]


@dataclass(frozen=True)
class Style:
    """A picture in the style library."""

    id: str
    name: str
    tags: tuple[str, ...]
    sha256: str
    """Of the stored PNG, in hexadecimal."""
    width: int
    height: int


@dataclass(frozen=True)
class ScoredStyle:
    """A style and how near it is to what was asked."""

    style: Style
    score: float | None
    """Cosine similarity, -1 to 1; None where nothing was compared."""


@dataclass(frozen=True)
class Image:
    """One finished picture."""

    png: bytes
    seed: int
    structure_f1: float
    """How well it keeps the sketch's edges, 0 to 1."""


@dataclass(frozen=True)
class Timings:
    """Wall-clock seconds of each stage, in order."""

    queue_seconds: float
    embed_seconds: float
    search_seconds: float
    condition_seconds: float
    denoise_seconds: float
    decode_seconds: float
    total_seconds: float


@dataclass(frozen=True)
class Accepted:
    """The request is accepted; the first event of a stream."""

    id: str


@dataclass(frozen=True)
class StyleChosen(ScoredStyle):
    """The library's style that the render will wear."""


@dataclass(frozen=True)
class Progress:
    """A step is done; step 0 when the render has left the queue."""

    step: int
    steps: int
    previews: tuple[bytes, ...] = ()
    """One small PNG per picture; none at most steps."""


@dataclass(frozen=True)
class Result:
    """A finished render; the last event of a stream."""

    id: str
    images: tuple[Image, ...]
    style: Style | None
    """None when the caller sent reference pictures."""
    style_score: float | None
    """None when the style was not retrieved."""
    control_image: bytes
    """The edges that ControlNet was given, as PNG."""
    style_image: bytes
    """The first reference picture; a smaller PNG of one that has more than 512 KiB."""
    warnings: tuple[str, ...]
    timings: Timings
    versions: Mapping[str, int]
    """Of the networks that took part, by their names."""

    def save(self, path: str | Path) -> list[Path]:
        """Write the first picture to `path` and the others beside it: house.png, house-2.png.

        Raises:
            OSError: one cannot be written; a file that it was to replace is as it was.
        """
        files = numbered(Path(path), len(self.images))
        for file, image in zip(files, self.images, strict=True):
            durable.write_bytes(file, image.png)
        return files


Event = Accepted | StyleChosen | Progress | Result


class State(StrEnum):
    """Where a render is."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass(frozen=True)
class Render:
    """How a render is getting on."""

    id: str
    state: State
    created: datetime
    progress: Progress | None
    style: ScoredStyle | None
    result: Result | None
    error_code: str
    """Why it failed: the name of a gRPC status, and the sentence; empty unless it did."""
    error_message: str


@dataclass(frozen=True)
class ServedModel:
    """A model that Triton serves."""

    name: str
    version: str
    ready: bool


@dataclass(frozen=True)
class RenderLimits:
    """Which pictures can be asked for, in pixels."""

    native_side: int
    """Of a square picture; what the pack is made for. 0 until the server knows it."""
    max_pixels: int
    """Width times height at most; 0 until the server knows it."""
    min_side: int
    max_side: int
    side_step: int
    """Sides are multiples of it."""
    max_steps: Mapping[str, int]
    """Denoising steps at most, by scheduler."""


@dataclass(frozen=True)
class ServerInfo:
    """What serves."""

    version: str
    triton_version: str
    models: tuple[ServedModel, ...]
    pack: str
    pack_revision: str
    schedulers: tuple[str, ...]
    scopes: tuple[str, ...]
    served_versions: Mapping[str, Mapping[str, int]]
    """What a render's ``versions`` may ask for, by alias: the version of each network."""
    problem: str
    """Why the newest choice of versions does not serve; empty where it does."""
    clip: int
    """The version of the pair that embeds, and whose vectors are searched."""
    limits: RenderLimits


@dataclass(frozen=True)
class Manifest:
    """What an exporter says of one version of a network."""

    network: str
    pack: str
    revision: str
    """sha256 over the pack's files that it was made of."""
    sha256: str
    """Tells its files from any others."""
    build: Mapping[str, str]
    """Its engine and precision."""
    error: float
    """Largest difference from torch, relative to the largest value."""
    tolerance: float
    opset: int
    libraries: Mapping[str, str]
    created: str
    licence: str


@dataclass(frozen=True)
class ModelVersion:
    """One version of a network, or of the pair that finds styles."""

    model: str
    version: int
    aliases: tuple[str, ...]
    """Which of champion, candidate and previous it is."""
    few_steps: bool
    """Whether it is the UNet that is served beside the champion, for few steps."""
    megabytes: float
    problem: str
    """Why it is not whole; empty where it is."""
    loaded: bool
    """Whether it answers now."""
    manifests: tuple[Manifest, ...]
    """One for each network in it."""


@dataclass(frozen=True)
class Change:
    """What an operation on versions did."""

    said: tuple[str, ...]
    """Sentences; what was found half done comes first."""
    changed: bool
    """Whether anything is otherwise than before; after a dry run nothing is."""
    model: str
    version: int
    """The one that was published, promoted, rolled back to or retired; 0 for none."""
    champion: Mapping[str, int]
    """The version of each network that paints in the champion's set of versions afterwards."""
    would_change: bool
    """Whether a dry run found something to change."""


@dataclass(frozen=True)
class Reembedded:
    """How far a re-embedding of the library is."""

    done: int
    total: int
    failed: Mapping[str, str]
    """Why a style could not be embedded, by its id."""
    complete: bool
    """Whether every style has its vector, so that the pair can be promoted."""


@dataclass(frozen=True)
class CanaryBounds:
    """What a candidate may cost; outside of it the canary is called off."""

    max_error_share: float
    """Of its renders that may fail."""
    max_latency_ratio: float
    """Its time for a render over the champion's."""
    max_structure_loss: float
    """How far its structure F1 may lie below the champion's."""
    least_renders: int
    """Of each, before anything is concluded."""


@dataclass(frozen=True)
class Canary:
    """How the candidate is tried on what people ask for."""

    share: float
    """Of the renders that it makes, 0 to 1."""
    shadow: float
    """Of the renders that it makes as well, unseen, 0 to 1."""
    bounds: CanaryBounds
    who: str
    why: str
    since: str
    """In ISO 8601; empty where none was ever tried."""
    candidate_renders: int
    """By the candidate by now, in the server that answers."""
    failed_renders: int
    """Those of them that failed by its fault."""
    champion_renders: int


@dataclass(frozen=True)
class VersionDifference:
    """A fact about versions that differs; empty where one has no such fact."""

    name: str
    """As it stands in the manifest, such as ``build.precision``."""
    one: str
    other: str


@dataclass(frozen=True)
class Comparison:
    """Two versions, and where they differ."""

    one: int
    other: int
    differences: tuple[VersionDifference, ...]


@dataclass(frozen=True)
class PastChange:
    """Something that was done with versions."""

    id: str
    time: str
    """In ISO 8601."""
    action: str
    """publish, gate, promote, rollback, withdraw, retire, canary or reembed."""
    model: str
    """Of a canary, every network that had a candidate."""
    who: str
    why: str
    from_version: int | None
    to_version: int | None
    source: str
    """Of publishing, the URI that the engine was fetched from."""
    forced: bool
    """Whether it was done without a passed gate."""
    passed: bool | None
    """Of a gate, what it decided."""
    pinned: Mapping[str, int]
    """The version of each network that was tried."""
    sha256: Mapping[str, str]
    """What tells each of them from others of that number."""
    report: str
    """Path of the report, where it was written."""
    measures: Mapping[str, float]
    """Of a gate its figures; of a canary its shares, and what it came to."""


@dataclass(frozen=True)
class VersionStep:
    """How far publishing or a gate is."""

    doing: str
    """In a few words."""
    done: int
    """Bytes or renders."""
    total: int
    """0 where nobody knows."""


@dataclass(frozen=True)
class GateVerdict:
    """How a candidate did beside the champion."""

    passed: bool
    said: tuple[str, ...]
    """Sentences for people."""
    missed: tuple[str, ...]
    """A sentence for each threshold that was not met; none if it passed."""
    pinned: Mapping[str, int]
    """The version of each network that was tried."""
    champion: Mapping[str, int]
    """The same of what it was compared with."""
    measures: Mapping[str, float]
    """Every figure that was measured."""
    report: str
    """Path on the server of a report with pictures."""


def style(message: pb.Style) -> Style:
    """A style from its message."""
    return _alike(Style, message, tags=tuple(message.tags))


def scored_style(message: pb.ScoredStyle) -> ScoredStyle:
    """A style and its score from their message."""
    return ScoredStyle(style(message.style), _optional(message, "score"))


def result(message: pb.RenderResponse) -> Result:
    """A finished render from its message."""
    return _alike(
        Result,
        message,
        images=tuple(_alike(Image, image) for image in message.images),
        style=style(message.style) if message.HasField("style") else None,
        style_score=_optional(message, "style_score"),
        warnings=tuple(message.warnings),
        timings=_alike(Timings, message.timings),
        versions=dict(message.versions),
    )


def event(message: pb.RenderStreamResponse) -> Event | None:
    """An event of a stream from its message; None for a kind that a newer service may send."""
    match message.WhichOneof("event"):
        case "accepted":
            return Accepted(message.accepted.id)
        case "style":
            chosen = scored_style(message.style)
            return StyleChosen(chosen.style, chosen.score)
        case "progress":
            return _progress(message.progress)
        case "result":
            return result(message.result)
    return None


def render(message: pb.GetRenderResponse) -> Render:
    """How a render is getting on, from its message."""
    return _alike(
        Render,
        message,
        state=state(message.state),
        created=message.create_time.ToDatetime(UTC),
        progress=_progress(message.progress) if message.HasField("progress") else None,
        style=scored_style(message.style) if message.HasField("style") else None,
        result=result(message.result) if message.HasField("result") else None,
    )


def state(number: pb.RenderState) -> State:
    """A state from its number."""
    return State(pb.RenderState.Name(number).removeprefix("RENDER_STATE_").lower())


def info(message: pb.ServerInfoResponse) -> ServerInfo:
    """What serves, from its message."""
    return _alike(
        ServerInfo,
        message,
        models=tuple(_alike(ServedModel, model) for model in message.models),
        schedulers=tuple(message.schedulers),
        scopes=tuple(message.scopes),
        served_versions={pinned.alias: dict(pinned.versions) for pinned in message.served_versions},
        limits=_alike(RenderLimits, message.limits, max_steps=dict(message.limits.max_steps)),
    )


def version(message: pb.ModelVersion) -> ModelVersion:
    """A version from its message."""
    return _alike(
        ModelVersion,
        message,
        aliases=tuple(message.aliases),
        manifests=tuple(
            _alike(Manifest, found, build=dict(found.build), libraries=dict(found.libraries))
            for found in message.manifests
        ),
    )


def change(message: pb.VersionChange) -> Change:
    """What an operation on versions did, from its message."""
    return _alike(Change, message, said=tuple(message.said), champion=dict(message.champion))


def canary(message: pb.Canary) -> Canary:
    """How the candidate is tried, from its message."""
    return _alike(Canary, message, bounds=_alike(CanaryBounds, message.bounds))


def comparison(message: pb.DiffVersionsResponse) -> Comparison:
    """Where two versions differ, from its message."""
    found = tuple(_alike(VersionDifference, each) for each in message.differences)
    return _alike(Comparison, message, differences=found)


def past_change(message: pb.PastChange) -> PastChange:
    """Something that was done, from its message."""
    unset = {name: _optional(message, name) for name in ("from_version", "to_version", "passed")}
    maps = {name: dict(getattr(message, name)) for name in ("pinned", "sha256", "measures")}
    return _alike(PastChange, message, **unset, **maps)


def publishing(message: pb.PublishVersionResponse) -> VersionStep | Change | None:
    """A step, or what was done, from its message; None for what a newer service may send."""
    match message.WhichOneof("event"):
        case "step":
            return _alike(VersionStep, message.step)
        case "change":
            return change(message.change)
    return None


def gating(message: pb.GateVersionResponse) -> VersionStep | GateVerdict | None:
    """A step, or the verdict, from its message; None for what a newer service may send."""
    match message.WhichOneof("event"):
        case "step":
            return _alike(VersionStep, message.step)
        case "verdict":
            return _verdict(message.verdict)
    return None


def _verdict(message: pb.GateVerdict) -> GateVerdict:
    maps = {name: dict(getattr(message, name)) for name in ("pinned", "champion", "measures")}
    return _alike(
        GateVerdict, message, said=tuple(message.said), missed=tuple(message.missed), **maps
    )


def reembedded(message: pb.ReembedStylesResponse) -> Reembedded:
    """How far a re-embedding is, from its message."""
    return _alike(Reembedded, message, failed=dict(message.failed))


def _progress(message: pb.Progress) -> Progress:
    return _alike(Progress, message, previews=tuple(message.previews))


def _alike(kind: type[Kind], message: Any, **known: Any) -> Kind:
    """An object of `kind` with the fields of `message` that share its names, beside the `known`."""
    names = [field.name for field in fields(kind)]  # type: ignore[arg-type]
    alike: Mapping[str, Any] = {name: getattr(message, name) for name in names if name not in known}
    return kind(**alike, **known)


def _optional(message: Any, field: str) -> Any:
    return getattr(message, field) if message.HasField(field) else None
