"""How many connections may be open: fewer than the process may have open files."""

from __future__ import annotations

import asyncio
import logging
import math
import resource
import time
from collections.abc import Callable
from typing import Any

OWN_FILES = 256
"""Open files that are no caller's connection: the style library, Triton, logs, keys."""
MOST = 4096
"""Connections of one door, whatever the system allows: each takes some 20 kB."""
DOORS = 2
HEADER_SECONDS = 10.0
"""For a caller to say what they want, once connected."""
QUIET_SECONDS = 60.0

log = logging.getLogger("maquette.gateway")


def allowed_at_each_door() -> int:
    """Raise the limit of open files as far as the system lets us; the connections that fit in."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    files = math.inf if hard == resource.RLIM_INFINITY else hard
    return int(max(1, min(MOST, (files - OWN_FILES) // DOORS)))


class QuietAboutAccepting:
    """Handler of a loop's errors that says once a minute that no connection can be taken.

    asyncio tells it for each of the waiting ones, hundreds a second.

    Args:
        clock: seconds that pass.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._told = -math.inf

    def __call__(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        if "socket.accept()" not in context["message"]:
            loop.default_exception_handler(context)
        elif self._clock() - self._told >= QUIET_SECONDS:
            self._told = self._clock()
            log.error(
                "no more connections can be taken (%s); raise the limit of open files (ulimit -n)",
                context.get("exception"),
            )
