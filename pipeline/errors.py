"""The errors maquette raises, each with one meaning.

``gateway.errors`` maps them to gRPC status codes and ``pipeline.triton`` to Triton's.
"""

from __future__ import annotations

import reprlib
from collections.abc import Callable


class MaquetteError(Exception):
    """Base class; ``str(error)`` is one plain sentence that is fit for a caller to read."""


class InvalidRequest(MaquetteError):
    """The caller sent something outside the documented range.

    Args:
        field: the request field's name, as the caller wrote it.
        value: what was sent; long values are shortened before they are shown.
        allowed: the allowed range, in words.
        remedy: what to do about it, as a sentence.
    """

    def __init__(self, field: str, value: object, allowed: str, remedy: str) -> None:
        self.field = field
        super().__init__(f"{field} is {shorten(value)}; allowed: {allowed}. {remedy}")

    def __reduce__(self) -> tuple[Callable[[str, str], InvalidRequest], tuple[str, str]]:
        # Pictures are decoded in other processes. The value, an upload, need not come back.
        return _invalid, (self.field, str(self))


def _invalid(field: str, message: str) -> InvalidRequest:
    error = InvalidRequest.__new__(InvalidRequest, message)
    error.field = field
    return error


MISTAKE = "maquette.invalid_request: "
"""Stands before the sentence of an :class:`InvalidRequest` where a served model answers with it.
Triton's Python backend passes on a message and no code of ours, and an ensemble, or a model that
called another one, puts words of its own before that message."""


def mistake_in(message: str) -> str:
    """The sentence of an :class:`InvalidRequest` in a served model's error, or nothing."""
    return message.partition(MISTAKE)[2]


class NotFound(MaquetteError):
    """A thing the caller named does not exist."""


class Conflict(MaquetteError):
    """The thing exists already, and differs from what was sent."""


class Unauthenticated(MaquetteError):
    """The caller did not say who they are, or could not prove it."""


class Forbidden(MaquetteError):
    """The caller is known, and may not do this."""


class Refused(MaquetteError):
    """Moderation does not let this prompt or picture through."""


class Overloaded(MaquetteError):
    """Too much at once; the same request may succeed later.

    Args:
        message: the sentence.
        retry_after: seconds after which it is worth trying again.
    """

    def __init__(self, message: str, retry_after: float = 5.0) -> None:
        self.retry_after = retry_after
        super().__init__(message)


class Cancelled(MaquetteError):
    """Somebody cancelled the render."""


class DeadlineExceeded(MaquetteError):
    """The time that the caller gave is over."""


class Unavailable(MaquetteError):
    """A part that maquette needs (Triton, Qdrant) does not answer."""


class StageFailed(MaquetteError):
    """A stage of the render failed for a reason that is not the caller's."""


class Words(str):
    """A description of a value that is too large to repeat, shown without quotation marks."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


def shorten(value: object, limit: int = 60) -> str:
    """``repr(value)``, cut to `limit` characters so that a message never repeats a whole upload.

    No more of `value` is looked at than is shown: a caller may send megabytes of it.
    """
    if isinstance(value, bytes):
        return f"{len(value):,} bytes"
    if isinstance(value, str):
        text = repr(type(value)(value[: limit + 1]))
        cut = f"… ({len(value):,} characters)"
    else:
        text, cut = _BRIEFLY.repr(value), "…"
    return text if len(text) <= limit else f"{text[:limit]}{cut}"


_BRIEFLY = reprlib.Repr()
_BRIEFLY.maxlevel = 3
_BRIEFLY.maxlist = _BRIEFLY.maxtuple = _BRIEFLY.maxdict = 20
_BRIEFLY.maxstring = _BRIEFLY.maxother = 60
