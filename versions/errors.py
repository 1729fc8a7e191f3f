"""Why an operation on versions is not done. Each message is one sentence for whoever asked."""

from __future__ import annotations

from pathlib import Path

from pipeline.errors import Conflict, Refused, Unavailable


class Declined(Refused):
    """It may not be done: a bad engine, a gate that was not passed, a version that is needed."""


class Busy(Conflict):
    """Somebody else is changing versions, or has changed what this was meant to change."""


def disk_refuses(error: OSError, place: Path) -> Unavailable:
    """What the disk does not do, at `place` where `error` names no other."""
    return Unavailable(
        f"{error.filename or place}: {error.strerror}. See that there is room on its disk, and "
        "that this user may write there; the next command finishes or undoes what was begun."
    )
