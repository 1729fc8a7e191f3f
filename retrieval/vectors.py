"""The styles in Qdrant: a collection for each CLIP version, one of which serves.

Vectors of different CLIPs cannot be compared. Styles are written to every collection, so that
another one can take over at any time.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from http import HTTPStatus
from typing import TypeVar

import numpy as np
import numpy.typing as npt
from qdrant_client import AsyncQdrantClient, models
from qdrant_client.common.client_exceptions import ResourceExhaustedResponse
from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse

from pipeline.errors import (
    InvalidRequest,
    MaquetteError,
    NotFound,
    Overloaded,
    StageFailed,
    Unavailable,
)
from pipeline.pinned_versions import EXPORTED
from pipeline.topology import SD15
from retrieval.pictures import unwritable
from retrieval.styles import ScoredStyle, Style, point_id

PREFIX = "styles.clip"
COMPLETE = "complete"
"""Key in a collection's metadata: whether every style was in it when that was last looked at."""

Vector = npt.NDArray[np.float32]
Embed = Callable[[bytes, int], Awaitable[Vector]]
"""Gives the vector of a PNG by a CLIP version."""
Answer = TypeVar("Answer")


def name_of(clip: int) -> str:
    """What the collection of CLIP version `clip` is called."""
    return "styles" if clip == EXPORTED else f"{PREFIX}{clip}"


class Collection:
    """The styles with their vectors of CLIP version `clip`.

    Methods raise ``Unavailable`` when Qdrant does not answer.
    """

    def __init__(self, client: AsyncQdrantClient, clip: int, clip_dim: int = SD15.clip_dim) -> None:
        self.clip = clip
        self.clip_dim = clip_dim
        self.name = name_of(clip)
        self._client = client

    async def exists(self) -> bool:
        return await answered(self._client.collection_exists(self.name))

    async def make(self, *, complete: bool) -> None:
        """Make it if it is not there."""
        if await self.exists():
            return
        # The vectors have unit length, so their cosine is their product. Asked for a cosine, the
        # embedded engine measures the length of every vector at every search.
        vectors = models.VectorParams(size=self.clip_dim, distance=models.Distance.DOT)
        mark = {COMPLETE: complete}
        call = self._client.create_collection(self.name, vectors_config=vectors, metadata=mark)
        try:
            await answered(call)
        except Unavailable as error:
            # Another gateway on the same server was a moment faster.
            if getattr(error.__cause__, "status_code", None) != HTTPStatus.CONFLICT:
                raise

    async def drop(self) -> None:
        # Embedded, the points go before the name does: a crash between the two must not leave an
        # empty collection that says that it is complete.
        await self.mark(complete=False)
        await answered(self._client.delete_collection(self.name))

    async def mark(self, *, complete: bool) -> None:
        """Record whether every style is in it."""
        metadata = {COMPLETE: complete}
        await answered(self._client.update_collection(self.name, metadata=metadata))

    async def is_complete(self) -> bool:
        """What was recorded. Libraries from before there were versions recorded nothing."""
        metadata = (await answered(self._client.get_collection(self.name))).config.metadata
        return bool((metadata or {}).get(COMPLETE, True))

    async def size(self) -> int:
        """How many numbers its vectors have."""
        parameters = (await answered(self._client.get_collection(self.name))).config.params
        found = parameters.vectors
        return found.size if isinstance(found, models.VectorParams) else 0

    async def find(self, identity: str) -> Style | None:
        points = await answered(self._client.retrieve(self.name, [point_id(identity)]))
        return Style.from_payload(points[0].payload or {}) if points else None

    async def count(self) -> int:
        return (await answered(self._client.count(self.name))).count

    async def has_picture(self, sha256: str) -> bool:
        """Whether a style has that picture."""
        wanted = models.FieldCondition(key="sha256", match=models.MatchValue(value=sha256))
        call = self._client.count(self.name, count_filter=models.Filter(must=[wanted]))
        return bool((await answered(call)).count)

    async def all(self) -> AsyncIterator[Style]:
        """Every style, in no order that means anything."""
        offset: str | None = None
        while True:
            call = self._client.scroll(self.name, limit=1000, offset=offset, with_vectors=False)
            points, following = await answered(call)
            for point in points:
                yield Style.from_payload(point.payload or {})
            if following is None:
                return
            offset = str(following)
            # Embedded, a page is read without ever letting others have their turn.
            await asyncio.sleep(0)

    async def nearest(
        self, to: Vector | Style, tags: Sequence[str], limit: int
    ) -> list[ScoredStyle]:
        """The `limit` styles nearest to a vector or to another style that have all `tags`.

        Returns:
            The nearest first; a style is not among its own.
        """
        wanted = [
            models.FieldCondition(key="tags", match=models.MatchValue(value=tag)) for tag in tags
        ]
        found = await answered(
            self._client.query_points(
                self.name,
                query=point_id(to.id) if isinstance(to, Style) else to.tolist(),
                # Embedded, even an empty filter is held against every style.
                query_filter=models.Filter(must=list(wanted)) if wanted else None,
                limit=limit,
            )
        )
        return [
            ScoredStyle(Style.from_payload(point.payload or {}), point.score)
            for point in found.points
        ]

    async def put(self, style: Style, vector: Vector) -> None:
        """Write `style`, in place of what has its id."""
        point = models.PointStruct(
            id=point_id(style.id), vector=vector.tolist(), payload=style.payload()
        )
        await answered(self._client.upsert(self.name, [point], wait=True))

    async def vector_of(self, png: bytes, embed: Embed) -> Vector | MaquetteError:
        """The vector of `png` by its CLIP version, or what hindered it."""
        try:
            vector = await embed(png, self.clip)
        except MaquetteError as error:
            return error
        if vector.shape != (self.clip_dim,) or not np.isfinite(vector).all():
            wanted = f"no vector of {self.clip_dim} finite numbers"
            return StageFailed(f"CLIP version {self.clip} gave {wanted}.")
        return vector

    async def remove(self, identity: str) -> None:
        selector = models.PointIdsList(points=[point_id(identity)])
        await answered(self._client.delete(self.name, selector, wait=True))


