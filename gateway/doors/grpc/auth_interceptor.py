"""Turns strangers away before their request is read, which may be a hundred megabytes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc

from gateway.auth.call_context import CallContext
from gateway.doors.grpc_call import Context, answered, credentials_of, identified
from pipeline.errors import MaquetteError

OPEN = ("ServerLive", "ServerReady", "ModelReady")
"""Methods of a protected service that ask nobody who they are: health."""


class AuthInterceptor(grpc.aio.ServerInterceptor):
    """Identifies the caller as soon as a call's header is there, for the method as well.

    Args:
        services: full names of those that ask who calls.
    """

    def __init__(self, desk: CallContext, services: tuple[str, ...]) -> None:
        self._desk = desk
        self._services = services

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        """The method's handler, or for strangers one that reads nothing."""
        handler = await continuation(handler_call_details)
        service, _, method = handler_call_details.method.strip("/").rpartition("/")
        if handler is None or service not in self._services or method in OPEN:
            return handler
        metadata = handler_call_details.invocation_metadata or ()
        sent = {key: value for key, value in metadata if isinstance(value, str)}
        try:
            identified.set(self._desk.authenticator.identify(credentials_of(sent)))
        except MaquetteError as error:
            identified.set(error)
            return self._refusal(service, method, streaming=handler.response_streaming)
        return handler

    def _refusal(self, service: str, method: str, *, streaming: bool) -> Any:
        kind = "server_stream" if streaming else "unary"

        async def refuse(_unread: Any, context: Context) -> None:
            async with answered(context, self._desk, service, method, kind=kind):
                pass

        async def refuse_stream(unread: Any, context: Context) -> AsyncIterator[Any]:
            await refuse(unread, context)
            return
            yield

        if streaming:
            return grpc.stream_stream_rpc_method_handler(refuse_stream)
        return grpc.stream_unary_rpc_method_handler(refuse)
