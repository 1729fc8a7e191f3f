"""The server in the gateway's process."""

from __future__ import annotations

import asyncio

import pytest
import uvicorn
from fastapi import FastAPI

from gateway.web.server import _begun, _Server, _socket
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
