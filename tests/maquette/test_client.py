"""The two clients: every promise is held against both, over a real gRPC server."""

from __future__ import annotations

import asyncio
import datetime
import os
import subprocess
import sys
import typing
from contextlib import ExitStack
from dataclasses import fields

import grpc
import pytest

from maquette.client import (
    Accepted,
    AddedStyle,
    AsyncClient,
    CallFailed,
    Client,
    Progress,
    RenderOptions,
    Result,
    State,
    StyleChosen,
    results,
)
from maquette.client.failures import LONGEST_SECONDS, TRIES
from maquette.v1 import maquette_pb2 as pb
from tests.certificates import self_signed
from tests.conftest import ROOT
from tests.maquette.little_gateway import FOREVER, LittleGateway, serving

QUICK = {"num_inference_steps": 2}


class Waiting:
    """``Client`` behind ``AsyncClient``'s manner of calling, so that one test holds for both."""

    def __init__(self, *args, **options):
        self.client = Client(*args, **options)

    def __getattr__(self, name):
        method = getattr(self.client, name)
        if name in ("stream", "styles"):
            return lambda *args, **options: self._each(method(*args, **options))
        return lambda *args, **options: asyncio.to_thread(method, *args, **options)

    async def _each(self, iterator):
        end = object()
        try:
            while (item := await asyncio.to_thread(next, iterator, end)) is not end:
                yield item
        finally:
            await asyncio.to_thread(iterator.close)

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        self.client.close()


@pytest.fixture(params=[Waiting, AsyncClient], ids=["Client", "AsyncClient"])
def kind(request):
    return request.param


@pytest.fixture
def gateway():
    return LittleGateway()


@pytest.fixture
def address(gateway):
    with serving(gateway) as address:
        yield address


@pytest.fixture
async def client(kind, address, style_image):
    async with kind(address) as client:
        await client.add_style(style_image, "Cyber Punk", tags=["night"])
        yield client


def test_the_options_are_the_protocols_fields():
    fields = {field.name for field in pb.RenderRequest.DESCRIPTOR.fields}
    assert set(typing.get_type_hints(RenderOptions)) == fields - {"sketch", "prompt"}


async def test_a_render_brings_everything(client, sketch, style_image):
    result = await client.render(sketch, "a house", seed=3, num_images=2, **QUICK)
    assert [image.seed for image in result.images] == [3, 4]
    assert all(image.png.startswith(b"\x89PNG") for image in result.images)
    assert (result.style.id, result.style.tags, result.style_score) == (
        "cyber-punk",
        ("night",),
        0.5,
    )
    assert result.warnings == ("the prompt was cut",)
    assert result.timings.total_seconds == 1.5
    assert result.id


async def test_pictures_are_saved_beside_one_another(client, sketch, tmp_path):
    result = await client.render(sketch, "a house", num_images=2, **QUICK)
    assert result.save(tmp_path / "h.png") == [tmp_path / "h.png", tmp_path / "h-2.png"]
    assert (tmp_path / "h-2.png").read_bytes() == result.images[1].png


async def test_a_stream_tells_each_step(client, sketch):
    events = [event async for event in client.stream(sketch, "x", preview_interval=1, **QUICK)]
    assert [type(event) for event in events] == [
        Accepted, StyleChosen, Progress, Progress, Progress, Result,
    ]  # fmt: skip
    assert events[1].style.name == "Cyber Punk"
    assert [event.step for event in events[2:5]] == [0, 1, 2]
    assert [event.previews for event in events[2:5]] == [(), (b"preview",), (b"preview",)]
    assert events[0].id == events[-1].id


