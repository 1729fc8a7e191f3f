"""The stack that is measured: ``maquette up`` from the serving environment, as a user starts it."""

from __future__ import annotations

import os
import re
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from subprocess import Popen
from typing import Any

import psutil
from tritonclient.grpc import InferenceServerClient

from maquette.paths import MODEL_REPOSITORY, ROOT
from pipeline.errors import Unavailable
from serving import processes, sockets
from serving.launcher import SHARED_MEMORY
from serving.ports import LOOPBACK, free_port

HOST = "127.0.0.1"
MAQUETTE = ROOT / ".venv" / "bin" / "maquette"
KEEP_MEGABYTES = 4
START_SECONDS = 120.0
STOP_SECONDS = 60.0
GRACE_SECONDS = 2
"""For renders in progress at the end; nobody waits for them."""
QUIET_SECONDS = 1.5
"""Several step times: when nothing was executed for so long, nothing will be."""


@dataclass(frozen=True)
class Counts:
    """What Triton counted for one model, all its versions together."""

    requests: int
    rows: int
    executions: int

    def since(self, before: Counts) -> Counts:
        """What was counted after `before`."""
        return Counts(
            self.requests - before.requests,
            self.rows - before.rows,
            self.executions - before.executions,
        )

    @property
    def mean_batch(self) -> float | None:
        """Requests per execution; None without any."""
        return round(self.requests / self.executions, 3) if self.executions else None


@dataclass(frozen=True)
class Stack:
    """A running stack and the ways to look into it."""

    process: Popen[bytes]
    port: int
    http_port: int
    triton_address: str
    """Of Triton's gRPC service, for channels."""
    triton: InferenceServerClient

    @property
    def address(self) -> str:
        """``host:port`` of the gateway's gRPC door."""
        return f"{HOST}:{self.port}"

    @property
    def http_address(self) -> str:
        """``host:port`` of the gateway's HTTP door."""
        return f"{HOST}:{self.http_port}"

    def counts(self, model: str = "unet") -> Counts:
        """What Triton has counted for `model` so far."""
        versions = self.triton.get_inference_statistics(model).model_stats
        return Counts(
            sum(version.inference_stats.success.count for version in versions),
            sum(version.inference_count for version in versions),
            sum(version.execution_count for version in versions),
        )

    def settled(self) -> Counts:
        """The UNet's counts, once they have stayed the same for several step times."""
        last, since = self.counts(), time.monotonic()
        while time.monotonic() - since < QUIET_SECONDS:
            time.sleep(0.05)
            current = self.counts()
            if current != last:
                last, since = current, time.monotonic()
        return last

    def waiting(self) -> int:
        """Renders that wait for a place, as the gateway's metrics tell."""
        with urllib.request.urlopen(f"http://{self.http_address}/metrics", timeout=10) as answer:
            found = re.search(r"^maquette_requests_waiting (\S+)$", answer.read().decode(), re.M)
        if found is None:
            raise Unavailable("The gateway's metrics do not tell how many renders wait.")
        return int(float(found[1]))

    def config(self, model: str) -> dict[str, Any]:
        """The config of `model` as its backend gets it."""
        found: dict[str, Any] = self.triton.get_model_config(model, as_json=True)["config"]
        return found

    def memory(self) -> dict[str, int]:
        """Bytes by process, and of the shared memory between them, which no process is charged."""
        parent = psutil.Process(self.process.pid)
        found: dict[str, int] = {}
        for process in (parent, *parent.children(recursive=True)):
            name = _name(process)
            found[name] = found.get(name, 0) + _own_bytes(process.pid)
        regions = SHARED_MEMORY.glob(f"maquette_{self.process.pid}_*")
        found["shared memory"] = sum(region.stat().st_blocks * 512 for region in regions)
        return found


@contextmanager
def running(state: Path, repository: Path = MODEL_REPOSITORY) -> Iterator[Stack]:
    """A stack with default settings and a library of its own that holds the bundled styles.

    Args:
        state: an empty folder for its logs and its library.
        repository: what it serves.

    Raises:
        Unavailable: it did not start; says why.
    """
    if not MAQUETTE.exists():
        raise Unavailable("The serving environment is missing. Make it with `make setup`.")
    port, http_port = free_port(), free_port()
    ports = {"--port": port, "--http-port": http_port}
    named = [word for option, number in ports.items() for word in (option, str(number))]
    log = state / "up.log"
    where: list[str | Path] = ["--state", state, "--repository", repository]
    process = processes.start([MAQUETTE, "up", *where, *named], log, _environment())
    try:
        _wait_until_up(process, log)
        address = sockets.grpc_address(state)
        with InferenceServerClient(address, channel_args=list(LOOPBACK)) as triton:
            yield Stack(process, port, http_port, address, triton)
    finally:
        processes.stop(process, STOP_SECONDS)


def _environment() -> dict[str, str]:
    """Ours without anybody's settings: what is measured is what ships."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("MAQUETTE_")}
    return {
        **own,
        "MAQUETTE_GRACE_SECONDS": str(GRACE_SECONDS),
        # Results that are kept for their callers would look like memory that is lost.
        "MAQUETTE_KEEP_MEGABYTES": str(KEEP_MEGABYTES),
        "COLUMNS": "200",
    }


def _wait_until_up(process: Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while "maquette is up" not in log.read_text(encoding="utf-8", errors="replace"):
        if process.poll() is not None:
            text = log.read_text(encoding="utf-8", errors="replace").strip()
            raise Unavailable(text.splitlines()[-1] if text else f"{MAQUETTE.name} up ended.")
        if time.monotonic() > deadline:
            raise Unavailable(f"The stack was not up after {START_SECONDS:g} s (log: {log}).")
        time.sleep(0.1)


def _name(process: psutil.Process) -> str:
    """What a process of the stack is, in a word or two."""
    words = process.cmdline()
    if words and words[0].endswith("triton_python_backend_stub"):
        return Path(words[1]).parent.parent.name  # of <model>/<version>/<file>
    if any(word.endswith("tritonserver") for word in words):
        return "tritonserver"
    return "gateway" if "gateway" in words else "maquette up"


def _own_bytes(pid: int) -> int:
    """Proportional set size without shared memory; resident set size where that is not told."""
    try:
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
    except OSError:
        return int(psutil.Process(pid).memory_info().rss)
    sizes = dict(re.findall(r"^(\w+):\s+(\d+) kB$", rollup, re.M))
    return 1024 * (int(sizes["Pss"]) - int(sizes.get("Pss_Shmem", 0)))
