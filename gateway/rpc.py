"""The gRPC face: ``maquette.v1``, health and reflection."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, suppress

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from gateway import messages
from gateway.errors import Context, as_status
from gateway.inference import Inference
from gateway.service import Finished, Service
from maquette.v1 import maquette_pb2 as pb
from maquette.v1 import maquette_pb2_grpc
from pipeline.errors import InvalidRequest
from pipeline.images import MAX_BYTES
from pipeline.request import MAX_STYLE_IMAGES, check_prompt

SERVICE_NAME = pb.DESCRIPTOR.services_by_name["MaquetteService"].full_name
# Room for every picture that a request may carry, so that our own checks can say what is too large.
MAX_MESSAGE = (MAX_STYLE_IMAGES + 2) * MAX_BYTES
DEFAULT_PAGE, MAX_PAGE = 100, 1000
DEFAULT_LIMIT, MAX_LIMIT = 5, 100
HEALTH_SECONDS = 1.0


class MaquetteServicer(maquette_pb2_grpc.MaquetteServiceServicer):
    """Each method: message to object, call the service, object to message."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def Render(  # noqa: N802
        self, request: pb.RenderRequest, context: Context
    ) -> pb.RenderResponse:
        async with as_status(context):
            wanted = messages.render_request(request)
            async with aclosing(self._service.render(wanted)) as events:
                async for event in events:
                    if isinstance(event, Finished):
                        return messages.finished(event)
        raise AssertionError("a render ends with a picture or an error")

    async def RenderStream(  # noqa: N802
        self, request: pb.RenderRequest, context: Context
    ) -> AsyncIterator[pb.RenderStreamResponse]:
        async with as_status(context):
            wanted = messages.render_request(request)
            async with aclosing(self._service.render(wanted)) as events:
                async for event in events:
                    yield messages.event(event)

    async def AddStyle(  # noqa: N802
        self, request: pb.AddStyleRequest, context: Context
    ) -> pb.AddStyleResponse:
        async with as_status(context):
            style, added = await self._service.library.add(
                request.image,
                request.name,
                request.tags,
                self._service.inference.embed_image,
                replace=request.replace,
            )
        return pb.AddStyleResponse(style=messages.style(style), added=added)

    async def ListStyles(  # noqa: N802
        self, request: pb.ListStylesRequest, context: Context
    ) -> pb.ListStylesResponse:
        async with as_status(context):
            size = _checked("page_size", request.page_size, DEFAULT_PAGE, MAX_PAGE)
            page = await self._service.library.page(size, request.page_token or None)
        return pb.ListStylesResponse(
            styles=map(messages.style, page.styles), next_page_token=page.next_id or ""
        )

    async def SearchStyles(  # noqa: N802
        self, request: pb.SearchStylesRequest, context: Context
    ) -> pb.SearchStylesResponse:
        async with as_status(context):
            check_prompt(request.prompt)
            limit = _checked("limit", request.limit, DEFAULT_LIMIT, MAX_LIMIT)
            tags = tuple(request.style_filter)
            found, _, _ = await self._service.search(request.prompt, tags, limit)
        return pb.SearchStylesResponse(styles=map(messages.scored_style, found))


def _checked(field: str, value: int, default: int, highest: int) -> int:
    if not 0 <= value <= highest:
        raise InvalidRequest(field, value, f"1 to {highest}", f"Leave it out for {default}.")
    return value or default


def make_server(
    service: Service, max_calls: int
) -> tuple[grpc.aio.Server, health.aio.HealthServicer]:
    """A server with every service registered, and the health that it reports.

    Args:
        max_calls: calls in progress; more are answered with RESOURCE_EXHAUSTED at once.
    """
    server = grpc.aio.server(
        maximum_concurrent_rpcs=max_calls,
        options=[
            ("grpc.max_receive_message_length", MAX_MESSAGE),
            ("grpc.max_send_message_length", MAX_MESSAGE),
            ("grpc.so_reuseport", 0),
        ],
    )
    maquette_pb2_grpc.add_MaquetteServiceServicer_to_server(MaquetteServicer(service), server)
    reported = health.aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(reported, server)
    reflection.enable_server_reflection(
        (SERVICE_NAME, health.SERVICE_NAME, reflection.SERVICE_NAME), server
    )
    return server, reported


async def report_health(reported: health.aio.HealthServicer, inference: Inference) -> None:
    """Keep telling whether renders can be served, until cancelled."""
    with suppress(asyncio.CancelledError):
        while True:
            serving = health_pb2.HealthCheckResponse.SERVING
            down = health_pb2.HealthCheckResponse.NOT_SERVING
            status = serving if await inference.is_ready() else down
            for name in ("", SERVICE_NAME):
                await reported.set(name, status)
            await asyncio.sleep(HEALTH_SECONDS)
