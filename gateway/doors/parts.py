"""What stands behind the doors."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.auth.call_context import CallContext
from gateway.information import Information
from gateway.renders.registry import Renders
from gateway.rollout.administration import Administration
from gateway.triton.inference import Inference
from gateway.worker.service import Service


@dataclass(frozen=True)
class Parts:
    """What the doors stand on."""

    desk: CallContext
    inference: Inference
    service: Service
    renders: Renders
    information: Information
    administration: Administration
