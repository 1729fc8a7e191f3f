"""pydantic's errors as our sentences."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from typing import Any

from pydantic import BaseModel
from pydantic_core import PydanticCustomError

from pipeline.errors import InvalidRequest, Words, shorten

REFUSED = "refused"
SEND_AGAIN = "Put it right and send it again."
SENTENCES: Mapping[str, tuple[str, str]] = {
    "missing": ("a value", SEND_AGAIN),
    "int_parsing": ("a whole number", SEND_AGAIN),
    "int_type": ("a whole number", "Send it in digits."),
    "float_type": ("a number", "Send it in digits, such as 0.8."),
    "bool_type": ("true or false", "Leave it out for false."),
    "string_type": ("text", "Send it as text."),
    "string_unicode": ("text in UTF-8", "Encode it as UTF-8."),
    "string_too_long": ("at most {max_length:,} characters", "Send less."),
    "too_long": ("at most {max_length:,} values", "Send fewer."),
    "greater_than_equal": ("{ge} or more", SEND_AGAIN),
    "less_than_equal": ("{le} or less", SEND_AGAIN),
    "model_type": ("a JSON object", "Put the fields in braces."),
    REFUSED: ("{allowed}", "{remedy}"),
}
"""By the type of the error: what is allowed, and the remedy."""


def refused(allowed: str, remedy: str) -> PydanticCustomError:
    """What a validator raises whose sentence is its own."""
    return PydanticCustomError(REFUSED, "{allowed}", {"allowed": allowed, "remedy": remedy})


def invalid_request(
    errors: Sequence[Mapping[str, Any]], model: type[BaseModel] | None = None
) -> InvalidRequest:
    """The first of pydantic's `errors` as a sentence.

    Args:
        model: whose fields an unknown one is compared with.
    """
    wrong = errors[0]
    location = [part for part in wrong["loc"] if isinstance(part, str)]
    name = location[-1] if location else "body"
    if wrong["type"] == "extra_forbidden" and model:
        return unknown_field(name, model)
    value = wrong["input"]
    if isinstance(value, list) and wrong["type"] not in ("model_type", "too_long"):
        found = Words(f"{len(value):,} values")
        return InvalidRequest(name, found, "one value", "Send it once, without brackets.")
    if wrong["type"] not in SENTENCES:
        return InvalidRequest(name, value, shorten(Words(wrong["msg"])), SEND_AGAIN)
    allowed, remedy = (part.format(**wrong.get("ctx", {})) for part in SENTENCES[wrong["type"]])
    return InvalidRequest(name, _found(wrong), allowed, remedy)


def unknown_field(name: str, model: type[BaseModel]) -> InvalidRequest:
    """What is wrong with a field `name` that `model` does not have."""
    known = {field: about.alias or field for field, about in model.model_fields.items()}
    remedy = "There is no field of that name."
    if near := known.get(name) or _nearest(name, known.values()):
        remedy = f"Did you mean {near}?"
    # The caller's own word takes the field's place in the sentence, so it must be kept short.
    allowed = f"one of {', '.join(known.values())}"
    return InvalidRequest(shorten(name), Words("not known"), allowed, remedy)


@contextmanager
def called(names: Mapping[str, str]) -> Iterator[None]:
    """Errors in the block name a field as its caller did.

    Args:
        names: our name of a field to the caller's.
    """
    try:
        yield
    except InvalidRequest as error:
        if theirs := names.get(error.field):
            error.args = (f"{theirs}{str(error).removeprefix(error.field)}",)
            error.field = theirs
        raise


def _nearest(name: str, known: Iterable[str]) -> str:
    return next(iter(get_close_matches(name[:80], known, n=1)), "")


def _found(wrong: Mapping[str, Any]) -> object:
    match wrong["type"]:
        case "missing":
            return Words("missing")
        case "string_too_long":
            return Words(f"{len(wrong['input']):,} characters")
        case "too_long":
            return Words(f"{len(wrong['input']):,} values")
    return wrong["input"]
