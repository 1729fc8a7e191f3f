"""The one table from maquette's errors to gRPC status codes."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, TypeAlias

import grpc

from gateway.inference import CallerError
from pipeline.errors import (
    Conflict,
    InvalidRequest,
    MaquetteError,
    NotFound,
    Overloaded,
    StageFailed,
    Unavailable,
)

GRPC_CODES: dict[type[MaquetteError], grpc.StatusCode] = {
    InvalidRequest: grpc.StatusCode.INVALID_ARGUMENT,
    CallerError: grpc.StatusCode.INVALID_ARGUMENT,
    NotFound: grpc.StatusCode.NOT_FOUND,
    Conflict: grpc.StatusCode.ALREADY_EXISTS,
    Overloaded: grpc.StatusCode.RESOURCE_EXHAUSTED,
    Unavailable: grpc.StatusCode.UNAVAILABLE,
    StageFailed: grpc.StatusCode.INTERNAL,
}

MAX_DETAILS = 2000
"""gRPC sends a status in its header, and fails otherwise when that grows too large."""
UNEXPECTED = "maquette failed in a way it does not know; the gateway's log has the details."

log = logging.getLogger("maquette.gateway")

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"


def _code_of(error: MaquetteError) -> grpc.StatusCode:
    known = (GRPC_CODES[kind] for kind in type(error).__mro__ if kind in GRPC_CODES)
    return next(known, grpc.StatusCode.INTERNAL)


@asynccontextmanager
async def as_status(context: Context) -> AsyncIterator[None]:
    """End the call with the right status when the block raises; no traceback leaves the gateway."""
    try:
        yield
    except MaquetteError as error:
        await context.abort(_code_of(error), str(error)[:MAX_DETAILS])
    except grpc.aio.AbortError:
        raise
    except Exception:
        log.exception("unexpected failure")
        await context.abort(grpc.StatusCode.INTERNAL, UNEXPECTED)
