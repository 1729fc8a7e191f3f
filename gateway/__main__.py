"""``python -m gateway``: the gateway as a process, configured by MAQUETTE_* in the environment."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys

import grpc
from grpc_health.v1 import health_pb2
from pydantic import ValidationError

from gateway.admission import Admission
from gateway.inference import connect
from gateway.rpc import make_server, report_health
from gateway.service import Service
from gateway.settings import Settings
from pipeline.errors import MaquetteError, Unavailable
from retrieval.library import open_library

OTHER_CALLS = 64
"""Calls beside renders (styles, health) that may be in progress."""

log = logging.getLogger("maquette.gateway")


async def serve(settings: Settings) -> None:
    """Serve until SIGINT or SIGTERM, then let running renders finish for the grace time."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopping.set)
    key = settings.qdrant_api_key.get_secret_value() if settings.qdrant_api_key else None
    async with (
        connect(settings.triton, settings.stall_seconds) as inference,
        open_library(settings.library, settings.qdrant_url, key) as library,
    ):
        admission = Admission(settings.max_running, settings.max_waiting)
        max_calls = settings.max_running + settings.max_waiting + OTHER_CALLS
        server, reported = make_server(Service(inference, library, admission), max_calls)
        _listen(server, settings)
        await reported.set("", health_pb2.HealthCheckResponse.NOT_SERVING)
        await server.start()
        watching = asyncio.create_task(report_health(reported, inference))
        log.info("listening on %s:%d", settings.host, settings.port)
        await stopping.wait()
        log.info("stopping; running renders have %g s", settings.grace_seconds)
        await reported.enter_graceful_shutdown()
        await server.stop(settings.grace_seconds)
        watching.cancel()


def _listen(server: grpc.aio.Server, settings: Settings) -> None:
    address = f"{settings.host}:{settings.port}"
    try:
        server.add_insecure_port(address)
    except RuntimeError as error:
        raise Unavailable(
            f"Port {settings.port} on {settings.host} is taken. "
            "Stop what listens there, or set MAQUETTE_PORT."
        ) from error


def _in_words(error: ValidationError) -> str:
    wrong = error.errors()[0]
    variable = f"MAQUETTE_{str(wrong['loc'][0]).upper()}"
    return f"{variable} is {wrong['input']!r}: {wrong['msg']}. Set it right, or unset it."


def main() -> int:
    """Run the gateway; 1 when it could not start, with the reason on standard error."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    try:
        asyncio.run(serve(Settings()))
    except MaquetteError as error:
        print(error, file=sys.stderr)
        return 1
    except ValidationError as error:
        print(_in_words(error), file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
