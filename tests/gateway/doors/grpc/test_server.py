"""The gRPC door over a painter: what is settled before and around a method."""

from __future__ import annotations

import asyncio
import gc
import json
import logging

import grpc
import numpy as np
import pytest
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2
from grpc_status import rpc_status
from PIL import Image

from gateway.auth.caller import Scope
from gateway.auth.keys import KeyStore
from gateway.doors.grpc.server import make_server
from gateway.doors.grpc.servicer import MaquetteServicer
from gateway.doors.openinference.servicer import OpenInferenceServicer
from gateway.doors.openinference.virtual_model import VirtualModel
from gateway.settings import Settings
from gateway.telemetry import tracing
from maquette.v1 import maquette_pb2 as pb
from maquette.v1.maquette_pb2_grpc import MaquetteServiceStub
from pipeline.images import decode
from tests.gateway.fakes import staged
from tests.gateway.telemetry.collector import collecting
from tests.gateway.waiting import until
from tests.pictures import encoded

CODE = grpc.StatusCode
SERVICE = "/maquette.v1.MaquetteService"


@pytest.fixture
async def door(tmp_path):
    """A server that asks who calls: its channel, a key, the painter, the audit log, its address."""
    settings = Settings(
        auth="required", keys=tmp_path / "keys.json", library=tmp_path / "library",
        audit=tmp_path / "audit.log",
    )  # fmt: skip
    _, key = KeyStore(settings.keys).create("all", {Scope.RENDER, Scope.STYLES})
    async with staged(settings) as stage:
        parts = stage.parts
        servicer = MaquetteServicer(parts)
        model = VirtualModel(parts.renders, parts.inference.is_ready, "0")
        server, _ = make_server(servicer, OpenInferenceServicer(model, parts.desk), 64)
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        address = f"127.0.0.1:{port}"
        async with grpc.aio.insecure_channel(address) as channel:
            metadata = (("authorization", f"Bearer {key}"),)
            yield channel, metadata, stage.painter, settings.audit, address
        await server.stop(0)


async def never():
    await asyncio.Event().wait()
    yield b""


@pytest.mark.parametrize(
    "method",
    [f"{SERVICE}/Render", f"{SERVICE}/AddStyle", "/inference.GRPCInferenceService/ModelInfer"],
)
async def test_a_stranger_is_turned_away_before_the_request_is_read(door, method):
    channel = door[0]
    for metadata in ((), (("x-api-key", "mqt_AAAAAAAA_" + "A" * 43),)):
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await channel.stream_unary(method)(never(), metadata=metadata, timeout=20)
        assert refused.value.code() is CODE.UNAUTHENTICATED
        assert "maquette keys create" in refused.value.details()


async def test_a_stranger_is_turned_away_from_a_stream_too(door):
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        async for _ in door[0].stream_stream(f"{SERVICE}/RenderStream")(never(), timeout=20):
            pass
    assert refused.value.code() is CODE.UNAUTHENTICATED


async def test_health_asks_nobody(door):
    await health_pb2_grpc.HealthStub(door[0]).Check(health_pb2.HealthCheckRequest())
    live = door[0].unary_unary("/inference.GRPCInferenceService/ServerLive")
    assert await live(b"")


async def test_bytes_that_are_no_message_are_refused_as_such(door):
    for method in ("Render", "RenderStream"):
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await door[0].unary_unary(f"{SERVICE}/{method}")(b"\xff\xff", metadata=door[1])
        assert refused.value.code() is CODE.INVALID_ARGUMENT


async def test_a_wrong_field_is_named_in_the_details(door, sketch):
    stub = MaquetteServiceStub(door[0])
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await stub.Render(pb.RenderRequest(sketch=sketch), metadata=door[1])
    status = rpc_status.from_call(refused.value)
    found = error_details_pb2.BadRequest()
    assert status.details[0].Unpack(found)
    assert [each.field for each in found.field_violations] == ["prompt"]
    assert found.field_violations[0].description == status.message == refused.value.details()


@pytest.mark.parametrize("version", ["v1", "v1alpha"])
async def test_reflection(door, version):
    name = f"grpc.reflection.{version}.ServerReflection"
    asked = door[0].stream_stream(
        f"/{name}/ServerReflectionInfo",
        request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
        response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
    )
    requests = [
        reflection_pb2.ServerReflectionRequest(list_services=""),
        reflection_pb2.ServerReflectionRequest(file_containing_symbol=name),
        reflection_pb2.ServerReflectionRequest(file_containing_symbol=SERVICE[1:]),
    ]
    listed, *described = [answer async for answer in asked(iter(requests), metadata=door[1])]
    services = {service.name for service in listed.list_services_response.service}
    assert {name, SERVICE[1:]} <= services
    assert all(answer.file_descriptor_response.file_descriptor_proto for answer in described)


