"""The one table from maquette's errors to gRPC status codes and HTTP ones."""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus

import grpc

from pipeline.errors import (
    Cancelled,
    Conflict,
    DeadlineExceeded,
    Forbidden,
    InvalidRequest,
    MaquetteError,
    NotFound,
    Overloaded,
    Refused,
    StageFailed,
    Unauthenticated,
    Unavailable,
)
from versions.errors import Busy


class CallerError(MaquetteError):
    """A served model found the caller's input wrong; its message names the field."""


@dataclass(frozen=True)
class Code:
    """How one kind of error is told in each protocol."""

    grpc: grpc.StatusCode
    http: HTTPStatus


CODES: dict[type[MaquetteError], Code] = {
    InvalidRequest: Code(grpc.StatusCode.INVALID_ARGUMENT, HTTPStatus.BAD_REQUEST),
    CallerError: Code(grpc.StatusCode.INVALID_ARGUMENT, HTTPStatus.BAD_REQUEST),
    Unauthenticated: Code(grpc.StatusCode.UNAUTHENTICATED, HTTPStatus.UNAUTHORIZED),
    Forbidden: Code(grpc.StatusCode.PERMISSION_DENIED, HTTPStatus.FORBIDDEN),
    Refused: Code(grpc.StatusCode.FAILED_PRECONDITION, HTTPStatus.UNPROCESSABLE_ENTITY),
    NotFound: Code(grpc.StatusCode.NOT_FOUND, HTTPStatus.NOT_FOUND),
    Conflict: Code(grpc.StatusCode.ALREADY_EXISTS, HTTPStatus.CONFLICT),
    Busy: Code(grpc.StatusCode.ABORTED, HTTPStatus.CONFLICT),
    Overloaded: Code(grpc.StatusCode.RESOURCE_EXHAUSTED, HTTPStatus.TOO_MANY_REQUESTS),
    Cancelled: Code(grpc.StatusCode.CANCELLED, HTTPStatus.CONFLICT),
    DeadlineExceeded: Code(grpc.StatusCode.DEADLINE_EXCEEDED, HTTPStatus.GATEWAY_TIMEOUT),
    Unavailable: Code(grpc.StatusCode.UNAVAILABLE, HTTPStatus.SERVICE_UNAVAILABLE),
    StageFailed: Code(grpc.StatusCode.INTERNAL, HTTPStatus.INTERNAL_SERVER_ERROR),
}
UNEXPECTED = "maquette failed in a way it does not know; the gateway's log has the details."
RETRY_SECONDS = 2.0
"""What a caller is told to wait when a part is down."""


def code_of(error: Exception) -> Code:
    """The codes of `error`; those of ``StageFailed`` for what is not ours."""
    known = (CODES[kind] for kind in type(error).__mro__ if kind in CODES)
    return next(known, CODES[StageFailed])


def told(error: Exception) -> str:
    """What the caller is told of `error`: nothing of the inside when it is not ours."""
    return str(error) if isinstance(error, MaquetteError) else UNEXPECTED


def retry_after(error: Exception) -> float | None:
    """Seconds after which the same request may succeed; None when it will not by itself."""
    if isinstance(error, Overloaded):
        return error.retry_after
    return RETRY_SECONDS if isinstance(error, Unavailable) else None
