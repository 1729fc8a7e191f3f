"""What every call goes past, whichever door it came through."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from gateway.auth.audit import Audit
from gateway.auth.authenticator import Authenticator
from gateway.auth.caller import Caller
from gateway.errors import code_of
from gateway.telemetry.metrics import Metrics

MAX_REQUEST_ID = 128


@dataclass(frozen=True)
class CallContext:
    """Who asks callers who they are, counts their calls, and writes down what they did."""

    authenticator: Authenticator
    metrics: Metrics
    audit: Audit | None = None

    @contextmanager
    def noting(self, caller: Caller, action: str, **ids: str) -> Iterator[dict[str, str]]:
        """Write down what `caller` does in the block, to what, and how it ends.

        Yields:
            The ids, which may be set right in the block.
        """
        outcome = "done"
        try:
            yield ids
        except Exception as error:
            outcome = code_of(error).grpc.name.lower()
            raise
        except BaseException:
            # Whoever asked has left, or the gateway ends: nobody knows that it was done.
            outcome = "cancelled"
            raise
        finally:
            if self.audit:
                self.audit.record(caller, action, ids=ids, outcome=outcome)


def request_id_of(sent: str | None) -> str:
    """The request id that the caller `sent`, or a new one where that is missing or unfit."""
    fits = sent and re.fullmatch(rf"[!-~]{{1,{MAX_REQUEST_ID}}}", sent)
    return sent if sent and fits else uuid.uuid4().hex
