"""What surrounds every HTTP call. Plain ASGI, so that streams and disconnects pass through."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager, nullcontext
from http import HTTPStatus

from fastapi import Request
from opentelemetry.trace import INVALID_SPAN, Span, SpanKind, StatusCode
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.auth.call_context import request_id_of
from gateway.doors.concurrency import ConcurrencyLimiter
from gateway.doors.http import errors, origins
from gateway.doors.http_bodies import MAX_BODY, too_large
from gateway.settings import Settings
from gateway.telemetry import logs, tracing
from gateway.telemetry.metrics import Metrics
from pipeline.errors import MaquetteError, Overloaded

REQUEST_ID = "X-Request-Id"
CLIENT_LEFT = 499
"""What the metrics call an answer that nobody was there to take."""
METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
SAFE = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
}
HEALTH = {"/livez", "/readyz", "/v2/health/live", "/v2/health/ready"}
"""Answered whoever asks, by whatever name, and above all when there is too much to do."""
METRICS = "/metrics"
BODY_SECONDS = 30.0
BODY_BYTES = 4 * MAX_BODY
UNTRACED = HEALTH | {METRICS, f"{METRICS}/triton"}
"""What monitors call every few seconds."""
OVER_TLS = {"Strict-Transport-Security": "max-age=31536000"}

log = logging.getLogger("maquette.gateway")


class Envelope:
    """Request id, trace, metrics and security headers; answers HEAD as GET, without the body.

    Args:
        tls: whether callers come over TLS, and are to keep doing so.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics, *, tls: bool) -> None:
        self._app = app
        self._metrics = metrics
        self._headers = {**SAFE, **(OVER_TLS if tls else {})}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        method = scope["method"] if scope["method"] in METHODS else "OTHER"
        if method == "HEAD":
            # A copy: the server leaves the body out by the method in its own.
            scope, send = {**scope, "method": "GET"}, _head_alone(send)
        request_id = request_id_of(headers.get(REQUEST_ID))
        logs.request_id.set(request_id)
        started, status = time.perf_counter(), CLIENT_LEFT

        async def send_on(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                self._dress(MutableHeaders(scope=message), request_id)
            await send(message)

        try:
            with _span(scope, method, headers) as span:
                try:
                    await self._app(scope, receive, send_on)
                finally:
                    _describe(span, method, scope, status)
        finally:
            seconds = time.perf_counter() - started
            self._metrics.http_handled(method, route_of(scope), status, seconds)

    def _dress(self, headers: MutableHeaders, request_id: str) -> None:
        headers[REQUEST_ID] = request_id
        for name, value in self._headers.items():
            headers.setdefault(name, value)


def _head_alone(send: Send) -> Send:
    """Ends the answer where its body would begin, which for events might be without end."""
    begun = False

    async def send_on(message: Message) -> None:
        nonlocal begun
        if not begun:
            begun = True
            await send(message)
            await send({"type": "http.response.body"})

    return send_on


class Guard:
    """Refuses strange pages, calls that are too many and bodies too large; tells the unexpected.

    Args:
        settings: whom it answers, and how many at once. One caller has half of the places at most.
        body_seconds: after which a body that does not move is given up.
        body_bytes: of all bodies together that are being read and worked on. One caller's have half
            of them at most.
    """

    def __init__(
        self,
        app: ASGIApp,
        settings: Settings,
        body_seconds: float = BODY_SECONDS,
        body_bytes: int = BODY_BYTES,
    ) -> None:
        self._app = app
        self._settings = settings
        self._places = ConcurrencyLimiter(settings.max_calls, max(settings.max_calls // 2, 1))
        self._body_seconds = body_seconds
        self._most = body_bytes
        self._held: Counter[str] = Counter()
        """Bytes of bodies now, by caller."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        received, ended, answering = 0, False, False
        who = _credential(Headers(scope=scope))

        async def receive_some() -> Message:
            nonlocal received, ended
            # What is waited for after the body is the end of the connection.
            async with _moving(None if ended else self._body_seconds):
                message = await receive()
            ended = ended or not message.get("more_body")
            size = len(message.get("body", b""))
            received += size
            self._held[who] += size
            if received > MAX_BODY:
                raise too_large()
            if self._held.total() > self._most:
                raise Overloaded("The bodies of other calls fill the memory. Try again soon.")
            if who and self._held[who] > self._most // 2:
                raise Overloaded(
                    "The bodies of your other calls fill your half of the memory. "
                    "Try again when they have ended."
                )
            return message

        async def send_on(message: Message) -> None:
            nonlocal answering
            answering = True
            await send(message)

        try:
            with self._place(scope, who):
                _check_length(Headers(scope=scope))
                await self._app(scope, receive_some, send_on)
        except ClientDisconnect:
            return
        except Exception as error:
            if not isinstance(error, HTTPException | MaquetteError):
                log.exception("%s %s failed unexpectedly", scope["method"], route_of(scope))
            if answering:
                raise
            response = await errors.answer(Request(scope), error)
            await response(scope, receive, send)
        finally:
            self._held[who] -= received
            if not self._held[who]:
                del self._held[who]

    @contextmanager
    def _place(self, scope: Scope, who: str) -> Iterator[None]:
        if scope["path"] in HEALTH:
            yield
            return
        origins.check(Headers(scope=scope), scope["scheme"], self._settings)
        if scope["path"] == METRICS:
            # Scraped, not called: it shows what is going on above all when there is too much of it.
            yield
            return
        with self._places.taken(who):
            yield


@asynccontextmanager
async def _moving(seconds: float | None) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError as error:
        sentence = f"The body did not move for {seconds:g} s. Send it again, or a smaller one."
        raise HTTPException(HTTPStatus.REQUEST_TIMEOUT, sentence) from error


def _credential(headers: Headers) -> str:
    return headers.get("x-api-key") or headers.get("authorization") or ""


def _check_length(headers: Headers) -> None:
    declared = headers.get("content-length", "0")
    if declared.isdecimal() and int(declared) > MAX_BODY:
        raise too_large()


def route_of(scope: Scope) -> str:
    """The template of the route that answered, so that ids do not multiply the metrics."""
    return getattr(scope.get("route"), "path_format", "unmatched")


def _span(scope: Scope, method: str, headers: Headers) -> AbstractContextManager[Span]:
    if scope["path"] in UNTRACED:
        return nullcontext(INVALID_SPAN)
    return tracing.span(f"HTTP {method}", SpanKind.SERVER, tracing.extract(headers))


def _describe(span: Span, method: str, scope: Scope, status: int) -> None:
    span.update_name(f"{method} {route_of(scope)}")
    span.set_attribute("http.request.method", method)
    span.set_attribute("http.route", route_of(scope))
    span.set_attribute("http.response.status_code", status)
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        span.set_status(StatusCode.ERROR)
