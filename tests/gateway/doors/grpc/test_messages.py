from __future__ import annotations

from dataclasses import fields

import pytest

from gateway.doors.grpc import messages
from gateway.errors import CODES, CallerError
from gateway.worker import events
from maquette.v1 import maquette_pb2 as pb
from pipeline import errors
from pipeline.errors import InvalidRequest
from pipeline.request import DEFAULTS, RenderRequest
from retrieval.styles import Style
from tests.conftest import ROOT
from versions.errors import Busy

STYLE = Style("art-deco", "Art Deco", ("historic",), "ab" * 32, 256, 128)


def test_the_message_has_exactly_the_requests_fields():
    in_proto = {field.name for field in pb.RenderRequest.DESCRIPTOR.fields}
    assert in_proto - set(messages.ABOUT_THE_CALL) == {
        field.name for field in fields(RenderRequest)
    }


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
    chosen = events.Chosen(STYLE, 0.25)
    assert messages.event("x", chosen).style.style.id == "art-deco"
    progress = messages.event("x", events.Stepped(3, 20, (b"p",))).progress
    assert (progress.step, progress.steps, progress.previews) == (3, 20, [b"p"])
    result = messages.event("x", finished(chosen)).result
    assert result.id == "x"
    assert result.images[0].seed == 2**32 - 1
    assert result.style_score == 0.25
    assert result.timings.total_seconds == 7
    assert list(result.warnings) == ["too long"]


def test_a_style_that_was_named_has_no_score():
    assert not messages.finished("x", finished(events.Chosen(STYLE, None))).HasField("style_score")
    assert not messages.finished("x", finished(None)).HasField("style")


def finished(chosen):
    return events.Finished(
        pictures=(events.Picture(b"png", 2**32 - 1, 0.5),),
        chosen=chosen,
        control_image=b"c",
        style_image=b"s",
        warnings=("too long",),
        timings=events.Timings(1, 2, 3, 4, 5, 6, 7),
        versions={"unet": 3},
    )


def test_the_protos_comments_tell_the_true_defaults():
    proto = (ROOT / "maquette" / "v1" / "maquette.proto").read_text()
    for field in ("num_inference_steps", "guidance_scale", "controlnet_conditioning_scale"):
        before = proto.split(f" {field} = ")[0].rstrip().splitlines()
        comment = next(line for line in reversed(before) if "by default" in line)
        assert f"{DEFAULTS[field]:g} by default" in comment


def test_every_error_has_a_status():
    ours = {
        error for error in vars(errors).values()
        if isinstance(error, type) and issubclass(error, errors.MaquetteError)
    }  # fmt: skip
    assert set(CODES) == (ours - {errors.MaquetteError}) | {CallerError, Busy}
