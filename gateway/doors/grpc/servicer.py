"""maquette.v1: message to object, call the service, object to message."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

from gateway.auth.caller import Scope
from gateway.doors.grpc import messages
from gateway.doors.grpc_call import Call, server_stream, unary
from gateway.doors.paging import DEFAULT_LIMIT, DEFAULT_PAGE, MAX_LIMIT, MAX_PAGE, checked
from gateway.doors.parts import Parts
from gateway.renders.registry import MAX_ID, SubmitOptions
from gateway.worker.events import Finished
from maquette.v1 import maquette_pb2 as pb
from maquette.v1 import maquette_pb2_grpc
from pipeline.errors import InvalidRequest, StageFailed
from pipeline.images import MAX_SIDE, MIN_SIDE
from pipeline.request import FIELDS
from retrieval.styles import MAX_NAME

SERVICE_NAME = pb.DESCRIPTOR.services_by_name["MaquetteService"].full_name


class MaquetteServicer(maquette_pb2_grpc.MaquetteServiceServicer):
    """The methods of maquette.v1, in the order of the proto."""

    service_name = SERVICE_NAME

    def __init__(self, parts: Parts) -> None:
        self._service = parts.service
        self._renders = parts.renders
        self._information = parts.information
        self._administration = parts.administration
        self.desk = parts.desk

    @unary(Scope.RENDER)
    async def Render(  # noqa: N802
        self, request: pb.RenderRequest, call: Call
    ) -> pb.RenderResponse:
        asked = _asked(request, call)
        render = await self._renders.begin(messages.render_request(request), call.caller, asked)
        async with aclosing(render.follow()) as events:
            async for event in events:
                if isinstance(event, Finished):
                    return messages.finished(render.id, event)
        raise StageFailed("a render ended without a picture")

    @server_stream(Scope.RENDER)
    async def RenderStream(  # noqa: N802
        self, request: pb.RenderRequest, call: Call
    ) -> AsyncGenerator[pb.RenderStreamResponse]:
        asked = _asked(request, call)
        render = await self._renders.begin(messages.render_request(request), call.caller, asked)
        async with aclosing(render.follow()) as events:
            yield pb.RenderStreamResponse(accepted=pb.Accepted(id=render.id))
            async for event in events:
                yield messages.event(render.id, event)

    @unary(Scope.RENDER)
    async def GetRender(  # noqa: N802
        self, request: pb.GetRenderRequest, call: Call
    ) -> pb.GetRenderResponse:
        return messages.render(self._renders.get(request.id, call.caller))

    @unary(Scope.RENDER)
    async def CancelRender(  # noqa: N802
        self, request: pb.CancelRenderRequest, call: Call
    ) -> pb.CancelRenderResponse:
        with self.desk.noting(call.caller, "cancel", render=request.id[:MAX_ID]):
            render = await self._renders.cancel(request.id, call.caller)
        return pb.CancelRenderResponse(state=messages.state(render.state))

    @unary()
    async def ServerInfo(  # noqa: N802
        self, _request: pb.ServerInfoRequest, call: Call
    ) -> pb.ServerInfoResponse:
        return messages.info(await self._information.facts(), call.caller)

    @unary(Scope.STYLES)
    async def AddStyle(  # noqa: N802
        self, request: pb.AddStyleRequest, call: Call
    ) -> pb.AddStyleResponse:
        with self.desk.noting(call.caller, "add_style", style=request.name[:MAX_NAME]) as noted:
            done = await self._service.add_style(messages.new_style(request))
            noted["style"] = done.style.id
        return pb.AddStyleResponse(
            style=messages.style(done.style), added=done.added, warnings=done.warnings
        )

    @unary()
    async def GetStyle(  # noqa: N802
        self, request: pb.GetStyleRequest, _call: Call
    ) -> pb.GetStyleResponse:
        side = request.thumbnail if request.HasField("thumbnail") else None
        if side is not None and not MIN_SIDE <= side <= MAX_SIDE:
            remedy = "Leave it out for the stored picture."
            raise InvalidRequest("thumbnail", side, f"{MIN_SIDE} to {MAX_SIDE}", remedy)
        style = await self._service.library.get(request.id)
        image = await self._service.picture(style, side)
        return pb.GetStyleResponse(style=messages.style(style), image=image)

    @unary(Scope.STYLES)
    async def RemoveStyle(  # noqa: N802
        self, request: pb.RemoveStyleRequest, call: Call
    ) -> pb.RemoveStyleResponse:
        with self.desk.noting(call.caller, "remove_style", style=request.id[:MAX_NAME]):
            style = await self._service.library.remove(request.id)
        return pb.RemoveStyleResponse(style=messages.style(style))

    @unary()
    async def ListStyles(  # noqa: N802
        self, request: pb.ListStylesRequest, _call: Call
    ) -> pb.ListStylesResponse:
        size = checked("page_size", request.page_size, DEFAULT_PAGE, MAX_PAGE)
        page = await self._service.library.page(size, request.page_token or None)
        return pb.ListStylesResponse(
            styles=map(messages.style, page.styles), next_page_token=page.next_id or ""
        )

    @unary()
    async def SearchStyles(  # noqa: N802
        self, request: pb.SearchStylesRequest, _call: Call
    ) -> pb.SearchStylesResponse:
        FIELDS["prompt"].check(request.prompt)
        limit = checked("limit", request.limit, DEFAULT_LIMIT, MAX_LIMIT)
        tags = tuple(request.style_filter)
        found, _, _ = await self._service.search(request.prompt, tags, limit)
        return pb.SearchStylesResponse(styles=map(messages.scored_style, found))

    @server_stream(Scope.ADMIN)
    async def ReembedStyles(  # noqa: N802
        self, request: pb.ReembedStylesRequest, call: Call
    ) -> AsyncGenerator[pb.ReembedStylesResponse]:
        async with aclosing(self._administration.reembed(call.caller, request.clip)) as steps:
            async for progress in steps:
                yield messages.reembedded(progress)


def _asked(request: pb.RenderRequest, call: Call) -> SubmitOptions:
    return SubmitOptions(
        id=request.id,
        idempotency_key=call.metadata.get("idempotency-key", ""),
        keep_running=request.keep_running,
    )
