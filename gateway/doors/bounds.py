"""What is measured before anything is done with it: texts, lists, and the structure of JSON."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sized
from typing import Any

from google.protobuf.message import Message

from pipeline.errors import InvalidRequest, Words

MAX_TEXT = 64 * 1024
"""Characters of any text. Fields that take fewer say so themselves."""
MAX_ITEMS = 100
"""Elements of any list: more than any field takes."""
MAX_JSON_ELEMENTS = 10_000
"""Of a JSON body: objects, lists, and what follows a comma. No request has a tenth of them."""


def check_message(message: Message) -> None:
    """Measure every text and list in `message`, and do nothing else with it.

    Raises:
        InvalidRequest: one is longer than any method takes.
    """
    for field, value in message.ListFields():
        if field.is_repeated:
            check_items(field.name, value)
        for element in _elements(value) if field.is_repeated else (value,):
            if isinstance(element, str):
                check_text(field.name, element)
            elif isinstance(element, Message):
                check_message(element)


def check_text(field: str, text: str) -> None:
    """Refuse a text that is longer than any field takes.

    Raises:
        InvalidRequest: it is; the message names `field`.
    """
    if len(text) > MAX_TEXT:
        found = Words(f"{len(text):,} characters")
        raise InvalidRequest(field, found, f"at most {MAX_TEXT:,} characters", "Send less.")


def check_items(field: str, values: Sized) -> None:
    """Refuse a list that is longer than any field takes.

    Raises:
        InvalidRequest: it is; the message names `field`.
    """
    if len(values) > MAX_ITEMS:
        found = Words(f"{len(values):,} values")
        raise InvalidRequest(field, found, f"at most {MAX_ITEMS} values", "Send fewer.")


def check_json(body: bytes) -> None:
    """Refuse JSON of more elements than any request has.

    They are counted without parsing: a parser keeps everybody waiting for as long as it takes, and
    makes some thirty bytes of each. Pictures in base64 have none of these characters.

    Raises:
        InvalidRequest: it has more.
    """
    elements = sum(map(body.count, (b",", b"[", b"{")))
    if elements > MAX_JSON_ELEMENTS:
        found = Words(f"JSON of about {elements:,} elements")
        allowed = f"at most {MAX_JSON_ELEMENTS:,} elements"
        raise InvalidRequest("body", found, allowed, "Send a picture as base64, not as numbers.")


def _elements(value: Any) -> Iterable[Any]:
    return (*value.keys(), *value.values()) if isinstance(value, Mapping) else value
