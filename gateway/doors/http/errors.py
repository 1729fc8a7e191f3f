"""What went wrong, told in the form that the route's callers expect."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.routing import BaseRoute, Match
from starlette.types import Scope

from gateway import errors
from gateway.telemetry import logs
from pipeline.errors import InvalidRequest, Words, shorten

PROBLEM = "application/problem+json"
OPEN_INFERENCE = "/v2"
OPENAI = ("/v1/images/", "/v1/models")

OPENAI_TYPES = {
    HTTPStatus.UNAUTHORIZED: "authentication_error",
    HTTPStatus.FORBIDDEN: "permission_error",
    HTTPStatus.TOO_MANY_REQUESTS: "rate_limit_error",
}
MISSING = "missing"


@dataclass(frozen=True)
class Told:
    """One error, ready to be put into any form."""

    status: HTTPStatus
    sentence: str
    field: str = ""
    headers: Mapping[str, str] | None = None


async def answer(request: Request, error: Exception) -> JSONResponse:
    """The response that tells `error` on the route of `request`."""
    told = tell(error)
    path = request.url.path
    if path.startswith(OPENAI):
        return _json(told, openai(told), "application/json")
    if path.split("/")[1] == OPEN_INFERENCE.strip("/"):
        return _json(told, {"error": told.sentence}, "application/json")
    return _json(told, problem(told), PROBLEM)


def tell(error: Exception) -> Told:
    """The status, the sentence and the headers of `error`."""
    if isinstance(error, RequestValidationError):
        error = _in_words(error)
    if isinstance(error, HTTPException):
        status = HTTPStatus(error.status_code)
        return Told(status, error.detail, headers=error.headers)
    headers = {}
    status = errors.code_of(error).http
    seconds = errors.retry_after(error)
    if seconds is not None:
        headers["Retry-After"] = str(max(1, math.ceil(seconds)))
    if status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"
    named = error.field if isinstance(error, InvalidRequest) else ""
    return Told(status, errors.told(error), named, headers)


def problem(told: Told) -> dict[str, Any]:
    """`told` as RFC 9457 has it."""
    body: dict[str, Any] = {
        "type": "about:blank",
        "title": told.status.phrase,
        "status": int(told.status),
        "detail": told.sentence,
    }
    if told.field:
        body["field"] = told.field
    return {**body, "request_id": logs.request_id.get()}


def openai(told: Told) -> dict[str, Any]:
    """`told` as OpenAI's clients read it."""
    other = "server_error" if told.status >= 500 else "invalid_request_error"
    return {
        "error": {
            "message": told.sentence,
            "type": OPENAI_TYPES.get(told.status, other),
            "param": told.field or None,
            "code": None,
        }
    }


def _json(told: Told, body: dict[str, Any], media_type: str) -> JSONResponse:
    return JSONResponse(
        body, status_code=told.status, headers=dict(told.headers or {}), media_type=media_type
    )


def _in_words(error: RequestValidationError) -> InvalidRequest:
    """FastAPI's findings about a path or query, of which the first is told."""
    wrong = error.errors()[0]
    name = str(wrong["loc"][-1])
    found = Words(MISSING) if wrong["type"] == MISSING else wrong["input"]
    return InvalidRequest(name, found, _allowed(wrong), "Put it right and send it again.")


def _allowed(wrong: Mapping[str, Any]) -> str:
    bounds = wrong.get("ctx", {})
    if "ge" in bounds:
        return f"{bounds['ge']} or more"
    if "le" in bounds:
        return f"{bounds['le']} or less"
    kinds = {"int_parsing": "a whole number", "bool_parsing": "true or false", MISSING: "a value"}
    return kinds.get(wrong["type"], shorten(Words(wrong["msg"])))


async def not_there(request: Request, error: Exception) -> JSONResponse:
    """The response to a path or method that there is not."""
    what = f"{request.method} {shorten(Words(request.url.path))}"
    sentence = f"There is no {what} here; GET /openapi.json lists what there is."
    status = HTTPStatus(error.status_code) if isinstance(error, HTTPException) else 404
    allow = {"Allow": ", ".join(_methods(request))} if status == 405 else {}
    return await answer(request, HTTPException(status, sentence, allow))


def _methods(request: Request) -> list[str]:
    """What may be asked of the path of `request`, by whichever route."""
    return [
        method
        for method in ("GET", "HEAD", "POST", "DELETE")
        if any(_takes(route, request.scope, method) for route in request.app.router.routes)
    ]


def _takes(route: BaseRoute, scope: Scope, method: str) -> bool:
    asked = {**scope, "method": "GET" if method == "HEAD" else method}
    return route.matches(asked)[0] is Match.FULL
