"""The server in the gateway's process."""

from __future__ import annotations

import asyncio
import socket

import pytest
import uvicorn
from fastapi import FastAPI

from gateway.doors.http.server import _begun, _Server, _socket
from pipeline.errors import Unavailable


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
