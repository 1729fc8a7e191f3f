"""What holds for every HTTP call: who calls, what is told of errors, headers, limits, health."""

from __future__ import annotations

import asyncio
import base64
import gzip
import json
import logging
import socket
from contextlib import asynccontextmanager

import httpx
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from gateway.auth.caller import Quota, Scope
from gateway.doors.http.app import make_app
from gateway.doors.http.middleware import Guard
from gateway.doors.http.server import _socket
from gateway.doors.http_bodies import MAX_BODY, Inflating
from gateway.settings import Settings
from gateway.telemetry import tracing
from tests.gateway.doors.http.conftest import ORIGIN, serve
from tests.gateway.fakes import DENIED
from tests.gateway.waiting import until

POST = "POST /v1/renders HTTP/1.1\r\nHost: localhost\r\n"


def form(sketch, **fields):
    data = {"prompt": "a house", "num_inference_steps": 1, **fields}
    return {"data": data, "files": {"sketch": ("sketch.png", sketch)}}


async def test_problems_are_told_as_rfc_9457_has_it(served):
    response = await served.client.get("/v1/renders/x", headers={"X-Request-Id": "call-7"})
    assert response.headers["content-type"] == "application/problem+json"
    body = response.json()
    assert body.pop("detail").startswith("There is no render 'x'")
    assert body == {
        "type": "about:blank", "title": "Not Found", "status": 404, "request_id": "call-7",
    }  # fmt: skip


async def test_each_call_has_an_id(served):
    for sent, kept in (("call-7", True), ("a b", False), ("x" * 129, False), ("", False)):
        response = await served.client.get("/livez", headers={"X-Request-Id": sent})
        assert (response.headers["x-request-id"] == sent) == kept
        assert response.headers["x-request-id"]


async def test_paths_and_methods_there_are_not(served):
    response = await served.client.get("/nothing")
    assert (response.status_code, response.json()["title"]) == (404, "Not Found")
    assert "/openapi.json" in response.json()["detail"]
    response = await served.client.delete("/livez")
    assert (response.status_code, response.headers["allow"]) == (405, "GET, HEAD")
    assert response.json()["status"] == 405
    for path, allowed in (
        ("/v1/styles", "GET, HEAD, POST"),
        ("/v1/styles/winter", "GET, HEAD, DELETE"),
        ("/v1/styles/search", "GET, HEAD"),
        ("/v1/renders/x/cancel", "POST"),
    ):
        response = await served.client.put(path)
        assert (response.status_code, response.headers["allow"]) == (405, allowed)


async def test_head_is_get_without_the_body(served):
    for path in ("/livez", "/readyz", "/v1/info", "/v1/styles/winter/image", "/v1/renders/none"):
        head, got = await served.client.head(path), await served.client.get(path)
        assert (head.status_code, head.content) == (got.status_code, b"")
        assert head.headers["content-type"] == got.headers["content-type"]
        assert head.headers["content-length"] == str(len(got.content))
    told = told_by(served)
    assert 'http_request_method="HEAD",http_response_status_code="200",http_route="/livez"' in told


async def test_head_of_a_picture_that_the_caller_holds(served):
    etag = (await served.client.head("/v1/styles/winter/image")).headers["etag"]
    path = "/v1/styles/winter/image"
    assert (await served.client.head(path, headers={"If-None-Match": etag})).status_code == 304


async def test_bodies_are_counted_as_they_are_unpacked(served):
    app = make_app(served.stage.parts, served.settings, served.is_ready)
    from_the_outside = [each.cls for each in app.user_middleware]
    assert from_the_outside.index(Inflating) < from_the_outside.index(Guard)


async def test_bodies_may_come_compressed(served, sketch):
    packed = gzip.compress(json.dumps({
        "prompt": "a house", "num_inference_steps": 1, "sketch": base64.b64encode(sketch).decode(),
    }).encode())  # fmt: skip
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    response = await served.client.post("/v1/renders", content=packed, headers=headers)
    assert response.status_code == 200, response.text
    headers["Content-Encoding"] = "br"
    response = await served.client.post("/v1/renders", content=packed, headers=headers)
    assert (response.status_code, response.headers["accept-encoding"]) == (415, "gzip, deflate")
    assert "allowed: gzip or deflate" in response.json()["detail"]


