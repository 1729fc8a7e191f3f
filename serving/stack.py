"""Everything that serves renders on one machine: Triton and, in front of it, the gateway."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from pipeline.errors import Unavailable
from serving import launcher, processes
from serving.launcher import Triton
from serving.ports import LOOPBACK, free_port, require_free

GATEWAY_SECONDS = 30.0
POLL_SECONDS = 0.1
GRACE_SECONDS = 15.0
"""More than the gateway's own, so that it can close the style library."""


@dataclass(frozen=True)
class Options:
    """Where things are and where they listen. A port of 0 takes a free one."""

    repository: Path
    state: Path
    """Folder for logs and the style library."""
    host: str = "127.0.0.1"
    port: int = 0
    triton_port: int = 0
    metrics_port: int = 0
    gateway_settings: Mapping[str, str] = field(default_factory=dict)
    """MAQUETTE_* variables that win over the environment's."""


@dataclass(frozen=True)
class Stack:
    """A running Triton and gateway."""

    triton: Triton
    gateway: subprocess.Popen[bytes]
    address: str
    """``host:port`` of the gateway."""
    gateway_log: Path

    def dead(self) -> str | None:
        """What has ended that should be running, in words; None when all is well."""
        if self.triton.process.poll() is not None:
            return f"Triton has ended; its log is {self.triton.log}"
        if self.gateway.poll() is not None:
            return f"the gateway has ended; its log is {self.gateway_log}"
        return None


@contextmanager
def running(options: Options, report: Callable[[str], None]) -> Iterator[Stack]:
    """Start everything, hold it for the block, and end it whatever happens.

    Args:
        report: told in a few words what is being waited for.

    Raises:
        Unavailable: something did not start; says what and why.
    """
    with _sole_user(options.state), _running(options, report) as stack:
        yield stack


@contextmanager
def _running(options: Options, report: Callable[[str], None]) -> Iterator[Stack]:
    port = options.port or free_port(options.host)
    triton_port = options.triton_port or free_port()
    require_free(options.host, port, "--port")
    require_free(launcher.HOST, triton_port, "--triton-port")
    if port == triton_port:
        raise Unavailable(f"--port and --triton-port are both {port}. Choose two.")
    launcher.require_engines(options.repository)
    # The gateway starts first: its mistakes (a setting, a library in use) show within a second,
    # while Triton needs ten.
    with _gateway(options, port, triton_port) as gateway:
        triton = launcher.start(
            options.repository,
            options.state,
            grpc_port=triton_port,
            metrics_port=options.metrics_port,
            report=lambda ready, total: _tell(report, gateway, ready, total),
        )
        try:
            stack = Stack(triton, gateway.process, f"{options.host}:{port}", gateway.log)
            _wait_until_serving(stack)
            yield stack
        finally:
            # Renders in flight need Triton until the gateway has let them finish.
            try:
                processes.stop(gateway.process, GRACE_SECONDS)
            finally:
                triton.stop()


@contextmanager
def _sole_user(state: Path) -> Iterator[None]:
    """Hold `state` alone: a second stack there would take the first one's files away."""
    try:
        state.mkdir(parents=True, exist_ok=True)
        lock_file = (state / "lock").open("w")
    except OSError as error:
        raise Unavailable(
            f"The folder {state} cannot be used ({error.strerror}). Choose another with --state."
        ) from error
    with lock_file as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Unavailable(
                f"Another maquette runs with the folder {state}. Stop that one, or choose another "
                "folder with --state."
            ) from error
        yield


@dataclass(frozen=True)
class _Gateway:
    process: subprocess.Popen[bytes]
    log: Path

    def require_running(self) -> None:
        if self.process.poll() is not None:
            raise Unavailable(_reason(self.log))


@contextmanager
def _gateway(options: Options, port: int, triton_port: int) -> Iterator[_Gateway]:
    log = options.state / "gateway.log"
    environment = {
        "MAQUETTE_LIBRARY": str(options.state / "library"),
        **os.environ,
        "MAQUETTE_HOST": options.host,
        "MAQUETTE_PORT": str(port),
        "MAQUETTE_TRITON": f"{launcher.HOST}:{triton_port}",
        **options.gateway_settings,
    }
    # -P keeps a folder called `gateway` where the user happens to be from being run instead.
    process = processes.start([sys.executable, "-P", "-m", "gateway"], log, environment)
    try:
        yield _Gateway(process, log)
    finally:
        processes.stop(process, GRACE_SECONDS)


def _tell(report: Callable[[str], None], gateway: _Gateway, ready: int, total: int) -> None:
    gateway.require_running()
    report(f"Triton: {ready} of {total} models loaded")


def _wait_until_serving(stack: Stack) -> None:
    deadline = time.monotonic() + GATEWAY_SECONDS
    with grpc.insecure_channel(stack.address, options=LOOPBACK) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        while time.monotonic() < deadline:
            if stack.gateway.poll() is not None:
                raise Unavailable(_reason(stack.gateway_log))
            if _is_serving(health):
                return
            time.sleep(POLL_SECONDS)
    raise Unavailable(f"The gateway was not ready in {GATEWAY_SECONDS:g} s ({stack.gateway_log})")


def _is_serving(health: Any) -> bool:
    try:
        answer = health.Check(health_pb2.HealthCheckRequest(), timeout=1)
    except grpc.RpcError:
        return False
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


def _reason(log: Path) -> str:
    """The sentence that the gateway ended with; its log's place where it did not expect to end."""
    text = log.read_text(encoding="utf-8", errors="replace").strip()
    last = text.splitlines()[-1] if text else "without a word"
    return f"The gateway ended: {last} (log: {log})" if "Traceback" in text or not text else last