async def test_options_arrive(client, gateway, sketch, style_image, tmp_path):
    drawing, reference = tmp_path / "s.png", tmp_path / "r.png"
    drawing.write_bytes(sketch)
    reference.write_bytes(style_image)
    asked = {"seed": 0, "guidance_scale": 3, "negative_prompt": None, "width": 192, **QUICK}
    by_path = await client.render(
        str(drawing), "x", style_images=[reference], ip_adapter_scale=0.5, **asked
    )
    by_bytes = await client.render(
        sketch, "x", style_images=[style_image], ip_adapter_scale=[0.5], **asked
    )
    assert by_path.images == by_bytes.images
    assert by_path.style is None
    other = await client.render(sketch, "x", style_images=[style_image], **asked)
    assert other.images != by_path.images


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"seed": -1}, "seed is -1; allowed: 0 to 4294967295."),
        ({"width": "wide"}, "width is 'wide'; allowed: a whole number"),
        ({"style_weights": "much"}, "style_weights is 'much'; allowed: a number, or several."),
        ({"num_inference_steps": 0}, "num_inference_steps is 0; allowed: 1 to 150. Try 1."),
    ],
)
async def test_values_out_of_range_are_told(client, sketch, options, words):
    with pytest.raises(CallFailed) as failed:
        await client.render(sketch, "x", **options)
    assert words in str(failed.value)
    assert failed.value.code is grpc.StatusCode.INVALID_ARGUMENT
    assert failed.value.retry_after is None


async def test_an_option_that_there_is_not_is_a_type_error(client, sketch):
    with pytest.raises(TypeError, match="there is no option 'sead'"):
        await client.render(sketch, "x", sead=1)


async def test_a_file_that_is_not_there(client):
    with pytest.raises(FileNotFoundError):
        await client.render("nowhere.png", "x")


async def test_a_render_can_be_looked_at_and_stopped_from_elsewhere(client, sketch):
    async for event in client.stream(sketch, FOREVER, id="mine"):
        assert event.id == "mine"
        break_off = await client.get("mine")
        assert break_off.state in (State.QUEUED, State.RUNNING)
        assert await client.cancel("mine") is State.CANCELLED
        break
    await client.render(sketch, "x", id="other", **QUICK)
    found = await client.get("other")
    assert found.state is State.SUCCEEDED
    assert found.result.images[0].seed == 7
    assert found.progress.step == 2
    assert found.style.style.id == "cyber-punk"
    assert abs(found.created - datetime.datetime.now(datetime.UTC)) < datetime.timedelta(minutes=5)


async def test_leaving_a_stream_ends_the_call(client, gateway, sketch):
    events = client.stream(sketch, FOREVER)
    assert isinstance(await anext(events), Accepted)
    await events.aclose()
    assert await asyncio.to_thread(gateway.stopped.wait, 30)


async def test_the_library(client, style_image, sketch):
    for number in range(4):
        await client.add_style(sketch, f"house {number}", tags=["drawn"])
    listed = [style.id async for style in client.styles()]
    assert listed == ["cyber-punk", *(f"house-{number}" for number in range(4))]
    found = await client.search("x", style_filter=["drawn"], limit=2)
    assert [scored.style.id for scored in found] == ["house-0", "house-1"]
    assert found[0].score == 0.5
    style, png = await client.get_style("cyber-punk")
    assert (style.name, png[:4]) == ("Cyber Punk", b"\x89PNG")
    _, small = await client.get_style("cyber-punk", thumbnail=32)
    assert len(small) < len(png)
    again = await client.add_style(style_image, "Cyber Punk", tags=["night"])
    assert again == AddedStyle(style, added=False, warnings=())
    with pytest.raises(CallFailed, match="It differs"):
        await client.add_style(sketch, "Cyber Punk")
    assert (await client.add_style(sketch, "Cyber Punk", replace=True)).added
    assert (await client.remove_style("house-0")).name == "house 0"
    with pytest.raises(CallFailed) as failed:
        await client.remove_style("house-0")
    assert failed.value.code is grpc.StatusCode.NOT_FOUND


async def test_what_serves(client):
    info = await client.info()
    assert (info.version, info.pack, info.scopes) == ("9.9", "little", ("render",))
    assert info.models[0].ready


