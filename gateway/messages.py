"""maquette.v1 messages to our own objects, and back."""

from __future__ import annotations

from typing import Any

from gateway import service
from maquette.v1 import maquette_pb2 as pb
from pipeline.request import RenderRequest
from retrieval.styles import ScoredStyle, Style


def render_request(message: pb.RenderRequest) -> RenderRequest:
    """The request that `message` says; a field that is not set takes its default.

    Message and dataclass share their field names, so only what was sent has to be carried over.

    Raises:
        InvalidRequest: a field is outside its range.
    """
    sent: dict[str, Any] = {
        field.name: tuple(value) if field.is_repeated else value
        for field, value in message.ListFields()
    }
    return RenderRequest(**{"sketch": b"", "prompt": "", **sent})


def style(found: Style) -> pb.Style:
    """A style as its message."""
    return pb.Style(
        id=found.id,
        name=found.name,
        tags=found.tags,
        sha256=found.sha256,
        width=found.width,
        height=found.height,
    )


def scored_style(found: ScoredStyle) -> pb.ScoredStyle:
    """A search result as its message."""
    return pb.ScoredStyle(style=style(found.style), score=found.score)


def event(happened: service.Event) -> pb.RenderStreamResponse:
    """An event of a render as its message."""
    match happened:
        case service.Chosen():
            chosen = pb.ScoredStyle(style=style(happened.style), score=happened.score)
            return pb.RenderStreamResponse(style=chosen)
        case service.Stepped():
            progress = pb.Progress(step=happened.step, steps=happened.steps)
            return pb.RenderStreamResponse(progress=progress)
        case service.Finished():
            return pb.RenderStreamResponse(result=finished(happened))


def finished(done: service.Finished) -> pb.RenderResponse:
    """A finished render as its message."""
    chosen = done.chosen
    return pb.RenderResponse(
        images=[
            pb.RenderedImage(png=image.png, seed=image.seed, structure_f1=image.structure_f1)
            for image in done.pictures
        ],
        style=style(chosen.style) if chosen else None,
        style_score=chosen.score if chosen else None,
        control_image=done.control_image,
        style_image=done.style_image,
        warnings=done.warnings,
        timings=_timings(done.timings),
    )


def _timings(seconds: service.Timings) -> pb.Timings:
    return pb.Timings(
        queue_seconds=seconds.queue,
        embed_seconds=seconds.embed,
        search_seconds=seconds.search,
        condition_seconds=seconds.condition,
        denoise_seconds=seconds.denoise,
        decode_seconds=seconds.decode,
        total_seconds=seconds.total,
    )
