"""The gRPC face of the Open Inference Protocol, with what Triton's clients expect beside it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from typing import Any

import grpc
from google.protobuf.json_format import ParseDict
from google.protobuf.message import DecodeError
from tritonclient.grpc import service_pb2 as pb
from tritonclient.grpc import service_pb2_grpc

from gateway import errors
from gateway.auth.authenticator import Credentials
from gateway.auth.call_context import CallContext
from gateway.auth.caller import Caller, Scope
from gateway.doors import bounds
from gateway.doors.grpc_call import Call, Context, answered, credentials_of, metadata_of, unary
from gateway.doors.openinference import grpc_messages, model, reasons
from gateway.doors.openinference.ordered import in_order
from gateway.doors.openinference.virtual_model import VirtualModel
from pipeline.errors import InvalidRequest, MaquetteError, Words

STREAM_AT_ONCE = 8
"""Requests of one stream in progress; the next are read when one of them is answered."""
AS_STATUS = "triton_grpc_error"
"""Metadata by which a caller asks that an error ends the stream with its status."""

log = logging.getLogger("maquette.gateway")


def _unimplemented(reason: str) -> Callable[..., Awaitable[Any]]:
    async def answer(_self: Any, _request: Any, context: Context) -> Any:
        await context.abort(grpc.StatusCode.UNIMPLEMENTED, reason)

    return answer


class OpenInferenceServicer(service_pb2_grpc.GRPCInferenceServiceServicer):
    """``inference.GRPCInferenceService`` for one virtual model. Health needs no credentials."""

    service_name = pb.DESCRIPTOR.services_by_name["GRPCInferenceService"].full_name

    def __init__(self, virtual_model: VirtualModel, desk: CallContext) -> None:
        self._model = virtual_model
        self.desk = desk

    async def ServerLive(  # noqa: N802
        self, _request: pb.ServerLiveRequest, _context: Context
    ) -> pb.ServerLiveResponse:
        return pb.ServerLiveResponse(live=True)

    async def ServerReady(  # noqa: N802
        self, _request: pb.ServerReadyRequest, _context: Context
    ) -> pb.ServerReadyResponse:
        return pb.ServerReadyResponse(ready=await self._model.is_ready())

    async def ModelReady(  # noqa: N802
        self, request: pb.ModelReadyRequest, _context: Context
    ) -> pb.ModelReadyResponse:
        ready = model.is_known(request.name, request.version) and await self._model.is_ready()
        return pb.ModelReadyResponse(ready=ready)

    @unary()
    async def ServerMetadata(  # noqa: N802
        self, _request: pb.ServerMetadataRequest, _call: Call
    ) -> pb.ServerMetadataResponse:
        return ParseDict(self._model.server_metadata(), pb.ServerMetadataResponse())

    @unary()
    async def ModelMetadata(  # noqa: N802
        self, request: pb.ModelMetadataRequest, _call: Call
    ) -> pb.ModelMetadataResponse:
        model.check(request.name, request.version)
        return ParseDict(model.metadata(), pb.ModelMetadataResponse())

    @unary()
    async def ModelConfig(  # noqa: N802
        self, request: pb.ModelConfigRequest, _call: Call
    ) -> pb.ModelConfigResponse:
        model.check(request.name, request.version)
        return ParseDict({"config": model.config()}, pb.ModelConfigResponse())

    @unary()
    async def ModelStatistics(  # noqa: N802
        self, request: pb.ModelStatisticsRequest, _call: Call
    ) -> pb.ModelStatisticsResponse:
        model.check(request.name or model.NAME, request.version)
        return ParseDict(self._model.statistics(), pb.ModelStatisticsResponse())

    @unary()
    async def RepositoryIndex(  # noqa: N802
        self, request: pb.RepositoryIndexRequest, _call: Call
    ) -> pb.RepositoryIndexResponse:
        models = await self._model.repository(ready=request.ready)
        return ParseDict({"models": models}, pb.RepositoryIndexResponse())

    @unary(Scope.RENDER)
    async def ModelInfer(  # noqa: N802
        self, request: pb.ModelInferRequest, call: Call
    ) -> pb.ModelInferResponse:
        return await self._infer(request, call.caller)

    async def ModelStreamInfer(  # noqa: N802
        self, requests: AsyncIterator[pb.ModelInferRequest], context: Context
    ) -> None:
        """Answer each request in turn, though several are worked on at once."""
        sent = metadata_of(context)
        as_status = sent.get(AS_STATUS) == "true"
        name, kind = "ModelStreamInfer", "bidi_stream"
        async with answered(
            context, self.desk, self.service_name, name, kind=kind, scope=Scope.RENDER
        ):

            async def work(request: pb.ModelInferRequest) -> pb.ModelStreamInferResponse:
                return await self._streamed(request, credentials_of(sent), as_status=as_status)

            async with aclosing(in_order(_readable(requests), work, STREAM_AT_ONCE)) as answers:
                async for answer in answers:
                    await context.write(answer)

    SystemSharedMemoryStatus = _unimplemented(reasons.SHARED_MEMORY)
    SystemSharedMemoryRegister = _unimplemented(reasons.SHARED_MEMORY)
    SystemSharedMemoryUnregister = _unimplemented(reasons.SHARED_MEMORY)
    CudaSharedMemoryStatus = _unimplemented(reasons.SHARED_MEMORY)
    CudaSharedMemoryRegister = _unimplemented(reasons.SHARED_MEMORY)
    CudaSharedMemoryUnregister = _unimplemented(reasons.SHARED_MEMORY)
    RepositoryModelLoad = _unimplemented(reasons.MODEL_CONTROL)
    RepositoryModelUnload = _unimplemented(reasons.MODEL_CONTROL)
    TraceSetting = _unimplemented(reasons.TRACE)
    LogSettings = _unimplemented(reasons.LOGGING)

    async def _infer(self, message: pb.ModelInferRequest, caller: Caller) -> pb.ModelInferResponse:
        # Megabytes are copied on the way in and out, and others are served meanwhile.
        request = await asyncio.to_thread(grpc_messages.infer_request, message)
        outputs = await self._model.infer(request, caller)
        return await asyncio.to_thread(grpc_messages.infer_response, request, outputs)

    async def _streamed(
        self, message: pb.ModelInferRequest, credentials: Credentials, *, as_status: bool
    ) -> pb.ModelStreamInferResponse:
        try:
            # A stream may last for days: each of its requests is a call like any other.
            caller = await self.desk.authenticator.admit(credentials, Scope.RENDER)
            bounds.check_message(message)
            response = await self._infer(message, caller)
        except Exception as error:
            if as_status:
                raise
            if not isinstance(error, MaquetteError):
                log.exception("a request of a stream failed unexpectedly")
            # With its id, so that the caller can tell which of several requests it was.
            named = pb.ModelInferResponse(id=message.id)
            return pb.ModelStreamInferResponse(
                error_message=errors.told(error), infer_response=named
            )
        return pb.ModelStreamInferResponse(infer_response=response)


async def _readable(
    requests: AsyncIterator[pb.ModelInferRequest],
) -> AsyncIterator[pb.ModelInferRequest]:
    try:
        async for request in requests:
            yield request
    except DecodeError as error:
        found, remedy = Words("unreadable"), "Encode it with the protocol's own types."
        raise InvalidRequest("request", found, "a ModelInferRequest", remedy) from error
