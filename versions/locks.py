"""One operation on a repository at a time, and who is at it.

Copying an engine takes minutes, and a roll-back must not wait for it; so a publish holds a lock of
its own, and that of operations for the moment in which the copy becomes a version. So does a gate.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from versions.errors import Busy

OPERATION = ".operation.lock"
PUBLISHING = ".publishing.lock"
GATING = ".gating.lock"
FOLLOWING = ".following.lock"
POLL_SECONDS = 0.05


@contextmanager
def following(repository: Path) -> Iterator[None]:
    """A gateway follows `repository` meanwhile, beside others. The kernel lets go for the dead."""
    with ExitStack() as held:
        # Where it cannot be written, nor could the gateway have Triton hold anything.
        with suppress(OSError):
            file = held.enter_context((repository / FOLLOWING).open("ab"))
            fcntl.flock(file, fcntl.LOCK_SH)
        yield


def is_followed(repository: Path) -> bool:
    """Whether a gateway follows `repository`."""
    try:
        file = (repository / FOLLOWING).open("rb")
    except FileNotFoundError:
        return False
    with file:
        return not _taken(file)


@contextmanager
def operating(
    repository: Path, who: str, doing: str, lock: str = OPERATION, patience: float = 0.0
) -> Iterator[None]:
    """Nobody else holds `lock` of `repository` meanwhile. The kernel lets go for the dead.

    Args:
        patience: seconds to wait for whoever holds it.

    Raises:
        Busy: somebody holds it; says who, for what and since when.
    """
    deadline = time.monotonic() + patience
    with (repository / lock).open("a+", encoding="utf-8") as file:
        while not _taken(file):
            if time.monotonic() >= deadline:
                raise Busy(
                    f"{_holder(file.name)}; two operations at once would spoil each other's work. "
                    "Try again when that is done."
                )
            time.sleep(POLL_SECONDS)
        file.truncate(0)
        since = datetime.now(UTC).isoformat(timespec="seconds")
        json.dump({"who": who, "doing": doing, "since": since, "process": os.getpid()}, file)
        file.flush()
        yield


def _taken(file: IO[Any]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _holder(path: str) -> str:
    with suppress(OSError, ValueError, KeyError, TypeError):
        found = json.loads(Path(path).read_text(encoding="utf-8"))
        return (
            f"{found['who']} is at {found['doing']} since {found['since']} "
            f"(process {found['process']})"
        )
    return "Somebody else is changing versions"
