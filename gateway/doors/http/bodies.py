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
    create_model,
    model_validator,
)
from pydantic_core import PydanticKnownError

from gateway.doors import bounds
from gateway.doors.http.forms import FORM, FormText, read_form
from gateway.doors.http_bodies import from_base64
from gateway.doors.validation import invalid_request, refused
from pipeline import fields
from pipeline.errors import InvalidRequest, shorten
from pipeline.request import RENDERED

Item = TypeVar("Item")
Model = TypeVar("Model", bound="Body")

JSON = "application/json"
URL = re.compile(r"\s*[A-Za-z][A-Za-z+.-]*:")
INLINE = re.compile(r"\s*data:[^,]{,100};base64,", re.IGNORECASE)
"""What a browser puts before the base64. Whatever type it names, the decoder finds out itself."""
_WHOLE = re.compile(r"\s*[+-]?[0-9]{1,20}\s*")
_BOOLEANS = {"true": True, "false": False}


class Body(BaseModel):
    """A request's body: values are of their own type in JSON, and text in a form."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _blank(cls, sent: dict[str, Any]) -> dict[str, Any]:
        """What is missing is empty: whoever checks the value says what is allowed."""
        required = {
            field.alias or name: (field.annotation or str)()
            for name, field in cls.model_fields.items()
            if field.is_required()
        }
        return {**required, **sent}


def _whole(value: Any) -> Any:
    if isinstance(value, FormText) and _WHOLE.fullmatch(value):
        return int(value)
    # JSON has one kind of number.
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _at_most_20_digits(value: int) -> int:
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
    if isinstance(value, str) and value.startswith(RENDERED):
        return value.encode()
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
Whole = Annotated[int, BeforeValidator(_whole), AfterValidator(_at_most_20_digits)]
Number = Annotated[float, BeforeValidator(_number)]
Boolean = Annotated[bool, BeforeValidator(_boolean)]
Picture = Annotated[
    bytes,
    BeforeValidator(_picture),
    WithJsonSchema({"type": "string", "format": "binary"}, mode="validation"),
    WithJsonSchema(
        {"type": "string", "contentEncoding": "base64", "format": "byte"}, mode="serialization"
    ),
]
"""In a form a file, in JSON base64: a schema of each, by the mode, which bodies do not need."""
Several = Annotated[tuple[Item, ...], Field(max_length=bounds.MAX_ITEMS), BeforeValidator(_several)]
_KINDS: Mapping[type, Any] = {
    bytes: Picture, str: Text, int: Whole, float: Number, bool: Boolean,
}  # fmt: skip


def model_of(
    name: str,
    table: Mapping[str, fields.Field],
    base: type[Model],
    aliases: Mapping[str, str] | None = None,
) -> type[Model]:
    """A model of the fields in `table`, besides those of `base`.

    Ranges are in its schema only: what the values are made into checks them, for every door.

    Args:
        aliases: what the route calls a field, by its name.
    """
    aliases = aliases or {}
    described: Any = {
        each.name: _described(each, aliases.get(each.name)) for each in table.values()
    }
    return create_model(name, __base__=base, **described)


def _described(known: fields.Field, alias: str | None) -> tuple[Any, Any]:
    kind: Any = _KINDS[known.kind]
    if known.several:
        one = Annotated[kind, Field(json_schema_extra={**known.bounds})]
        kind, limits = Several[one], known.item_bounds
    else:
        limits = known.bounds
    default = ... if known.required else known.default
    about: Any = Field(default, alias=alias, description=known.help, json_schema_extra={**limits})
    return kind, about


async def body_of(request: Request, model: type[Model], *kinds: str) -> Model:
    """The body of `request`.

    Args:
        kinds: the content types that may be sent.

    Raises:
        InvalidRequest: the body is not what its content type says, or a field is wrong.
        HTTPException: the content type is another one.
    """
    return await validated(await read(request, *kinds), model)


async def validated(sent: Mapping[str, Any], model: type[Model]) -> Model:
    """What was `sent` as `model`.

    Raises:
        InvalidRequest: a field is unknown or of the wrong type.
    """
    try:
        # Megabytes of base64 take a while, and others are served meanwhile.
        return await asyncio.to_thread(model.model_validate, sent)
    except ValidationError as error:
        raise invalid_request(error.errors(include_url=False), model) from error


async def read(request: Request, *kinds: str) -> dict[str, Any]:
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
    return await (read_form(request) if kind == FORM else json_object(await request.body()))


async def json_object(body: bytes) -> dict[str, Any]:
    """The object in `body`; what is null in it is left out.

    Raises:
        InvalidRequest: it is no JSON object.
    """
    bounds.check_json(body)
    try:
        sent = await asyncio.to_thread(json.loads, body)
    except (ValueError, RecursionError) as error:
        remedy = f"It does not parse: {error}."
        raise InvalidRequest("body", body, "a JSON object", remedy) from error
    if not isinstance(sent, dict):
        raise InvalidRequest("body", sent, "a JSON object", "Put the fields in braces.")
    return {name: value for name, value in sent.items() if value is not None}
