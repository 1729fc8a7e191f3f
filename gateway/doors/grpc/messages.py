"""maquette.v1 messages to our own objects, and back."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from gateway import errors
from gateway.auth.caller import Caller
from gateway.information import Facts
from gateway.renders.registry import ABOUT_THE_CALL
from gateway.renders.render import Render, State
from gateway.telemetry.outcomes import Timings
from gateway.worker import events
from maquette.v1 import maquette_pb2 as pb
from pipeline.attempts import Attempt
from pipeline.request import RenderRequest
from retrieval.reembedding import Progress
from retrieval.styles import NewStyle, ScoredStyle, Style


def render_request(message: pb.RenderRequest) -> RenderRequest:
    """The request that `message` says; a field that is not set takes its default.

    Message and dataclass share their field names, so only what was sent has to be carried over.

    Raises:
        InvalidRequest: a field is outside its range.
    """
    sent = {name: value for name, value in _sent(message).items() if name not in ABOUT_THE_CALL}
    return RenderRequest(**sent)


def new_style(message: pb.AddStyleRequest) -> NewStyle:
    """The style that `message` brings.

    Raises:
        InvalidRequest: its name or a tag is not acceptable.
    """
    return NewStyle(**{"image": b"", "name": "", **_sent(message)})


def _sent(message: Any) -> dict[str, Any]:
    return {
        field.name: tuple(value) if field.is_repeated else value
        for field, value in message.ListFields()
    }


def style(found: Style) -> pb.Style:
    """A style as its message."""
    return pb.Style(**vars(found))


def scored_style(found: ScoredStyle) -> pb.ScoredStyle:
    """A search result as its message."""
    return pb.ScoredStyle(style=style(found.style), score=found.score)


def event(identity: str, happened: events.Event) -> pb.RenderStreamResponse:
    """An event of the render `identity` as its message."""
    match happened:
        case events.Chosen():
            return pb.RenderStreamResponse(style=_blended(happened.first))
        case events.Stepped():
            return pb.RenderStreamResponse(progress=_progress(happened))
        case events.Attempted():
            images = _attempts(happened.images)
            told = pb.Attempted(**{**vars(happened), "images": images})
            return pb.RenderStreamResponse(attempted=told)
        case events.Finished():
            return pb.RenderStreamResponse(result=finished(identity, happened))


def render(found: Render) -> pb.GetRenderResponse:
    """A render, wherever it is, as its message."""
    message = pb.GetRenderResponse(
        id=found.id,
        state=state(found.state),
        progress=_progress(found.progress) if found.progress else None,
        style=_blended(found.chosen.first) if found.chosen else None,
        result=finished(found.id, found.result) if found.result else None,
    )
    message.create_time.FromDatetime(found.created)
    if found.error:
        message.error_code = errors.code_of(found.error).grpc.name
        message.error_message = errors.told(found.error)
    return message


def state(found: State) -> pb.RenderState:
    """A state as its enum value."""
    value: pb.RenderState = getattr(pb, f"RENDER_STATE_{found.name}")
    return value


def info(facts: Facts, caller: Caller) -> pb.ServerInfoResponse:
    """What serves, as its message."""
    return pb.ServerInfoResponse(
        version=facts.version,
        triton_version=facts.triton_version,
        models=[
            pb.ServedModel(name=model.name, version=model.version, ready=model.ready)
            for model in facts.models
        ],
        pack=facts.pack,
        pack_revision=facts.pack_revision,
        schedulers=facts.schedulers,
        scopes=sorted(caller.scopes),
        served_versions=[
            pb.PinnedVersions(alias=alias, versions=pinned.versions)
            for alias, pinned in facts.served_versions.items()
        ],
        problem=facts.problem,
        clip=facts.clip,
        limits=pb.RenderLimits(max_pixels=facts.limits.max_pixels, **vars(facts.limits)),
    )


def reembedded(progress: Progress) -> pb.ReembedStylesResponse:
    """How far a re-embedding is, as its message."""
    return pb.ReembedStylesResponse(**vars(progress))


def _blended(found: events.BlendedStyle) -> pb.ScoredStyle:
    return pb.ScoredStyle(style=style(found.style), score=found.score, weight=found.weight)


def _progress(step: events.Stepped) -> pb.Progress:
    return pb.Progress(step=step.step, steps=step.steps, previews=step.previews)


def finished(identity: str, done: events.Finished) -> pb.RenderResponse:
    """The finished render `identity` as its message."""
    chosen = done.chosen
    return pb.RenderResponse(
        id=identity,
        images=[
            pb.RenderedImage(png=image.png, seed=image.seed, **vars(image.scores))
            for image in done.pictures
        ],
        style=style(chosen.first.style) if chosen else None,
        style_score=chosen.first.score if chosen else None,
        styles=map(_blended, chosen.styles) if chosen else (),
        style_temperature=chosen.temperature if chosen else None,
        control_image=done.control_image,
        style_image=done.style_image,
        warnings=done.warnings,
        versions=done.versions,
        sketch_kind=done.sketch_kind,
        timings=_timings(done.timings),
        attempts=_attempts(done.attempts),
    )


def _attempts(made: Iterable[Attempt]) -> list[pb.Attempt]:
    return [pb.Attempt(**vars(one)) for one in made]


def _timings(seconds: Timings) -> pb.Timings:
    return pb.Timings(
        queue_seconds=seconds.queue,
        embed_seconds=seconds.embed,
        search_seconds=seconds.search,
        condition_seconds=seconds.condition,
        denoise_seconds=seconds.denoise,
        decode_seconds=seconds.decode,
        total_seconds=seconds.total,
    )
