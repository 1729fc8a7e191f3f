"""The HTTP door on a real port, over a painter in Triton's place."""

from __future__ import annotations

import socket
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import pytest_asyncio
from fastapi import APIRouter

from gateway.auth.caller import Scope
from gateway.auth.keys import KeyStore
from gateway.doors.http.app import make_app
from gateway.doors.http.server import serving
from gateway.settings import Settings
from pipeline.errors import InvalidRequest
from tests.gateway.fakes import BOUNDLESS, Painter, Stage, staged

ORIGIN = "https://studio.example"


@dataclass
class Served:
    """A server, a client of it, and what is behind it."""

    url: str
    client: httpx.AsyncClient
    stage: Stage
    settings: Settings
    draining: bool = False

    @property
    def painter(self) -> Painter:
        return self.stage.painter

    @property
    def renders(self):
        return self.stage.parts.renders

    def key(self, *scopes: Scope) -> dict[str, str]:
        """Headers with a new API key of these scopes."""
        _, key = KeyStore(self.settings.keys).create("somebody", scopes)
        return {"X-API-Key": key}

    async def is_ready(self) -> bool:
        return not self.draining and await self.painter.is_ready()


def free_port() -> int:
    with socket.socket() as chosen:
        chosen.bind(("127.0.0.1", 0))
        return chosen.getsockname()[1]


def broken_routes(_served: Served) -> APIRouter:
    """Routes under /v2 as another door brings them, which fail."""
    router = APIRouter()

    @router.get("/v2/wrong")
    async def wrong():
        raise InvalidRequest("name", "x", "y", "Send y.")

    @router.get("/broken")
    async def broken():
        raise ZeroDivisionError("a secret of the inside")

    return router


@asynccontextmanager
async def serve(folder: Path, quota=BOUNDLESS, *, other_door=broken_routes, **changed):
    """A server with the settings in `changed`.

    Args:
        other_door: makes the routes that are mounted beside our own.
    """
    usual = {
        "http_port": free_port(), "library": folder / "library", "keys": folder / "keys.json",
    }  # fmt: skip
    settings = Settings(**usual | changed)
    url = f"http://127.0.0.1:{settings.http_port}"
    async with AsyncExitStack() as held:
        stage = await held.enter_async_context(staged(settings, quota))
        client = await held.enter_async_context(
            httpx.AsyncClient(base_url=url, trust_env=False, timeout=30)
        )
        served = Served(url, client, stage, settings)
        app = make_app(stage.parts, settings, served.is_ready, other_door(served))
        await held.enter_async_context(serving(app, settings, 1))
        held.callback(stage.painter.go_on)
        yield served


def pytest_collection_modifyitems(items):
    # One loop for all, so that they can share a server: a library takes half a second to open.
    for item in items:
        if pytest_asyncio.is_async_test(item) and Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def shared(tmp_path_factory):
    async with serve(
        tmp_path_factory.mktemp("shared"), cors_origins=[ORIGIN], max_running=64
    ) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="session")
async def served(shared):
    """The server that most tests share, with a painter that is as new."""
    yield shared
    for render in shared.renders.unfinished:
        render.cancel()
        await render.ended()
    shared.draining = False
    vars(shared.painter).update(vars(Painter()))


@pytest_asyncio.fixture(loop_scope="session")
async def guarded(tmp_path):
    """A server that asks who calls."""
    async with serve(tmp_path, auth="required", audit=tmp_path / "audit.log") as running:
        yield running


async def events_of(response: httpx.Response):
    """The (name, data) of each server-sent event, as they come."""
    name = ""
    async for line in response.aiter_lines():
        if line.startswith("event: "):
            name = line.removeprefix("event: ")
        elif line.startswith("data: "):
            yield name, line.removeprefix("data: ")
