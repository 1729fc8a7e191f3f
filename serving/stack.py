"""Everything that serves renders on one machine: Triton and, in front of it, the gateway."""

from __future__ import annotations

import fcntl
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from http import HTTPStatus
from pathlib import Path

import httpx

from pipeline.addresses import called, join
from pipeline.errors import Unavailable
from serving import launcher, processes, sockets
from serving.launcher import Triton
from serving.ports import free_port, require_free
from serving.processes import StoppedChildren
from serving.supervisor import Supervised

GATEWAY_SECONDS = 30.0
POLL_SECONDS = 0.1
STALE_SECONDS = 5.0
"""After which a heartbeat, which comes each second, is none."""
CLOSING_SECONDS = 20.0
"""For the gateway's last words and its style library, once its renders have ended."""


@dataclass(frozen=True)
class Options:
    """Where things are and where they listen. A port of 0 takes a free one."""

    repository: Path
    state: Path
    """Folder for logs and the style library."""
    host: str = "127.0.0.1"
    port: int = 0
    http_port: int = 0
    grace_seconds: float = 60.0
    """For renders to end when the gateway is stopped."""
    hang_seconds: float = 30.0
    """Of silence after which Triton or the gateway is started again; 0 never does."""
    tls: bool = False
    """Whether the gateway's settings make it serve TLS."""
    gateway_settings: Mapping[str, str] = field(default_factory=dict)
    """MAQUETTE_* variables that win over the environment's."""


@dataclass(frozen=True)
class Gateway:
    """A running gateway."""

    process: subprocess.Popen[bytes]
    options: Options
    log: Path
    heartbeat: Path
    """The file that its event loop touches each second."""

    @property
    def address(self) -> str:
        """``host:port`` of its gRPC service."""
        return join(self.options.host, self.options.port)

    @property
    def http_address(self) -> str:
        """``host:port`` of its HTTP service."""
        return join(self.options.host, self.options.http_port)

    @property
    def near_address(self) -> str:
        """Where its gRPC service is called from this machine."""
        return join(called(self.options.host), self.options.port)

    def ended(self) -> int | None:
        """Its exit status, negative for a signal; None while it runs."""
        return self.process.poll()

    def is_ready(self) -> bool:
        """Whether it listens. Whether renders are served is another matter, and Triton's."""
        try:
            address = (self.options.host, self.options.port)
            with socket.create_connection(address, timeout=1):
                return True
        except OSError:
            return False

    def is_alive(self) -> bool:
        """Whether its event loop runs. No door is asked, which callers may keep busy.

        A file that cannot be touched says nothing: a gateway is not ended for its disk.
        """
        try:
            found = self.heartbeat.stat()
            if abs(time.time() - found.st_mtime) < STALE_SECONDS:
                return True
            os.utime(self.heartbeat, ns=(found.st_atime_ns, found.st_mtime_ns))
        except OSError:
            return True
        return False

    def is_serving(self) -> bool:
        """Whether renders are served."""
        url = f"http{'s' if self.options.tls else ''}://{self.http_address}/readyz"
        try:
            # It is the process that was started here, whatever name is in its certificate.
            answer = httpx.get(url, timeout=1, verify=False, trust_env=False)  # noqa: S501
        except httpx.HTTPError:
            return False
        return answer.status_code == HTTPStatus.OK

    def reason(self) -> str:
        """The sentence that it ended with; its log's place where it did not expect to end."""
        text = self.log.read_text(encoding="utf-8", errors="replace").strip()
        last = text.splitlines()[-1] if text else "without a word"
        unexpected = "Traceback" in text or not text
        return f"The gateway ended: {last} (log: {self.log})" if unexpected else last

    def stop(self, *, at_once: bool = False) -> None:
        """End it, once the renders in progress are done or their time is over."""
        processes.stop(self.process, 0 if at_once else self.options.grace_seconds + CLOSING_SECONDS)

    def require_running(self) -> None:
        """Fail with its own sentence when it has ended.

        Raises:
            Unavailable: it has.
        """
        if self.ended() is not None:
            raise Unavailable(self.reason())


