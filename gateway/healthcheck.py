"""``python -m gateway.healthcheck``: does the gateway on this machine serve? For containers."""

from __future__ import annotations

import sys
from typing import Any

import grpc
import httpx
from grpc_health.v1 import health_pb2, health_pb2_grpc

from gateway.settings import Settings, read
from pipeline.addresses import called, join
from pipeline.errors import Unavailable

ANSWER_SECONDS = 2.0


def address_of(settings: Settings) -> str:
    """Where a gateway with these settings is asked."""
    return join(called(settings.host), settings.http_port if settings.tls else settings.port)


def ask(settings: Settings) -> str:
    """What the gateway with these settings reports of itself, in the health protocol's words.

    Raises:
        ConnectionError: nobody answers there.
    """
    try:
        return _over_https(settings) if settings.tls else _over_grpc(settings)
    except (grpc.RpcError, httpx.HTTPError) as error:
        raise ConnectionError(f"No gateway answers at {address_of(settings)}.") from error


def _over_grpc(settings: Settings) -> str:
    # The gateway is on this machine, so no proxy of the environment's has a part in it.
    options = [("grpc.enable_http_proxy", 0)]
    with grpc.insecure_channel(address_of(settings), options=options) as channel:
        health: Any = health_pb2_grpc.HealthStub(channel)
        answer = health.Check(health_pb2.HealthCheckRequest(), timeout=ANSWER_SECONDS)
    return health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)


def _over_https(settings: Settings) -> str:
    # The certificate names the address that callers use, and this is loopback.
    url = f"https://{address_of(settings)}/readyz"
    answer = httpx.get(url, verify=False, trust_env=False, timeout=ANSWER_SECONDS)  # noqa: S501
    return "SERVING" if answer.is_success else "NOT_SERVING"


def main() -> str | None:
    """None when the gateway serves; what is wrong otherwise, which ``sys.exit`` reports as 1."""
    try:
        settings = read()
        status = ask(settings)
    except Unavailable:
        return "The gateway's settings are not right; its log says which."
    except ConnectionError as error:
        return str(error)
    if status != "SERVING":
        return f"The gateway at {address_of(settings)} reports {status}; see whether Triton is up."
    return None


if __name__ == "__main__":
    sys.exit(main())
