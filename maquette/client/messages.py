"""The calls there are: what is sent, how the answer is read, and whether sending it twice is safe.

Both clients send these; they differ in how they wait, and in nothing else.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import grpc

from maquette.client import results
from maquette.client.failures import CallFailed
from maquette.client.options import File, RenderOptions, StyleOptions
from maquette.v1 import maquette_pb2 as pb

Answer = TypeVar("Answer")
KEPT = r"render/[^/]+/[0-9]+"
"""Names a picture of a render that the service keeps."""
SHOWN = 60
"""Characters of a value that an error repeats."""


@dataclass(frozen=True)
class Call(Generic[Answer]):
    """One call."""

    method: str
    message: Any
    read: Callable[[Any], Answer]
    repeatable: bool = True
    """Whether sending it twice does the same as sending it once."""
    idempotency_key: str = ""


def render(sketch: File | None, prompt: str, options: RenderOptions) -> Call[results.Result]:
    """Render, and answer once."""
    message = _render_request(sketch, prompt, options)
    return Call("Render", message, results.result, idempotency_key=uuid.uuid4().hex)


def stream(sketch: File | None, prompt: str, options: RenderOptions) -> Call[results.Event | None]:
    """Render, and tell each event."""
    message = _render_request(sketch, prompt, options)
    return Call("RenderStream", message, results.event, idempotency_key=uuid.uuid4().hex)


def get(identity: str) -> Call[results.Render]:
    """How a render is getting on."""
    return Call("GetRender", pb.GetRenderRequest(id=identity), results.render)


def cancel(identity: str) -> Call[results.State]:
    """Stop a render."""
    message = pb.CancelRenderRequest(id=identity)
    return Call("CancelRender", message, lambda answer: results.state(answer.state))


def info() -> Call[results.ServerInfo]:
    """What serves."""
    return Call("ServerInfo", pb.ServerInfoRequest(), results.info)


def styles(page_token: str) -> Call[tuple[list[results.Style], str]]:
    """A page of the library, and the token of the next one; empty on the last."""
    return Call(
        "ListStyles",
        pb.ListStylesRequest(page_token=page_token),
        lambda page: ([results.style(style) for style in page.styles], page.next_page_token),
    )


def search(
    prompt: str, style_filter: Sequence[str], limit: int | None
) -> Call[list[results.ScoredStyle]]:
    """The styles nearest to a sentence."""
    message = pb.SearchStylesRequest()
    _fill(message, {"prompt": prompt, "style_filter": style_filter, "limit": limit})
    return Call(
        "SearchStyles",
        message,
        lambda answer: [results.scored_style(style) for style in answer.styles],
    )


def get_style(identity: str, thumbnail: int | None) -> Call[tuple[results.Style, bytes]]:
    """One style and its picture."""
    message = pb.GetStyleRequest()
    _fill(message, {"id": identity, "thumbnail": thumbnail})
    return Call("GetStyle", message, lambda answer: (results.style(answer.style), answer.image))


def add_style(image: File, name: str, options: StyleOptions) -> Call[results.AddedStyle]:
    """Add a picture to the library."""
    message = pb.AddStyleRequest()
    _fill(message, {**options, "image": image, "name": name})
    return Call("AddStyle", message, results.added_style)


def remove_style(identity: str) -> Call[results.Style]:
    """Take a style out. Not repeated: the second time there would be none."""
    message = pb.RemoveStyleRequest(id=identity)
    return Call("RemoveStyle", message, lambda answer: results.style(answer.style), False)


def reembed(clip: int | None) -> Call[results.Reembedded]:
    """Embed the library with another version of the CLIP pair, and tell each step."""
    message = pb.ReembedStylesRequest()
    _fill(message, {"clip": clip})
    return Call("ReembedStyles", message, results.reembedded)


def _render_request(sketch: File | None, prompt: str, options: RenderOptions) -> pb.RenderRequest:
    message = pb.RenderRequest()
    _fill(message, {**options, "sketch": sketch, "prompt": prompt})
    return message


def _bytes(file: File) -> bytes:
    if isinstance(file, str) and re.fullmatch(KEPT, file):
        return file.encode()
    return file if isinstance(file, bytes) else Path(file).read_bytes()


def _fill(message: Any, values: dict[str, Any]) -> None:
    """Set the fields of `message` to those `values` that are not None.

    Raises:
        CallFailed: a value is not of the field's type.
    """
    for name, value in values.items():
        field = message.DESCRIPTOR.fields_by_name.get(name)
        if field is None:
            raise TypeError(f"there is no option {name!r}")
        if value is None:
            continue
        try:
            if field.is_repeated:
                several = [value] if isinstance(value, float | int) else value
                getattr(message, name).extend(_sendable(field, each) for each in several)
            else:
                setattr(message, name, _sendable(field, value))
        except (TypeError, ValueError) as error:
            raise _unfit(name, value, field) from error


def _sendable(field: Any, value: Any) -> Any:
    return _bytes(value) if field.type == field.TYPE_BYTES else value


def _unfit(name: str, value: object, field: Any) -> CallFailed:
    kinds = {
        field.TYPE_UINT32: "0 to 4294967295",
        field.TYPE_INT32: "a whole number of at most 32 bits",
        field.TYPE_FLOAT: "a number",
        field.TYPE_STRING: "text",
        field.TYPE_BYTES: "bytes",
        field.TYPE_BOOL: "True or False",
    }
    several = ", or several" if field.is_repeated else ""
    message = f"{name} is {value!r:.{SHOWN}}; allowed: {kinds[field.type]}{several}."
    return CallFailed(message, grpc.StatusCode.INVALID_ARGUMENT)
