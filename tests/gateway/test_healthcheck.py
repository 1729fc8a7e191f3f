"""The container's question, put to a real health service."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import grpc
import pytest
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from gateway import healthcheck
from gateway.settings import Settings


@contextmanager
def reporting(status):
    """The port of a server that reports `status`."""
    with ThreadPoolExecutor(1) as threads:
        server, servicer = grpc.server(threads), health.HealthServicer()
        servicer.set("", status)
        health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        try:
            yield port
        finally:
            server.stop(0).wait()


def check(**settings):
    environment = os.environ | {f"MAQUETTE_{name}": str(value) for name, value in settings.items()}
    return subprocess.run(
        [sys.executable, "-m", "gateway.healthcheck"],
        env=environment,
        check=False,
        capture_output=True,
        text=True,
    )


def test_a_gateway_that_serves_is_healthy():
    with reporting(health_pb2.HealthCheckResponse.SERVING) as port:
        done = check(HOST="0.0.0.0", PORT=port)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("host", "asked"),
    [
        ("0.0.0.0", "127.0.0.1:8044"),
        ("[::]", "[::1]:8044"),
        ("fd00::5", "[fd00::5]:8044"),
        ("10.0.0.5", "10.0.0.5:8044"),
    ],
)
def test_one_that_listens_everywhere_is_asked_on_loopback(host, asked):
    assert healthcheck.address_of(Settings(host=host, port=8044)) == asked


def test_one_that_does_not_serve_is_not():
    with reporting(health_pb2.HealthCheckResponse.NOT_SERVING) as port:
        done = check(HOST="127.0.0.1", PORT=port)
    assert done.returncode == 1
    assert done.stderr == (
        f"The gateway at 127.0.0.1:{port} reports NOT_SERVING; see whether Triton is up.\n"
    )


def test_nobody_there_is_said_in_one_sentence():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    done = check(HOST="127.0.0.1", PORT=port)
    assert (done.returncode, done.stderr) == (1, f"No gateway answers at 127.0.0.1:{port}.\n")


def test_a_setting_that_is_not_acceptable_is_said_in_one_sentence():
    done = check(PORT="high")
    assert done.returncode == 1
    assert done.stderr == "The gateway's settings are not right; its log says which.\n"
