"""The style library on Qdrant: embedded in a folder, or a server by URL, with the same code."""

from __future__ import annotations

import asyncio
import difflib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt
from qdrant_client import AsyncQdrantClient, models
from qdrant_client.common.client_exceptions import ResourceExhaustedResponse
from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse

from pipeline.contract import CLIP_DIM
from pipeline.errors import Conflict, NotFound, Overloaded, Unavailable, shorten
from pipeline.images import decode, encode_png
from retrieval.pictures import Pictures, digest
from retrieval.styles import (
    MAX_NAME,
    ScoredStyle,
    Style,
    checked_tags,
    point_id,
    slug,
    style_id,
)

COLLECTION = "styles"
READY_SECONDS = 1.0
"""Within which Qdrant answers when it is well."""

Vector = npt.NDArray[np.float32]
Embed = Callable[[bytes], Awaitable[Vector]]
Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Page:
    """Some styles in the order of their ids, and where the next page starts (None: nowhere)."""

    styles: list[Style]
    next_id: str | None


class StyleLibrary:
    """Styles with their CLIP image vectors.

    Made by :func:`open_library`. Methods raise ``Unavailable`` when Qdrant does not answer.
    """

    def __init__(self, client: AsyncQdrantClient, pictures: Pictures) -> None:
        self._client = client
        self._pictures = pictures
        # Qdrant's embedded engine does not bear two writes at once.
        self._writing = asyncio.Lock()

    async def prepare(self) -> None:
        """Make the collection if it is not there."""
        if await _answered(self._client.collection_exists(COLLECTION)):
            return
        # The vectors have unit length, so their cosine is their product. Asked for a cosine, the
        # embedded engine measures the length of every vector at every search.
        vectors = models.VectorParams(size=CLIP_DIM, distance=models.Distance.DOT)
        try:
            await self._client.create_collection(COLLECTION, vectors_config=vectors)
        except UnexpectedResponse as error:
            # Another gateway on the same server was a moment faster.
            if error.status_code != HTTPStatus.CONFLICT:
                raise Unavailable(f"Qdrant made no collection ({error.status_code}).") from error

    async def is_ready(self) -> bool:
        """Whether Qdrant answers and has the collection; false, too, when it takes too long."""
        try:
            async with asyncio.timeout(READY_SECONDS):
                return await self._client.collection_exists(COLLECTION)
        except Exception:  # noqa: BLE001 - what is wrong with it is for other calls to tell
            return False

    async def add(
        self, image: bytes, name: str, tags: Sequence[str], embed: Embed, *, replace: bool = False
    ) -> tuple[Style, bool]:
        """Add a picture.

        The picture is decoded behind the usual guards and stored anew as PNG, so nothing hidden in
        the file's metadata is kept. The file is written before the point that names it: a crash
        between the two leaves an unused file, never a style without a picture. The file of a style
        that is replaced goes, unless another style has the same one.

        Args:
            image: the encoded file.
            embed: gives the CLIP vector of the PNG.
            replace: take the place of a style of the same id that differs.

        Returns:
            The style, and whether anything changed.

        Raises:
            InvalidRequest: the picture, name or tags are not acceptable.
            Conflict: the id is taken by another picture.
        """
        identity, cleaned = style_id(name), checked_tags(tags)
        picture = await asyncio.to_thread(decode, image, "image")
        png = await asyncio.to_thread(lambda: encode_png(np.asarray(picture)))
        sha256 = digest(png)
        style = Style(identity, name.strip(), cleaned, sha256, picture.width, picture.height)
        self._refuse_conflict(await self._find(identity), style, replace=replace)
        vector = await embed(png)
        async with self._writing:
            existing = await self._find(identity)
            self._refuse_conflict(existing, style, replace=replace)
            await asyncio.to_thread(self._pictures.put, sha256, png)
            # Written even when nothing changed, because the vector may come from another CLIP.
            point = models.PointStruct(
                id=point_id(style.id), vector=vector.tolist(), payload=style.payload()
            )
            await _answered(self._client.upsert(COLLECTION, [point], wait=True))
            # Another gateway on the same Qdrant may have discarded the file before the point came.
            await asyncio.to_thread(self._pictures.put, sha256, png)
            if existing and existing.sha256 != sha256:
                await self._discard(existing.sha256)
        return style, existing != style

    @staticmethod
    def _refuse_conflict(existing: Style | None, style: Style, *, replace: bool) -> None:
        if existing and existing != style and not replace:
            raise Conflict(
                f"The library has a style {shorten(style.id)} already, and it differs. "
                "Choose another name, or set replace (--replace) to take its place."
            )

    async def get(self, identity: str) -> Style:
        """The style of the id or name `identity`.

        Raises:
            NotFound: there is none; the message proposes the nearest ids.
        """
        style = await self._find(slug(identity))
        if style is None:
            ids = [style.id async for style in self._all()]
            near = difflib.get_close_matches(slug(identity)[:MAX_NAME], ids)
            hint = f"Did you mean {' or '.join(near)}? " if near else ""
            raise NotFound(
                f"style {shorten(identity)} is not in the library. {hint}"
                "`maquette styles list` shows the styles there are."
            )
        return style

    async def remove(self, identity: str) -> Style:
        """Take the style of the id or name `identity` out, and return what it was.

        Its picture goes too, unless another style has the same one.

        Raises:
            NotFound: there is none; the message proposes the nearest ids.
        """
        async with self._writing:
            style = await self.get(identity)
            selector = models.PointIdsList(points=[point_id(style.id)])
            await _answered(self._client.delete(COLLECTION, selector, wait=True))
            await self._discard(style.sha256)
        return style

    async def page(self, size: int, start: str | None = None) -> Page:
        """Up to `size` styles from the id `start` on, in the order of their ids."""
        styles = sorted([style async for style in self._all()], key=lambda style: style.id)
        rest = [style for style in styles if start is None or style.id >= start]
        return Page(rest[:size], rest[size].id if len(rest) > size else None)

    async def search(self, vector: Vector, tags: Sequence[str], limit: int) -> list[ScoredStyle]:
        """The `limit` styles nearest to `vector` that have all `tags`, nearest first."""
        wanted = [
            models.FieldCondition(key="tags", match=models.MatchValue(value=tag))
            for tag in checked_tags(tags, field="style_filter")
        ]
        found = await _answered(
            self._client.query_points(
                COLLECTION,
                query=vector.tolist(),
                # Embedded, even an empty filter is held against every style.
                query_filter=models.Filter(must=list(wanted)) if wanted else None,
                limit=limit,
            )
        )
        return [
            ScoredStyle(Style.from_payload(point.payload or {}), point.score)
            for point in found.points
        ]

    async def picture(self, style: Style) -> bytes:
        """The stored PNG of `style`."""
        return await asyncio.to_thread(self._pictures.get, style.sha256)

    async def _discard(self, sha256: str) -> None:
        """Remove a picture that no style has any more."""
        if await self._has(sha256):
            return
        png = await asyncio.to_thread(self._pictures.take, sha256)
        # Another gateway may have added a style with it in between.
        if png and await self._has(sha256):
            await asyncio.to_thread(self._pictures.put, sha256, png)

    async def _has(self, sha256: str) -> bool:
        return sha256 in {style.sha256 async for style in self._all()}

    async def _find(self, identity: str) -> Style | None:
        points = await _answered(self._client.retrieve(COLLECTION, [point_id(identity)]))
        return Style.from_payload(points[0].payload or {}) if points else None

    async def _all(self) -> AsyncIterator[Style]:
        offset: str | None = None
        while True:
            call = self._client.scroll(COLLECTION, limit=1000, offset=offset, with_vectors=False)
            points, following = await _answered(call)
            for point in points:
                yield Style.from_payload(point.payload or {})
            if following is None:
                return
            offset = str(following)


