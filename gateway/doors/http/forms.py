"""What a caller sent, as a form or as JSON, to our own objects.

Every value out of place becomes one of our sentences, whatever it was sent as.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from difflib import get_close_matches
from http import HTTPStatus
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints

from fastapi import HTTPException, Request
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from gateway.doors import bounds
from gateway.doors.http_bodies import from_base64
from gateway.renders.registry import ABOUT_THE_CALL, SubmitOptions
from pipeline.errors import InvalidRequest, Words, shorten
from pipeline.request import RenderRequest

Sent = dict[str, list[Any]]
"""Each field's values as they came: text, numbers, the bytes of files."""

FORM, JSON = "multipart/form-data", "application/json"
MAX_PARTS = 100
NOT_PICTURES = re.compile(r"\s*[A-Za-z][A-Za-z+.-]*:")
"""The beginning of a URL."""
INLINE = re.compile(r"\s*data:[^,]{,100};base64,", re.IGNORECASE)
"""What a browser puts before the base64. Whatever type it names, the decoder finds out itself."""
UNNAMED = "unnamed"


async def read(request: Request, *kinds: str) -> Sent:
    """The fields in the body of `request`.

    Args:
        kinds: the content types that may be sent.

    Raises:
        InvalidRequest: the body is not what its content type says.
        HTTPException: the content type is another one.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in kinds:
        raise HTTPException(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            f"The content-type is {shorten(kind)}; allowed: {' or '.join(kinds)}.",
        )
    return await (_read_form(request) if kind == FORM else _read_json(request))


async def render_request(sent: Mapping[str, list[Any]]) -> RenderRequest:
    """The request that the fields in `sent` say; one that is left out takes its default.

    Raises:
        InvalidRequest: a field is unknown, of the wrong kind, or outside its range.
    """
    given = {name: values for name, values in sent.items() if name not in ABOUT_THE_CALL}
    # Megabytes of base64 take a while, and others are served meanwhile.
    values = await asyncio.to_thread(values_of, given, HINTS)
    return RenderRequest(**{"sketch": b"", "prompt": "", **values})


def values_of(sent: Mapping[str, list[Any]], hints: Mapping[str, Any]) -> dict[str, Any]:
    """Each field of `sent` as its type in `hints` says.

    Raises:
        InvalidRequest: a field is unknown, or of the wrong kind.
    """
    values = {}
    for name, given in sent.items():
        if name not in hints:
            raise unknown(name, hints)
        bounds.check_items(name, given)
        values[name] = _value(name, given, hints[name])
    return values


def kind_of(hint: Any) -> tuple[type, bool]:
    """The plain type in `hint`, and whether there may be several."""
    if get_origin(hint) is tuple:
        return get_args(hint)[0], True
    if isinstance(hint, UnionType):
        return get_args(hint)[0], False
    return hint, False


@contextmanager
def called(names: Mapping[str, str]) -> Iterator[None]:
    """Errors in the block name a field as its caller did.

    Args:
        names: our name of a field to the caller's.
    """
    try:
        yield
    except InvalidRequest as error:
        theirs = names.get(error.field)
        if theirs:
            error.args = (f"{theirs}{str(error).removeprefix(error.field)}",)
            error.field = theirs
        raise


class Written(str):
    """A part of a form, where a number is text too."""

    __slots__ = ()


class _Array(list[Any]):
    """Values that came in brackets."""


class _Parser(MultiPartParser):
    """Reads pictures as files, whether or not their parts have a file name."""

    ended = False
    """Whether the form's last boundary has come."""

    def on_headers_finished(self) -> None:
        super().on_headers_finished()
        part = self._current_part
        if part.file is None and part.field_name in PICTURES:
            self._current_fields -= 1
            part.content_disposition = (part.content_disposition or b"") + _AS_A_FILE
            super().on_headers_finished()

    def on_end(self) -> None:
        self.ended = True

    def close(self) -> None:
        """Close every file, that of a part which was cut short included."""
        for file in self._files_to_close_on_error:
            file.close()


async def _read_form(request: Request) -> Sent:
    parser = _Parser(
        request.headers,
        request.stream(),
        max_files=MAX_PARTS,
        max_fields=MAX_PARTS,
        max_part_size=bounds.MAX_TEXT,
    )
    sent: Sent = {}
    try:
        form = await parser.parse()
    except UnicodeError as error:
        raise _not_text("body", Words("not in the charset it names")) from error
    except MultiPartException as error:
        remedy = f"It does not parse: {error.message}"
        raise InvalidRequest("body", Words("no form"), FORM, remedy) from error
    try:
        if not parser.ended:
            remedy = "Send all of it, up to the last boundary."
            raise InvalidRequest("body", Words("cut short"), "a whole form", remedy)
        for name, part in form.multi_items():
            if not isinstance(part, UploadFile):
                sent.setdefault(name, []).append(Written(part))
            elif part.filename or part.size:  # browsers send an empty part for no file
                sent.setdefault(name, []).append(_content(part.filename, await part.read()))
    finally:
        parser.close()
    # Browsers send every field that is there, filled in or not.
    filled = {name: [value for value in values if value != ""] for name, values in sent.items()}
    return {name: values for name, values in filled.items() if values}


