"""Where a client connects to, and what it shows there."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc

from maquette.client.failures import CallFailed
from maquette.client.messages import Call

MAX_MESSAGE = 128 * 1024 * 1024
WINDOW = 4 * 1024 * 1024
"""Bytes that a server may send of a call before this side has taken them in."""
OPTIONS = (
    ("grpc.max_receive_message_length", MAX_MESSAGE),
    ("grpc.max_send_message_length", MAX_MESSAGE),
    # gRPC would ask an http_proxy of the environment even for this machine.
    ("grpc.enable_http_proxy", 0),
    # A result is some 100 KB. gRPC's own window begins at 64 KB and asks for the rest bit by bit.
    ("grpc.http2.lookahead_bytes", WINDOW),
    ("grpc.http2.bdp_probe", 0),
)


@dataclass(frozen=True)
class Target:
    """A gateway's address (``host:port``) and how to speak to it.

    Args:
        api_key: sent with every call, as a bearer token.
        ca: PEM file of the authority that signed the gateway's certificate; with it, TLS.
        timeout: seconds that a call may take.
        tls: trust the authorities that gRPC knows, where there is no `ca`.

    Raises:
        CallFailed: a part has another form.
    """

    address: str
    api_key: str | None = field(default=None, repr=False)
    ca: str | os.PathLike[str] | None = None
    timeout: float | None = None
    tls: bool = False

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[\w.-]+:\d+|\[[\da-fA-F:.]+(%[\w.-]+)?\]:\d+", self.address):
            allowed = "host:port, such as 127.0.0.1:8033 or [::1]:8033"
            raise _unfit(f"The server is {self.address!r}; allowed: {allowed}.")
        if self.api_key is not None and not re.fullmatch(r"[!-~]+", self.api_key):
            raise _unfit("The API key has spaces or other characters that no key has.")

    def credentials(self) -> grpc.ChannelCredentials | None:
        """For TLS; None without it.

        Raises:
            CallFailed: the PEM file cannot be read.
        """
        if self.ca is None:
            return grpc.ssl_channel_credentials() if self.tls else None
        try:
            return grpc.ssl_channel_credentials(Path(self.ca).read_bytes())
        except OSError as error:
            raise _unfit(f"The CA file {self.ca} cannot be read: {error.strerror}.") from error

    def metadata(self, call: Call[object]) -> tuple[tuple[str, str], ...]:
        """What goes with `call`."""
        sent = {
            "authorization": f"Bearer {self.api_key}" if self.api_key else "",
            "idempotency-key": call.idempotency_key,
        }
        return tuple((key, value) for key, value in sent.items() if value)


def async_channel(target: Target) -> grpc.aio.Channel:
    """A channel to `target` for asyncio.

    Raises:
        CallFailed: its PEM file cannot be read.
    """
    return _opened(grpc.aio, target)


def sync_channel(target: Target) -> grpc.Channel:
    """The same for threads."""
    return _opened(grpc, target)


def _opened(module: Any, target: Target) -> Any:
    """A channel as gRPC's `module` has it."""
    credentials = target.credentials()
    if credentials:
        return module.secure_channel(target.address, credentials, options=OPTIONS)
    return module.insecure_channel(target.address, options=OPTIONS)


def _unfit(message: str) -> CallFailed:
    return CallFailed(message, grpc.StatusCode.INVALID_ARGUMENT)
