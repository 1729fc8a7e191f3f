"""The server in the gateway's process."""

from __future__ import annotations

import asyncio
import socket

import pytest
import uvicorn
from fastapi import FastAPI

from gateway.doors.http.server import _begun, _Server, _socket, serving
from gateway.settings import Settings
from pipeline.errors import Unavailable
from serving.ports import free_port


async def test_a_server_that_cannot_begin_says_so():
    server = _Server(uvicorn.Config(FastAPI(), log_config=None, lifespan="off"))
    listening = _socket("127.0.0.1", 0)
    listening.close()
    task = asyncio.create_task(server.serve(sockets=[listening]))
    with pytest.raises(Unavailable, match=r"ended as it began: .*MAQUETTE_HTTP_PORT=0"):
        await _begun(server, task)


async def test_a_server_that_is_stopped_as_it_begins_says_so():
    server = _Server(uvicorn.Config(FastAPI(), log_config=None, lifespan="off"))
    task = asyncio.create_task(asyncio.sleep(0))
    with pytest.raises(Unavailable, match="ended as it began"):
        await _begun(server, task)


@pytest.mark.parametrize(
    ("host", "called"),
    [("127.0.0.1", ["127.0.0.1"]), ("::1", ["::1"]), ("::", ["::1", "127.0.0.1"]),
     ("localhost", ["127.0.0.1"])],
)  # fmt: skip
def test_it_listens_on_addresses_of_both_kinds(host, called):
    with _socket(host, 0) as listening:
        for address in called:
            socket.create_connection((address, listening.getsockname()[1]), timeout=5).close()


def test_an_address_of_another_machine_is_one_sentence():
    with pytest.raises(Unavailable, match="Cannot listen on fd00::dead, port 1: Cannot assign"):
        _socket("fd00::dead", 1)


HIDDEN = b"GET /openapi.json HTTP/1.1\r\nHost: a\r\n\r\n"
"""A request that a proxy might take for a part of the one before it."""
POST = b"POST /openapi.json HTTP/1.1\r\nHost: a\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"
AMBIGUOUS = {
    "a length, then an encoding": POST + b"Content-Length: 5\r\n" + CHUNKED + b"\r\n0\r\n\r\n",
    "an encoding, then a length": POST + CHUNKED + b"Content-Length: 5\r\n\r\n0\r\n\r\n",
    "two lengths": POST + b"Content-Length: 0\r\nContent-Length: 44\r\n\r\n",
    "another encoding": POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "lone LFs": POST.replace(b"\r", b"") + b"\n",
    "a lone LF before a header": POST + b"X: y\nContent-Length: 0\r\n\r\n",
    "a lone LF at the end": POST + b"\n",
    "a lone CR": POST + b"X: a\rY: b\r\n\r\n",
    "a space before the colon": POST + b"Content-Length : 0\r\n\r\n",
}


@pytest.mark.parametrize("after", [b"", HIDDEN], ids=["first", "second"])
@pytest.mark.parametrize("request_", AMBIGUOUS.values(), ids=AMBIGUOUS.keys())
async def test_what_two_servers_may_read_differently_is_refused(request_, after):
    """And so is what comes behind it, also where it is itself behind another request."""
    settings = Settings(http_port=free_port())
    async with serving(FastAPI(), settings, 1):
        reader, writer = await asyncio.open_connection("127.0.0.1", settings.http_port)
        writer.write(after + request_ + HIDDEN)
        answers = await asyncio.wait_for(reader.read(), 10)
        writer.close()
    statuses = [answer[:3] for answer in answers.split(b"HTTP/1.1 ")[1:]]
    assert statuses == [b"200"] * bool(after) + [b"400"]
    assert answers.lower().count(b"connection: close") == 1