async def test_under_v2_errors_have_another_form(served):
    for path, status in (("/v2/wrong", 400), ("/v2/nothing", 404)):
        response = await served.client.get(path)
        assert (response.status_code, list(response.json())) == (status, ["error"])


async def test_the_unexpected_is_logged_and_not_told(served, caplog):
    with caplog.at_level(logging.ERROR, "maquette.gateway"):
        response = await served.client.get("/broken", headers={"Origin": ORIGIN})
    assert (response.status_code, response.json()["status"]) == (500, 500)
    assert "secret" not in response.text
    assert response.headers["access-control-allow-origin"] == ORIGIN
    assert "a secret of the inside" in caplog.text


async def test_security_headers(served, sketch):
    for response in (
        await served.client.get("/livez"),
        await served.client.get("/nothing"),
        await served.client.get("/broken"),
        await served.client.post("/v1/renders", **form(sketch)),
    ):
        told = response.headers
        assert told["x-content-type-options"] == "nosniff"
        assert told["referrer-policy"] == "no-referrer"
        assert told["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"
        assert told["cache-control"] == "no-store"
        assert "strict-transport-security" not in told


async def test_over_tls_callers_are_to_keep_doing_so(served):
    files = {"tls_certificate": "cert.pem", "tls_key": "key.pem"}
    app = make_app(served.stage.parts, Settings(**files), served.is_ready)
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="https://x") as client:
        told = (await client.get("/livez")).headers
    assert told["strict-transport-security"].startswith("max-age=")


async def test_a_call_joins_its_callers_trace(served):
    spans, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(spans))
    tracing._providers.append(provider)
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    try:
        headers = {"traceparent": f"00-{trace}-00f067aa0ba902b7-01"}
        await served.client.get("/v1/styles/winter", headers=headers)
        await until(lambda: "GET /v1/styles/{id}" in names_of(spans))
        for path in ("/livez", "/readyz", "/v2/health/ready", "/metrics"):
            await served.client.get(path)
        await served.client.get("/broken")
        await until(lambda: "GET /broken" in names_of(spans))
    finally:
        tracing._providers.remove(provider)
    found = {span.name: span for span in spans.get_finished_spans()}
    joined, failed = found["GET /v1/styles/{id}"], found["GET /broken"]
    assert f"{joined.context.trace_id:032x}" == trace
    assert joined.attributes["http.response.status_code"] == 200
    assert (joined.status.is_ok, failed.status.is_ok) == (True, False)
    # What monitors call every few seconds is not among them.
    assert found.keys() == {"GET /v1/styles/{id}", "GET /broken"}


async def test_pages_of_listed_origins_may_call(served):
    asked = {
        "Origin": ORIGIN,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization, idempotency-key, prefer, x-api-key",
    }
    response = await served.client.options("/v1/renders", headers=asked)
    assert response.status_code == 200
    assert response.headers["access-control-allow-origin"] == ORIGIN
    other = await served.client.options("/v1/renders", headers={**asked, "Origin": "https://x.y"})
    assert other.status_code == 400
    assert "access-control-allow-origin" not in other.headers
    simple = await served.client.get("/livez", headers={"Origin": ORIGIN})
    readable = simple.headers["access-control-expose-headers"]
    for name in ("X-Retrieved-Style", "X-Request-Id", "Location", "Retry-After"):
        assert name in readable


async def test_too_large_by_its_own_word(served):
    """Refused before any of it is read."""
    head = f"{POST}Content-Type: application/json\r\n"
    async with connection(served) as (reader, writer):
        writer.write(f"{head}Content-Length: {MAX_BODY + 1}\r\n\r\n".encode())
        answer = await reader.readuntil(b"bytes.")
    assert answer.startswith(b"HTTP/1.1 413")
    assert b"application/problem+json" in answer


