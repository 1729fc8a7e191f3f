"""Ports of this machine."""

from __future__ import annotations

import errno
import socket

from pipeline import addresses
from pipeline.errors import Unavailable

LOOPBACK = (("grpc.enable_http_proxy", 0), ("grpc.max_reconnect_backoff_ms", 500))
"""gRPC channel options for servers on this machine, where no proxy has a part."""


def free_port(host: str = "127.0.0.1") -> int:
    """A port that nothing listens on at this moment.

    Raises:
        Unavailable: `host` is not an address of this machine.
    """
    return _try(host, 0, "")


def require_free(host: str, port: int, option: str) -> None:
    """Fail early, with the option that changes it, when `port` is taken.

    Raises:
        Unavailable: something listens there already, or `host` is not an address of this machine.
    """
    _try(host, port, option)


def _try(host: str, port: int, option: str) -> int:
    """Bind `port`, or any for 0; the port that was bound."""
    try:
        family, address = addresses.resolve(host, port)
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
            return int(probe.getsockname()[1])
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise Unavailable(
                f"Cannot listen on {host}: {error.strerror}. Choose another address."
            ) from error
        raise Unavailable(
            f"Port {port} on {host} is taken. Stop what listens there, or choose another with "
            f"{option}."
        ) from error
