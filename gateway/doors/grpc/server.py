"""The gRPC server: its services, its limits, and the health it reports."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from tritonclient.grpc import service_pb2, service_pb2_grpc

from gateway.doors.connections import HEADER_SECONDS, MOST
from gateway.doors.grpc import reflection
from gateway.doors.grpc.auth_interceptor import AuthInterceptor
from gateway.doors.grpc.concurrency import Bounds
from gateway.doors.grpc.decoding import Decoding
from gateway.doors.grpc.servicer import SERVICE_NAME, MaquetteServicer
from maquette.v1 import maquette_pb2_grpc
from pipeline.errors import Unavailable
from pipeline.images import MAX_BYTES
from pipeline.request import MAX_STYLE_IMAGES

OPEN_INFERENCE = service_pb2.DESCRIPTOR.services_by_name["GRPCInferenceService"].full_name
# Room for every picture that a request may carry, so that our own checks can say what is too large.
MAX_MESSAGE = (MAX_STYLE_IMAGES + 2) * MAX_BYTES
MAX_STREAMS = 256
"""Calls in progress on one connection."""
ASKS_WHO_CALLS = (SERVICE_NAME, OPEN_INFERENCE, *reflection.NAMES)
HEALTH_SECONDS = 1.0
PING_MILLISECONDS = 500
"""Between two keepalive pings of a client. gRPC itself allows one in five minutes, and ends the
connection at the third that comes sooner: a unary render of a minute would not outlive it."""


def make_server(
    servicer: MaquetteServicer,
    open_inference: service_pb2_grpc.GRPCInferenceServiceServicer,
    max_calls: int,
    connections: int = MOST,
) -> tuple[grpc.aio.Server, health.aio.HealthServicer]:
    """A server with every service registered, and the health that it reports.

    Args:
        max_calls: calls in progress; more are answered with RESOURCE_EXHAUSTED at once.
        connections: at once; more are closed as they come.
    """
    server = grpc.aio.server(
        interceptors=[
            Bounds(max_calls),
            AuthInterceptor(servicer.desk, ASKS_WHO_CALLS),
            Decoding(),
        ],
        options=[
            ("grpc.max_receive_message_length", MAX_MESSAGE),
            ("grpc.so_reuseport", 0),
            ("grpc.max_concurrent_streams", MAX_STREAMS),
            ("grpc.http2.min_ping_interval_without_data_ms", PING_MILLISECONDS),
            ("grpc.keepalive_permit_without_calls", 1),
            ("grpc.max_allowed_incoming_connections", connections),
            # Which ends with the caller's settings of HTTP/2.
            ("grpc.server_handshake_timeout_ms", round(1000 * HEADER_SECONDS)),
        ],
    )
    maquette_pb2_grpc.add_MaquetteServiceServicer_to_server(servicer, server)
    service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(open_inference, server)
    reported = health.aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(reported, server)
    reflection.add_reflection((SERVICE_NAME, OPEN_INFERENCE, health.SERVICE_NAME), server)
    return server, reported


def listen(server: grpc.aio.Server, address: str, tls: tuple[Path, Path] | None) -> None:
    """Have `server` listen on `address`, with the certificate and key of `tls` if given.

    Raises:
        Unavailable: the port is taken, or the certificate cannot be used.
    """
    try:
        if tls is None:
            server.add_insecure_port(address)
            return
        certificate, key = (path.read_bytes() for path in tls)
        credentials = grpc.ssl_server_credentials([(key, certificate)])
        server.add_secure_port(address, credentials)
    except OSError as error:
        raise Unavailable(f"{error.filename} cannot be read: {error.strerror}.") from error
    except RuntimeError as error:
        raise Unavailable(
            f"Port {address.rpartition(':')[2]} is taken, or the certificate does not fit. "
            "Stop what listens there, set MAQUETTE_PORT, or check MAQUETTE_TLS_CERTIFICATE."
        ) from error


async def report_health(
    reported: health.aio.HealthServicer, is_ready: Callable[[], Awaitable[bool]]
) -> None:
    """Keep telling whether renders can be served, until cancelled."""
    with suppress(asyncio.CancelledError):
        while True:
            serving = health_pb2.HealthCheckResponse.SERVING
            down = health_pb2.HealthCheckResponse.NOT_SERVING
            status = serving if await is_ready() else down
            for name in ("", SERVICE_NAME, OPEN_INFERENCE):
                await reported.set(name, status)
            await asyncio.sleep(HEALTH_SECONDS)
