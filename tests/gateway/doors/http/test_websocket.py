"""Renders over a WebSocket: the events of the other routes, and cancelling by message."""

from __future__ import annotations

import base64
import json
from contextlib import AsyncExitStack

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from gateway.auth.caller import Scope
from gateway.doors.http.server import MAX_MESSAGE
from gateway.doors.http.sessions import HEADER
from tests.gateway.waiting import until

STEPS = 3


@pytest.fixture
def asked(sketch):
    """A render as JSON."""
    sent = base64.b64encode(sketch).decode()
    return {"sketch": sent, "prompt": "a house", "num_inference_steps": STEPS}


def talking(served, **headers):
    url = served.url.replace("http", "ws", 1)
    return connect(f"{url}/v1/renders/ws", additional_headers=headers, proxy=None, max_size=None)


async def heard(socket, last=("result", "error")):
    """Every message up to one that ends a render."""
    messages = [json.loads(await socket.recv())]
    while messages[-1]["event"] not in last:
        messages.append(json.loads(await socket.recv()))
    return messages


async def test_the_events_are_those_of_the_other_routes(served, asked):
    async with talking(served) as socket:
        await socket.send(json.dumps({"render": {**asked, "id": "spoken", "keep_running": True}}))
        messages = await heard(socket)
        names = [message["event"] for message in messages]
        assert names == ["accepted", "progress", "style", *["progress"] * STEPS, "result"]
        assert [message["id"] for message in messages] == list(range(len(messages)))
        assert {message["render"] for message in messages} == {"spoken"}
        assert base64.b64decode(messages[-1]["data"]["images"][0]["png"]).startswith(b"\x89PNG")
        await socket.send(json.dumps({"follow": "spoken", "after": len(messages) - 2}))
        assert await heard(socket) == messages[-1:]


async def test_attempts_are_events_here_too(served, asked):
    async with talking(served) as socket:
        await socket.send(json.dumps({"render": {**asked, "structure_min": 1, "max_attempts": 2}}))
        messages = await heard(socket)
    assert [message["event"] for message in messages].count("attempt") == 2
    assert len(messages[-1]["data"]["attempts"]) == 2


async def test_a_render_is_cancelled_by_message(served, asked):
    served.painter.hold()
    async with talking(served) as socket:
        for name in ("first", "second"):
            await socket.send(json.dumps({"render": {**asked, "id": name}}))
        await until(lambda: served.painter.begun == 2)
        await socket.send(json.dumps({"cancel": "first"}))
        *_, last = await heard(socket, last=["error"])
        assert last["render"] == "first"
        assert "cancelled" in last["data"]["detail"]
        served.painter.go_on()
        *_, last = await heard(socket, last=["result"])
        assert last["render"] == "second"


async def test_who_leaves_ends_what_need_not_go_on(served, asked):
    served.painter.hold()
    async with talking(served) as socket:
        await socket.send(json.dumps({"render": asked}))
        await socket.send(json.dumps({"render": {**asked, "id": "goes-on", "keep_running": True}}))
        await until(lambda: served.painter.begun == 2)
    await until(lambda: len(served.renders.unfinished) == 1)
    assert served.renders.unfinished[0].id == "goes-on"


@pytest.mark.parametrize(
    ("message", "field", "words"),
    [
        ("", "body", "a JSON object"),
        ("[]", "body", "a JSON object"),
        ("{}", "message", "render, follow or cancel"),
        ('{"stop": 1}', "'stop'", ""),
        ('{"render": 1}', "render", ""),
        ('{"render": {"prompt": 1}}', "prompt", ""),
        ('{"render": {"prompt": "a house", "sketch": "", "steps": 1}}', "'steps'", ""),
        ('{"cancel": "none"}', None, "There is no render"),
        ('{"follow": "none"}', None, "There is no render"),
    ],
)
async def test_a_wrong_message_is_told_and_the_connection_goes_on(served, message, field, words):
    async with talking(served) as socket:
        for _ in range(2):
            await socket.send(message)
            (told,) = await heard(socket)
            assert told["event"] == "error"
            assert told["data"].get("field") == field
            assert words in told["data"]["detail"]


async def test_one_connection_follows_so_many_renders_at_once(served, asked):
    served.painter.hold()
    async with talking(served) as socket:
        for _ in range(17):
            await socket.send(json.dumps({"render": {**asked, "keep_running": True}}))
        *_, last = await heard(socket)
        assert "16 renders already" in last["data"]["detail"]


async def refused(served, **headers):
    with pytest.raises(InvalidStatus) as refusal:
        async with talking(served, **headers):
            pass
    return refusal.value.response


async def test_one_caller_has_so_many_connections(served):
    async with AsyncExitStack() as held:
        for _ in range(8):
            await held.enter_async_context(talking(served))
        response = await refused(served)
        assert response.status_code == 429
        assert "allowed: 8" in json.loads(response.body)["detail"]
    async with talking(served):
        pass


async def test_a_message_that_is_too_large_ends_the_connection(served):
    async with talking(served) as socket:
        await socket.send("x" * (MAX_MESSAGE + 1))
        with pytest.raises(ConnectionClosed) as closed:
            await socket.recv()
    assert closed.value.rcvd.code == 1009


async def test_who_calls_is_asked_at_the_handshake(guarded, asked):
    response = await refused(guarded)
    assert response.status_code == 401
    assert "x-api-key" in json.loads(response.body)["detail"]
    assert (await refused(guarded, **guarded.key(Scope.STYLES))).status_code == 403
    for headers in (
        guarded.key(Scope.RENDER),
        {"Authorization": f"Bearer {guarded.key(Scope.RENDER)['X-API-Key']}"},
    ):
        async with talking(guarded, **headers) as socket:
            await socket.send(json.dumps({"render": asked}))
            assert (await heard(socket))[-1]["event"] == "result"


async def test_strange_pages_are_refused(served):
    assert (await refused(served, Origin="https://evil.test")).status_code == 403


async def test_the_studios_session_counts_on_its_own_page_alone(guarded):
    own = {"Origin": guarded.url, HEADER: "1", "Sec-Fetch-Site": "same-origin"}
    begun = await guarded.client.post("/session", headers={**own, **guarded.key(Scope.RENDER)})
    cookie = begun.headers["set-cookie"].partition(";")[0]
    guarded.client.cookies.clear()
    async with talking(guarded, Cookie=cookie, Origin=guarded.url):
        pass
    assert (await refused(guarded, Cookie=cookie, Origin="http://127.0.0.1:1")).status_code == 403
    assert (await refused(guarded, Cookie=cookie)).status_code == 403
