"""What may be rendered: lists, a safety checker, and hooks of one's own."""

from __future__ import annotations

import asyncio
import hashlib
import importlib
import logging
import re
import unicodedata
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Literal, Protocol, runtime_checkable

from gateway.telemetry import tracing
from pipeline import images
from pipeline.errors import InvalidRequest, Refused, Unavailable
from pipeline.request import Drawn, RenderRequest

Kind = Drawn | Literal["style", "render"]

UNDECIDED = "Moderation could not decide; nothing is rendered without it. Try again later."
NAMES: dict[Kind, str] = {
    "sketch": "sketch", "image": "image", "mask": "mask", "style": "style image",
    "render": "finished render",
}  # fmt: skip

INVISIBLE = re.compile("[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\ufe00-\ufe0f]")
"""Fillers, joiners and variation selectors: what cannot be seen, beside format characters."""

log = logging.getLogger("maquette.gateway")


@runtime_checkable
class Moderator(Protocol):
    """Decides on prompts and pictures. The reason it gives is told to the caller."""

    async def check_prompt(self, prompt: str) -> str | None:
        """Why `prompt` is refused, as the end of a sentence; None when it is not."""

    async def check_image(self, image: bytes, kind: Kind) -> str | None:
        """Why `image` is refused, as the end of a sentence; None when it is not.

        It is a PNG that maquette made or decoded, however the picture was sent.
        """


class Moderation:
    """Asks every moderator, and lets nothing through that one of them could not decide on.

    Args:
        moderators: asked in this order.
        seconds: how long each has for one prompt or picture.
    """

    def __init__(self, moderators: Sequence[Moderator], seconds: float) -> None:
        self._moderators = moderators
        self._seconds = seconds

    async def check_request(self, request: RenderRequest) -> None:
        """Check what a render is asked for with, its pictures decoded.

        Raises:
            Refused: a moderator does not let it through; says why, without repeating it.
            Unavailable: a moderator failed, or took too long.
        """
        # Not the negative prompt: it names what should not be seen, and often is such a list.
        await self.check_text(request.prompt, "prompt")
        for name, picture in request.drawn.items():
            await self.check_pictures([picture], name)
        await self.check_pictures(request.style_images, "style")

    @property
    def looks_at_pictures(self) -> bool:
        """Whether somebody beside the pack's safety checker decides on finished pictures."""
        return any(not isinstance(one, DeniedWords | SafetyChecker) for one in self._moderators)

    async def check_text(self, text: str, what: str) -> None:
        """Check a text that callers send.

        Raises:
            Refused: a moderator does not let it through; names it as `what`, without repeating it.
            Unavailable: a moderator failed, or took too long.
        """
        with tracing.span("moderate", what=what):
            for moderator in self._moderators:
                await self._ask(moderator, what, moderator.check_prompt, text)

    async def check_pictures(self, pictures: Sequence[bytes], kind: Kind = "render") -> None:
        """Check encoded pictures of one kind.

        Raises:
            Refused: a moderator does not let one through; says why.
            Unavailable: a moderator failed, or took too long.
        """
        for picture in pictures:
            with tracing.span("moderate", what=NAMES[kind]):
                for moderator in self._moderators:
                    await self._ask(moderator, NAMES[kind], moderator.check_image, picture, kind)

    async def check_files(self, files: Sequence[bytes], kind: Kind) -> None:
        """Look for files, as they were sent, on lists of checksums; nothing of them is decoded.

        Raises:
            Refused: one is on a list.
        """
        for moderator in self._moderators:
            if isinstance(moderator, DeniedHashes) and await moderator.has_any(files):
                raise Refused(f"The {NAMES[kind]} was refused: {moderator.REASON}.")

    async def _ask(
        self,
        moderator: Moderator,
        what: str,
        check: Callable[..., Awaitable[str | None]],
        *of: object,
    ) -> None:
        name = type(moderator).__name__
        try:
            async with asyncio.timeout(self._seconds):
                reason = await check(*of)
        except TimeoutError as error:
            log.error("moderation by %s took more than %g s", name, self._seconds)
            raise Unavailable(UNDECIDED) from error
        except Exception as error:
            log.exception("moderation by %s failed", name)
            raise Unavailable(UNDECIDED) from error
        if not isinstance(reason, str | None):
            log.error("moderation by %s answered neither a reason nor None", name)
            raise Unavailable(UNDECIDED)
        if reason is not None:
            raise Refused(f"The {what} was refused: {reason or 'it is not allowed here'}.")


