"""Hosts and ports, with an IPv6 address in brackets where a port follows: ``[::1]:8033``."""

from __future__ import annotations

import ipaddress
import socket
from typing import Any

ANYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - compared with, not listened on
"""Addresses that a server listens on to have all of its machine's, and where that one calls it."""


def bare(host: str) -> str:
    """`host` without brackets, and an IPv6 address in its usual spelling.

    Raises:
        ValueError: there is a colon in it, and it is no IPv6 address.
    """
    host = host.removeprefix("[").removesuffix("]")
    return str(ipaddress.IPv6Address(host)) if ":" in host else host


def join(host: str, port: int) -> str:
    """``host:port``; `host` is a bare one."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def called(host: str) -> str:
    """Where a server that listens on `host` is called from its own machine."""
    return ANYWHERE.get(host, host)


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches `host`."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def resolve(host: str, port: int) -> tuple[socket.AddressFamily, Any]:
    """The family and the address to bind a TCP socket to.

    IPv4 where a name has both, because 127.0.0.1 is what callers try by habit.

    Raises:
        OSError: no address has that name.
    """
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    family, _, _, _, address = min(found, key=lambda one: one[0] is not socket.AF_INET)
    return family, address
