"""Connections that are too many, or silent, cost nobody else theirs."""

from __future__ import annotations

import asyncio
import logging
import os
import resource
import socket
import subprocess
import sys
from contextlib import ExitStack

import grpc
import httpx
import pytest
from fastapi import FastAPI
from grpc_health.v1 import health_pb2, health_pb2_grpc

from gateway.doors import connections
from gateway.doors.connections import QuietAboutAccepting
from gateway.doors.grpc.server import make_server
from gateway.doors.grpc.servicer import MaquetteServicer
from gateway.doors.http import server
from gateway.doors.openinference.servicer import OpenInferenceServicer
from gateway.doors.openinference.virtual_model import VirtualModel
from gateway.settings import Settings
from serving.ports import free_port
from tests.gateway.fakes import staged
from tests.integration.stack import wait_until

REQUEST = b"GET /openapi.json HTTP/1.1\r\nHost: a\r\n"


@pytest.fixture
async def door():
    """The port of an HTTP door for two connections."""
    settings = Settings(http_port=free_port())
    async with server.serving(FastAPI(), settings, 1, connections=2):
        yield settings.http_port


@pytest.fixture
async def connect():
    """Opens connections, which are closed at the end."""
    writers = []

    async def connect(port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writers.append(writer)
        return reader, writer

    yield connect
    for writer in writers:
        writer.transport.abort()


async def is_closed(reader):
    try:
        return await asyncio.wait_for(reader.read(1), 10) == b""
    except ConnectionError:
        return True


async def answer(reader, writer, request=REQUEST + b"\r\n"):
    writer.write(request)
    return await asyncio.wait_for(reader.readline(), 10)


async def test_one_too_many_is_closed_and_the_others_are_served(door, connect):
    first, second, third = [await connect(door) for _ in range(3)]
    assert await is_closed(third[0])
    assert await answer(*first) == await answer(*second) == b"HTTP/1.1 200 OK\r\n"


@pytest.fixture
def hurried(monkeypatch):
    monkeypatch.setattr(server._Protocol, "header_seconds", 0.3)


@pytest.mark.parametrize("sent", [b"", b"G", REQUEST])
async def test_who_does_not_say_what_they_want_is_closed_and_makes_room(
    hurried, door, connect, sent
):
    silent = [await connect(door) for _ in range(2)]
    for _, writer in silent:
        writer.write(sent)
    for reader, _ in silent:
        assert await is_closed(reader)
    assert await answer(*await connect(door)) == b"HTTP/1.1 200 OK\r\n"


async def test_the_second_request_of_a_connection_is_waited_for_no_longer(hurried, door, connect):
    reader, writer = await connect(door)
    assert await answer(reader, writer, REQUEST + b"Connection: keep-alive\r\n\r\n")
    writer.write(REQUEST)
    rest = await asyncio.wait_for(reader.read(), 10)
    assert rest.count(b"HTTP/1.1") == 0


async def test_bytes_that_trickle_do_not_move_the_moment(hurried, door, connect):
    reader, writer = await connect(door)
    for byte in REQUEST:
        writer.write(bytes([byte]))
        await asyncio.sleep(0.02)
        if reader.at_eof():
            break
    assert await is_closed(reader)


async def test_a_body_may_take_longer_than_a_head(hurried, door, connect):
    reader, writer = await connect(door)
    writer.write(b"POST /openapi.json HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\na")
    await asyncio.sleep(0.6)
    assert await answer(reader, writer, b"b") == b"HTTP/1.1 405 Method Not Allowed\r\n"


async def test_the_grpc_door_closes_one_too_many(tmp_path, connect):
    async with staged(Settings(library=tmp_path)) as stage:
        parts = stage.parts
        model = VirtualModel(parts.renders, parts.inference.is_ready, "0")
        others = OpenInferenceServicer(model, parts.desk)
        made, reported = make_server(MaquetteServicer(parts), others, 64, connections=2)
        await reported.set("", health_pb2.HealthCheckResponse.SERVING)
        port = made.add_insecure_port("127.0.0.1:0")
        await made.start()
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            check = health_pb2_grpc.HealthStub(channel).Check
            assert (await check(health_pb2.HealthCheckRequest())).status
            # gRPC closes it as soon as it is accepted, with or without its settings.
            _, (reader, _) = [await connect(port) for _ in range(2)]
            received = await asyncio.wait_for(reader.read(), 10)
            assert received == b""
            assert (await check(health_pb2.HealthCheckRequest())).status
        await made.stop(0)


LIMIT = """
import resource
from gateway.doors import connections
resource.setrlimit(resource.RLIMIT_NOFILE, (100, {hard}))
print(connections.allowed_at_each_door(), resource.getrlimit(resource.RLIMIT_NOFILE)[0])
"""


@pytest.mark.parametrize(("hard", "allowed"), [(1024, 384), (100, 1)])
def test_the_limit_is_raised_and_the_connections_fit_below_it(hard, allowed):
    code = [sys.executable, "-c", LIMIT.format(hard=hard)]
    found = subprocess.run(code, capture_output=True, text=True, check=True).stdout.split()
    assert found == [str(allowed), str(hard)]


def test_a_large_limit_is_not_used_up():
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        assert 1 <= connections.allowed_at_each_door() <= connections.MOST
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


async def test_that_no_connection_can_be_taken_is_said_once_a_minute(caplog):
    now = 100.0
    handler = QuietAboutAccepting(clock=lambda: now)
    loop = asyncio.get_running_loop()
    refused = {"message": "socket.accept() out of system resource", "exception": OSError("EMFILE")}
    with caplog.at_level(logging.ERROR):
        for _ in range(1000):
            handler(loop, refused)
        assert [record.message for record in caplog.records] == [
            "no more connections can be taken (EMFILE); raise the limit of open files (ulimit -n)"
        ]
        now += 61
        handler(loop, refused)
        handler(loop, {"message": "something else"})
    assert len(caplog.records) == 3


@pytest.mark.long
def test_eleven_hundred_silent_connections_to_each_door_at_a_limit_of_1024_files(tmp_path):
    """They shut the HTTP door for good and wrote 145 MB of log in 48 s."""
    port, http_port = free_port(), free_port()
    log = tmp_path / "gateway.log"
    settings = {"PORT": port, "HTTP_PORT": http_port, "LIBRARY": tmp_path / "library"}
    limited = ["prlimit", "--nofile=1024:1024", sys.executable, "-P", "-m", "gateway"]
    mine = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (mine[1], mine[1]))
    with log.open("wb") as file, ExitStack() as held:
        process = subprocess.Popen(
            limited, stdout=file, stderr=subprocess.STDOUT, cwd=tmp_path,
            env=os.environ | {f"MAQUETTE_{name}": str(value) for name, value in settings.items()},
        )  # fmt: skip
        held.callback(resource.setrlimit, resource.RLIMIT_NOFILE, mine)
        held.callback(process.wait)
        held.callback(process.kill)
        wait_until(lambda: is_live(http_port), 60)
        for number in range(2200):
            made = socket.create_connection(("127.0.0.1", (port, http_port)[number % 2]))
            held.enter_context(made)
        wait_until(lambda: is_live(http_port), 2 * connections.HEADER_SECONDS)
        assert "no more connections" not in log.read_text(), "it knew how many there may be"
        assert log.stat().st_size < 10_000
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            wait_until(lambda: is_answered(channel), 60)


def is_live(http_port):
    try:
        return httpx.get(f"http://127.0.0.1:{http_port}/livez", timeout=1).is_success
    except httpx.HTTPError:
        return False


def is_answered(channel):
    try:
        return health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=1)
    except grpc.RpcError:
        return False
