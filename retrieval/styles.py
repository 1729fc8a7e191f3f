"""A style, and its form as a Qdrant point."""

from __future__ import annotations

import re
import unicodedata
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from pipeline.errors import InvalidRequest
from pipeline.fields import Field, about, table
from pipeline.images import PICTURE
from pipeline.request import MAX_TAG, MAX_TAGS
from versions import reading

MAX_NAME = 80
MAX_SLUG = 6 * MAX_NAME
"""Of the longest name: a letter of Unicode becomes at most this many of ASCII, with hyphens."""
RESERVED = ("search",)
"""Ids that no style has: what the HTTP door has at their path is something else."""
_POINT_NAMESPACE = uuid.UUID("6d617175-6574-7465-7374-796c65730000")


@dataclass(frozen=True)
class NewStyle:
    """A style as it is sent in, its name trimmed, its tags trimmed and in lower case.

    Raises:
        InvalidRequest: the name or a tag is not acceptable.
    """

    image: bytes = field(metadata=about(f"{PICTURE} Stored as PNG without metadata."))
    name: str = field(metadata=about(
        "The id is made of its Latin letters and digits.",
        max_length=MAX_NAME, pattern="[0-9A-Za-z]",
    ))  # fmt: skip
    tags: tuple[str, ...] = field(default=(), metadata=about(
        "Short words that retrieval can filter by.",
        max_items=MAX_TAGS, max_length=MAX_TAG, noun="tags",
        count_remedy="Keep the ones that tell styles apart.", option="tag",
    ))  # fmt: skip
    replace: bool = field(default=False, metadata=about(
        "Take the place of a style that has the same id and differs.",
    ))  # fmt: skip

    def __post_init__(self) -> None:
        style_id(self.name)
        object.__setattr__(self, "name", self.name.strip())
        object.__setattr__(self, "tags", STYLE_FIELDS["tags"].clean_tags(self.tags))


STYLE_FIELDS: Mapping[str, Field] = table(NewStyle)
ENTRY_FIELDS: Mapping[str, Field] = {
    name: field for name, field in STYLE_FIELDS.items() if name not in ("image", "replace")
}
"""What the library keeps of them, and what an entry of a styles.json says."""


@dataclass(frozen=True)
class Style:
    """A picture in the library, known by its id."""

    id: str
    name: str
    tags: tuple[str, ...]
    sha256: str
    """Of the stored PNG, which is named after it."""
    width: int
    height: int

    def payload(self) -> dict[str, Any]:
        """What is stored beside the vector."""
        return {**asdict(self), "tags": list(self.tags)}

    @classmethod
    def from_payload(cls, payload: Mapping[str, Any]) -> Style:
        """The style that :meth:`payload` stored; TypeError or KeyError where it is none."""
        return reading.checked(cls(**{**payload, "tags": tuple(payload["tags"])}))


@dataclass(frozen=True)
class ScoredStyle:
    """A style and its cosine similarity (-1 to 1) to what was asked."""

    style: Style
    score: float


def point_id(identity: str) -> str:
    """The point of the style `identity`: Qdrant takes UUIDs, and the same id makes the same one."""
    return str(uuid.uuid5(_POINT_NAMESPACE, identity))


def slug(name: str) -> str:
    """`name` in lower-case ASCII words joined by hyphens; empty where it has none."""
    # What follows is no style's, and megabytes of it would take minutes.
    readable = unicodedata.normalize("NFKD", name[: 2 * MAX_SLUG])
    plain = readable.encode("ascii", "ignore").decode().lower()
    return "-".join(re.findall(r"[a-z0-9]+", plain))


def style_id(name: str) -> str:
    """The id of a style called `name`: "Art Déco" becomes "art-deco".

    Raises:
        InvalidRequest: `name` is empty, too long, reserved, or has no letter or digit.
    """
    identity = slug(name) if len(name) <= MAX_NAME else ""
    if not identity or not name.isprintable() or identity in RESERVED:
        allowed = (
            f"1 to {MAX_NAME} printable characters, one a Latin letter or digit at least, and not "
            f"{' or '.join(map(repr, RESERVED))} alone"
        )
        raise InvalidRequest("name", name, allowed, "Choose a short name such as 'art deco'.")
    return identity
