"""The style library on Qdrant: embedded in a folder, or a server by URL, with the same code."""

from __future__ import annotations

import asyncio
import difflib
import logging
import shlex
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Sequence
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from qdrant_client import AsyncQdrantClient

from pipeline.errors import Conflict, MaquetteError, NotFound, Unavailable, Words, shorten
from pipeline.images import decode, encode_png
from pipeline.pinned_versions import EXPORTED
from pipeline.request import FIELDS
from pipeline.topology import SD15
from retrieval.pictures import Pictures, Recent, Unwritable, digest
from retrieval.reembedding import Progress, reembed
from retrieval.styles import ENTRY_FIELDS, MAX_NAME, NewStyle, ScoredStyle, Style, slug, style_id
from retrieval.vectors import Collection, Collections, Embed, Vector, name_of

COLLECTION = name_of(EXPORTED)
SURE = 2
"""First letters that whoever mistypes an id gets right."""
MAX_ALIKE = 1000
"""Ids that a wrong one is compared with."""
READY_SECONDS = 1.0
"""Within which Qdrant answers when it is well."""

log = logging.getLogger("maquette.retrieval")


@dataclass(frozen=True)
class Page:
    """Some styles in the order of their ids, and where the next page starts (None: nowhere)."""

    styles: list[Style]
    next_id: str | None