async def _answered(call: Awaitable[Answer]) -> Answer:
    try:
        return await call
    except ResourceExhaustedResponse as error:
        raise Overloaded("Qdrant is overloaded. Try again in a few seconds.") from error
    except ResponseHandlingException as error:
        raise Unavailable(f"Qdrant does not answer ({error}). Check that it is running.") from error
    except UnexpectedResponse as error:
        remedy = "Check its API key." if error.status_code in (401, 403) else "Check its log."
        raise Unavailable(
            f"Qdrant refused the request (HTTP {error.status_code}). {remedy}"
        ) from error


@asynccontextmanager
async def open_library(
    folder: Path, url: str | None = None, api_key: str | None = None
) -> AsyncIterator[StyleLibrary]:
    """Open the library, and close it at the end of the block.

    Args:
        folder: where the pictures are, and the vectors too when `url` is None.
        url: of a Qdrant server.

    Raises:
        Unavailable: the folder is open in another process, or the server does not answer.
    """
    client = _server(url, api_key) if url else _embedded(folder / "qdrant")
    try:
        library = StyleLibrary(client, Pictures(folder / "pictures"))
        await library.prepare()
        yield library
    finally:
        await client.close()


def _server(url: str, api_key: str | None) -> AsyncQdrantClient:
    # Its own version check would warn from a thread; the first call says more when it fails.
    return AsyncQdrantClient(url=url, api_key=api_key, check_compatibility=False)


def _embedded(folder: Path) -> AsyncQdrantClient:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return AsyncQdrantClient(path=str(folder))
    except (OSError, ValueError) as error:
        raise Unavailable(
            f"The style library in {folder} cannot be read ({error}). "
            "Restore the folder, or choose another."
        ) from error
    except RuntimeError as error:
        raise Unavailable(
            f"The style library in {folder} is open in another process. Stop that one, choose "
            "another folder, or use a Qdrant server, which many processes can share."
        ) from error
