"""What can go wrong with a call, in plain words, and when it is worth another try."""

from __future__ import annotations

from typing import Protocol

import grpc
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2

STATUS_DETAILS = "grpc-status-details-bin"
TRIES = 3
NOWHERE = ("failed to connect", "resolution failed", "errors resolving")
"""How gRPC says that nobody answers at an address, or that no address has that name."""
MISTRUST = ("andshake", "erification")
"""How it says that a certificate is not trusted, or is another host's."""
BROKEN_SECONDS = 0.5
"""Wait after a connection that broke off, where nobody said how long."""
LONGEST_SECONDS = 10.0
"""A longer wait is left to the caller to decide on."""


class CallFailed(Exception):
    """The gateway refused or could not be reached; ``str(error)`` is fit for a person to read.

    Attributes:
        code: the gRPC status, such as ``grpc.StatusCode.INVALID_ARGUMENT``.
        retry_after: seconds after which the same call may succeed; None when waiting does not help.
    """

    def __init__(
        self,
        message: str,
        code: grpc.StatusCode = grpc.StatusCode.UNKNOWN,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.retry_after = retry_after


class Status(Protocol):
    """How a call ended; both of gRPC's kinds of errors tell it so."""

    def code(self) -> grpc.StatusCode: ...

    def details(self) -> str | None: ...

    def trailing_metadata(self) -> tuple[tuple[str, str | bytes], ...] | None: ...


def failure(status: Status, address: str) -> CallFailed:
    """The error to tell of a call to `address` that ended with `status`."""
    code, details = status.code(), status.details() or ""
    wait = _told_wait(status)
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return CallFailed("The call took longer than its timeout. Allow it more seconds.", code)
    if code is not grpc.StatusCode.UNAVAILABLE or wait is not None:
        return CallFailed(details or code.name, code, wait)
    if any(words in details for words in MISTRUST):
        trusted = "the CA file, or the authorities trusted without one,"
        return CallFailed(f"{address} and {trusted} do not fit one another: {details}", code)
    if any(words in details for words in NOWHERE):
        remedy = "Start one with `maquette up`, or name another address."
        return CallFailed(f"No gateway at {address}. {remedy}", code)
    shutting_down = "The service is shutting down, or the connection broke."
    return CallFailed(f"{shutting_down} Try again when it is back.", code, BROKEN_SECONDS)


def wait_before(tries: int, failed: CallFailed, *, repeatable: bool) -> float:
    """Seconds to wait until a call is sent again after `tries` of them.

    Raises:
        CallFailed: `failed` itself, when it will not pass by waiting, or has not, or the call is
            not `repeatable`.
    """
    passes = failed.code is grpc.StatusCode.UNAVAILABLE and failed.retry_after is not None
    wait = failed.retry_after or 0.0
    if not (passes and repeatable) or tries >= TRIES or wait > LONGEST_SECONDS:
        raise failed
    return wait


def _told_wait(status: Status) -> float | None:
    """The service's google.rpc.RetryInfo."""
    for key, value in status.trailing_metadata() or ():
        if key == STATUS_DETAILS and isinstance(value, bytes):
            return _retry_info(value)
    return None


def _retry_info(details: bytes) -> float | None:
    retry = error_details_pb2.RetryInfo()
    try:
        for detail in status_pb2.Status.FromString(details).details:
            if detail.Unpack(retry):
                return retry.retry_delay.ToMilliseconds() / 1000
    except DecodeError:
        pass
    return None
