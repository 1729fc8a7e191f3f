"""Why an operation on versions is not done. Each message is one sentence for whoever asked."""

from __future__ import annotations

from pipeline.errors import Conflict, Refused


class Declined(Refused):
    """It may not be done: a bad engine, a gate that was not passed, a version that is needed."""


class Busy(Conflict):
    """Somebody else is changing versions, or has changed what this was meant to change."""
