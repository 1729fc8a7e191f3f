"""A gateway of one's own in front of the live Triton, with whatever settings a test needs."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from maquette.v1 import maquette_pb2 as pb
from maquette.v1.maquette_pb2_grpc import MaquetteServiceStub
from serving.ports import free_port
from tests.conftest import ROOT
from tests.integration.stack import MAQUETTE, wait_until

PYTHON = MAQUETTE.with_name("python")
READY_SECONDS = 60
EXIT_SECONDS = 60


@dataclass
class Gateway:
    """A running gateway process."""

    process: subprocess.Popen[bytes]
    port: int
    http_port: int
    log: Path

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def http_address(self) -> str:
        return f"127.0.0.1:{self.http_port}"

    def channel(self, root_certificate: bytes | None = None) -> grpc.Channel:
        options = [("grpc.use_local_subchannel_pool", 1), ("grpc.enable_http_proxy", 0)]
        if root_certificate:
            credentials = grpc.ssl_channel_credentials(root_certificate)
            return grpc.secure_channel(self.address, credentials, options=options)
        return grpc.insecure_channel(self.address, options=options)

    def is_serving(self, root_certificate: bytes | None = None) -> bool:
        assert self.process.poll() is None, self.log.read_text()
        with self.channel(root_certificate) as channel:
            try:
                request = health_pb2.HealthCheckRequest()
                answer = health_pb2_grpc.HealthStub(channel).Check(request, timeout=1)
            except grpc.RpcError:
                return False
        return answer.status == health_pb2.HealthCheckResponse.SERVING


@contextmanager
def gateway(
    live, folder: Path, root_certificate: bytes | None = None, **settings: object
) -> Iterator[Gateway]:
    """Start a gateway with ``MAQUETTE_<SETTING>`` and a library that has one style."""
    folder.mkdir(parents=True, exist_ok=True)
    port, http_port = free_port(), free_port()
    own = {
        "PORT": port, "HTTP_PORT": http_port, "TRITON": live.triton_address,
        "LIBRARY": folder / "library", "KEYS": folder / "keys.json",
    }  # fmt: skip
    named = {f"MAQUETTE_{name.upper()}": str(value) for name, value in (own | settings).items()}
    log = folder / "gateway.log"
    with log.open("wb") as file:
        process = subprocess.Popen(
            [PYTHON, "-P", "-m", "gateway"], cwd=folder, env=os.environ | named,
            stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT,
        )  # fmt: skip
    started = Gateway(process, port, http_port, log)
    try:
        wait_until(lambda: started.is_serving(root_certificate), READY_SECONDS)
        yield started
    finally:
        if process.poll() is None:
            process.terminate()
        process.wait(EXIT_SECONDS)


def add_style(channel: grpc.Channel, metadata=()) -> None:
    """Give an empty library the one style that tests ask for."""
    picture = (ROOT / "examples/styles/cyberpunk.png").read_bytes()
    request = pb.AddStyleRequest(image=picture, name="cyberpunk")
    MaquetteServiceStub(channel).AddStyle(request, metadata=metadata)
