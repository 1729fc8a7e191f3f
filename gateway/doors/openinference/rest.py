"""The REST face of the Open Inference Protocol, as a router for the HTTP door."""

# The annotations below name dependencies that are made inside a function, so they are not deferred.

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel

from gateway.auth.caller import Caller, Scope
from gateway.doors.http_bodies import unless_gone
from gateway.doors.openinference import model, reasons, rest_messages
from gateway.doors.openinference.rest_messages import HEADER_LENGTH, InferBody, RestRequest
from gateway.doors.openinference.virtual_model import VirtualModel

Admitted = Callable[[Scope | None], Callable[..., Any]]
Responses = dict[int | str, dict[str, Any]]

PREFIX = "/v2"
MODEL = "/models/{name}"
VERSION = "/models/{name}/versions/{version}"
NOT_OFFERED = {
    "/systemsharedmemory/{rest:path}": reasons.SHARED_MEMORY,
    "/cudasharedmemory/{rest:path}": reasons.SHARED_MEMORY,
    "/repository/models/{rest:path}": reasons.MODEL_CONTROL,
    "/trace/setting": reasons.TRACE,
    MODEL + "/trace/setting": reasons.TRACE,
    "/logging": reasons.LOGGING,
}


def _check_model(name: str) -> None:
    model.check(name, "")


def _check_version(name: str, version: str) -> None:
    model.check(name, version)


OF_MODEL, OF_VERSION = [Depends(_check_model)], [Depends(_check_version)]


def _inlined(part: Any, definitions: Mapping[str, Any]) -> Any:
    """`part` of a JSON schema with its references to `definitions` replaced by what they name."""
    if isinstance(part, list):
        return [_inlined(each, definitions) for each in part]
    if not isinstance(part, dict):
        return part
    if "$ref" in part:
        return _inlined(definitions[part["$ref"].rpartition("/")[2]], definitions)
    return {name: _inlined(each, definitions) for name, each in part.items() if name != "$defs"}


def _schema(body: type[BaseModel]) -> Any:
    found = body.model_json_schema()
    return _inlined(found, found.get("$defs", {}))


BINARY = {"schema": {"type": "string", "format": "binary"}}
TAKES = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": _schema(InferBody)},
            "application/octet-stream": BINARY,
        },
    },
    "parameters": [
        {
            "name": HEADER_LENGTH,
            "in": "header",
            "schema": {"type": "integer", "minimum": 0},
            "description": "How many bytes of JSON come before the raw tensors; all when left out.",
        }
    ],
}
ANSWERS: Responses = {
    200: {
        "description": "The outputs: JSON, and raw tensors after it where they were asked for.",
        "content": {
            "application/json": {
                "schema": {"type": "object", "required": ["model_name", "outputs"]}
            },
            "application/octet-stream": BINARY,
        },
    }
}
LIVE: Responses = {200: {"description": "Yes; the body is empty."}}
READY: Responses = {**LIVE, 503: {"description": "No; the body is empty."}}
ERRORS: Responses = {
    "default": {
        "description": "What went wrong, as the protocol has it.",
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": ["error"],
                    "properties": {"error": {"type": "string"}},
                }
            }
        },
    }
}


def router(virtual_model: VirtualModel, admitted: Admitted) -> APIRouter:
    """Every path under /v2.

    Args:
        admitted: makes the dependency that admits callers with a scope; None admits whoever is
            known. Health asks nobody.
    """
    health, infer = APIRouter(prefix=PREFIX), APIRouter(prefix=PREFIX)
    facts = APIRouter(prefix=PREFIX, dependencies=[Depends(admitted(None))])
    _add_health(health, virtual_model)
    _add_facts(facts, virtual_model)
    _add_not_offered(facts)
    _add_infer(infer, virtual_model, admitted(Scope.RENDER))
    routes = APIRouter(tags=["Open Inference Protocol"], responses=ERRORS)
    for part in (health, facts, infer):
        routes.include_router(part)
    return routes


def _add_health(routes: APIRouter, virtual_model: VirtualModel) -> None:
    @routes.get("/health/live", response_class=Response, responses=LIVE)
    async def live() -> Response:
        return Response()

    answered: dict[str, Any] = {"response_class": Response, "responses": READY}

    @routes.get("/health/ready", **answered)
    @routes.get(MODEL + "/ready", dependencies=OF_MODEL, **answered)
    @routes.get(VERSION + "/ready", dependencies=OF_VERSION, **answered)
    async def ready() -> Response:
        is_ready = await virtual_model.is_ready()
        return Response(status_code=HTTPStatus.OK if is_ready else HTTPStatus.SERVICE_UNAVAILABLE)


def _add_facts(routes: APIRouter, virtual_model: VirtualModel) -> None:
    # An empty path, because /v2 is asked for without a slash at its end.
    @routes.get("")
    async def server_metadata() -> JSONResponse:
        return JSONResponse(virtual_model.server_metadata())

    # The first path stands before those with a model's name, which would take "stats" for one.
    @routes.get("/models/stats")
    @routes.get(MODEL + "/stats", dependencies=OF_MODEL)
    @routes.get(VERSION + "/stats", dependencies=OF_VERSION)
    async def statistics() -> JSONResponse:
        return JSONResponse(virtual_model.statistics())

    @routes.get(MODEL, dependencies=OF_MODEL)
    @routes.get(VERSION, dependencies=OF_VERSION)
    async def metadata() -> JSONResponse:
        return JSONResponse(model.metadata())

    @routes.get(MODEL + "/config", dependencies=OF_MODEL)
    @routes.get(VERSION + "/config", dependencies=OF_VERSION)
    async def config() -> JSONResponse:
        return JSONResponse(model.config())

    @routes.get("/repository/index")
    @routes.post("/repository/index")
    async def repository() -> JSONResponse:
        return JSONResponse(await virtual_model.repository(ready=False))


def _add_not_offered(routes: APIRouter) -> None:
    for path, reason in NOT_OFFERED.items():
        routes.add_api_route(
            path, _refusing(reason), methods=["GET", "POST"], include_in_schema=False
        )


def _add_infer(
    routes: APIRouter, virtual_model: VirtualModel, admitted: Callable[..., Any]
) -> None:
    # Who calls comes first: strangers are not told which models there are.
    known = [Depends(admitted)]

    told: dict[str, Any] = {
        "response_class": Response, "responses": ANSWERS, "openapi_extra": TAKES,
    }  # fmt: skip

    @routes.post(MODEL + "/infer", dependencies=known + OF_MODEL, **told)
    @routes.post(VERSION + "/infer", dependencies=known + OF_VERSION, **told)
    async def infer(request: Request, caller: Annotated[Caller, Depends(admitted)]) -> Response:
        asked = await _asked(request)
        outputs = await unless_gone(request.receive, virtual_model.infer(asked.infer, caller))
        body, header_length = await asyncio.to_thread(rest_messages.infer_response, asked, outputs)
        if header_length is None:
            return Response(body, media_type="application/json")
        headers = {HEADER_LENGTH: str(header_length)}
        return Response(body, headers=headers, media_type="application/octet-stream")


def _refusing(reason: str) -> Callable[[], Awaitable[JSONResponse]]:
    async def refuse() -> JSONResponse:
        return JSONResponse({"error": reason}, HTTPStatus.NOT_IMPLEMENTED)

    return refuse


async def _asked(request: Request) -> RestRequest:
    body = await request.body()
    header_length = request.headers.get(HEADER_LENGTH)
    # Megabytes of JSON and base64 take a while, and others are served meanwhile.
    return await asyncio.to_thread(rest_messages.infer_request, body, header_length)
