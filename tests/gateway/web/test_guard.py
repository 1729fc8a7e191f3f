"""Who is answered where nobody is asked who they are, and how many at once."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
import pytest_asyncio
from PIL import Image
from starlette.datastructures import Headers

from gateway.protection.caller import Scope
from gateway.settings import Settings
from gateway.web import origins
from pipeline.errors import Forbidden
from tests.gateway.web.conftest import ORIGIN, serve
from tests.pictures import encoded

EVIL = "https://evil.example"


def upload(name):
    picture = encoded(Image.new("RGB", (40, 20), "olive"))
    return {"data": {"name": name}, "files": {"image": ("a.png", picture)}}


async def test_pages_of_other_origins_change_nothing(served):
    response = await served.client.post("/v1/styles", headers={"Origin": EVIL}, **upload("Planted"))
    assert (response.status_code, response.json()["title"]) == (403, "Forbidden")
    assert response.headers["content-type"] == "application/problem+json"
    assert "MAQUETTE_CORS_ORIGINS" in response.json()["detail"]
    assert (await served.client.get("/v1/styles/planted")).status_code == 404


@pytest.mark.parametrize("origin", [None, ORIGIN, "its own"])
async def test_its_own_pages_listed_ones_and_programs_may_call(served, origin):
    own = f"http://127.0.0.1:{served.settings.http_port}"
    headers = {"Origin": own if origin == "its own" else origin} if origin else {}
    response = await served.client.post("/v1/styles", headers=headers, **upload("Olive"))
    assert response.status_code in (200, 201)
    assert (await served.client.delete("/v1/styles/olive", headers=headers)).status_code == 200


async def test_a_name_that_is_not_its_own_is_not_answered(served):
    for host in ("evil.example", f"evil.example:{served.settings.http_port}", "[", "127.0.0.1.x"):
        headers = {"Host": host, "Origin": f"http://{host}"}
        response = await served.client.get("/v1/styles", headers=headers)
        assert response.status_code == 403, host
        assert "MAQUETTE_AUTH" in response.json()["detail"]
    for host in ("localhost", "LOCALHOST:1", "[::1]:8034", "127.0.0.1"):
        assert (await served.client.get("/v1/styles", headers={"Host": host})).status_code == 200


@pytest.mark.parametrize("header", ["X-Forwarded-For", "X-Forwarded-Proto", "Forwarded", "Via"])
async def test_who_comes_through_a_proxy_is_not_taken_for_somebody_here(served, header):
    forwarded = {header: "203.0.113.7"}
    for call in (
        served.client.post("/v1/styles", headers=forwarded, **upload("Planted")),
        served.client.get("/metrics", headers=forwarded),
        served.client.get("/v1/models", headers={**forwarded, "Authorization": "Bearer sk-any"}),
    ):
        response = await call
        assert response.status_code == 401
        assert f"as its {header.lower()} says" in response.text
        assert "MAQUETTE_AUTH=required" in response.text
    known = {**forwarded, **served.key(Scope.STYLES)}
    assert (await served.client.get("/v1/styles", headers=known)).status_code == 200
    assert (await served.client.get("/readyz", headers=forwarded)).status_code == 200


async def test_health_is_told_under_any_name(served):
    for path in ("/livez", "/readyz"):
        assert (await served.client.get(path, headers={"Host": "10.0.0.7"})).status_code == 200


async def test_where_callers_say_who_they_are_any_name_will_do(guarded):
    strange = {"Host": "evil.example", "Origin": EVIL}
    assert (await guarded.client.get("/v1/info", headers=strange)).status_code == 401


def test_the_address_it_listens_on_is_its_name():
    here = Settings(host="10.0.0.7", auth="off")
    origins.check(Headers({"host": "10.0.0.7:8034"}), "http", here)
    with pytest.raises(Forbidden, match="only as 10"):
        origins.check(Headers({"host": "10.0.0.8:8034"}), "http", here)
    modern = Settings(host="[FD00::7]", auth="off")
    origins.check(Headers({"host": "[fd00::7]:8034"}), "http", modern)
    with pytest.raises(Forbidden, match="only as fd00::7"):
        origins.check(Headers({"host": "[fd00::8]:8034"}), "http", modern)
    everywhere = Settings(host="0.0.0.0", auth="off")
    origins.check(Headers({"host": "anything"}), "http", everywhere)
    with pytest.raises(Forbidden, match="CORS"):
        origins.check(Headers({"host": "anything", "origin": "null"}), "http", everywhere)


async def test_silent_connections_take_nobodys_place(few):
    async with AsyncExitStack() as held:
        for _ in range(few.settings.max_calls + 1):
            await held.enter_async_context(connection(few))
        assert (await few.client.get("/livez")).status_code == 200
        assert (await few.client.get("/v1/info")).status_code == 200


async def test_no_more_calls_at_once_than_may_be(few, sketch):
    few.painter.hold()
    await few.client.post(
        "/v1/renders", data={"prompt": "a", "id": "held", "keep_running": "true"},
        files={"sketch": sketch}, headers={"Prefer": "respond-async"},
    )  # fmt: skip
    async with AsyncExitStack() as held:
        for _ in range(few.settings.max_calls):
            reader, writer = await held.enter_async_context(connection(few))
            writer.write(b"GET /v1/renders/held/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert (await reader.readline()).startswith(b"HTTP/1.1 200")
        refused = await few.client.get("/v1/info")
        assert (refused.status_code, refused.json()["title"]) == (429, "Too Many Requests")
        assert int(refused.headers["retry-after"]) > 0
        for path in ("/livez", "/readyz", "/metrics"):
            assert (await few.client.get(path)).status_code == 200

    async def answered() -> bool:
        return (await few.client.get("/v1/info")).status_code == 200

    async with asyncio.timeout(10):
        while not await answered():
            pass


@pytest_asyncio.fixture(loop_scope="session")
async def few(tmp_path):
    """A server that takes as few calls at once as can be set."""
    async with serve(tmp_path, max_running=1, max_waiting=0) as running:
        yield running


@asynccontextmanager
async def connection(served):
    reader, writer = await asyncio.open_connection("127.0.0.1", served.settings.http_port)
    try:
        yield reader, writer
    finally:
        writer.close()
