"""Bounds how many gRPC calls there are, and how long a caller may take to send a request.

Every method becomes one that reads a stream of requests, which gRPC starts as soon as the header is
there. A method of one request would not be heard of until that has arrived, however long it takes.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

import grpc
from grpc_health.v1 import health

from gateway.doors.concurrency import ConcurrencyLimiter
from gateway.doors.grpc.auth_interceptor import OPEN
from gateway.doors.grpc_call import Context, abort
from pipeline.errors import DeadlineExceeded, InvalidRequest, Overloaded, Words

HEALTH_CALLS, HEALTH_EACH = 256, 128
WATCHES, WATCHES_EACH = 64, 16
REFLECTIONS = 16
REFLECTION = "grpc.reflection."


@dataclass(frozen=True)
class Pool:
    """Calls of one kind."""

    places: ConcurrencyLimiter
    arrival_seconds: float
    """A request may take to arrive."""
    stay_seconds: float | None = None
    """A call may last. None: as long as it takes."""
    by_host: bool = False
    """Its callers are told apart by their address, since they have no key."""


class Bounds(grpc.aio.ServerInterceptor):
    """Turns calls away that are too many, and ends those whose request does not come.

    Health has places of its own: it is asked above all when there is too much to do.

    Args:
        max_calls: in progress, of methods other than health and reflection.
    """

    def __init__(self, max_calls: int) -> None:
        self._calls = Pool(
            ConcurrencyLimiter(max_calls, max(max_calls // 2, 1)), arrival_seconds=60
        )
        self._health = Pool(ConcurrencyLimiter(HEALTH_CALLS, HEALTH_EACH), 5, by_host=True)
        self._watches = Pool(
            ConcurrencyLimiter(WATCHES, WATCHES_EACH), 5, stay_seconds=600, by_host=True
        )
        self._reflection = Pool(ConcurrencyLimiter(REFLECTIONS), 5, stay_seconds=60)

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        """The method's handler, within its bounds."""
        handler = await continuation(handler_call_details)
        if handler is None:
            return None
        pool = self._pool(handler_call_details.method)
        who = "" if pool.by_host else _credential(handler_call_details)
        return _bounded(handler, pool, who)

    def _pool(self, path: str) -> Pool:
        service, _, method = path.strip("/").rpartition("/")
        if service == health.SERVICE_NAME:
            return self._watches if method == "Watch" else self._health
        if service.startswith(REFLECTION):
            return self._reflection
        return self._health if method in OPEN else self._calls


def _credential(details: grpc.HandlerCallDetails) -> str:
    sent = dict(details.invocation_metadata or ())
    return str(sent.get("x-api-key") or sent.get("authorization") or "")


def _bounded(handler: Any, pool: Pool, who: str) -> Any:
    function = (
        handler.unary_unary or handler.unary_stream or handler.stream_unary or handler.stream_stream
    )

    async def answer(requests: AsyncIterator[Any], context: Context) -> Any:
        try:
            with pool.places.taken(_host(context) if pool.by_host else who):
                async with asyncio.timeout(pool.stay_seconds):
                    given = requests
                    if not handler.request_streaming:
                        given = await _only(requests, pool.arrival_seconds)
                    return await _answer(function, given, context)
        except TimeoutError:
            # A stream that has lasted long enough ends as one that is done.
            return None
        except (Overloaded, InvalidRequest, DeadlineExceeded) as error:
            await abort(context, error)

    if handler.response_streaming:
        make = grpc.stream_stream_rpc_method_handler
    else:
        make = grpc.stream_unary_rpc_method_handler
    return make(answer, handler.request_deserializer, handler.response_serializer)


async def _only(requests: AsyncIterator[Any], seconds: float) -> Any:
    """The one request that `requests` bring."""
    try:
        async with asyncio.timeout(seconds):
            async for request in requests:
                return request
    except TimeoutError as error:
        raise DeadlineExceeded(
            f"The request did not arrive within {seconds:g} s. Send it at once, or a smaller one."
        ) from error
    raise InvalidRequest("request", Words("not there"), "one message", "Send it.")


async def _answer(function: Callable[..., Any], given: Any, context: Context) -> Any:
    # A method returns its answer, writes its answers to the context, or yields them.
    if not inspect.isasyncgenfunction(function):
        return await function(given, context)
    async with aclosing(function(given, context)) as answers:
        async for message in answers:
            await context.write(message)
    return None


def _host(context: Context) -> str:
    return context.peer().rpartition(":")[0]