def _content(filename: str | None, content: bytes) -> bytes | str:
    """What a part has; without a file name it may be base64, or a URL that is refused as one."""
    if filename == UNNAMED and content.isascii():
        return content.decode()
    return content


async def _read_json(request: Request) -> Sent:
    body = await request.body()
    bounds.check_json(body)
    try:
        fields = await asyncio.to_thread(json.loads, body)
    except (ValueError, RecursionError) as error:
        remedy = f"It does not parse: {error}."
        raise InvalidRequest("body", body, "a JSON object", remedy) from error
    if not isinstance(fields, dict):
        raise InvalidRequest("body", fields, "a JSON object", "Put the fields in braces.")
    present = {name: value for name, value in fields.items() if value is not None}
    return {
        name: _Array(value) if isinstance(value, list) else [value]
        for name, value in present.items()
    }


def _value(name: str, given: list[Any], hint: Any) -> Any:
    kind, several = kind_of(hint)
    values = tuple(PARSERS[kind](name, value) for value in given)
    if several:
        return values
    if isinstance(given, _Array):
        raise InvalidRequest(name, given, "one value", "Send it without brackets.")
    if len(values) != 1:
        found = Words(f"{len(values)} values")
        raise InvalidRequest(name, found, "one value", "Send it once.")
    return values[0]


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise InvalidRequest(name, value, "text", "Send it as text.")
    bounds.check_text(name, value)
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise _not_text(name, value) from error
    return value


def _whole(name: str, value: Any) -> int:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, Written) and re.fullmatch(r"\s*[+-]?[0-9]{1,20}\s*", value):
        return int(value)
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 10**20:
        return value
    raise InvalidRequest(name, value, "a whole number", "Send it in digits.")


def _number(name: str, value: Any) -> float:
    try:
        if isinstance(value, int | float | Written) and not isinstance(value, bool):
            return float(value)
    except (ValueError, OverflowError):
        pass
    raise InvalidRequest(name, value, "a number", "Send it in digits, such as 0.8.")


def _truth(name: str, value: Any) -> bool:
    words = {"true": True, "false": False}
    if isinstance(value, bool):
        return value
    if isinstance(value, Written) and value.lower() in words:
        return words[value.lower()]
    raise InvalidRequest(name, value, "true or false", "Leave it out for false.")


def _picture(name: str, value: Any) -> bytes:
    if isinstance(value, bytes):
        return value
    if not isinstance(value, str):
        raise _not_a_picture(name, value, "base64 of a file")
    try:
        return from_base64(INLINE.sub("", value, count=1))
    except ValueError as error:
        raise _not_a_picture(name, value, "base64 of a PNG, JPEG or WebP file") from error


def _not_a_picture(name: str, value: Any, allowed: str) -> InvalidRequest:
    if isinstance(value, str) and NOT_PICTURES.match(value):
        return InvalidRequest(name, value, allowed, "Nothing is fetched: send the picture itself.")
    return InvalidRequest(name, value, allowed, "Send the picture itself.")


def _not_text(name: str, value: object) -> InvalidRequest:
    return InvalidRequest(name, value, "text in UTF-8", "Encode it as UTF-8.")


def unknown(name: str, known: Iterable[str]) -> InvalidRequest:
    """What is wrong with a field `name` where there are those in `known`."""
    known = list(known)
    near = get_close_matches(name[:80], known, n=1)
    remedy = f"Did you mean {near[0]}?" if near else "There is no field of that name."
    # The caller's own word takes the field's place in the sentence, so it must be kept short.
    return InvalidRequest(shorten(name), Words("not known"), f"one of {', '.join(known)}", remedy)


HINTS: Mapping[str, Any] = get_type_hints(RenderRequest)
"""Every field of a render request, and its type."""
CALL_HINTS: Mapping[str, Any] = {
    name: get_type_hints(SubmitOptions)[name] for name in ABOUT_THE_CALL
}
"""The same of the fields that say how to render, not what."""
PICTURES = {name for name, hint in HINTS.items() if kind_of(hint)[0] is bytes} | {
    "image", "image[]", "file",
}  # fmt: skip
_AS_A_FILE = f'; filename="{UNNAMED}"'.encode()
PARSERS: Mapping[type, Callable[[str, Any], Any]] = {
    bytes: _picture,
    str: _text,
    int: _whole,
    float: _number,
    bool: _truth,
}
