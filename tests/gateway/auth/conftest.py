"""The limits over both of their storages."""

from __future__ import annotations

import tempfile
import uuid
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.auth.caller import Caller, Quota, Scope
from gateway.auth.limits import Limits
from tests.gateway.auth.redis_server import RedisServer

PLENTY = Quota(
    calls_per_minute=1000, renders_per_minute=1000, renders_at_once=1000, renders_per_day=1000
)


@pytest.fixture
def short_folder():
    """A socket's path has at most 107 characters, which pytest's own folders may exceed."""
    with tempfile.TemporaryDirectory(prefix="mqt") as folder:
        yield Path(folder)


@pytest.fixture(scope="session")
def redis_url():
    with tempfile.TemporaryDirectory(prefix="mqt") as folder:
        server = RedisServer(Path(folder))
        yield server.url
        server.stop()


@pytest.fixture
def own_redis(short_folder):
    """A Redis that a test may kill."""
    server = RedisServer(short_folder)
    yield server
    server.stop()


@pytest.fixture(params=["memory", "redis"])
async def limits(request):
    url = request.getfixturevalue("redis_url") if request.param == "redis" else None
    made = Limits(url)
    yield made
    await made.close()


@pytest.fixture
def caller():
    """Makes callers with plenty of everything, except for what is said; all of them are one."""
    identity = f"key:{uuid.uuid4().hex}"

    def make(**quota):
        return Caller(identity, frozenset({Scope.RENDER}), replace(PLENTY, **quota))

    return make
