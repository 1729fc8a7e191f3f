from __future__ import annotations

import pytest

from gateway.telemetry.outcomes import Timings


@pytest.fixture(scope="session")
def timings():
    """Of a render whose 20 steps took 4 of its 5 seconds."""
    return Timings(
        queue=0.5, embed=0.02, search=0.01, condition=0.1, denoise=4.0, decode=0.3, total=5.0
    )
