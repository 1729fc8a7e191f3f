"""What a running gateway makes of what a repository says."""

from __future__ import annotations

import time

import grpc

from maquette.cli.common import Gateway
from maquette.client import CallFailed, Client
from versions import locks
from versions.changes import Outcome
from versions.repositories import ObjectStoreRepository, Repository

SECONDS = 15.0
"""For engines of the tiny pack; larger ones are loaded on after the command has ended."""
CALL_SECONDS = 2.0
POLL_SECONDS = 0.2
AWAY = {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED}


def follows(
    wanted: Outcome, alias: str, at: Repository, gateway: Gateway
) -> tuple[bool | None, str]:
    """Wait until `gateway` serves the sets of versions of `wanted`, and its CLIP.

    Args:
        wanted: the change that was made.
        alias: what the change was about.
        at: the repository that says so.

    Returns:
        Whether it does, None where nobody knows, and one sentence on it.
    """
    server = gateway.server
    try:
        with gateway.client(CALL_SECONDS) as client:
            return _wait(client, server, wanted, alias)
    except CallFailed as error:
        if error.code in AWAY:
            return None, f"No gateway answers at {server}; {_when(at)}"
        return None, f"The gateway at {server} does not say whether it serves that: {error}"


def _when(at: Repository) -> str:
    """When what `at` says takes effect, as far as can be known without asking a gateway."""
    ask = "Give its address with --server to see that it serves it."
    if isinstance(at, ObjectStoreRepository):
        return f"one that follows {at.url} takes it over within seconds. {ask}"
    if locks.is_followed(at.folder):
        return f"but one follows {at.folder}, and takes it over within seconds. {ask}"
    return "it takes effect when one starts."


def _wait(client: Client, server: str, wanted: Outcome, alias: str) -> tuple[bool | None, str]:
    served_versions, clip = wanted.served_versions, wanted.clip
    deadline = time.monotonic() + SECONDS
    while True:
        info = client.info()
        served = {alias: dict(found) for alias, found in info.served_versions.items()}
        if (served, info.clip) == (served_versions, clip):
            return True, f"The gateway at {server} is serving it."
        if info.problem and (served.get(alias), info.clip) == (served_versions.get(alias), clip):
            return True, f"The gateway at {server} is serving it, but: {info.problem}"
        if info.problem:
            return False, f"The gateway at {server} goes on with what it had: {info.problem}"
        if time.monotonic() > deadline:
            return None, (
                f"The gateway at {server} does not serve it after {SECONDS:g} s: it may still be "
                "loading, or serve another repository."
            )
        time.sleep(POLL_SECONDS)
