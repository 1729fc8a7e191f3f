"""Messages that are no protobuf: the caller's mistake, which gRPC itself would call INTERNAL."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final

import grpc
from google.protobuf.message import DecodeError

UNREADABLE: Final = object()
"""Stands for a request that could not be decoded."""
REFUSAL = "The request is not a message of this method. Encode it with the protocol's own types."


class Decoding(grpc.aio.ServerInterceptor):
    """Answers undecodable requests with INVALID_ARGUMENT."""

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        """The method's handler, which sees only requests that could be decoded."""
        handler = await continuation(handler_call_details)
        if handler is None or handler.request_streaming or not handler.request_deserializer:
            return handler
        make, answer = grpc.unary_unary_rpc_method_handler, handler.unary_unary
        if handler.response_streaming:
            # Ours write their answers to the context; none is a generator.
            make, answer = grpc.unary_stream_rpc_method_handler, handler.unary_stream
        return make(
            _readable(answer),
            request_deserializer=_decoder(handler.request_deserializer),
            response_serializer=handler.response_serializer,
        )


def _decoder(decode: Callable[[bytes], Any]) -> Callable[[bytes], Any]:
    def decoded(message: bytes) -> Any:
        try:
            return decode(message)
        except DecodeError:
            return UNREADABLE

    return decoded


def _readable(answer: Callable[[Any, Any], Awaitable[Any]]) -> Callable[[Any, Any], Awaitable[Any]]:
    async def answered(request: Any, context: Any) -> Any:
        if request is UNREADABLE:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, REFUSAL)
        return await answer(request, context)

    return answered
