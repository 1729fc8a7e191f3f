"""What the routes depend on: who calls, the parts behind them, and pages of lists."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated

from fastapi import Depends, Query, Request, Security
from fastapi.security import APIKeyHeader, HTTPAuthorizationCredentials, HTTPBearer

from gateway.auth.authenticator import Credentials, forwarded_by
from gateway.auth.caller import Caller, Scope
from gateway.auth.keys import PREFIX
from gateway.doors.paging import MAX_PAGE
from gateway.doors.parts import Parts
from gateway.settings import Settings

BEARER = HTTPBearer(auto_error=False, description="An API key or a signed token.")
API_KEY = APIKeyHeader(name="X-API-Key", auto_error=False, description="An API key.")


def parts_of(request: Request) -> Parts:
    """The parts behind the application that answers `request`."""
    parts: Parts = request.app.state.parts
    return parts


def settings_of(request: Request) -> Settings:
    """The settings of the application that answers `request`."""
    settings: Settings = request.app.state.settings
    return settings


def admitted(
    scope: Scope | None = None, *, any_bearer: bool = False
) -> Callable[..., Awaitable[Caller]]:
    """A dependency that is the caller, who has `scope`; None admits whoever is known.

    It raises ``Unauthenticated``, ``Forbidden`` or ``Overloaded``, before any body is read.

    Args:
        any_bearer: where callers are not asked who they are, do not look at what is no key of ours:
            OpenAI's clients insist on sending something.
    """

    async def admit(
        request: Request,
        bearer: Annotated[HTTPAuthorizationCredentials | None, Security(BEARER)] = None,
        key: Annotated[str | None, Security(API_KEY)] = None,
    ) -> Caller:
        token = bearer.credentials if bearer else ""
        if any_bearer and not settings_of(request).auth_required and not token.startswith(PREFIX):
            token = ""
        sent = Credentials(key or "", token, forwarded_by(request.headers))
        return await parts_of(request).desk.authenticator.admit(sent, scope)

    return admit


PageSize = Annotated[int, Query(ge=1, le=MAX_PAGE, description="How many at most.", examples=[10])]
PageToken = Annotated[
    str, Query(description="The next_page_token of the page before.", examples=[""])
]
Behind = Annotated[Parts, Depends(parts_of)]
Known = Annotated[Caller, Depends(admitted())]
Rendering = Annotated[Caller, Depends(admitted(Scope.RENDER))]
Curating = Annotated[Caller, Depends(admitted(Scope.STYLES))]
OpenAIKnown = Annotated[Caller, Depends(admitted(any_bearer=True))]
OpenAIRendering = Annotated[Caller, Depends(admitted(Scope.RENDER, any_bearer=True))]
Administering = Annotated[Caller, Depends(admitted(Scope.ADMIN))]
