"""What keeps a service running: health, metrics, what serves."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import httpx
from fastapi import APIRouter, Request, Response
from fastapi.responses import PlainTextResponse

from gateway.doors.http.dependencies import Administering, Behind, Known, settings_of
from gateway.doors.http.openapi import PROBLEMS
from gateway.doors.http.schemas import InfoBody
from pipeline.errors import NotFound, Unavailable

IsReady = Callable[[], Awaitable[bool]]
ASK_SECONDS = 5.0

router = APIRouter(tags=["operations"], responses=PROBLEMS)


@router.get("/livez", summary="Does the process answer?", response_class=PlainTextResponse)
async def live() -> str:
    """Always `ok`: asks nobody, and needs no credentials."""
    return "ok"


@router.get("/readyz", summary="Can renders be served?", response_class=PlainTextResponse)
async def ready(request: Request) -> str:
    """`ready`, or 503 while models are missing and from the moment of shutting down on."""
    is_ready: IsReady = request.app.state.is_ready
    if not await is_ready():
        raise Unavailable("Not ready: models are not up, or the gateway is shutting down.")
    return "ready"


@router.get("/v1/info", summary="What serves")
async def info(caller: Known, behind: Behind) -> InfoBody:
    """Versions, models, the pack, and the caller's scopes."""
    return InfoBody.of(await behind.information.facts(), caller)


@router.get("/metrics", summary="Metrics", response_class=PlainTextResponse)
async def metrics(_caller: Administering, behind: Behind) -> Response:
    """The gateway's metrics, as Prometheus reads them."""
    body, content_type = behind.desk.metrics.exposition()
    return Response(body, headers={"Content-Type": content_type})


@router.get("/metrics/triton", summary="Triton's metrics", response_class=PlainTextResponse)
async def triton_metrics(request: Request, _caller: Administering) -> Response:
    """Triton's own metrics, passed on."""
    address = settings_of(request).triton_metrics
    if not address:
        raise NotFound("Triton's metrics are not passed on: MAQUETTE_TRITON_METRICS is not set.")
    try:
        # Triton stands beside the gateway, so no proxy of the environment's has a part in it.
        path = address.removeprefix("unix:") if address.startswith("unix:") else None
        transport = httpx.AsyncHTTPTransport(uds=path)
        async with httpx.AsyncClient(transport=transport, timeout=ASK_SECONDS) as client:
            host = "triton" if path else address
            found = (await client.get(f"http://{host}/metrics")).raise_for_status()
    except httpx.HTTPError as error:
        raise Unavailable("Triton does not tell its metrics. Try again shortly.") from error
    return Response(found.content, headers={"Content-Type": found.headers["content-type"]})
