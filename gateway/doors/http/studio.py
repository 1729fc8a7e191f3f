"""The studio: the page for people who draw, from the files that ``make studio`` built."""

from __future__ import annotations

import gzip
import hashlib
import mimetypes
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from fastapi import APIRouter, FastAPI, Request, Response
from starlette.exceptions import HTTPException

from gateway.doors.http import errors

PAGE = Path(__file__).parent / "page"
"""What Vite wrote; absent where nobody has built it."""
INDEX = "index.html"
ASSETS = "assets/"
"""Names in it carry a hash of their content."""
FOR_EVER = "public, max-age=31536000, immutable"
POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' blob: data:",  # previews in events are data: URLs
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    )
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
    "Vary": "Accept, Accept-Encoding",
}
NOT_BUILT = (
    "<!doctype html><html lang=en><meta charset=utf-8><title>maquette</title>"
    "<p>The studio is not built. Run <code>make studio</code> in the repository and start the "
    "gateway again; the API serves meanwhile, and <code>GET /openapi.json</code> lists it."
)


@dataclass(frozen=True)
class File:
    """A built file, ready to be sent."""

    content: bytes
    gzipped: bytes
    media_type: str
    etag: str

    @classmethod
    def of(cls, content: bytes, name: str) -> File:
        """The file `name` with this `content`."""
        media_type = mimetypes.guess_type(name)[0] or "application/octet-stream"
        # The time is left out, so that the same content stays the same bytes.
        gzipped = gzip.compress(content, mtime=0)
        return cls(content, gzipped, media_type, f'"{hashlib.sha256(content).hexdigest()[:32]}"')


def built(folder: Path) -> dict[str, File]:
    """Every file in `folder` by its path there; a page that says what to do where there is none."""
    paths = [path for path in folder.rglob("*") if path.is_file()]
    files = {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}
    files.setdefault(INDEX, NOT_BUILT.encode())
    return {name: File.of(content, name) for name, content in files.items()}


def serve(app: FastAPI, folder: Path = PAGE) -> None:
    """Add the page in `folder` to `app`, at ``/``."""
    router = APIRouter(include_in_schema=False)
    for name, file in built(folder).items():
        path = "/" if name == INDEX else f"/{name}"
        router.add_api_route(path, _sender(file, name), methods=["GET"], response_class=Response)
    app.include_router(router)


def _sender(file: File, name: str) -> Callable[[Request], Awaitable[Response]]:
    caching = FOR_EVER if name.startswith(ASSETS) else "no-cache"

    async def send(request: Request) -> Response:
        if name == INDEX and not _takes_pages(request.headers.get("accept", "*/*")):
            return await errors.not_there(request, HTTPException(404))
        headers = {**HEADERS, "ETag": file.etag, "Cache-Control": caching}
        if file.etag in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        packed = "gzip" in request.headers.get("accept-encoding", "")
        if packed:
            headers["Content-Encoding"] = "gzip"
        return Response(file.gzipped if packed else file.content, 200, headers, file.media_type)

    return send


def _takes_pages(accept: str) -> bool:
    """Whether `accept` has HTML in it; a script that asks for JSON keeps getting JSON."""
    return "text/html" in accept or "json" not in accept
