"""The real thing for tests: `maquette up` from the serving environment, as a user starts it."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc
import psutil
from tritonclient.grpc import InferenceServerClient

from maquette.v1.maquette_pb2_grpc import MaquetteServiceStub
from serving import sockets
from serving.ports import free_port
from tests.conftest import ROOT
from tests.exported import EXPORTED
from tests.gateway.telemetry.collector import Collector

MAQUETTE = ROOT / ".venv" / "bin" / "maquette"
START_SECONDS = 120
MAX_MESSAGE = 128 * 1024 * 1024


@dataclass
class LiveStack:
    """A running `maquette up` and the ways to look into it."""

    process: subprocess.Popen[bytes]
    port: int
    http_port: int
    state: Path
    output: Path
    collector: Collector | None = None
    """Takes the gateway's spans; only of the stack that tests share."""

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def http_address(self) -> str:
        return f"127.0.0.1:{self.http_port}"

    @property
    def triton_address(self) -> str:
        return sockets.grpc_address(self.state)

    def channel(self) -> grpc.Channel:
        options = [
            ("grpc.max_receive_message_length", MAX_MESSAGE),
            ("grpc.max_send_message_length", MAX_MESSAGE),
            # Each test's channel is a connection of its own, so that closing it is a disconnect.
            ("grpc.use_local_subchannel_pool", 1),
        ]
        return grpc.insecure_channel(self.address, options=options)

    def executions(self, model: str = "unet") -> int:
        return self._statistics(model).execution_count

    def inferences(self, model: str = "unet") -> int:
        return self._statistics(model).inference_count

    def _statistics(self, model):
        with InferenceServerClient(self.triton_address) as client:
            return client.get_inference_statistics(model).model_stats[0]

    def processes(self) -> list[psutil.Process]:
        """`maquette up`, Triton, its Python processes and the gateway."""
        parent = psutil.Process(self.process.pid)
        return [parent, *parent.children(recursive=True)]

    def resident_bytes(self) -> int:
        return sum(process.memory_info().rss for process in self.processes())


@contextmanager
def live_stack(
    state: Path, *options: str, program: Sequence[str | Path] = (MAQUETTE,), **settings: object
) -> Iterator[LiveStack]:
    """Start `maquette up` with `options`, and ``MAQUETTE_<SETTING>`` for the gateway."""
    port, http_port = free_port(), free_port()
    ports = {"--port": port, "--http-port": http_port}
    named = [word for option, number in ports.items() for word in (option, str(number))]
    # What `options` say of it comes later, and counts.
    command = [*program, "up", "--repository", EXPORTED, *named]
    named_settings = {f"MAQUETTE_{name.upper()}": str(value) for name, value in settings.items()}
    output = state / "up.out"
    state.mkdir(parents=True, exist_ok=True)
    with output.open("wb") as file:
        process = subprocess.Popen(
            [*command, "--state", state, *options],
            stdout=file, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, cwd=state,
            env={**os.environ, "COLUMNS": "200", **named_settings},
        )  # fmt: skip
    stack = LiveStack(process, port, http_port, state, output)
    try:
        wait_until(lambda: "maquette is up" in output.read_text() or process.poll() is not None,
                   START_SECONDS)  # fmt: skip
        assert process.poll() is None, output.read_text()
        yield stack
    finally:
        if process.poll() is None:
            process.terminate()
        process.wait(30)


def wait_until(condition, seconds: float) -> None:
    """Return as soon as `condition` holds; fail when it does not in `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not so after {seconds} s"
        time.sleep(0.05)


def settled(value, seconds: float = 1.5):
    """`value()` once it has stayed the same for `seconds`, which is several step times."""
    last, since = value(), time.monotonic()
    while time.monotonic() - since < seconds:
        time.sleep(0.05)
        current = value()
        if current != last:
            last, since = current, time.monotonic()
    return last


def stub_of(channel: grpc.Channel) -> MaquetteServiceStub:
    return MaquetteServiceStub(channel)


def ready_models(triton) -> set[str]:
    """Names of the models that Triton serves."""
    index = triton.get_model_repository_index().models
    return {model.name for model in index if model.state == "READY"}
