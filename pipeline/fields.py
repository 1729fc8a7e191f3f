"""Fields that callers send: what each one is, and how its value is checked.

A dataclass describes each of its fields once, with ``field(default=…, metadata=about(…))``. Served
models, doors, clients and the command line take types, defaults, ranges and help from its table.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints

from pipeline.errors import InvalidRequest, Words
from pipeline.tensor import Dtype, Tensor

_KEY = "field"
_NOT_BLANK = r"[^\s\u001c-\u001f\u0085]"
_DTYPES: Mapping[type, Dtype] = {
    bool: "BOOL", bytes: "BYTES", str: "BYTES", int: "INT32", float: "FP32",
}  # fmt: skip


@dataclass(frozen=True)
class Range:
    """Inclusive bounds of a number, and the step it must be a multiple of."""

    low: float
    high: float
    multiple_of: int | None = None

    def __str__(self) -> str:
        words = f"{plain(self.low)} to {plain(self.high)}"
        return words if self.multiple_of is None else f"{words}, a multiple of {self.multiple_of}"

    def holds(self, value: float) -> bool:
        """Whether `value` is inside; never true for NaN."""
        inside = self.low <= value <= self.high
        return inside and (self.multiple_of is None or value % self.multiple_of == 0)

    def nearest(self, value: float) -> str:
        """A value near `value` that would pass; NaN is near to none."""
        # A whole number too large for a float is one all the same.
        if isinstance(value, float) and math.isnan(value):
            return "a number instead"
        inside = min(max(value, self.low), self.high)
        step = self.multiple_of
        return plain(round(inside / step) * step if step else inside)


@dataclass(frozen=True, kw_only=True)
class Field:
    """One field. Limits that are not given are none."""

    help: str
    """What it is, in a line for a caller; ranges and defaults are added from the rest."""
    allowed: Range | None = None
    """Of a number, or of each of several."""
    choices: tuple[str | int, ...] = ()
    """Of a text, or of a number of which few are allowed."""
    max_length: int | None = None
    """Characters of a text, or of each of several."""
    blank: bool = True
    """Whether a text may be empty or white space."""
    pattern: str = ""
    """What JSON Schema says that a text has to match; what checks it is elsewhere."""
    min_items: int = 0
    max_items: int | None = None
    noun: str = "values"
    """What several of them are called."""
    remedy: str = ""
    """Of a wrong value, where another one nearby would be no help."""
    count_remedy: str = "Send fewer."
    """Of too many, or too few."""
    dtype: Dtype | None = None
    """Triton's; by default the one of its Python type."""
    served: bool = True
    """Whether the ``render`` model takes it; the gateway settles the others."""
    pixels: bool = False
    """Whether the same picture needs it to be made again."""
    required: bool = False
    """Whether it has to be sent; so is one without a default."""
    before: Any = None
    """What pictures that are older than the field were made with, where it is not the default."""
    option: str = ""
    """The command line's word for it; by default its name, with hyphens."""

    name: str = ""
    kind: type = str
    """``bytes`` (an encoded picture), ``str``, ``int``, ``float`` or ``bool``."""
    several: bool = False
    default: Any = None

    @property
    def tensor(self) -> Tensor:
        """It as an input of a served model."""
        dims = (-1,) if self.several else (1,)
        return Tensor(self.name, self.dtype or _DTYPES[self.kind], dims, not self.required)

    @property
    def bounds(self) -> dict[str, Any]:
        """What JSON Schema says of one value."""
        schema: dict[str, Any] = {}
        if self.allowed:
            schema = {"minimum": self.allowed.low, "maximum": self.allowed.high}
            if self.allowed.multiple_of:
                schema["multipleOf"] = self.allowed.multiple_of
        if self.choices:
            schema["enum"] = list(self.choices)
        if self.kind is str and self.several:
            inside = f"(.{{0,{(self.max_length or 2) - 2}}}{_NOT_BLANK})?"
            return {"pattern": rf"^\s*{_NOT_BLANK}{inside}\s*$"}
        if self.max_length:
            schema["maxLength"] = self.max_length
        if self.pattern or not self.blank:
            schema["pattern"] = self.pattern or _NOT_BLANK
        return schema

    @property
    def item_bounds(self) -> dict[str, int]:
        """What JSON Schema says of how many values there are."""
        limits = {"minItems": self.min_items, "maxItems": self.max_items}
        return {name: limit for name, limit in limits.items() if limit}

    @property
    def default_text(self) -> str:
        """The default as a caller would write it; empty where there is none, or it is empty."""
        if self.required or self.default in (None, b""):
            return ""
        if self.kind is bool:
            return str(self.default).lower()
        values = self.default if self.several else (self.default,)
        return ", ".join(value if isinstance(value, str) else plain(value) for value in values)

    @property
    def described(self) -> str:
        """Its help with what is allowed and the default, for a person."""
        default = f"default: {self.default_text}" if self.default_text else ""
        inside = "; ".join(filter(None, (str(self.allowed or ""), self._choices, default)))
        return f"{self.help} ({inside})" if inside else self.help

    @property
    def _choices(self) -> str:
        return ", ".join(str(choice) for choice in self.choices if choice != "")

    def check(self, value: Any) -> None:
        """Let `value` pass.

        Raises:
            InvalidRequest: it is outside what is allowed.
        """
        if value is None:
            return
        if self.several and self.kind is str:
            self.clean_tags(value)
            return
        if self.several:
            self._check_count(len(value))
        for one in value if self.several else (value,):
            if self.allowed and not self.allowed.holds(one):
                remedy = self.remedy or f"Try {self.allowed.nearest(one)}."
                raise InvalidRequest(self.name, one, str(self.allowed), remedy)
            if self.choices and one not in self.choices:
                remedy = self.remedy or f"Leave it out for {self.default}."
                raise InvalidRequest(self.name, one, f"one of {self._choices}", remedy)
            if isinstance(one, str):
                self._check_text(one)

    def clean_tags(self, tags: Sequence[str]) -> tuple[str, ...]:
        """`tags` trimmed, in lower case, each once.

        Raises:
            InvalidRequest: too many, or one is empty or too long.
        """
        self._check_count(len(tags))
        cleaned = tuple(dict.fromkeys(tag.strip().lower() for tag in tags))
        for tag in cleaned:
            if not 0 < len(tag) <= (self.max_length or 0) or not tag.isprintable():
                allowed = f"1 to {self.max_length} printable characters each"
                remedy = self.remedy or "Use short words such as 'night'."
                raise InvalidRequest(self.name, tag, allowed, remedy)
        return cleaned

    def _check_count(self, count: int) -> None:
        if not self.min_items <= count <= (self.max_items or count):
            least = f"{self.min_items} to" if self.min_items else "at most"
            allowed = f"{least} {self.max_items} {self.noun}"
            raise InvalidRequest(
                self.name, Words(f"{count} {self.noun}"), allowed, self.count_remedy
            )

    def _check_text(self, text: str) -> None:
        if not self.blank and not text.strip():
            allowed = f"1 to {self.max_length} characters"
            raise InvalidRequest(self.name, text, allowed, self.remedy or "Say it in a few words.")
        if self.max_length and len(text) > self.max_length:
            remedy = f"It has {len(text):,}; say it shorter."
            raise InvalidRequest(self.name, text, f"at most {self.max_length} characters", remedy)


def about(help: str, **facts: Any) -> Mapping[str, Field]:  # noqa: A002 - what it is
    """The ``metadata`` of a dataclass's field: `help`, and `facts` as in :class:`Field`."""
    return {_KEY: Field(help=help, **facts)}


def table(described: type) -> dict[str, Field]:
    """The fields of the dataclass `described` that say what they are, in order."""
    hints = get_type_hints(described)
    return {
        field.name: _complete(field, hints[field.name])
        for field in dataclasses.fields(described)
        if _KEY in field.metadata
    }


def plain(number: float) -> str:
    """`number` as a person writes it."""
    return str(int(number)) if number == int(number) else f"{number:g}"


def _complete(field: dataclasses.Field[Any], hint: Any) -> Field:
    several = get_origin(hint) is tuple
    kind = get_args(hint)[0] if several or isinstance(hint, UnionType) else hint
    known: Field = field.metadata[_KEY]
    return dataclasses.replace(
        known,
        name=field.name,
        kind=kind,
        several=several,
        default=field.default,
        required=known.required or field.default is MISSING,
        option=known.option or field.name.replace("_", "-"),
    )
