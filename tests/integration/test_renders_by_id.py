"""Renders that are found again, by id or key; and how a gateway leaves."""

from __future__ import annotations

import signal
import uuid
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest

from maquette.v1 import maquette_pb2 as pb
from tests.integration.gateways import EXIT_SECONDS, add_style, gateway
from tests.integration.stack import settled, stub_of, wait_until

CODE = grpc.StatusCode
STATE = pb.RenderState


def key(name):
    return (("idempotency-key", name),)


def state_of(stub, identity):
    return stub.GetRender(pb.GetRenderRequest(id=identity)).state


def test_a_render_goes_on_without_its_caller_and_is_fetched_later(live, stub, request_for):
    identity = f"later-{uuid.uuid4()}"
    request = request_for(id=identity, keep_running=True, num_inference_steps=6)
    with live.channel() as channel:
        call = stub_of(channel).RenderStream(request)
        assert next(call).accepted.id == identity
    wait_until(lambda: state_of(stub, identity) == STATE.RENDER_STATE_SUCCEEDED, 60)
    found = stub.GetRender(pb.GetRenderRequest(id=identity))
    assert found.progress.step == found.progress.steps == 6
    assert found.style.style.id == "cyberpunk"
    assert found.create_time.seconds > 0
    assert (
        found.result.images[0].png == stub.Render(request_for(num_inference_steps=6)).images[0].png
    )


def test_a_render_is_cancelled_from_another_connection(live, stub, request_for):
    identity = f"cancel-{uuid.uuid4()}"
    call = stub.RenderStream(request_for(id=identity, num_inference_steps=100))
    for event in call:
        if event.progress.step == 2:
            break
    with live.channel() as other:
        answer = stub_of(other).CancelRender(pb.CancelRenderRequest(id=identity))
    assert answer.state == STATE.RENDER_STATE_CANCELLED
    cancelled_at = live.executions()
    with pytest.raises(grpc.RpcError) as ended:
        list(call)
    assert ended.value.code() is CODE.CANCELLED
    assert settled(live.executions) - cancelled_at <= 2
    assert state_of(stub, identity) == STATE.RENDER_STATE_CANCELLED
    again = stub.CancelRender(pb.CancelRenderRequest(id=identity))
    assert again.state == STATE.RENDER_STATE_CANCELLED


def test_what_is_not_there_is_not_found(stub):
    for call, request in (
        (stub.GetRender, pb.GetRenderRequest(id="nowhere")),
        (stub.CancelRender, pb.CancelRenderRequest(id="nowhere")),
        (stub.GetStyle, pb.GetStyleRequest(id="nowhere")),
        (stub.RemoveStyle, pb.RemoveStyleRequest(id="nowhere")),
    ):
        with pytest.raises(grpc.RpcError) as failed:
            call(request)
        assert failed.value.code() is CODE.NOT_FOUND
        assert "nowhere" in failed.value.details()


def test_a_request_sent_twice_is_rendered_once(live, request_for):
    request, name = request_for(num_inference_steps=3), key(f"twice-{uuid.uuid4()}")
    before = live.inferences()

    def render(_number):
        with live.channel() as channel:
            return stub_of(channel).Render(request, metadata=name)

    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(render, range(4)))
    assert len({answer.id for answer in answers}) == 1
    assert len({answer.images[0].png for answer in answers}) == 1
    assert render(0).id == answers[0].id
    assert live.inferences() - before == 2 * 3
    with live.channel() as channel, pytest.raises(grpc.RpcError) as failed:
        stub_of(channel).Render(request_for(num_inference_steps=2), metadata=name)
    assert failed.value.code() is CODE.ALREADY_EXISTS


def test_previews_come_when_asked(stub, request_for):
    request = request_for(num_inference_steps=6, preview_interval=2)
    steps = [event.progress for event in stub.RenderStream(request) if event.HasField("progress")]
    assert [step.step for step in steps if step.previews] == [2, 4]
    assert all(step.previews[0].startswith(b"\x89PNG") for step in steps if step.previews)


def test_a_request_id_comes_back(stub, request_for):
    _, call = stub.ListStyles.with_call(
        pb.ListStylesRequest(), metadata=(("x-request-id", "mine-1"),)
    )
    assert dict(call.trailing_metadata())["x-request-id"] == "mine-1"
    with pytest.raises(grpc.RpcError) as failed:
        stub.Render(request_for(width=130), metadata=(("x-request-id", "mine-2"),))
    assert dict(failed.value.trailing_metadata())["x-request-id"] == "mine-2"


def test_the_server_tells_what_serves(stub, request_for):
    stub.Render(request_for())
    info = stub.ServerInfo(pb.ServerInfoRequest())
    assert info.version
    assert info.triton_version == "2.51.0"
    assert {"unet", "render"} <= {model.name for model in info.models if model.ready}
    assert info.pack == "tiny"
    assert len(info.pack_revision) == 16
    assert "dpmpp_2m" in info.schedulers
    assert sorted(info.scopes) == ["admin", "render", "styles"]


def test_a_style_is_fetched_scaled_and_removed(stub, style_image, request_for):
    request = pb.AddStyleRequest(image=style_image, name="Passing Fancy", tags=["passing"])
    stub.AddStyle(request)
    found = stub.GetStyle(pb.GetStyleRequest(id="passing-fancy"))
    small = stub.GetStyle(pb.GetStyleRequest(id="passing-fancy", thumbnail=64))
    assert len(small.image) < len(found.image)
    removed = stub.RemoveStyle(pb.RemoveStyleRequest(id="passing-fancy"))
    assert removed.style == found.style
    with pytest.raises(grpc.RpcError) as failed:
        stub.Render(request_for(style="", style_filter=["passing"]))
    assert failed.value.code() is CODE.NOT_FOUND
    # The bundled style has the same picture, which stays.
    assert stub.GetStyle(pb.GetStyleRequest(id="cyberpunk")).image == found.image


def test_bytes_that_are_no_message_are_the_callers_mistake(live):
    with live.channel() as channel:
        for method in (
            "maquette.v1.MaquetteService/Render",
            "inference.GRPCInferenceService/ModelInfer",
        ):
            call = channel.unary_unary(f"/{method}")
            with pytest.raises(grpc.RpcError) as failed:
                call(b"\xff\xff\xff")
            assert failed.value.code() is CODE.INVALID_ARGUMENT


def test_sigterm_lets_renders_finish_and_refuses_new_ones(live, tmp_path, request_for):
    with gateway(live, tmp_path) as leaving:
        with leaving.channel() as channel:
            add_style(channel)
            calls = [
                stub_of(channel).RenderStream(request_for(seed=seed, num_inference_steps=12))
                for seed in range(8)
            ]
            for call in calls:
                assert next(call).HasField("accepted")
            leaving.process.send_signal(signal.SIGTERM)

            def refused():
                with pytest.raises(grpc.RpcError) as failed:
                    stub_of(channel).Render(request_for(), timeout=30)
                return failed.value.code() is CODE.UNAVAILABLE

            assert refused()
            results = [list(call)[-1].result for call in calls]
        assert [result.images[0].seed for result in results] == list(range(8))
        assert leaving.process.wait(EXIT_SECONDS) == 0