@dataclass(frozen=True)
class Stack:
    """A running Triton and gateway, each started again when it ends or hangs, while watched."""

    supervised_triton: Supervised[Triton]
    supervised_gateway: Supervised[Gateway]
    stopped: StoppedChildren

    @property
    def triton(self) -> Triton:
        """The Triton that runs now; its address stays the same."""
        return self.supervised_triton.run

    @property
    def address(self) -> str:
        """``host:port`` of the gateway."""
        return self.supervised_gateway.run.address

    @property
    def http_address(self) -> str:
        """``host:port`` of the gateway's HTTP service."""
        return self.supervised_gateway.run.http_address

    @property
    def near_address(self) -> str:
        """Where the gateway's gRPC service is called from this machine."""
        return self.supervised_gateway.run.near_address

    @property
    def logs(self) -> str:
        """The gateway's log and Triton's, in words."""
        return f"{self.supervised_gateway.run.log.resolve()} and {self.triton.log.resolve()}"

    def watch(self, tell: Callable[[str], None]) -> None:
        """Look at both once, and start again what has ended or hangs. Called every now and then.

        Args:
            tell: told in one sentence what happens.

        Raises:
            Unavailable: one of them cannot be started again.
        """
        self.supervised_triton.watch(tell)
        self.supervised_gateway.watch(tell)
        self.stopped.watch(self.triton.process, tell)
        self.triton.hide_memory()
        for log in (self.triton.log, self.supervised_gateway.run.log):
            processes.bound(log)


@contextmanager
def running(options: Options, report: Callable[[str], None]) -> Iterator[Stack]:
    """Start everything, hold it for the block, and end it whatever happens.

    Args:
        report: told in a few words what is being waited for.

    Raises:
        Unavailable: something did not start; says what and why.
    """
    with ExitStack() as held:
        held.enter_context(_sole_user(options.state))
        options = _with_ports(options)
        launcher.require_engines(options.repository)
        # The gateway starts first: its mistakes (a setting, a library in use) show within a second,
        # while Triton needs ten.
        start_gateway = partial(_start_gateway, options)
        gateway = Supervised(
            "The gateway", start_gateway(), start_gateway, GATEWAY_SECONDS, options.hang_seconds
        )
        held.callback(gateway.stop)
        triton = Supervised(
            "Triton",
            _start_triton(options, report, gateway.run),
            partial(launcher.spawn, options.repository, options.state),
            launcher.READY_SECONDS,
            options.hang_seconds,
        )
        held.callback(triton.stop)
        stack = Stack(triton, gateway, StoppedChildren(options.hang_seconds))
        triton.run.hide_memory()
        _wait_until_serving(gateway.run)
        # Renders in progress need Triton until the gateway has let them finish.
        held.callback(gateway.stop)
        yield stack


def _with_ports(options: Options) -> Options:
    """`options` with a free port for each of 0, and all of them checked."""
    port = options.port or free_port(options.host)
    http_port = options.http_port or free_port(options.host)
    if port == http_port:
        raise Unavailable(f"--port and --http-port are both {port}. Choose two.")
    require_free(options.host, port, "--port")
    require_free(options.host, http_port, "--http-port")
    return replace(options, port=port, http_port=http_port)


def _start_triton(options: Options, report: Callable[[str], None], gateway: Gateway) -> Triton:
    def tell(ready: int, total: int) -> None:
        gateway.require_running()
        report(f"Triton: {ready} of {total} models loaded")

    return launcher.start(options.repository, options.state, tell)


@contextmanager
def _sole_user(state: Path) -> Iterator[None]:
    """Hold `state` alone: a second stack there would take the first one's files away."""
    try:
        state.mkdir(0o700, parents=True, exist_ok=True)
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


def _start_gateway(options: Options) -> Gateway:
    log, heartbeat = options.state / "gateway.log", options.state.resolve() / "heartbeat"
    heartbeat.touch()
    environment = {
        "MAQUETTE_LIBRARY": str(options.state / "library"),
        **os.environ,
        # Keeps a folder called `gateway` where the user happens to be from being run instead, here
        # and in the processes that the gateway starts.
        "PYTHONSAFEPATH": "1",
        "MAQUETTE_GRACE_SECONDS": str(options.grace_seconds),
        "MAQUETTE_HEARTBEAT": str(heartbeat),
        "MAQUETTE_HOST": options.host,
        "MAQUETTE_PORT": str(options.port),
        "MAQUETTE_HTTP_PORT": str(options.http_port),
        "MAQUETTE_REPOSITORY": str(options.repository.resolve()),
        "MAQUETTE_TRITON": sockets.grpc_address(options.state),
        "MAQUETTE_TRITON_METRICS": sockets.metrics_address(options.state),
        **options.gateway_settings,
    }
    process = processes.start([sys.executable, "-m", "gateway"], log, environment)
    return Gateway(process, options, log, heartbeat)


def _wait_until_serving(gateway: Gateway) -> None:
    deadline = time.monotonic() + GATEWAY_SECONDS
    while time.monotonic() < deadline:
        gateway.require_running()
        if gateway.is_serving():
            return
        time.sleep(POLL_SECONDS)
    raise Unavailable(f"The gateway was not ready in {GATEWAY_SECONDS:g} s ({gateway.log})")
