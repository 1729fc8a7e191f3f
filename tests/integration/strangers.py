"""What another user of the same machine can do."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable
from pathlib import Path

NOBODY = 65534


def reached(folder: Path, attempts: dict[str, Callable[[], object]]) -> dict[str, str]:
    """What became of `attempts` by a user who stands in `folder`, by their names.

    Args:
        attempts: paths in them may be relative to `folder`, whatever lies above it.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.chdir(folder)
            os.setgroups([])
            os.setresgid(NOBODY, NOBODY, NOBODY)
            os.setresuid(NOBODY, NOBODY, NOBODY)
            found = {name: _outcome(attempt) for name, attempt in attempts.items()}
            os.write(writing, json.dumps(found).encode())
        finally:
            # Nothing of the parent's is ended a second time.
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, encoding="utf-8") as file:
        found = json.load(file)
    os.waitpid(child, 0)
    return found


def _outcome(attempt: Callable[[], object]) -> str:
    try:
        attempt()
    except OSError as error:
        return type(error).__name__
    return "done"


def entering(path: str) -> Callable[[], object]:
    """Open the file or the folder at `path`, to read it."""
    return lambda: os.open(path, os.O_RDONLY)


def calling(path: str) -> Callable[[], object]:
    """Connect to the Unix socket at `path`."""
    return lambda: socket.socket(socket.AF_UNIX).connect(path)
