"""What every call goes past, whichever door it came through."""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass

from gateway.observability.metrics import Metrics
from gateway.protection.audit import Audit
from gateway.protection.caller import Caller
from gateway.protection.doorkeeper import Doorkeeper

MAX_REQUEST_ID = 128


@dataclass(frozen=True)
class Desk:
    """Who asks callers who they are, counts their calls, and writes down what they did."""

    doorkeeper: Doorkeeper
    metrics: Metrics
    audit: Audit | None = None

    def note(self, caller: Caller, action: str, **ids: str) -> None:
        """Write down what `caller` has done to what, where that is asked for."""
        if self.audit:
            self.audit.record(caller, action, ids=ids, outcome="done")


def request_id_of(sent: str | None) -> str:
    """The request id that the caller `sent`, or a new one where that is missing or unfit."""
    fits = sent and re.fullmatch(rf"[!-~]{{1,{MAX_REQUEST_ID}}}", sent)
    return sent if sent and fits else uuid.uuid4().hex