async def test_too_large_without_saying_so(served):
    """Refused as soon as it is too large, though it never ends."""
    head = f"{POST}Content-Type: multipart/form-data; boundary=x"
    part = b'--x\r\nContent-Disposition: form-data; name="sketch"; filename="a"\r\n\r\n'
    chunk = b"%x\r\n%b\r\n" % (1024 * 1024, bytes(1024 * 1024))
    async with connection(served) as (reader, writer):
        writer.write(f"{head}\r\nTransfer-Encoding: chunked\r\n\r\n".encode())
        writer.write(b"%x\r\n%b\r\n" % (len(part), part))
        answering, sent = asyncio.create_task(reader.readline()), 0
        while not answering.done():
            writer.write(chunk)
            await writer.drain()
            sent += len(chunk)
        assert (await answering).startswith(b"HTTP/1.1 413")
    assert MAX_BODY < sent < MAX_BODY * 1.5


def test_answers_do_not_wait_for_the_client_to_acknowledge():
    with (
        _socket("127.0.0.1", 0) as listening,
        socket.create_connection(listening.getsockname()),
        listening.accept()[0] as accepted,
    ):
        assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


async def test_parts_without_end(served):
    many = [("style_filter", "x")] * 200
    response = await served.client.post("/v1/renders", files=[(n, (None, v)) for n, v in many])
    assert response.status_code == 400
    long = {"prompt": (None, "x" * 100_000)}
    assert (await served.client.post("/v1/renders", files=long)).status_code == 400


async def test_a_client_that_leaves_in_the_middle_of_its_upload(served, caplog):
    head = f"{POST}Content-Type: multipart/form-data; boundary=x"
    async with connection(served) as (_, writer):
        writer.write(f"{head}\r\nContent-Length: 1000\r\n\r\n--x\r\n".encode())
        await writer.drain()
    counted = 'http_response_status_code="499",http_route="/v1/renders"'
    await until(lambda: counted in told_by(served))
    assert not caplog.records


async def test_health_needs_no_credentials(guarded):
    assert (await guarded.client.get("/livez")).text == "ok"
    assert (await guarded.client.get("/readyz")).text == "ready"


async def test_not_ready(served):
    served.painter.ready = False
    response = await served.client.get("/readyz")
    assert (response.status_code, response.headers["retry-after"]) == (503, "2")
    served.painter.ready, served.draining = True, True
    assert (await served.client.get("/readyz")).status_code == 503
    assert (await served.client.get("/livez")).status_code == 200


async def test_info(served):
    body = (await served.client.get("/v1/info")).json()
    assert (body["triton_version"], body["pack"]) == ("2.51.0", "painted")
    assert body["models"] == [{"name": "render", "version": "1", "ready": True}]
    assert "dpmpp_2m" in body["schedulers"]
    assert body["scopes"] == ["admin", "render", "styles"]


async def test_who_may_do_what(guarded, sketch):
    nobody = await guarded.client.get("/v1/info")
    assert (nobody.status_code, nobody.headers["www-authenticate"]) == (401, "Bearer")
    painter, curator = guarded.key(Scope.RENDER), guarded.key(Scope.STYLES)
    admin = guarded.key(Scope.ADMIN)
    upload = {"data": {"name": "Mine"}, "files": {"image": ("a.png", sketch)}}
    calls = [
        ("GET", "/v1/info", {}, {200}, {200}, {200}),
        ("GET", "/v1/styles", {}, {200}, {200}, {200}),
        ("POST", "/v1/renders", form(sketch), {200}, {403}, {200}),
        ("GET", "/v1/renders/x", {}, {404}, {403}, {404}),
        ("POST", "/v1/styles", upload, {403}, {201}, {200}),
        ("DELETE", "/v1/styles/mine", {}, {403}, {200}, {404}),
        ("GET", "/metrics", {}, {403}, {403}, {200}),
        ("GET", "/metrics/triton", {}, {403}, {403}, {404}),
    ]
    for method, path, sent, *allowed in calls:
        for headers, statuses in zip((painter, curator, admin), allowed, strict=True):
            response = await guarded.client.request(method, path, headers=headers, **sent)
            assert response.status_code in statuses, (method, path, headers)


async def test_a_key_may_come_as_bearer(guarded):
    key = guarded.key(Scope.RENDER)["X-API-Key"]
    response = await guarded.client.get("/v1/info", headers={"Authorization": f"Bearer {key}"})
    assert response.json()["scopes"] == ["render"]


async def test_who_calls_is_asked_before_the_body_is_read(guarded):
    head = f"{POST}Content-Type: multipart/form-data; boundary=x\r\nContent-Length: 1000000\r\n\r\n"
    async with connection(guarded) as (reader, writer):
        writer.write(head.encode())
        assert (await reader.readline()).startswith(b"HTTP/1.1 401")


