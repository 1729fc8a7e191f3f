"""Whether a running gateway serves what a repository names."""

from __future__ import annotations

import time
from pathlib import Path

import grpc

from maquette.client import CallFailed, Client
from versions.aliases import CLIP, Snapshot

SECONDS = 15.0
"""For engines of the tiny pack; larger ones are loaded on after the command has ended."""
CALL_SECONDS = 2.0
POLL_SECONDS = 0.2


def follows(
    wanted: Snapshot, server: str, api_key: str | None, ca: Path | None, tls: bool
) -> tuple[bool, str]:
    """Wait until the gateway at `server` serves the line-ups of `wanted`, and its CLIP.

    Returns:
        Whether it does, and one sentence on it.
    """
    try:
        with Client(server, api_key or None, ca, CALL_SECONDS, tls) as client:
            return _wait(client, server, wanted)
    except CallFailed as error:
        if error.code in {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED}:
            return False, f"No gateway answers at {server}; it takes effect when one starts."
        return False, f"The gateway at {server} does not say whether it serves that: {error}"


def _wait(client: Client, server: str, wanted: Snapshot) -> tuple[bool, str]:
    line_ups = {alias: line_up.versions for alias, line_up in wanted.line_ups().items()}
    clip = wanted.champion(CLIP[0])
    deadline = time.monotonic() + SECONDS
    while True:
        info = client.info()
        served = {alias: dict(found) for alias, found in info.line_ups.items()}
        if (served, info.clip) == (line_ups, clip):
            return True, f"The gateway at {server} is serving it."
        if info.problem:
            return False, f"The gateway at {server} goes on with what it had: {info.problem}"
        if time.monotonic() > deadline:
            return False, (
                f"The gateway at {server} does not serve it after {SECONDS:g} s: it may still be "
                "loading, or serve another repository."
            )
        time.sleep(POLL_SECONDS)
