"""Facts of the machine and of what ran on it, without names and places."""

from __future__ import annotations

import os
import platform
import re
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil
from tritonclient.grpc import InferenceServerClient

LIBRARIES = ("onnxruntime", "torch", "diffusers", "numpy", "qdrant-client")


def facts(triton: InferenceServerClient) -> dict[str, Any]:
    """What a reader needs to know to compare figures."""
    return {
        "cores": len(os.sched_getaffinity(0)),
        "cpu": _cpu(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "python": platform.python_version(),
        "tritonserver": triton.get_server_metadata().version,
        **{name: version(name) for name in LIBRARIES},
        "date": datetime.now(UTC).date().isoformat(),
    }


def _cpu() -> str:
    found = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text("utf-8"), re.M)
    return found[1] if found else platform.machine()
