"""Messages that are no protobuf: the caller's mistake, which gRPC itself would call INTERNAL."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
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
        make = grpc.unary_unary_rpc_method_handler
        answer: Callable[..., Any] = _unary(handler.unary_unary)
        if handler.response_streaming:
            make = grpc.unary_stream_rpc_method_handler
            # A method may yield its answers, or write them to its context.
            yields = inspect.isasyncgenfunction(handler.unary_stream)
            answer = (_stream if yields else _unary)(handler.unary_stream)
        return make(
            answer,
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


def _unary(answer: Callable[[Any, Any], Awaitable[Any]]) -> Callable[[Any, Any], Awaitable[Any]]:
    async def answered(request: Any, context: Any) -> Any:
        if request is UNREADABLE:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, REFUSAL)
        return await answer(request, context)

    return answered


def _stream(
    answer: Callable[[Any, Any], AsyncIterator[Any]],
) -> Callable[[Any, Any], AsyncIterator[Any]]:
    async def answered(request: Any, context: Any) -> AsyncIterator[Any]:
        if request is UNREADABLE:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, REFUSAL)
        async for message in answer(request, context):
            yield message

    return answered