class StyleLibrary:
    """Styles with their CLIP image vectors.

    Made by :func:`open_library`. Methods raise ``Unavailable`` when Qdrant does not answer.

    Args:
        alone: whether nobody else changes the database.
        clip_dim: numbers in a vector of the pack's CLIP.
    """

    def __init__(
        self,
        client: AsyncQdrantClient,
        pictures: Pictures,
        *,
        alone: bool = False,
        clip_dim: int = SD15.clip_dim,
    ) -> None:
        self._collections = Collections(client, clip_dim)
        self._pictures = pictures
        self._alone = alone
        # Embedded, Qdrant reads ten thousand styles in seconds, and a filter does not help.
        self._known: dict[str, Style] = {}
        """The styles by id, but for what others changed since the start."""
        self._recent = Recent()
        self._reembedding: set[int] = set()

    @property
    def clip(self) -> int:
        """The CLIP version whose vectors are searched."""
        return self._collections.clip

    @property
    def _serving(self) -> Collection:
        return self._collections.serving

    async def prepare(self, clip: int = EXPORTED) -> None:
        """Serve CLIP version `clip`, or, where its vectors are not complete, the latest that is.

        A new library begins with vectors of `clip`.

        Raises:
            Unavailable: the database is damaged, or lost while there are pictures.
        """
        await self._collections.prepare(clip)
        try:
            styles = [style async for style in self._serving.all()]
        except (TypeError, ValueError, KeyError) as error:
            raise damaged(self._pictures.folder.parent, error) from error
        if not styles:
            await asyncio.to_thread(self._refuse_lost)
        self._known = {style.id: style for style in styles}
        await asyncio.to_thread(self._pictures.record_missing, styles)

    def _refuse_lost(self) -> None:
        # A crash while the very first style is added leaves one picture.
        there, folder = len(self._pictures), self._pictures.folder
        if there > 1 or any(self._pictures.recorded()):
            raise Unavailable(
                f"The database of the style library {folder.parent} names no styles, and "
                f"{there} pictures lie in {folder}. Restore the database from a backup, or run "
                f"`maquette styles repair {shlex.quote(str(folder.parent))}`, which keeps them "
                "with names and tags."
            )

    async def clips(self) -> tuple[int, ...]:
        """The CLIP versions that there are vectors of, complete or not, in order."""
        return await self._collections.clips()

    async def use(self, clip: int) -> None:
        """Search the vectors of CLIP version `clip` from now on.

        Raises:
            NotFound: there are none.
            Unavailable: they are not complete. What served goes on.
        """
        await self._collections.use(clip)

    async def drop(self, clip: int) -> bool:
        """Remove the vectors of CLIP version `clip`; false if there are none.

        Raises:
            InvalidRequest: they are searched.
            Conflict: they are being made.
        """
        self._refuse_reembedding(clip)
        return await self._collections.drop(clip)

    async def reembed(self, clip: int, embed: Embed) -> AsyncGenerator[Progress]:
        """Give every style its vector of CLIP version `clip`, beside those that serve.

        What is there already is kept, so a run that was broken off is finished by the next.
        Styles may come and go meanwhile. One that cannot be embedded does not stop the others;
        the vectors are complete once it is mended or removed and this was run again.

        Raises:
            Conflict: these vectors are being made already.
        """
        self._refuse_reembedding(clip)
        self._reembedding.add(clip)
        try:
            progress = reembed(self._collections, self._pictures, clip, embed)
            async with aclosing(progress):
                async for each in progress:
                    yield each
        finally:
            self._reembedding.discard(clip)

    def _refuse_reembedding(self, clip: int) -> None:
        if clip in self._reembedding:
            raise Conflict(
                f"The style library is being embedded with CLIP version {clip} already. "
                "Wait until that has ended, or stop it."
            )

    async def is_ready(self) -> bool:
        """Whether Qdrant answers and has the collection; false, too, when it takes too long."""
        try:
            async with asyncio.timeout(READY_SECONDS):
                return await self._serving.exists()
        except Exception:  # noqa: BLE001 - what is wrong with it is for other calls to tell
            return False

    async def add(self, new: NewStyle, embed: Embed) -> tuple[Style, bool]:
        """Add a picture.

        The picture is decoded behind the usual guards and stored anew as PNG, so nothing hidden in
        the file's metadata is kept. The file is written before the point that names it: a crash
        between the two leaves an unused file, never a style without a picture. The file of a style
        that is replaced goes, unless another style has the same one.

        The style is written with a vector of each CLIP version that the library has vectors of. The
        version that serves is written last: until then nothing has changed, and a re-embedding
        mends what a crash left in the others. One of the others that cannot embed the picture
        does not hinder it either; its vectors are not complete from then on.

        Returns:
            The style, and whether anything changed.

        Raises:
            InvalidRequest: the picture is not acceptable.
            Conflict: the id is taken by another picture.
        """
        identity = style_id(new.name)
        picture = await asyncio.to_thread(decode, new.image, "image")
        png = await asyncio.to_thread(lambda: encode_png(np.asarray(picture)))
        sha256 = digest(png)
        style = Style(
            id=identity, sha256=sha256, width=picture.width, height=picture.height,
            **{name: getattr(new, name) for name in ENTRY_FIELDS},
        )  # fmt: skip
        self._refuse_conflict(await self._serving.find(identity), style, replace=new.replace)
        vectors = await _vectors(png, await self._collections.written(), embed)
        async with self._collections.writing:
            existing = await self._serving.find(identity)
            self._refuse_conflict(existing, style, replace=new.replace)
            collections = await self._collections.written()
            # A re-embedding may have begun meanwhile.
            missing = [each for each in collections if each.clip not in vectors]
            vectors |= await _vectors(png, missing, embed)
            if isinstance(failure := vectors[self.clip], MaquetteError):
                raise failure
            await asyncio.to_thread(self._pictures.put, sha256, png)
            try:
                for collection in collections:
                    await _write(style, vectors[collection.clip], collection)
            except Unwritable:
                await self._discard(sha256)
                raise
            # Another gateway on the same Qdrant may have discarded the file before the point came.
            await asyncio.to_thread(self._pictures.put, sha256, png)
            self._known[identity] = style
            # The style is there in any case, and the next start writes it down.
            with suppress(Unwritable):
                await asyncio.to_thread(self._pictures.record, style)
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
        style = await self._serving.find(slug(identity))
        if style is None:
            wanted = slug(identity)[:MAX_NAME]
            alike = [known for known in self._known if known.startswith(wanted[:SURE])]
            near = await asyncio.to_thread(difflib.get_close_matches, wanted, alike[:MAX_ALIKE])
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
        async with self._collections.writing:
            style = await self.get(identity)
            try:
                await self._remove(style)
            except Unwritable:
                await asyncio.to_thread(self._pictures.release_reserve)
                await self._remove(style)
            await self._discard(style.sha256)
            await asyncio.to_thread(self._pictures.keep_reserve)
        return style

    async def _remove(self, style: Style) -> None:
        # First, because the next start writes it down again, and removes nothing.
        await asyncio.to_thread(self._pictures.forget, style.id)
        for collection in await self._collections.written():
            await collection.remove(style.id)
        self._known.pop(style.id, None)

    async def page(self, size: int, start: str | None = None) -> Page:
        """Up to `size` styles from the id `start` on, in the order of their ids."""
        known = self._known.values()
        styles = list(known) if self._alone else [style async for style in self._serving.all()]
        rest = [style for style in styles if start is None or style.id >= start]
        rest.sort(key=lambda style: style.id)
        return Page(rest[:size], rest[size].id if len(rest) > size else None)

    async def search(
        self, vector: Vector, tags: Sequence[str], limit: int, clip: int | None = None
    ) -> list[ScoredStyle]:
        """The `limit` styles nearest to `vector` that have all `tags`, nearest first.

        Args:
            clip: the CLIP version that made `vector`; None: the one that serves.
        """
        wanted = FIELDS["style_filter"].clean_tags(tags)
        collection = self._serving if clip is None else self._collections.of(clip)
        return await collection.nearest(vector, wanted, limit)

    async def similar(self, identity: str, limit: int) -> list[ScoredStyle]:
        """The `limit` other styles nearest to the style `identity`, nearest first.

        Raises:
            NotFound: there is none of that id or name.
        """
        return await self._serving.nearest(await self.get(identity), (), limit)

    async def picture(self, style: Style) -> bytes:
        """The stored PNG of `style`."""
        if (png := self._recent.get(style.sha256)) is None:
            png = await asyncio.to_thread(self._pictures.get, style.sha256)
            self._recent.put(style.sha256, png)
        return png

    async def _discard(self, sha256: str) -> None:
        """Remove a picture that no style has any more."""
        if await self._has(sha256):
            return
        png = await asyncio.to_thread(self._pictures.take, sha256)
        self._recent.drop(sha256)
        # Another gateway may have added a style with it in between.
        if png and await self._has(sha256):
            await asyncio.to_thread(self._pictures.put, sha256, png)

    async def _has(self, sha256: str) -> bool:
        if self._alone:
            return any(style.sha256 == sha256 for style in self._known.values())
        return any([await each.has_picture(sha256) for each in await self._collections.written()])


