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
class AddedStyle:
    """A style that was added, or was there already."""

    style: Style
    added: bool
    """False when the library had this picture, name and tags already."""
    warnings: tuple[str, ...]
    """Whether the picture was scaled down, in a sentence."""


@dataclass(frozen=True)
class ScoredStyle:
    """A style, how near it is to what was asked, and its part in a render."""

    style: Style
    score: float | None
    """Cosine similarity, -1 to 1; None where nothing was compared."""
    weight: float | None = None
    """Among the styles of a render; None in a search."""


@dataclass(frozen=True)
class Image:
    """One finished picture."""

    png: bytes
    seed: int
    structure_f1: float
    """How well it keeps the sketch's edges, 0 to 1."""
    clip_score: float | None
    """Cosine similarity of picture and prompt, -1 to 1; None where it was not measured."""
    style_score: float | None
    """Cosine similarity of picture and references, -1 to 1: of several, the weighted mean."""


@dataclass(frozen=True)
class Attempt:
    """One picture that was painted to reach ``structure_min``."""

    attempt: int
    """From 1."""
    image: int
    """Which of the render's pictures it was to become, from 0."""
    seed: int
    structure_f1: float
    controlnet_conditioning_scale: float
    variation_seed: int | None
    """None where the noise was not turned."""


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
class Attempted:
    """An attempt to reach ``structure_min`` has ended; the next begins with step 1 again."""

    attempt: int
    """From 1."""
    max_attempts: int
    images: tuple[Attempt, ...]
    """The pictures that were painted in it."""


@dataclass(frozen=True)
class Result:
    """A finished render; the last event of a stream."""

    id: str
    images: tuple[Image, ...]
    style: Style | None
    """The first of several; None when the caller sent reference pictures."""
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
    sketch_kind: str
    """What the sketch was taken for."""
    attempts: tuple[Attempt, ...]
    """Every picture that was painted, where ``structure_min`` was set."""
    styles: tuple[ScoredStyle, ...]
    """All that were used, with their weights, as named or the nearest first."""
    style_temperature: float | None
    """Of the softmax that made their weights of their scores; None where it made none."""

    def save(self, path: str | Path) -> list[Path]:
        """Write the first picture to `path` and the others beside it: house.png, house-2.png.

        Raises:
            OSError: one cannot be written; a file that it was to replace is as it was.
        """
        files = numbered(Path(path), len(self.images))
        for file, image in zip(files, self.images, strict=True):
            durable.write_bytes(file, image.png)
        return files


Event = Accepted | StyleChosen | Progress | Attempted | Result


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
    cross_attention_layers: int
    """Values of ``ip_adapter_scale``, if there is more than one; 0 until the server knows it."""


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
class Reembedded:
    """How far a re-embedding of the library is."""

    done: int
    total: int
    failed: Mapping[str, str]
    """Why a style could not be embedded, by its id."""
    complete: bool
    """Whether every style has its vector, so that the pair can be promoted."""


def style(message: pb.Style) -> Style:
    """A style from its message."""
    return _read(Style, message)


def scored_style(message: pb.ScoredStyle) -> ScoredStyle:
    """A style and its score from their message."""
    return _read(ScoredStyle, message)


def result(message: pb.RenderResponse) -> Result:
    """A finished render from its message."""
    return _read(Result, message, timings=_read(Timings, message.timings))


def event(message: pb.RenderStreamResponse) -> Event | None:
    """An event of a stream from its message; None for a kind that a newer service may send."""
    match message.WhichOneof("event"):
        case "accepted":
            return Accepted(message.accepted.id)
        case "style":
            return _read(StyleChosen, message.style)
        case "progress":
            return _read(Progress, message.progress)
        case "attempted":
            return _read(Attempted, message.attempted)
        case "result":
            return result(message.result)
    return None


def render(message: pb.GetRenderResponse) -> Render:
    """How a render is getting on, from its message."""
    return _read(
        Render,
        message,
        state=state(message.state),
        created=message.create_time.ToDatetime(UTC),
        result=result(message.result) if message.HasField("result") else None,
    )


def state(number: pb.RenderState) -> State:
    """A state from its number."""
    return State(pb.RenderState.Name(number).removeprefix("RENDER_STATE_").lower())


def info(message: pb.ServerInfoResponse) -> ServerInfo:
    """What serves, from its message."""
    return _read(
        ServerInfo,
        message,
        served_versions={pinned.alias: dict(pinned.versions) for pinned in message.served_versions},
        limits=_read(RenderLimits, message.limits),
    )


def added_style(message: pb.AddStyleResponse) -> AddedStyle:
    """A style that was added, from its message."""
    return _read(AddedStyle, message)


def reembedded(message: pb.ReembedStylesResponse) -> Reembedded:
    """How far a re-embedding is, from its message."""
    return _read(Reembedded, message)


NESTED: Mapping[type, type] = {
    pb.Attempt: Attempt,
    pb.Progress: Progress,
    pb.RenderedImage: Image,
    pb.ScoredStyle: ScoredStyle,
    pb.ServedModel: ServedModel,
    pb.Style: Style,
}
"""What messages within messages become."""


def _read(kind: type[Kind], message: Any, **known: Any) -> Kind:
    """An object of `kind` with the fields of `message` that share its names, beside the `known`."""
    names = {field.name for field in fields(kind)} - known.keys()  # type: ignore[arg-type]
    return kind(**{name: _value(message, name) for name in names}, **known)


def _value(message: Any, name: str) -> Any:
    """The field `name` of `message`, without protobuf; None where it could be set and is not."""
    field, value = message.DESCRIPTOR.fields_by_name[name], getattr(message, name)
    if field.is_repeated:
        is_map = field.message_type and field.message_type.GetOptions().map_entry
        return dict(value) if is_map else tuple(map(_plain, value))
    if field.has_presence and not message.HasField(name):
        return None
    return _plain(value)


def _plain(value: Any) -> Any:
    kind = NESTED.get(type(value))
    return _read(kind, value) if kind else value
