"""uvicorn inside the gateway's own process."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import h11
import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.h11_impl import H11Protocol

from gateway.doors.connections import HEADER_SECONDS, MOST
from gateway.settings import Settings
from pipeline.addresses import resolve
from pipeline.errors import Unavailable

POLL_SECONDS = 0.02
MAX_MESSAGE = 16 * 1024 * 1024
"""Bytes of a message over a WebSocket: the largest sketch, in base64, and some of its fields."""
ACCEPTED = 64
"""Connections that are taken at once. Each is an open file before it is closed as one too many."""
QUEUE = 1024
"""Connections that wait to be taken."""
MAX_HEAD = 64 * 1024
"""Bytes of a request's head."""

Event = h11.Event | type[h11.NEED_DATA] | type[h11.PAUSED]


class _Server(uvicorn.Server):
    """A server that leaves signals alone: the gateway answers them, for both doors."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class _Strict(h11.Connection):
    """Refuses requests that a proxy before it may take for others than they are.

    RFC 9112 lets a server take a lone LF for the end of a line (2.2), and a body with both a length
    and a transfer encoding (6.3). What a proxy forwards as one request could then be two.
    """

    def next_event(self) -> Event:
        """The next event.

        Raises:
            RemoteProtocolError: the head is ambiguous, or no head.
        """
        if self.their_state is h11.IDLE:
            head = self.trailing_data[0].partition(b"\r\n\r\n")[0]
            if b"\n" in head.replace(b"\r\n", b""):
                raise h11.RemoteProtocolError("a lone LF ends a line of the head")
        event = super().next_event()
        if isinstance(event, h11.Request):
            names = {name for name, _ in event.headers}
            if {b"content-length", b"transfer-encoding"} <= names:
                raise h11.RemoteProtocolError("a length and a transfer encoding")
        return event


class _Protocol(H11Protocol):
    """One connection, of which there are so many at most, and which is closed when it is silent."""

    most = 0
    """Connections at once; more are closed as they come."""
    header_seconds = HEADER_SECONDS

    _deadline: asyncio.TimerHandle | None = None
    """When the head of the request has to be here; None while none is expected."""

    def __init__(self, config: uvicorn.Config, *state: Any, **named: Any) -> None:
        super().__init__(config, *state, **named)
        self.conn = _Strict(h11.SERVER, config.h11_max_incomplete_event_size or MAX_HEAD)

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > self.most:
            transport.abort()
        self._expect_head()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.conn.their_state is h11.IDLE:
            self._expect_head()
        else:
            self._stop_waiting()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        super().connection_lost(exc)

    def _expect_head(self) -> None:
        # However slowly it comes: more bytes do not move the moment.
        if self._deadline is None:
            self._deadline = self.loop.call_later(self.header_seconds, self.transport.abort)

    def _stop_waiting(self) -> None:
        if self._deadline:
            self._deadline.cancel()
        self._deadline = None


@asynccontextmanager
async def serving(
    app: FastAPI, settings: Settings, stop_seconds: int, connections: int = MOST
) -> AsyncIterator[None]:
    """Serve `app` for the block.

    Args:
        connections: at once; more are closed as they come.
        stop_seconds: for calls in progress at the end of the block.

    Raises:
        Unavailable: the port is taken, the certificate cannot be used, or the server ended before
            it had begun.
    """
    listening = _socket(settings.host, settings.http_port)
    certificate, key = settings.tls or (None, None)
    config = uvicorn.Config(
        app,
        http=type("Protocol", (_Protocol,), {"most": connections}),
        log_config=None,
        access_log=False,
        backlog=ACCEPTED,
        server_header=False,
        timeout_graceful_shutdown=stop_seconds,
        ssl_certfile=certificate,
        ssl_keyfile=key,
        proxy_headers=False,
        lifespan="off",
        ws_max_size=MAX_MESSAGE,
    )
    server = _Server(config)
    try:
        config.load()
    except OSError as error:
        listening.close()
        raise Unavailable(f"The TLS certificate cannot be used: {error}.") from error
    task = asyncio.create_task(server.serve(sockets=[listening]), name="http")
    try:
        await _begun(server, task)
        # asyncio has made it as short as what it takes at once.
        listening.listen(QUEUE)
        yield
    finally:
        server.should_exit = True
        await asyncio.wait([task])
        listening.close()


async def _begun(server: uvicorn.Server, task: asyncio.Task[None]) -> None:
    while not server.started and not task.done():  # noqa: ASYNC110 - it knows no event
        await asyncio.sleep(POLL_SECONDS)
    if task.done():
        error = task.exception()
        why = f": {error}" if error else ""
        raise Unavailable(
            f"The HTTP server ended as it began{why}. Start the gateway again, or set "
            "MAQUETTE_HTTP_PORT=0 to do without HTTP."
        ) from error


def _socket(host: str, port: int) -> socket.socket:
    try:
        family, address = resolve(host, port)
        # On "::", IPv4 as well, as gRPC's door does.
        both = host == "::" and socket.has_dualstack_ipv6()
        listening = socket.create_server(address, family=family, backlog=256, dualstack_ipv6=both)
        # asyncio does it for sockets of its own making alone; without it, each answer waits 40 ms
        # for the client to acknowledge its head.
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return listening
    except OSError as error:
        raise Unavailable(
            f"Cannot listen on {host}, port {port}: {error.strerror}. Stop what listens there, or "
            "set MAQUETTE_HTTP_PORT."
        ) from error
