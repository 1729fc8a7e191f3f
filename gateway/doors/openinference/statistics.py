"""What the virtual model has done so far, as the protocol's statistics extension tells it."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

from gateway.doors.openinference.model import NAME, VERSION
from gateway.telemetry.outcomes import Timings

NANOSECONDS = 1e9
STAGES = ("queue", "compute_input", "compute_infer", "compute_output")


@dataclass
class Duration:
    """How often something happened, and how long it took altogether."""

    count: int = 0
    seconds: float = 0.0

    def add(self, seconds: float) -> None:
        self.count += 1
        self.seconds += seconds

    def told(self) -> dict[str, int]:
        """As the protocol's JSON."""
        return {"count": self.count, "ns": round(self.seconds * NANOSECONDS)}


@dataclass
class Statistics:
    """Counts and durations since the start."""

    success: Duration = field(default_factory=Duration)
    fail: Duration = field(default_factory=Duration)
    stages: dict[str, Duration] = field(
        default_factory=lambda: {stage: Duration() for stage in STAGES}
    )
    last_inference: int = 0
    """Milliseconds since 1970."""

    def succeeded(self, seconds: float, timings: Timings) -> None:
        """Count a request that was answered after `seconds`.

        Conditioning is a render's input, denoising its inference, decoding its output.
        """
        prepared = timings.embed + timings.search + timings.condition
        spent = (timings.queue, prepared, timings.denoise, timings.decode)
        for stage, share in zip(STAGES, spent, strict=True):
            self.stages[stage].add(share)
        self.success.add(seconds)
        self.last_inference = time.time_ns() // 1_000_000

    def failed(self, seconds: float) -> None:
        """Count a request that was refused, cancelled or lost after `seconds`."""
        self.fail.add(seconds)

    def told(self) -> dict[str, Any]:
        """As the protocol's JSON. A request is never batched with another, so each is one run."""
        stages = {stage: duration.told() for stage, duration in self.stages.items()}
        computed = {stage: told for stage, told in stages.items() if stage != "queue"}
        told = {"success": self.success.told(), "fail": self.fail.told(), **stages}
        statistics = {
            "name": NAME,
            "version": VERSION,
            "last_inference": self.last_inference,
            "inference_count": self.success.count,
            "execution_count": self.success.count,
            "inference_stats": told,
            "batch_stats": [{"batch_size": 1, **computed}] if self.success.count else [],
        }
        return {"model_stats": [statistics]}
