"""Whom a gateway answers that asks nobody who they are: its own machine, not any web page.

A browser sends a form to 127.0.0.1 for whatever page it shows, and a page whose name comes to mean
127.0.0.1 reads the answers (DNS rebinding). Both give themselves away in the headers.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from starlette.datastructures import Headers

from gateway.settings import Settings
from pipeline.addresses import ANYWHERE, is_loopback
from pipeline.errors import Forbidden, Words, shorten


def check(headers: Headers, scheme: str, settings: Settings) -> None:
    """Let a call with these `headers` pass, unless it is a strange page's.

    Args:
        scheme: http or https, as the call came.

    Raises:
        Forbidden: the Host is not the gateway's, or the Origin neither its own nor allowed.
    """
    if settings.auth_required:
        return
    host = headers.get("host", "")
    name = _name(host)
    if settings.host not in ANYWHERE and not is_loopback(name) and name != settings.host.lower():
        raise Forbidden(
            f"The Host {shorten(Words(host))} is not this gateway, which asks nobody who they are "
            f"and so answers only as {settings.host} or localhost. Call it so, or set "
            "MAQUETTE_AUTH=required."
        )
    origin = headers.get("origin")
    if origin not in {None, f"{scheme}://{host}", *settings.cors_origins} and (
        "*" not in settings.cors_origins
    ):
        raise Forbidden(
            f"Pages of {shorten(Words(origin))} may not call this gateway. "
            "List their origin in MAQUETTE_CORS_ORIGINS."
        )


def _name(host: str) -> str:
    """The name in a Host header, without its port."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""