async def test_renders_of_others_are_not_there(guarded, sketch):
    mine, other = guarded.key(Scope.RENDER), guarded.key(Scope.RENDER)
    await guarded.client.post("/v1/renders", headers=mine, **form(sketch, id="mine"))
    assert (await guarded.client.get("/v1/renders/mine", headers=mine)).status_code == 200
    assert (await guarded.client.get("/v1/renders/mine", headers=other)).status_code == 404


async def test_what_changed_is_written_down(guarded, sketch):
    admin = guarded.key(Scope.ADMIN)
    upload = {"data": {"name": "Mine"}, "files": {"image": ("a.png", sketch)}}
    broken = {"data": {"name": "Mine"}, "files": {"image": ("a.png", b"no picture")}}
    await guarded.client.post("/v1/styles", headers=admin, **upload)
    await guarded.client.post("/v1/styles", headers=admin, **broken)
    await guarded.client.delete("/v1/styles/Mine", headers=admin)
    await guarded.client.delete("/v1/styles/mine", headers=admin)
    await guarded.client.post("/v1/renders/nowhere/cancel", headers=admin)
    await guarded.client.post("/v1/renders", headers=admin, **form(sketch, prompt=DENIED))
    audit = guarded.settings.audit
    await until(lambda: audit.exists() and len(audit.read_text().splitlines()) == 6)
    lines = [json.loads(line) for line in audit.read_text().splitlines()]
    told = [(line["action"], line["outcome"], line["ids"].get("style")) for line in lines]
    assert told[:4] == [
        ("add_style", "done", "mine"),
        ("add_style", "invalid_argument", "Mine"),
        ("remove_style", "done", "mine"),
        ("remove_style", "not_found", "mine"),
    ]
    assert [told[4][:2], told[5][0]] == [("cancel", "not_found"), "render"]
    assert lines[4]["ids"]["render"] == "nowhere"


async def test_a_used_up_quota_says_when_to_try_again(tmp_path, sketch):
    one = Quota(calls_per_minute=1000, renders_per_minute=1, renders_at_once=1, renders_per_day=9)
    async with serve(tmp_path, one) as limited:
        key = limited.key(Scope.RENDER)
        first = await limited.client.post("/v1/renders", headers=key, **form(sketch))
        second = await limited.client.post("/v1/renders", headers=key, **form(sketch, seed=1))
    assert (first.status_code, second.status_code) == (200, 429)
    assert 1 <= int(second.headers["retry-after"]) <= 60


async def test_calls_are_counted_by_route(served):
    await served.client.get("/v1/styles/winter")
    await served.client.get("/nothing/at/all")
    assert await until_told(served, 'route="/v1/styles/{id}"')
    assert await until_told(served, 'route="unmatched"')
    response = await served.client.get("/metrics")
    assert response.headers["content-type"].startswith("text/plain")
    assert "winter" not in response.text


async def test_tritons_metrics_are_passed_on(tmp_path):
    async def answer(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        head = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\n"
        writer.write(head + b"Content-Length: 9\r\n\r\nnv_up 1.0")
        await writer.drain()
        writer.close()

    triton = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = triton.sockets[0].getsockname()[1]
    async with serve(tmp_path, triton_metrics=f"127.0.0.1:{port}") as passing:
        response = await passing.client.get("/metrics/triton")
        assert (response.text, response.status_code) == ("nv_up 1.0", 200)
        assert response.headers["content-type"] == "text/plain; version=0.0.4"
        triton.close()
        await triton.wait_closed()
        assert (await passing.client.get("/metrics/triton")).status_code == 503


@asynccontextmanager
async def connection(served):
    reader, writer = await asyncio.open_connection("127.0.0.1", served.settings.http_port)
    try:
        async with asyncio.timeout(10):
            yield reader, writer
    finally:
        writer.close()


def told_by(served) -> str:
    return served.stage.parts.desk.metrics.exposition()[0].decode()


def names_of(spans):
    return [span.name for span in spans.get_finished_spans()]


async def until_told(served, words):
    await until(lambda: words in told_by(served))
    return True
