"""``python -m gateway.healthcheck``: does the gateway on this machine serve? For containers."""

from __future__ import annotations

import sys
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from pydantic import ValidationError

from gateway.settings import Settings

ANSWER_SECONDS = 2.0
LOOPBACK = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]"}  # noqa: S104
"""For a gateway that listens on every address."""


def address_of(settings: Settings) -> str:
    """Where a gateway with these settings is asked."""
    return f"{LOOPBACK.get(settings.host, settings.host)}:{settings.port}"


def ask(address: str) -> str:
    """What the gateway at `address` reports of itself, in the protocol's words.

    Raises:
        grpc.RpcError: nobody answers there.
    """
    # The gateway is on this machine, so no proxy of the environment's has a part in it.
    with grpc.insecure_channel(address, options=[("grpc.enable_http_proxy", 0)]) as channel:
        health: Any = health_pb2_grpc.HealthStub(channel)
        answer = health.Check(health_pb2.HealthCheckRequest(), timeout=ANSWER_SECONDS)
    return health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)


def main() -> str | None:
    """None when the gateway serves; what is wrong otherwise, which ``sys.exit`` reports as 1."""
    try:
        address = address_of(Settings())
        status = ask(address)
    except ValidationError:
        return "The gateway's settings are not right; its log says which."
    except grpc.RpcError:
        return f"No gateway answers at {address}."
    if status != "SERVING":
        return f"The gateway at {address} reports {status}; see whether Triton is up."
    return None


if __name__ == "__main__":
    sys.exit(main())