class DeniedWords:
    """Refuses prompts with a word or phrase of a list, whatever its case, width or punctuation.

    Args:
        file: one word or phrase per line; ``#`` begins a comment. Read once, at start.

    Raises:
        Unavailable: it cannot be read.
    """

    def __init__(self, file: Path) -> None:
        self._denied = {_spaced(line): line for line in _lines(file)}
        if nothing := self._denied.get(_spaced("")):
            raise Unavailable(f"{file} has the line {nothing[:80]!r}, in which there is no word.")

    async def check_prompt(self, prompt: str) -> str | None:
        words = _spaced(prompt)
        found = any(phrase in words for phrase in self._denied)
        return "it has words that are not allowed here" if found else None

    async def check_image(self, image: bytes, kind: Kind) -> str | None:  # noqa: ARG002
        return None


class DeniedHashes:
    """Refuses pictures of a list: the same files, and files with the same pixels.

    A picture that was scaled, cropped or compressed with loss is another one to it.

    Args:
        file: one of :func:`hashes_of` per line; ``#`` begins a comment. Read once, at start.

    Raises:
        Unavailable: it cannot be read, or a line is not a sha256.
    """

    REASON = "it is on a list of denied pictures"

    def __init__(self, file: Path) -> None:
        self._denied = frozenset(line.lower() for line in _lines(file))
        for line in self._denied:
            if not re.fullmatch("[0-9a-f]{64}", line):
                raise Unavailable(
                    f"{file} has the line {line[:80]!r}; allowed: sha256, as 64 hex digits."
                )

    async def check_prompt(self, prompt: str) -> str | None:  # noqa: ARG002
        return None

    async def check_image(self, image: bytes, kind: Kind) -> str | None:  # noqa: ARG002
        try:
            found = await asyncio.to_thread(hashes_of, image)
        except InvalidRequest:
            # What cannot be decoded is refused where requests are checked, and says so there.
            return None
        return None if self._denied.isdisjoint(found) else self.REASON

    async def has_any(self, files: Sequence[bytes]) -> bool:
        """Whether one of `files` is on the list as it is."""
        return await asyncio.to_thread(lambda: not self._denied.isdisjoint(map(_sha256, files)))


class SafetyChecker:
    """Refuses finished renders that the pack's safety checker finds unsafe.

    Args:
        check: a PNG to how far it is beyond what may be shown: above 0, it is unsafe. None where
            the pack has no checker.
    """

    def __init__(self, check: Callable[[bytes], Awaitable[float | None]]) -> None:
        self._check = check

    async def check_prompt(self, prompt: str) -> str | None:  # noqa: ARG002
        return None

    async def check_image(self, image: bytes, kind: Kind) -> str | None:
        margin = await self._check(image) if kind == "render" else None
        # Not `margin > 0`: what is no number is not safe.
        safe = margin is None or margin <= 0
        return None if safe else "the safety checker finds it unsafe; try another seed or prompt"


def load_moderator(hook: str) -> Moderator:
    """The moderator that a hook makes.

    Args:
        hook: ``package.module:factory``; the factory takes nothing.

    Raises:
        Unavailable: there is no such factory, it failed, or made something else.
    """
    module, separator, factory = hook.partition(":")
    if not separator or not module or not factory:
        raise Unavailable(f"The moderator {hook!r} must look like package.module:factory.")
    try:
        made = getattr(importlib.import_module(module), factory)()
    except Exception as error:
        # A stranger's code, which may fail in any way.
        reason = f"{type(error).__name__}: {error}"
        raise Unavailable(f"The moderator {hook} cannot be made ({reason}).") from error
    if not isinstance(made, Moderator):
        raise Unavailable(
            f"The moderator {hook} is of type {type(made).__name__}, which lacks check_prompt or "
            "check_image."
        )
    return made


def hashes_of(image: bytes) -> tuple[str, str]:
    """sha256 of the encoded `image`, and of its size and RGB pixels, which any encoding keeps.

    Raises:
        InvalidRequest: it is not a picture that maquette reads.
    """
    decoded = images.decode(image, "image")
    size = f"{decoded.width}x{decoded.height}:".encode()
    pixels = hashlib.sha256(size + decoded.tobytes())
    return _sha256(image), pixels.hexdigest()


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _lines(file: Path) -> list[str]:
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise Unavailable(f"The list {file} cannot be read: {error}.") from error
    lines = (re.split(r"(?:^|\s)#", line)[0].strip() for line in text.splitlines())
    return [line for line in lines if line]


def _spaced(text: str) -> str:
    """The words of `text` with a space around each: visible letters, one case, one spelling."""
    seen = "".join(filter(_is_visible, unicodedata.normalize("NFKC", text)))
    folded = unicodedata.normalize("NFKC", seen.casefold())
    words = "".join(
        " " if unicodedata.category(letter)[0] in "CPSZ" else letter for letter in folded
    )
    return f" {' '.join(words.split())} "


def _is_visible(letter: str) -> bool:
    return unicodedata.category(letter) != "Cf" and not INVISIBLE.match(letter)