async def _vectors(
    png: bytes, collections: Iterable[Collection], embed: Embed
) -> dict[int, Vector | MaquetteError]:
    """The vector of `png` by each collection's CLIP version, or what hindered it."""
    return {each.clip: await each.vector_of(png, embed) for each in collections}


async def _write(style: Style, vector: Vector | MaquetteError, collection: Collection) -> None:
    if isinstance(vector, MaquetteError):
        log.warning("%s has no vector of CLIP version %d: %s", style.id, collection.clip, vector)
        await collection.mark(complete=False)
    else:
        # Even when nothing changed, because the vector may come from another CLIP.
        await collection.put(style, vector)


@asynccontextmanager
async def open_library(
    folder: Path,
    url: str | None = None,
    api_key: str | None = None,
    clip: int = EXPORTED,
    clip_dim: int = SD15.clip_dim,
) -> AsyncIterator[StyleLibrary]:
    """Open the library, and close it at the end of the block.

    Args:
        folder: where the pictures are, and the vectors too when `url` is None.
        url: of a Qdrant server.
        clip: the CLIP version that is to serve. Where its vectors are not complete, another does:
            the library's ``clip`` tells, and its ``use`` tells why.
        clip_dim: numbers in a vector of the pack's CLIP.

    Raises:
        Unavailable: the folder is open in another process, or the server does not answer.
    """
    await asyncio.to_thread(_make_private, folder)
    client = _server(url, api_key) if url else _embedded(folder / "qdrant")
    try:
        pictures = Pictures(folder / "pictures")
        library = StyleLibrary(client, pictures, alone=url is None, clip_dim=clip_dim)
        await library.prepare(clip)
        yield library
    finally:
        await client.close()


def _make_private(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    # The embedded database is made of pickles, so whoever writes here runs code in the gateway.
    with suppress(OSError):
        folder.chmod(0o700)


def _server(url: str, api_key: str | None) -> AsyncQdrantClient:
    # Its own version check would warn from a thread; the first call says more when it fails.
    return AsyncQdrantClient(url=url, api_key=api_key, check_compatibility=False)


def _embedded(folder: Path) -> AsyncQdrantClient:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return AsyncQdrantClient(path=str(folder))
    except RuntimeError as error:
        raise Unavailable(
            f"The style library in {folder} is open in another process. Stop that one, choose "
            "another folder, or use a Qdrant server, which many processes can share."
        ) from error
    except Exception as error:
        # Half of a pickle, of JSON or of SQLite's file: each raises what it likes.
        raise damaged(folder.parent, error) from error


def damaged(folder: Path, error: Exception) -> Unavailable:
    """That the database of the library in `folder` cannot be read, and what to do."""
    words = shorten(Words(" ".join(str(error).split())))
    return Unavailable(
        f"The database of the style library {folder} cannot be read ({type(error).__name__}: "
        f"{words}). Restore it from a backup, or run `maquette styles repair "
        f"{shlex.quote(str(folder))}`, which keeps the pictures with names and tags."
    )
