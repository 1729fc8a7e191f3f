"""Request bodies: a form or JSON, bounded before it is parsed, validated by a pydantic model."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Annotated, Any, TypeVar

from fastapi import HTTPException, Request
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    WithJsonSchema,
)
from pydantic_core import PydanticKnownError
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from gateway.doors import bounds
from gateway.doors.http_bodies import from_base64
from gateway.doors.validation import invalid_request, refused
from pipeline.errors import InvalidRequest, Words, shorten

Fields = Mapping[str, Any]
"""What was sent by name: one value, or a list of several."""
Item = TypeVar("Item")
Model = TypeVar("Model", bound="Body")

FORM, JSON = "multipart/form-data", "application/json"
IN_A_FORM: dict[str, Any] = {"type": "string", "format": "binary"}
IN_JSON: dict[str, Any] = {"type": "string", "contentEncoding": "base64", "format": "byte"}
MAX_PARTS = 100
URL = re.compile(r"\s*[A-Za-z][A-Za-z+.-]*:")
INLINE = re.compile(r"\s*data:[^,]{,100};base64,", re.IGNORECASE)
"""What a browser puts before the base64. Whatever type it names, the decoder finds out itself."""
PICTURE_PARTS = {"sketch", "style_images", "image", "image[]", "file"}
UNNAMED = "unnamed"
_AS_A_FILE = f'; filename="{UNNAMED}"'.encode()
_WHOLE = re.compile(r"\s*[+-]?[0-9]{1,20}\s*")
_BOOLEANS = {"true": True, "false": False}


class Body(BaseModel):
    """A request's body: values are of their own type in JSON, and text in a form."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class FormText(str):
    """A part of a form, where a number is text too."""

    __slots__ = ()


def _whole(value: Any) -> Any:
    if isinstance(value, FormText) and _WHOLE.fullmatch(value):
        return int(value)
    # JSON knows one kind of number.
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _below_20_digits(value: int) -> int:
    if abs(value) >= 10**20:
        raise PydanticKnownError("int_type")
    return value


def _number(value: Any) -> Any:
    try:
        return float(value) if isinstance(value, FormText) else value
    except ValueError:
        return value


def _boolean(value: Any) -> Any:
    return _BOOLEANS.get(value.lower(), value) if isinstance(value, FormText) else value


def _picture(value: Any) -> bytes:
    if isinstance(value, bytes):
        return value
    remedy = "Send the picture itself."
    if not isinstance(value, str):
        raise refused("base64 of a file", remedy)
    try:
        return from_base64(INLINE.sub("", value, count=1))
    except ValueError as error:
        if URL.match(value):
            remedy = "Nothing is fetched: send the picture itself."
        raise refused("base64 of a PNG, JPEG or WebP file", remedy) from error


def _several(value: Any) -> tuple[Any, ...]:
    return tuple(value) if isinstance(value, list) else (value,)


Text = Annotated[str, Field(max_length=bounds.MAX_TEXT)]
Whole = Annotated[int, BeforeValidator(_whole), AfterValidator(_below_20_digits)]
Number = Annotated[float, BeforeValidator(_number)]
Boolean = Annotated[bool, BeforeValidator(_boolean)]
Picture = Annotated[
    bytes,
    BeforeValidator(_picture),
    WithJsonSchema(IN_A_FORM, mode="validation"),
    WithJsonSchema(IN_JSON, mode="serialization"),
]
"""Its two schemas are told apart by their mode, of which a body has no other use."""
Several = Annotated[tuple[Item, ...], Field(max_length=bounds.MAX_ITEMS), BeforeValidator(_several)]


async def body_of(request: Request, model: type[Model], *kinds: str) -> Model:
    """The body of `request`.

    Args:
        kinds: the content types that may be sent.

    Raises:
        InvalidRequest: the body is not what its content type says, or a field is wrong.
        HTTPException: the content type is another one.
    """
    return await validated(await read(request, *kinds), model)


async def validated(fields: Fields, model: type[Model]) -> Model:
    """`fields` as `model`.

    Raises:
        InvalidRequest: a field is unknown or of the wrong type.
    """
    try:
        # Megabytes of base64 take a while, and others are served meanwhile.
        return await asyncio.to_thread(model.model_validate, fields)
    except ValidationError as error:
        raise invalid_request(error.errors(include_url=False), model) from error


async def read(request: Request, *kinds: str) -> Fields:
    """The fields in the body of `request`; what is empty in a form or null in JSON is left out.

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


class _Parser(MultiPartParser):
    """Reads pictures as files, whether or not their parts have a file name."""

    ended = False
    """Whether the form's last boundary has come."""

    def on_headers_finished(self) -> None:
        super().on_headers_finished()
        part = self._current_part
        if part.file is None and part.field_name in PICTURE_PARTS:
            self._current_fields -= 1
            part.content_disposition = (part.content_disposition or b"") + _AS_A_FILE
            super().on_headers_finished()

    def on_end(self) -> None:
        self.ended = True

    def close(self) -> None:
        """Close every file, that of a part which was cut short included."""
        for file in self._files_to_close_on_error:
            file.close()


async def _read_form(request: Request) -> Fields:
    parser = _Parser(
        request.headers,
        request.stream(),
        max_files=MAX_PARTS,
        max_fields=MAX_PARTS,
        max_part_size=bounds.MAX_TEXT,
    )
    sent: dict[str, list[Any]] = {}
    try:
        form = await parser.parse()
        if not parser.ended:
            remedy = "Send all of it, up to the last boundary."
            raise InvalidRequest("body", Words("cut short"), "a whole form", remedy)
        for name, part in form.multi_items():
            # Browsers send every field that is there, filled in or not.
            if (content := await _content(part)) != "":
                sent.setdefault(name, []).append(content)
    except UnicodeError as error:
        found = Words("not in the charset it names")
        raise InvalidRequest("body", found, "text in UTF-8", "Encode it as UTF-8.") from error
    except MultiPartException as error:
        remedy = f"It does not parse: {error.message}"
        raise InvalidRequest("body", Words("no form"), FORM, remedy) from error
    finally:
        parser.close()
    return {name: values if len(values) > 1 else values[0] for name, values in sent.items()}


async def _content(part: UploadFile | str) -> bytes | FormText:
    if isinstance(part, str):
        return FormText(part)
    content = await part.read()
    # Without a file name it may be base64, or a URL that is refused as one.
    if part.filename in ("", UNNAMED) and content.isascii():
        return FormText(content.decode())
    return content


async def _read_json(request: Request) -> Fields:
    body = await request.body()
    bounds.check_json(body)
    try:
        fields = await asyncio.to_thread(json.loads, body)
    except (ValueError, RecursionError) as error:
        remedy = f"It does not parse: {error}."
        raise InvalidRequest("body", body, "a JSON object", remedy) from error
    if not isinstance(fields, dict):
        raise InvalidRequest("body", fields, "a JSON object", "Put the fields in braces.")
    return {name: value for name, value in fields.items() if value is not None}