async def test_a_part_that_is_down_for_a_moment_is_waited_for(client, gateway, sketch):
    gateway.down = TRIES - 1
    await client.render(sketch, "x", **QUICK)
    keys = [sent["idempotency-key"] for method, sent in gateway.calls if method == "Render"]
    assert len(keys) == TRIES
    assert len(set(keys)) == 1
    gateway.down = TRIES - 1
    streamed = [event async for event in client.stream(sketch, "x", **QUICK)]
    assert isinstance(streamed[-1], Result)


async def test_a_stream_that_has_begun_is_not_begun_anew(client, gateway, sketch):
    gateway.breaks_off = True
    events = client.stream(sketch, "x", **QUICK)
    assert isinstance(await anext(events), Accepted)
    with pytest.raises(CallFailed, match="Triton does not answer"):
        await anext(events)
    assert [method for method, _ in gateway.calls].count("RenderStream") == 1


async def test_two_renders_have_two_keys(client, gateway, sketch):
    for _ in range(2):
        await client.render(sketch, "x", **QUICK)
    keys = [sent["idempotency-key"] for method, sent in gateway.calls if method == "Render"]
    assert len(set(keys)) == 2


async def test_patience_ends(client, gateway, sketch):
    gateway.down = TRIES
    with pytest.raises(CallFailed, match="Triton does not answer") as failed:
        await client.render(sketch, "x", **QUICK)
    assert failed.value.code is grpc.StatusCode.UNAVAILABLE
    assert failed.value.retry_after == gateway.retry_seconds
    assert gateway.down == 0


async def test_a_long_wait_is_left_to_the_caller(client, gateway):
    gateway.down, gateway.retry_seconds = 1, LONGEST_SECONDS + 1
    with pytest.raises(CallFailed) as failed:
        await client.info()
    assert failed.value.retry_after == LONGEST_SECONDS + 1


async def test_taking_a_style_out_is_not_repeated(client, gateway):
    gateway.down = 1
    with pytest.raises(CallFailed, match="Triton does not answer"):
        await client.remove_style("cyber-punk")
    assert "cyber-punk" in gateway.styles


async def test_the_key_is_shown(kind, gateway, address):
    gateway.api_key = "mq_secret"
    async with kind(address, api_key="mq_secret") as client:
        assert await client.info()
    async with kind(address) as client:
        with pytest.raises(CallFailed, match="Send an API key") as failed:
            await client.info()
    assert failed.value.code is grpc.StatusCode.UNAUTHENTICATED


@pytest.mark.parametrize("key", ["", "two words", "line\nbreak", "schlüssel"])
def test_a_key_that_cannot_be_one_is_refused(kind, key):
    with pytest.raises(CallFailed, match="API key") as failed:
        kind("127.0.0.1:9", api_key=key)
    assert not key or key not in str(failed.value)


async def test_a_timeout_is_told(kind, address, sketch, gateway, style_image):
    async with kind(address, timeout=0.5) as client:
        await client.add_style(style_image, "any")
        with pytest.raises(CallFailed, match="longer than its timeout") as failed:
            await client.render(sketch, FOREVER)
    assert failed.value.code is grpc.StatusCode.DEADLINE_EXCEEDED


async def test_no_gateway_is_told_at_once(kind):
    async with kind("127.0.0.1:9") as client:
        with pytest.raises(CallFailed, match="No gateway at 127.0.0.1:9. Start one"):
            await client.info()


async def test_a_connection_that_breaks_off_is_told(kind, gateway, sketch, style_image):
    with ExitStack() as held:
        address = held.enter_context(serving(gateway))
        async with kind(address) as client:
            await client.add_style(style_image, "any")
            events = client.stream(sketch, FOREVER)
            await anext(events)
            await asyncio.to_thread(held.close)
            with pytest.raises(CallFailed) as failed:
                [event async for event in events]
    assert failed.value.code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)


