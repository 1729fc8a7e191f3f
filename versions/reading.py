"""What a file says, held against the types of the class that it is to become."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from types import UnionType
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from pipeline.errors import shorten

Found = TypeVar("Found")
MAX_INTEGER = 2**31 - 1
"""As much as a message of the protocol takes."""
_SURROGATE = re.compile("[\ud800-\udfff]")
"""Half a character: JSON can say it, and no message can."""


def from_json(text: str | bytes) -> Any:
    """What the JSON `text` says; ValueError where it is none, or nested as deep as a stack."""
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def checked(found: Found) -> Found:
    """`found`, a dataclass made of JSON; TypeError where a field is not of its type."""
    own: type = type(found)
    for name, kind in _types_of(own).items():
        value = getattr(found, name)
        if not _fits(value, kind):
            raise TypeError(f"{name} is {shorten(value)}")
    return found


@cache
def _types_of(kind: type) -> dict[str, Any]:
    hints = get_type_hints(kind)
    return {field.name: hints[field.name] for field in fields(kind)}


def _fits(value: Any, kind: Any) -> bool:
    origin, parts = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        return any(_fits(value, part) for part in parts)
    if origin in (tuple, Mapping):
        return isinstance(value, origin) and _hold(value, parts)
    if isinstance(kind, type) and is_dataclass(kind):
        return isinstance(value, kind) and checked(value) is value
    return _is_plain(value, kind)


def _hold(value: Any, parts: tuple[Any, ...]) -> bool:
    """Whether all that a tuple or mapping holds is of the types in `parts`."""
    if isinstance(value, Mapping):
        return all(_hold(item, parts) for item in value.items())
    wanted = parts[:1] * len(value) if parts[-1] is ... else parts
    return len(value) == len(wanted) and all(map(_fits, value, wanted))


def _is_plain(value: Any, kind: Any) -> bool:
    if kind in (int, float) and type(value) is int:
        return abs(value) <= MAX_INTEGER
    # A bool is an int to Python, but no number here.
    return type(value) is kind and not (kind is str and _SURROGATE.search(value))
