from __future__ import annotations

from dataclasses import replace

import pytest
from google.protobuf.descriptor import FieldDescriptor

from gateway.doors.grpc import messages
from gateway.errors import CODES, CallerError
from gateway.renders.registry import CALL_FIELDS
from gateway.telemetry.outcomes import Scores
from gateway.worker import events
from maquette.client import results
from maquette.v1 import maquette_pb2 as pb
from pipeline import errors
from pipeline.attempts import Attempt
from pipeline.errors import InvalidRequest
from pipeline.fields import plain
from pipeline.request import FIELDS, RANGES, RenderRequest
from pipeline.style import TEMPERATURE
from retrieval.styles import STYLE_FIELDS, Style
from tests.conftest import ROOT
from versions.errors import Busy

STYLE = Style("art-deco", "Art Deco", ("historic",), "ab" * 32, 256, 128)


def test_what_is_not_set_takes_its_default():
    request = messages.render_request(pb.RenderRequest(sketch=b"s", prompt="p"))
    assert request == RenderRequest(b"s", "p")


def test_what_is_set_to_zero_is_zero():
    request = messages.render_request(
        pb.RenderRequest(
            sketch=b"s", prompt="p", seed=0, guidance_scale=0, controlnet_conditioning_scale=0
        )
    )
    assert (request.seed, request.guidance_scale) == (0, 0)
    assert request.controlnet_conditioning_scale == 0


def test_what_is_about_the_call_is_no_part_of_the_request():
    request = messages.render_request(
        pb.RenderRequest(sketch=b"s", prompt="p", id="x", keep_running=True)
    )
    assert request == RenderRequest(b"s", "p")


def test_lists_are_carried_over():
    request = messages.render_request(
        pb.RenderRequest(
            sketch=b"s", prompt="p", style_images=[b"a", b"b"], style_weights=[0.5, 0.25],
            ip_adapter_scale=[0.5], style_filter=["x"],
        )
    )  # fmt: skip
    assert request.style_images == (b"a", b"b")
    assert request.style_weights == (0.5, 0.25)
    assert request.style_filter == ("x",)


def test_an_empty_message_names_the_prompt():
    with pytest.raises(InvalidRequest, match="^prompt is"):
        messages.render_request(pb.RenderRequest())


def test_events_become_messages():
    chosen = events.Chosen((events.BlendedStyle(STYLE, 0.25),))
    assert messages.event("x", chosen).style.style.id == "art-deco"
    progress = messages.event("x", events.Stepped(3, 20, (b"p",))).progress
    assert (progress.step, progress.steps, progress.previews) == (3, 20, [b"p"])
    result = messages.event("x", finished(chosen)).result
    assert result.id == "x"
    assert result.images[0].seed == 2**32 - 1
    assert (result.images[0].structure_f1, result.images[0].clip_score) == (0.5, 0.25)
    assert not result.images[0].HasField("style_score")
    assert result.style_score == 0.25
    assert result.timings.total_seconds == 7
    assert list(result.warnings) == ["too long"]


def test_attempts_are_messages_that_the_client_reads():
    attempts = (Attempt(2, 0, 2**32 - 1, 0.5, 1.875), Attempt(2, 1, 5, 0.25, 1.875, 7))
    told = results.event(messages.event("x", events.Attempted(2, 3, attempts)))
    assert (told.attempt, told.max_attempts) == (2, 3)
    assert [vars(one) for one in told.images] == [vars(one) for one in attempts]
    done = results.event(messages.event("x", replace(finished(None), attempts=attempts)))
    assert done.attempts == told.images


def test_a_style_that_was_named_has_no_score():
    named = events.Chosen((events.BlendedStyle(STYLE, None),))
    assert not messages.finished("x", finished(named)).HasField("style_score")
    assert not messages.finished("x", finished(None)).HasField("style")


def test_every_style_of_a_blend_is_told_with_its_weight():
    other = replace(STYLE, id="winter")
    blend = events.Chosen(
        (events.BlendedStyle(STYLE, 0.25, 0.75), events.BlendedStyle(other, 0.125, 0.25))
    )
    assert messages.event("x", blend).style.weight == 0.75
    told = messages.finished("x", finished(blend))
    assert [(each.style.id, each.weight, each.score) for each in told.styles] == [
        ("art-deco", 0.75, 0.25), ("winter", 0.25, 0.125),
    ]  # fmt: skip
    assert told.style.id == "art-deco"
    assert told.style_temperature == pytest.approx(TEMPERATURE)
    one = messages.finished("x", finished(events.Chosen(blend.styles[:1])))
    assert not one.HasField("style_temperature")


def finished(chosen):
    return events.Finished(
        pictures=(events.Picture(b"png", 2**32 - 1, Scores(0.5, 0.25)),),
        chosen=chosen,
        control_image=b"c",
        style_image=b"s",
        warnings=("too long",),
        timings=events.Timings(1, 2, 3, 4, 5, 6, 7),
        versions={"unet": 3},
        sketch_kind="photo",
    )


PROTO = (ROOT / "maquette" / "v1" / "maquette.proto").read_text()
MESSAGES = {"RenderRequest": (FIELDS, CALL_FIELDS), "AddStyleRequest": (STYLE_FIELDS,)}
KINDS = {
    "bytes": {FieldDescriptor.TYPE_BYTES}, "str": {FieldDescriptor.TYPE_STRING},
    "int": {FieldDescriptor.TYPE_INT32, FieldDescriptor.TYPE_UINT32},
    "float": {FieldDescriptor.TYPE_FLOAT}, "bool": {FieldDescriptor.TYPE_BOOL},
}  # fmt: skip


@pytest.mark.parametrize("message", MESSAGES)
def test_the_proto_is_one_with_the_table_of_fields(message):
    """Names, types, and whether a field that is left out can be told from one that is zero."""
    in_proto = pb.DESCRIPTOR.message_types_by_name[message].fields_by_name
    known = {name: field for table in MESSAGES[message] for name, field in table.items()}
    assert set(in_proto) == set(known)
    for name, field in known.items():
        described = in_proto[name]
        assert described.type in KINDS[field.kind.__name__], name
        assert described.is_repeated == field.several, name
        is_number = field.kind in (int, float) and not field.several
        must_tell_zero = is_number or field.default is True
        assert described.has_presence == must_tell_zero, name
        if field.kind is int:
            unsigned = described.type == FieldDescriptor.TYPE_UINT32
            highest = field.allowed.high if field.allowed else max(field.choices)
            assert highest < 2 ** (32 if unsigned else 31), name


@pytest.mark.parametrize("name", [*RANGES, "scheduler"])
def test_the_protos_comments_tell_the_true_ranges_and_defaults(name):
    lines = PROTO.partition("message RenderRequest {")[2].partition("\n}")[0].splitlines()
    end = next(at for at, line in enumerate(lines) if f" {name} = " in line)
    # Fields of one kind share a comment.
    start = max(at for at in range(end) if "//" in lines[at] and "//" not in lines[at - 1])
    comment = " ".join(line.strip("/ ") for line in lines[start:end])
    field = FIELDS[name]
    if field.allowed:
        assert f"{plain(field.allowed.low)} to {plain(field.allowed.high)}" in comment
    assert field.default_text in comment
    assert all(str(choice) in comment for choice in field.choices)


def test_every_error_has_a_status():
    ours = {
        error for error in vars(errors).values()
        if isinstance(error, type) and issubclass(error, errors.MaquetteError)
    }  # fmt: skip
    assert set(CODES) == (ours - {errors.MaquetteError}) | {CallerError, Busy}
