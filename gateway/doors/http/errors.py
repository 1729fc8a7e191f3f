"""Errors as responses, in the form that the route's callers expect."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.routing import BaseRoute, Match

from gateway import errors
from gateway.doors.validation import invalid_request
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


class Problem(BaseModel):
    """What went wrong (RFC 9457)."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str = Field(description="A sentence: what is wrong, what is allowed, what to do.")
    field: str | None = Field(default=None, description="The field that is wrong, if one is.")
    request_id: str

    @classmethod
    def of(cls, error: Exception) -> Problem:
        """The body that describes `error`."""
        failure = describe(error)
        return cls(
            title=failure.status.phrase,
            status=failure.status,
            detail=failure.sentence,
            field=failure.field or None,
            request_id=logs.request_id.get(),
        )


@dataclass(frozen=True)
class Failure:
    """An error, whatever form it takes in a response."""

    status: HTTPStatus
    sentence: str
    field: str = ""
    headers: Mapping[str, str] | None = None


async def answer(request: Request, error: Exception) -> JSONResponse:
    """The response to `request` that failed with `error`."""
    failure, path, media_type = describe(error), request.url.path, "application/json"
    body: dict[str, Any]
    if path.startswith(OPENAI):
        body = openai(error)
    elif path.split("/")[1] == OPEN_INFERENCE.strip("/"):
        body = {"error": failure.sentence}
    else:
        body, media_type = Problem.of(error).model_dump(exclude_none=True), PROBLEM
    return JSONResponse(body, failure.status, dict(failure.headers or {}), media_type)


def describe(error: Exception) -> Failure:
    """The status, the sentence and the headers of `error`."""
    if isinstance(error, RequestValidationError):
        error = invalid_request(error.errors())
    if isinstance(error, HTTPException):
        return Failure(HTTPStatus(error.status_code), error.detail, headers=error.headers)
    headers = {}
    status = errors.code_of(error).http
    seconds = errors.retry_after(error)
    if seconds is not None:
        headers["Retry-After"] = str(max(1, math.ceil(seconds)))
    if status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"
    named = error.field if isinstance(error, InvalidRequest) else ""
    return Failure(status, errors.told(error), named, headers)


def openai(error: Exception) -> dict[str, Any]:
    """`error` as OpenAI's clients read it."""
    failure = describe(error)
    other = "server_error" if failure.status >= 500 else "invalid_request_error"
    return {
        "error": {
            "message": failure.sentence,
            "type": OPENAI_TYPES.get(failure.status, other),
            "param": failure.field or None,
            "code": None,
        }
    }


async def not_there(request: Request, error: Exception) -> JSONResponse:
    """The response to a path or method that does not exist."""
    what = f"{request.method} {shorten(Words(request.url.path))}"
    sentence = f"There is no {what} here; GET /openapi.json lists what there is."
    status = HTTPStatus(error.status_code) if isinstance(error, HTTPException) else 404
    allow = {"Allow": ", ".join(_methods(request))} if status == 405 else {}
    return await answer(request, HTTPException(status, sentence, allow))


def _methods(request: Request) -> list[str]:
    """The methods of the path of `request`, by whichever route."""
    return [
        method
        for method in ("GET", "HEAD", "POST", "DELETE")
        if any(_takes(route, request, method) for route in request.app.router.routes)
    ]


def _takes(route: BaseRoute, request: Request, method: str) -> bool:
    scope = {**request.scope, "method": "GET" if method == "HEAD" else method}
    return route.matches(scope)[0] is Match.FULL
