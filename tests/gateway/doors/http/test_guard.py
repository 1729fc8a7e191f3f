"""Who is answered where nobody is asked who they are, and how many at once."""

from __future__ import annotations

import asyncio
import base64
import json
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
import pytest_asyncio
from PIL import Image
from starlette.datastructures import Headers

from gateway.auth.caller import Scope
from gateway.doors.http import origins
from gateway.doors.http.middleware import Guard
from gateway.settings import Settings
from pipeline.errors import Forbidden
from tests.gateway.doors.http.conftest import ORIGIN, serve
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


async def test_json_of_too_many_elements_is_refused(served):
    body = b"[" + b"[]," * 100_000 + b"[]]"
    headers = {"Content-Type": "application/json"}
    response = await served.client.post("/v1/renders", content=body, headers=headers)
    assert response.status_code == 400
    assert "body is JSON of about 200,002 elements; allowed: at most 10,000" in response.text


async def test_a_text_of_a_megabyte_is_refused(served, sketch):
    body = {"sketch": base64.b64encode(sketch).decode(), "prompt": "a", "style": "x" * 2**20}
    response = await served.client.post("/v1/renders", json=body)
    assert response.status_code == 400
    assert response.json()["detail"].startswith("style is 1,048,576 characters; allowed: at most")
    response = await served.client.get("/v1/styles/search", params={"prompt": "x" * 60_000})
    assert response.status_code == 400


async def test_one_caller_has_half_of_the_places_at_most(guarded):
    most, key = guarded.settings.max_calls // 2, guarded.key(Scope.RENDER)
    async with AsyncExitStack() as held:
        for _ in range(most):
            _, writer = await held.enter_async_context(connection(guarded))
            writer.write(half_sent(key))
        # Whether all of them have come so far is known when one more is refused.
        while (found := await guarded.client.get("/v1/info", headers=key)).is_success:
            pass
        assert found.status_code == 429
        assert f"{most} of your calls are in progress already" in found.json()["detail"]
        assert (await guarded.client.get("/v1/info")).status_code == 401


def half_sent(headers):
    lines = ["POST /v1/renders HTTP/1.1", "Host: localhost", "Content-Type: application/json"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "Content-Length: 100", "", "{"]).encode()


async def through(guard, *messages, key=b""):
    """The status that `guard` answers a body of `messages` with, which then stands still."""
    coming = list(messages)
    sent = []

    async def receive():
        if not coming:
            await asyncio.Event().wait()
        return coming.pop(0)

    async def send(message):
        sent.append(message)

    headers = [(b"host", b"localhost"), (b"x-api-key", key)]
    scope = {"type": "http", "method": "POST", "path": "/v1/renders", "scheme": "http",
             "headers": headers, "query_string": b""}  # fmt: skip
    await guard(scope, receive, send)
    return sent[0]["status"], json.loads(sent[1]["body"])["detail"]


async def reads_all(scope, receive, send):
    while (await receive()).get("more_body"):
        pass
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b'{"detail": "read"}'})


def part(size, more=True):
    return {"type": "http.request", "body": bytes(size), "more_body": more}


async def test_a_body_that_stands_still_is_given_up():
    guard = Guard(reads_all, Settings(), body_seconds=0.01)
    assert await through(guard, part(1, more=False)) == (200, "read")
    status, sentence = await through(guard, part(1))
    assert (status, sentence) == (
        408, "The body did not move for 0.01 s. Send it again, or a smaller one."
    )  # fmt: skip


async def test_bodies_are_bounded_together():
    guard = Guard(reads_all, Settings(), body_bytes=100)
    held = asyncio.create_task(through(guard, part(60)))
    await asyncio.sleep(0)
    status, sentence = await through(guard, part(30), part(30, more=False))
    assert (status, sentence) == (429, "The bodies of other calls fill the memory. Try again soon.")
    held.cancel()
    await asyncio.wait([held])
    assert await through(guard, part(60), part(30, more=False)) == (200, "read")


async def test_one_callers_bodies_have_half_of_the_memory_at_most():
    guard = Guard(reads_all, Settings(), body_bytes=200)
    held = asyncio.create_task(through(guard, part(60), key=b"ann"))
    await asyncio.sleep(0)
    status, sentence = await through(guard, part(60, more=False), key=b"ann")
    assert status == 429
    assert sentence.startswith("The bodies of your other calls fill your half of the memory.")
    assert await through(guard, part(100, more=False), key=b"bob") == (200, "read")
    held.cancel()
    await asyncio.wait([held])
    assert await through(guard, part(100, more=False), key=b"ann") == (200, "read")
    assert not guard._held


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