async def test_what_is_done_to_styles_and_renders_is_written_down(door, sketch, style_image):
    channel, metadata, painter, audit, _ = door
    stub = MaquetteServiceStub(channel)
    wide = encoded(Image.new("RGB", (3000, 300), "teal"))
    added = await stub.AddStyle(pb.AddStyleRequest(image=wide, name="Mine"), metadata=metadata)
    assert added.warnings[0].startswith("image of 900,000 pixels was scaled down to 2048 x 205")
    with pytest.raises(grpc.aio.AioRpcError):
        await stub.AddStyle(
            pb.AddStyleRequest(image=style_image, name="forbidden"), metadata=metadata
        )
    await stub.RemoveStyle(pb.RemoveStyleRequest(id="mine"), metadata=metadata)
    painter.hold()
    request = pb.RenderRequest(sketch=sketch, prompt="a house", id="r", keep_running=True)
    call = stub.RenderStream(request, metadata=metadata)
    assert (await call.read()).accepted.id == "r"
    await stub.CancelRender(pb.CancelRenderRequest(id="r"), metadata=metadata)
    lines = [json.loads(line) for line in audit.read_text().splitlines()]
    assert [(line["action"], line["outcome"]) for line in lines] == [
        ("add_style", "done"),
        ("add_style", "failed_precondition"),
        ("remove_style", "done"),
        ("render", "cancelled"),
        ("cancel", "done"),
    ]
    assert lines[0]["ids"] == {"style": "mine"}
    assert lines[-1]["ids"] == {"render": "r"}


async def test_keepalive_pings_do_not_end_a_render(door, sketch):
    # So often that gRPC's own limit would end the connection after three seconds.
    pings = [("grpc.keepalive_time_ms", 200), ("grpc.http2.max_pings_without_data", 0)]
    _, metadata, painter, _, address = door
    painter.hold()
    async with grpc.aio.insecure_channel(address, pings) as pinging:
        request = pb.RenderRequest(sketch=sketch, prompt="a house", num_inference_steps=1)
        answer = MaquetteServiceStub(pinging).Render(request, metadata=metadata)
        done, _ = await asyncio.wait([asyncio.ensure_future(answer)], timeout=5)
        assert not done
        painter.go_on()
        assert (await answer).images


@pytest.mark.parametrize("method", ["Render", "RenderStream", "GetRender"])
async def test_a_large_style_does_not_make_the_answer_too_large(door, sketch, method):
    """gRPC's clients take 4 MiB unless they are told otherwise, and fail when all work is done."""
    channel, metadata, *_ = door
    stub = MaquetteServiceStub(channel)
    noise = np.random.default_rng(0).integers(0, 256, (1400, 1400, 3), dtype=np.uint8)
    photo = encoded(Image.fromarray(noise), "JPEG", quality=50)
    await stub.AddStyle(pb.AddStyleRequest(image=photo, name="Photo"), metadata=metadata)
    stored = await stub.GetStyle(pb.GetStyleRequest(id="photo", thumbnail=16), metadata=metadata)
    assert stored.style.width == 1400
    asked = {"sketch": sketch, "prompt": "a house", "num_inference_steps": 1}
    for number, style in enumerate(({"style": "photo"}, {"style_images": [photo]})):
        request = pb.RenderRequest(**asked, **style, id=f"r{number}")
        if method == "RenderStream":
            *_, last = [event async for event in stub.RenderStream(request, metadata=metadata)]
            result = last.result
        else:
            result = await stub.Render(request, metadata=metadata)
        if method == "GetRender":
            found = pb.GetRenderRequest(id=request.id)
            result = (await stub.GetRender(found, metadata=metadata)).result
        assert decode(result.style_image, "style_image").size == (384, 384)
        assert result.ByteSize() < 2**20


async def test_who_leaves_a_stream_early_leaves_no_traceback(door, sketch, caplog):
    channel, metadata, painter, *_ = door
    stub = MaquetteServiceStub(channel)
    with collecting() as collector:
        tracing.configure(collector.url, "0")
        painter.hold(after=2)
        for steps in (1, 50):
            request = pb.RenderRequest(sketch=sketch, prompt="x", num_inference_steps=steps)
            call = stub.RenderStream(request, metadata=metadata)
            async for event in call:
                # At the result, as our own client does, and in the middle.
                if event.HasField("result") or event.progress.step == 2:
                    break
            call.cancel()
        await until(lambda: painter.left_early)
        await asyncio.to_thread(tracing.shutdown)
    gc.collect()
    await asyncio.sleep(0)
    assert [record.message for record in caplog.records if record.levelno >= logging.ERROR] == []
    assert {"queue", "check", "moderate", "fetch_style", "search", "encode"} <= set(collector.spans)


async def test_credentials_are_looked_at_once_for_each_call(door, monkeypatch):
    looked, find = [], KeyStore.find

    def counted(keys, key):
        looked.append(key)
        return find(keys, key)

    monkeypatch.setattr(KeyStore, "find", counted)
    channel, metadata, *_ = door
    stub = MaquetteServiceStub(channel)
    await stub.ServerInfo(pb.ServerInfoRequest(), metadata=metadata)
    assert len(looked) == 1
    with pytest.raises(grpc.aio.AioRpcError):
        await stub.ServerInfo(pb.ServerInfoRequest(), metadata=(("x-api-key", "mqt_nobodys"),))
    assert looked[1:] == ["mqt_nobodys"]
