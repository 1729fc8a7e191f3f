"""What a caller sent, as a form or as JSON, to our own objects.

Every value out of place becomes one of our sentences, whatever it was sent as.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
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

from gateway import bounds
from gateway.messages import ABOUT_THE_CALL
from gateway.renders import Asked
from pipeline.errors import InvalidRequest, Words, shorten
from pipeline.request import RenderRequest

Sent = dict[str, list[Any]]
"""Each field's values as they came: text, numbers, the bytes of files."""

FORM, JSON = "multipart/form-data", "application/json"
MAX_PARTS = 100
NOT_PICTURES = re.compile(r"\s*[A-Za-z][A-Za-z+.-]*:")
"""The beginning of a URL."""
INLINE = re.compile(r"data:image/(png|jpeg|webp);base64,")
"""What a browser's canvas puts before the base64."""


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
    """Each field of `sent` as its type in `hints` says; empty text counts as left out.

    Raises:
        InvalidRequest: a field is unknown, or of the wrong kind.
    """
    values = {}
    for name, given in sent.items():
        if name not in hints:
            raise unknown(name, hints)
        bounds.check_items(name, given)
        if given != [""]:
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


async def _read_form(request: Request) -> Sent:
    limits = {"max_files": MAX_PARTS, "max_fields": MAX_PARTS, "max_part_size": bounds.MAX_TEXT}
    sent: Sent = {}
    try:
        async with request.form(**limits) as form:
            for name, part in form.multi_items():
                if not isinstance(part, UploadFile):
                    sent.setdefault(name, []).append(part)
                elif part.filename or part.size:  # browsers send an empty part for no file
                    sent.setdefault(name, []).append(await part.read())
    except UnicodeError as error:
        raise _not_text("body", Words("not in the charset it names")) from error
    _refuse_text(sent)
    return sent


def _refuse_text(sent: Sent) -> None:
    for name in PICTURES & sent.keys():
        for value in sent[name]:
            if isinstance(value, str):
                raise _not_a_picture(name, value, "a file part")


async def _read_json(request: Request) -> Sent:
    body = await request.body()
    try:
        fields = await asyncio.to_thread(json.loads, body)
    except (ValueError, RecursionError) as error:
        raise InvalidRequest("body", body, "a JSON object", "It does not parse.") from error
    if not isinstance(fields, dict):
        raise InvalidRequest("body", fields, "a JSON object", "Put the fields in braces.")
    present = {name: value for name, value in fields.items() if value is not None}
    return {name: value if isinstance(value, list) else [value] for name, value in present.items()}


def _value(name: str, given: list[Any], hint: Any) -> Any:
    kind, several = kind_of(hint)
    values = tuple(PARSERS[kind](name, value) for value in given)
    if several:
        return values
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
    if isinstance(value, str) and re.fullmatch(r"\s*[+-]?[0-9]{1,20}\s*", value):
        return int(value)
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 10**20:
        return value
    raise InvalidRequest(name, value, "a whole number", "Send it in digits.")


def _number(name: str, value: Any) -> float:
    try:
        if isinstance(value, int | float | str) and not isinstance(value, bool):
            return float(value)
    except (ValueError, OverflowError):
        pass
    raise InvalidRequest(name, value, "a number", "Send it in digits, such as 0.8.")


def _truth(name: str, value: Any) -> bool:
    words = {"true": True, "1": True, "false": False, "0": False}
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.lower() in words:
        return words[value.lower()]
    raise InvalidRequest(name, value, "true or false", "Leave it out for false.")


def _picture(name: str, value: Any) -> bytes:
    if isinstance(value, bytes):
        return value
    if not isinstance(value, str):
        raise _not_a_picture(name, value, "base64 of a file")
    plain = INLINE.sub("", value, count=1) if INLINE.match(value) else value
    try:
        return base64.b64decode(plain, validate=True)
    except (binascii.Error, ValueError) as error:
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
CALL_HINTS: Mapping[str, Any] = {name: get_type_hints(Asked)[name] for name in ABOUT_THE_CALL}
"""The same of the fields that say how to render, not what."""
PICTURES = {name for name, hint in HINTS.items() if kind_of(hint)[0] is bytes} | {"image", "file"}
PARSERS: Mapping[type, Callable[[str, Any], Any]] = {
    bytes: _picture,
    str: _text,
    int: _whole,
    float: _number,
    bool: _truth,
}
