"""Sessions of the studio: a key is exchanged for a cookie that no script can read.

``POST /session`` with the key in ``X-API-Key`` (or a key or token in ``Authorization``) begins one,
``DELETE /session`` ends it. Inside the gateway a call with the cookie is a call with the key, so
that scopes, limits, the audit log and revocation are the key's own.
"""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from fastapi import APIRouter, Request, Response
from starlette.datastructures import Headers
from starlette.requests import cookie_parser
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.doors.http import errors
from gateway.doors.http.dependencies import Known
from pipeline.errors import Forbidden, Unauthenticated

COOKIE = "maquette_session"
HEADER = "X-Maquette-Studio"
"""No form can send it, and no page of another origin without being allowed to (CORS)."""
LIFETIME_SECONDS = 12 * 3600
MAX_SESSIONS = 10_000
"""The oldest ends when one more begins."""
CREDENTIALS = ("x-api-key", "authorization")
PROTOCOLS = {"http", "websocket"}
POLICY_VIOLATION = 1008
SAFE_METHODS = {"GET", "HEAD", "OPTIONS"}
ID_BYTES = 32
STRANGE = (
    "A call with the studio's session must come from the studio's own page, with the header "
    f"{HEADER}. Open the studio at this gateway's address, or send an API key "
    "instead of the cookie."
)
NO_KEY = "A session begins with a key. Send an API key as `x-api-key: KEY` and try again."

router = APIRouter(prefix="/session", include_in_schema=False)


@dataclass(frozen=True)
class Session:
    """What a cookie stands for, and until when."""

    credential: tuple[bytes, bytes] = field(repr=False)
    """The header that the key or token came in."""
    ends: float
    """On the monotonic clock."""


class Sessions:
    """The sessions there are, in this process: a gateway that starts again has none."""

    def __init__(self, lifetime_seconds: float = LIFETIME_SECONDS) -> None:
        self._lifetime = lifetime_seconds
        self._sessions: dict[str, Session] = {}

    def begin(self, credential: tuple[bytes, bytes]) -> str:
        """Begin a session with an id of its own making, which is returned."""
        now = time.monotonic()
        self._sessions = {key: held for key, held in self._sessions.items() if held.ends > now}
        while len(self._sessions) >= MAX_SESSIONS:
            del self._sessions[next(iter(self._sessions))]
        identity = secrets.token_urlsafe(ID_BYTES)
        self._sessions[_digest(identity)] = Session(credential, now + self._lifetime)
        return identity

    def find(self, identity: str) -> Session | None:
        """The session `identity`; None when there is none, or no longer."""
        found = self._sessions.get(_digest(identity))
        return found if found and found.ends > time.monotonic() else None

    def end(self, identity: str) -> None:
        """End the session `identity`, if there is one."""
        self._sessions.pop(_digest(identity), None)


class SessionCookies:
    """Turns the cookie of a session into the key that it was begun with, for whatever is inside."""

    def __init__(self, app: ASGIApp, sessions: Sessions) -> None:
        self._app = app
        self._sessions = sessions

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope) if scope["type"] in PROTOCOLS else Headers()
        session = self._sessions.find(_cookie(headers))
        if session is None or any(name in headers for name in CREDENTIALS):
            await self._app(scope, receive, send)
        elif is_own(headers, scope.get("method")):
            scope = {**scope, "headers": [*scope["headers"], session.credential]}
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": POLICY_VIOLATION})
        else:
            response = await errors.answer(Request(scope), Forbidden(STRANGE))
            await response(scope, receive, send)


def is_own(headers: Headers, method: str | None) -> bool:
    """Whether a call with these `headers` comes from the studio's own page, as far as they tell.

    A cookie goes along with whatever a page of the same site sends, which another port of this
    machine is. The browser tells of it in Sec-Fetch-Site or, if it is older, in Origin.

    Args:
        method: None for a WebSocket, whose Origin alone counts: it takes no header of a page.
    """
    site = headers.get("sec-fetch-site")
    if site not in {None, "same-origin", "none"}:
        return False
    if method in SAFE_METHODS:
        return True
    origin = headers.get("origin")
    # Before the host alone: a proxy may end TLS, which changes the scheme.
    same = site == "same-origin" or (origin and urlsplit(origin).netloc == headers.get("host"))
    return bool(same) and (method is None or HEADER in headers)


@router.post("", status_code=204)
async def begin(request: Request, _caller: Known) -> Response:
    """Exchange the key or token of this call for a session."""
    if not is_own(request.headers, request.method):
        raise Forbidden(STRANGE)
    credential = _credential(request.headers.raw)
    if credential is None:
        raise Unauthenticated(NO_KEY)
    sessions: Sessions = request.app.state.sessions
    sessions.end(_cookie(request.headers))
    return _with_cookie(request, sessions.begin(credential), LIFETIME_SECONDS)


@router.get("")
async def look(request: Request) -> dict[str, bool]:
    """Whether this call has a session, which the page cannot see by itself."""
    sessions: Sessions = request.app.state.sessions
    return {"signed_in": sessions.find(_cookie(request.headers)) is not None}


@router.delete("", status_code=204)
async def end(request: Request) -> Response:
    """Sign out: the session is over, whoever else may hold its cookie."""
    if not is_own(request.headers, request.method):
        raise Forbidden(STRANGE)
    sessions: Sessions = request.app.state.sessions
    sessions.end(_cookie(request.headers))
    return _with_cookie(request, "", 0)


def _with_cookie(request: Request, value: str, seconds: int) -> Response:
    response = Response(status_code=204)
    secure = "https" in {request.url.scheme, urlsplit(request.headers.get("origin", "")).scheme}
    # Without a path it is for where the page is, which a proxy may have under one of its own.
    response.set_cookie(
        COOKIE, value, seconds, path=None, secure=secure, httponly=True, samesite="strict"
    )
    return response


def _cookie(headers: Headers) -> str:
    return cookie_parser(headers.get("cookie", "")).get(COOKIE, "")


def _credential(headers: Iterable[tuple[bytes, bytes]]) -> tuple[bytes, bytes] | None:
    sent = dict(headers)
    return next(((n, sent[n]) for name in CREDENTIALS if (n := name.encode()) in sent), None)


def _digest(identity: str) -> str:
    return hashlib.sha256(identity.encode(errors="replace")).hexdigest()
