"""The HTTP door as one application."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.telemetry import TelemetryConfig
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware

from gateway.doors.concurrency import ConcurrencyLimiter
from gateway.doors.http import (
    errors,
    generate,
    images,
    openapi,
    operations,
    renders,
    sessions,
    studio,
    styles,
    versions,
    websocket,
)
from gateway.doors.http.middleware import REQUEST_ID, Envelope, Guard
from gateway.doors.http_bodies import Inflating
from gateway.doors.parts import Parts
from gateway.settings import Settings
from gateway.version import VERSION
from pipeline.errors import MaquetteError

MAY_SEND = (
    "Authorization",
    "Content-Type",
    "Idempotency-Key",
    "If-None-Match",
    "Last-Event-ID",
    "Prefer",
    "X-API-Key",
    REQUEST_ID,
)
MAY_READ = (
    *generate.HEADERS,
    "ETag",
    "Location",
    "Preference-Applied",
    "Retry-After",
    REQUEST_ID,
)
# The project has its own traces and metrics, the same for every door.
UNTOLD: TelemetryConfig = {
    "tracing": False,
    "metrics": False,
    "logs": False,
    "auto_configure": False,
}


class Gateway(FastAPI):
    """FastAPI, with what it cannot know in ``/openapi.json``."""

    def openapi(self) -> dict[str, Any]:
        """The document, made once."""
        if not self.openapi_schema:
            bodies: set[type[BaseModel]] = {
                *openapi.RENDER_EVENTS.values(), *versions.EVENTS, *images.EVENTS,
            }  # fmt: skip
            required = self.state.settings.auth_required
            self.openapi_schema = openapi.complete(
                super().openapi(), bodies, auth_required=required
            )
        return self.openapi_schema


def make_app(
    parts: Parts,
    settings: Settings,
    is_ready: operations.IsReady,
    open_inference: APIRouter | None = None,
) -> FastAPI:
    """The application that answers every HTTP call.

    Args:
        parts: what the routes stand on.
        is_ready: whether renders can be served now.
        open_inference: the routes under /v2.
    """
    app = Gateway(
        title="maquette",
        version=VERSION,
        description="Sketch and sentence to architectural render, in a retrieved style.",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        telemetry=UNTOLD,
        exception_handlers={
            404: errors.not_there,
            405: errors.not_there,
            HTTPException: errors.answer,
            RequestValidationError: errors.answer,
            MaquetteError: errors.answer,
        },
    )
    app.state.parts = parts
    app.state.is_ready = is_ready
    app.state.settings = settings
    routers = [
        module.router
        for module in (generate, renders, styles, images, versions, operations, sessions, websocket)
    ]
    for router in [*routers, *([open_inference] if open_inference else [])]:
        app.include_router(router)
    app.state.conversations = ConcurrencyLimiter(websocket.MAX_CONNECTIONS, websocket.MAX_OF_ONE)
    studio.serve(app)
    _surround(app, parts, settings)
    return app


def _surround(app: FastAPI, parts: Parts, settings: Settings) -> None:
    # The last one added is the outermost.
    app.add_middleware(Guard, settings=settings)
    # Around the guard, which counts what bodies take once they are unpacked.
    app.add_middleware(Inflating)
    app.state.sessions = sessions.Sessions()
    app.add_middleware(sessions.SessionCookies, sessions=app.state.sessions)
    if settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.cors_origins,
            allow_methods=["GET", "HEAD", "POST", "DELETE"],
            allow_headers=list(MAY_SEND),
            expose_headers=list(MAY_READ),
        )
    app.add_middleware(Envelope, metrics=parts.desk.metrics, tls=settings.tls is not None)