class Collections:
    """The collections of one library. What the one that serves holds is what the library holds."""

    def __init__(self, client: AsyncQdrantClient, clip_dim: int = SD15.clip_dim) -> None:
        self.clip_dim = clip_dim
        """Numbers in the vector of every version."""
        self.clip = EXPORTED
        """The CLIP version that serves."""
        # Qdrant's embedded engine does not bear two writes at once.
        self.writing = asyncio.Lock()
        """Held by who writes."""
        self._client = client

    def of(self, clip: int) -> Collection:
        """That of CLIP version `clip`, which need not be there."""
        return Collection(self._client, clip, self.clip_dim)

    @property
    def serving(self) -> Collection:
        return self.of(self.clip)

    async def clips(self) -> tuple[int, ...]:
        """The CLIP versions that have a collection, in order."""
        found = (await answered(self._client.get_collections())).collections
        names = {collection.name for collection in found}
        ends = {name.removeprefix(PREFIX) for name in names} - names
        clips = {EXPORTED, *(int(end) for end in ends if end.isdecimal())}
        # A server may hold collections of others, too.
        return tuple(sorted(clip for clip in clips if name_of(clip) in names))

    async def written(self) -> list[Collection]:
        """All of them, the one that serves last: until it is written, nothing has changed."""
        others = [clip for clip in await self.clips() if clip != self.clip]
        return [self.of(clip) for clip in [*others, self.clip]]

    async def prepare(self, clip: int) -> None:
        """Serve `clip`, or, where that is not complete, the latest that is.

        A new library begins with the collection of `clip`.
        """
        present = await self.clips()
        if not present:
            await self.of(clip).make(complete=True)
            present = (clip,)
        counts = {each: await self.of(each).count() for each in present}
        # One that says that it is complete may have lost its styles since.
        complete = [
            each
            for each in present
            if (counts[each] or not any(counts.values())) and await self.of(each).is_complete()
        ]
        self.clip = clip if clip in complete else max(complete or present)
        if (size := await self.serving.size()) != self.clip_dim:
            raise Unavailable(
                f"The style library's vectors have {size} numbers, and those of the pack's CLIP "
                f"{self.clip_dim}. Name another folder with MAQUETTE_LIBRARY, or serve the pack "
                "that it was made with."
            )

    async def use(self, clip: int) -> None:
        """Serve `clip`.

        Raises:
            NotFound: it has no collection.
            Unavailable: that is not complete.
        """
        async with self.writing:
            if clip == self.clip:
                return
            remedy = "Run `maquette models reembed` first."
            if clip not in await self.clips():
                raise NotFound(f"The style library has no vectors of CLIP version {clip}. {remedy}")
            target = self.of(clip)
            if not await target.is_complete() or any(await self.differences(target)):
                raise Unavailable(
                    f"The style library's vectors of CLIP version {clip} are not complete. {remedy}"
                )
            self.clip = clip

    async def drop(self, clip: int) -> bool:
        """Remove the collection of `clip`; false if there is none.

        Raises:
            InvalidRequest: it serves.
        """
        async with self.writing:
            if clip == self.clip:
                raise InvalidRequest(
                    "clip", clip, "a version that does not serve", "Let another one serve first."
                )
            if clip not in await self.clips():
                return False
            await self.of(clip).drop()
            return True

    async def differences(self, target: Collection) -> tuple[list[Style], list[Style]]:
        """The styles that `target` lacks or has otherwise, and those that only `target` has."""
        wanted = {style.id: style async for style in self.serving.all()}
        there = {style.id: style async for style in target.all()}
        missing = [style for style in wanted.values() if there.get(style.id) != style]
        return missing, [style for style in there.values() if style.id not in wanted]


async def answered(call: Awaitable[Answer]) -> Answer:
    """What Qdrant answers to `call`.

    Raises:
        Unavailable: it does not, or refuses; ``Unwritable`` when that is the disk.
        Overloaded: it has too much to do.
    """
    try:
        return await call
    except (OSError, sqlite3.Error) as error:
        raise unwritable(error) from error
    except ResourceExhaustedResponse as error:
        raise Overloaded("Qdrant is overloaded. Try again in a few seconds.") from error
    except ResponseHandlingException as error:
        raise Unavailable(f"Qdrant does not answer ({error}). Check that it is running.") from error
    except UnexpectedResponse as error:
        remedy = "Check its API key." if error.status_code in (401, 403) else "Check its log."
        raise Unavailable(
            f"Qdrant refused the request (HTTP {error.status_code}). {remedy}"
        ) from error
