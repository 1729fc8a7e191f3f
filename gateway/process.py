"""The gateway as a process, configured by MAQUETTE_* in the environment."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
from contextlib import AsyncExitStack
from pathlib import Path

from grpc_health.v1 import health_pb2

from gateway.doors.connections import QuietAboutAccepting, allowed_at_each_door
from gateway.doors.grpc.server import listen, make_server, report_health
from gateway.doors.grpc.servicer import MaquetteServicer
from gateway.doors.http.app import make_app
from gateway.doors.http.dependencies import admitted
from gateway.doors.http.server import serving
from gateway.doors.openinference.rest import router
from gateway.doors.openinference.servicer import OpenInferenceServicer
from gateway.doors.openinference.virtual_model import VirtualModel
from gateway.settings import Settings, read
from gateway.telemetry import logs, tracing
from gateway.version import VERSION
from gateway.wiring import assembled
from pipeline.addresses import join
from pipeline.errors import MaquetteError

LAST_WORDS_SECONDS = 5
"""For answers that are on their way when every render has ended."""

BEAT_SECONDS = 1.0

log = logging.getLogger("maquette.gateway")


async def beat(heartbeat: Path, seconds: float = BEAT_SECONDS) -> None:
    """Touch the file every so often, until cancelled: whoever looks sees that the loop runs."""
    is_failing = False
    while True:
        try:
            heartbeat.touch()  # noqa: ASYNC240 - from a thread it would say nothing of the loop
            is_failing = False
        except OSError as error:
            if not is_failing:
                log.error("%s cannot be touched: %s; a hang is not noticed", heartbeat, error)
            is_failing = True
        await asyncio.sleep(seconds)


async def serve(settings: Settings) -> None:
    """Serve until SIGINT or SIGTERM, then let running renders finish for the grace time."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(QuietAboutAccepting())
    connections = allowed_at_each_door()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopping.set)
    async with assembled(settings) as parts, AsyncExitStack() as doors:

        async def is_ready() -> bool:
            if stopping.is_set() or not await parts.inference.is_ready():
                return False
            return await parts.service.is_ready()

        model = VirtualModel(parts.renders, is_ready, VERSION)
        server, reported = make_server(
            MaquetteServicer(parts),
            OpenInferenceServicer(model, parts.desk),
            settings.max_calls,
            connections,
        )
        address = join(settings.host, settings.port)
        listen(server, address, settings.tls)
        await reported.set("", health_pb2.HealthCheckResponse.NOT_SERVING)
        await server.start()
        if settings.http_port:
            app = make_app(parts, settings, is_ready, router(model, admitted))
            await doors.enter_async_context(serving(app, settings, LAST_WORDS_SECONDS, connections))
        watching = asyncio.create_task(report_health(reported, is_ready))
        if settings.heartbeat:
            beating = asyncio.create_task(beat(settings.heartbeat))
            doors.callback(beating.cancel)
        log.info("gRPC on %s, HTTP on port %d", address, settings.http_port)
        await stopping.wait()
        log.info("stopping; running renders have %g s", settings.grace_seconds)
        await reported.enter_graceful_shutdown()
        await parts.renders.close(settings.grace_seconds)
        await server.stop(LAST_WORDS_SECONDS)
        watching.cancel()


def main() -> int:
    """Run the gateway; 1 when it could not start, with the reason on standard error."""
    try:
        settings = read()
        logs.configure(settings.log_format)
        tracing.configure(settings.otlp_endpoint, VERSION)
        asyncio.run(serve(settings))
    except MaquetteError as error:
        print(error, file=sys.stderr)
        return 1
    finally:
        tracing.shutdown()
    return 0
