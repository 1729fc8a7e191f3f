"""What is written down of a call."""

from __future__ import annotations

import asyncio
import json

import pytest

from gateway.auth.audit import Audit
from gateway.auth.call_context import CallContext
from gateway.auth.caller import Caller
from gateway.telemetry.metrics import Metrics
from versions.errors import Busy

ADA = Caller("ada", frozenset())


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (None, "done"),
        (Busy("Somebody was faster."), "aborted"),
        (asyncio.CancelledError(), "cancelled"),
        (GeneratorExit(), "cancelled"),
    ],
)
def test_it_says_how_the_call_ended(error, outcome, tmp_path):
    audit = Audit(tmp_path / "audit.log")
    raised = None
    try:
        with CallContext(None, Metrics("0"), audit).noting(ADA, "gate", model="unet"):
            if error:
                raise error
    except BaseException as caught:  # noqa: BLE001 - it is looked at below
        raised = caught
    finally:
        audit.close()
    assert raised is error
    line = json.loads((tmp_path / "audit.log").read_text())
    assert (line["action"], line["ids"], line["outcome"]) == ("gate", {"model": "unet"}, outcome)
