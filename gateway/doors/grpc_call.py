"""What surrounds every gRPC call: who calls, how it went, and the right status at its end."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import aclosing, asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import wraps
from typing import Any, NoReturn, Protocol, TypeAlias

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2
from opentelemetry.trace import SpanKind

from gateway import errors
from gateway.auth.authenticator import Credentials, forwarded_by
from gateway.auth.call_context import CallContext, request_id_of
from gateway.auth.caller import Caller, Scope
from gateway.doors import bounds
from gateway.telemetry import logs, tracing
from pipeline.errors import InvalidRequest, MaquetteError

MAX_DETAILS = 2000
"""gRPC sends a status in its header, and fails otherwise when that grows too large."""
STATUS_DETAILS = "grpc-status-details-bin"
REQUEST_ID = "x-request-id"

identified: ContextVar[Caller | MaquetteError | None] = ContextVar("identified", default=None)
"""Who makes the call in progress, or why that is not known; None where nobody has looked yet."""

log = logging.getLogger("maquette.gateway")

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
Unary: TypeAlias = Callable[[Any, Any, "Call"], Awaitable[Any]]
Stream: TypeAlias = Callable[[Any, Any, "Call"], AsyncGenerator[Any]]
Answer: TypeAlias = Callable[[Any, Any, Context], Any]


@dataclass(frozen=True)
class Call:
    """A call in progress, as the method that answers it sees it."""

    caller: Caller
    metadata: Mapping[str, str]


class Servicer(Protocol):
    """What the methods below belong to."""

    service_name: str
    desk: CallContext


def unary(scope: Scope | None = None) -> Callable[[Unary], Answer]:
    """Makes a method that takes ``(request, Call)`` one of a gRPC servicer.

    Args:
        scope: what the caller must have; None admits whoever is known.
    """

    def wrap(method: Unary) -> Answer:
        @wraps(method)
        async def answer(self: Servicer, request: Any, context: Context) -> Any:
            name = method.__name__
            async with answered(context, self.desk, self.service_name, name, scope=scope) as caller:
                bounds.check_message(request)
                return await method(self, request, Call(caller, metadata_of(context)))

        return answer

    return wrap


def server_stream(scope: Scope | None = None) -> Callable[[Stream], Answer]:
    """The same for a method that yields its answers.

    They are written, not yielded on: gRPC drops the generator of a caller who has left, and what
    it holds would be given back much later, and in another context than the call's.
    """

    def wrap(method: Stream) -> Answer:
        @wraps(method)
        async def answer(self: Servicer, request: Any, context: Context) -> None:
            name, kind = method.__name__, "server_stream"
            async with answered(
                context, self.desk, self.service_name, name, kind=kind, scope=scope
            ) as caller:
                bounds.check_message(request)
                answers = method(self, request, Call(caller, metadata_of(context)))
                async with aclosing(answers):
                    async for message in answers:
                        await context.write(message)

        return answer

    return wrap


@asynccontextmanager
async def answered(
    context: Context,
    desk: CallContext,
    service: str,
    method: str,
    *,
    kind: str = "unary",
    scope: Scope | None = None,
) -> AsyncIterator[Caller]:
    """Admit the caller for the block, and end the call with the right status when it raises.

    Args:
        service, method, kind: of the call, as metrics and traces name them.
        scope: what the caller must have; None admits whoever is known.
    """
    sent = metadata_of(context)
    request_id = request_id_of(sent.get(REQUEST_ID))
    logs.request_id.set(request_id)
    context.set_trailing_metadata(((REQUEST_ID, request_id),))
    attributes = {"rpc.system": "grpc", "rpc.service": service, "rpc.method": method}
    desk.metrics.grpc_started(service, method, kind)
    started, code = time.perf_counter(), grpc.StatusCode.OK
    try:
        with tracing.span(
            f"{service}/{method}", SpanKind.SERVER, tracing.extract(sent), **attributes
        ):
            caller = identified.get() or desk.authenticator.identify(credentials_of(sent))
            if isinstance(caller, MaquetteError):
                raise caller
            yield await desk.authenticator.authorize(caller, scope)
    except asyncio.CancelledError:
        code = grpc.StatusCode.CANCELLED
        raise
    except Exception as error:
        if not isinstance(error, MaquetteError):
            log.exception("%s/%s failed unexpectedly", service, method)
        code = errors.code_of(error).grpc
        await abort(context, error, (REQUEST_ID, request_id))
    finally:
        seconds = time.perf_counter() - started
        desk.metrics.grpc_handled(service, method, kind, code.name, seconds)


async def abort(context: Context, error: Exception, *trailing: tuple[str, str]) -> NoReturn:
    """End the call with the status of `error`, its sentence and its details."""
    code = errors.code_of(error).grpc
    await context.abort(code, errors.told(error)[:MAX_DETAILS], (*trailing, *_details(error)))


def metadata_of(context: Context) -> dict[str, str]:
    """The text metadata that came with the call."""
    return {
        key: value for key, value in context.invocation_metadata() or () if isinstance(value, str)
    }


def credentials_of(sent: Mapping[str, str]) -> Credentials:
    """What the caller says of who they are."""
    scheme, _, token = sent.get("authorization", "").partition(" ")
    bearer = token.strip() if scheme.lower() == "bearer" else ""
    return Credentials(sent.get("x-api-key", ""), bearer, forwarded_by(sent))


def _details(error: Exception) -> tuple[tuple[str, str | bytes], ...]:
    """google.rpc.RetryInfo for errors that pass by themselves, BadRequest for a field's."""
    detail = _retry_info(error) or _bad_request(error)
    if detail is None:
        return ()
    packed = AnyMessage()
    packed.Pack(detail)
    status = status_pb2.Status(
        code=errors.code_of(error).grpc.value[0],
        message=errors.told(error)[:MAX_DETAILS],
        details=[packed],
    )
    return ((STATUS_DETAILS, status.SerializeToString()),)


def _retry_info(error: Exception) -> Message | None:
    seconds = errors.retry_after(error)
    if seconds is None:
        return None
    delay = Duration()
    delay.FromMilliseconds(round(seconds * 1000))
    return error_details_pb2.RetryInfo(retry_delay=delay)


def _bad_request(error: Exception) -> Message | None:
    if not isinstance(error, InvalidRequest):
        return None
    violation = error_details_pb2.BadRequest.FieldViolation(
        field=error.field, description=errors.told(error)[:MAX_DETAILS]
    )
    return error_details_pb2.BadRequest(field_violations=[violation])