@pytest.mark.parametrize("address", ["localhost", "http://127.0.0.1:8033", "", "a:b"])
def test_an_address_of_another_form_is_refused(kind, address):
    with pytest.raises(CallFailed, match="allowed: host:port"):
        kind(address)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """A certificate of localhost that signed itself, as a PEM file, and its key."""
    made, private = self_signed("localhost", "::1")
    file = tmp_path_factory.mktemp("tls") / "ca.pem"
    file.write_bytes(made)
    return file, private


@pytest.mark.parametrize("host", ["localhost", "[::1]"])
async def test_tls(kind, gateway, certificate, host):
    file, private = certificate
    secure = grpc.ssl_server_credentials([(private, file.read_bytes())])
    with serving(gateway, secure, host) as address:
        assert address.startswith(host)
        async with kind(address, ca=file) as client:
            assert (await client.info()).version == "9.9"


ASK_BY_TLS = """
import asyncio, sys
from maquette.client import AsyncClient, Client

async def version():
    async with AsyncClient(sys.argv[1], tls=True) as client:
        return (await client.info()).version

with Client(sys.argv[1], tls=True) as client:
    print(client.info().version, asyncio.run(version()))
"""


def test_tls_with_the_authorities_that_grpc_knows(gateway, certificate):
    """In a process of its own, since gRPC reads them once."""
    file, private = certificate
    secure = grpc.ssl_server_credentials([(private, file.read_bytes())])
    told = {"GRPC_DEFAULT_SSL_ROOTS_FILE_PATH": str(file)}
    with serving(gateway, secure, "localhost") as address:
        asked = [sys.executable, "-c", ASK_BY_TLS, address]
        shown = subprocess.run(
            asked, cwd=ROOT, env={**os.environ, **told}, capture_output=True, check=False
        )
    assert shown.stdout.split() == [b"9.9", b"9.9"], shown.stderr.decode()


async def test_tls_does_not_trust_everybody(kind, gateway, certificate):
    file, private = certificate
    secure = grpc.ssl_server_credentials([(private, file.read_bytes())])
    with serving(gateway, secure, "localhost") as address:
        async with kind(address, tls=True) as client:
            with pytest.raises(CallFailed, match="do not fit one another"):
                await client.info()


async def test_a_certificate_of_another_host_is_told(kind, gateway, certificate):
    file, private = certificate
    secure = grpc.ssl_server_credentials([(private, file.read_bytes())])
    with serving(gateway, secure, "127.0.0.1") as address:
        async with kind(address, ca=file) as client:
            with pytest.raises(CallFailed, match="do not fit one another: .*Hostname"):
                await client.info()


async def test_tls_where_there_is_none_is_told(kind, address, certificate):
    async with kind(address, ca=certificate[0]) as client:
        with pytest.raises(CallFailed, match="do not fit one another"):
            await client.info()


def test_a_ca_file_that_is_not_there(kind):
    with pytest.raises(CallFailed, match="nowhere.pem cannot be read"):
        kind("127.0.0.1:9", ca="nowhere.pem")


def test_it_needs_nothing_of_what_serves():
    heavy = ("cv2", "numpy", "PIL", "qdrant_client", "pipeline", "gateway", "typer")
    code = f"import sys, maquette.client; print(*set(sys.modules) & set({heavy!r}))"
    loaded = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, check=True)
    assert loaded.stdout.split() == []


def test_the_key_is_not_shown_in_a_representation():
    with Client("127.0.0.1:9", api_key="mq_secret") as client:
        assert "mq_secret" not in repr(client._target)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (results.Style, pb.Style),
        (results.ScoredStyle, pb.ScoredStyle),
        (results.Image, pb.RenderedImage),
        (results.Timings, pb.Timings),
        (results.Progress, pb.Progress),
        (results.Result, pb.RenderResponse),
        (results.ServerInfo, pb.ServerInfoResponse),
        (results.ServedModel, pb.ServedModel),
    ],
)
def test_a_result_has_the_fields_of_its_message(ours, theirs):
    in_proto = {field.name for field in theirs.DESCRIPTOR.fields}
    assert {field.name for field in fields(ours)} == in_proto
