"""Ports of this machine."""

from __future__ import annotations

import errno
import socket

from pipeline.errors import Unavailable

LOOPBACK = (("grpc.enable_http_proxy", 0), ("grpc.max_reconnect_backoff_ms", 500))
"""gRPC channel options for servers on this machine, where no proxy has a part."""


def free_port(host: str = "127.0.0.1") -> int:
    """A port that nothing listens on at this moment."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def require_free(host: str, port: int, option: str) -> None:
    """Fail early, with the option that changes it, when `port` is taken.

    Raises:
        Unavailable: something listens there already.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise Unavailable(
                    f"Cannot listen on {host}: {error}. Choose another address."
                ) from error
            raise Unavailable(
                f"Port {port} on {host} is taken. Stop what listens there, or choose another with "
                f"{option}."
            ) from error
