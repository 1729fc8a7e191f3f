"""Forms: what each part says, read within bounds."""

from __future__ import annotations

from typing import Any

from fastapi import Request
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from gateway.doors import bounds
from pipeline.errors import InvalidRequest, Words
from pipeline.request import FIELDS

FORM = "multipart/form-data"
MAX_PARTS = 100
PICTURES = {name for name, field in FIELDS.items() if field.kind is bytes} | {
    "file", "image", "image[]",
}  # fmt: skip
"""Parts that are files, whether or not they have a file name."""
UNNAMED = "unnamed"


class FormText(str):
    """A part of a form, where a number is text too."""

    __slots__ = ()


async def read_form(request: Request) -> dict[str, Any]:
    """The parts of `request` by name, a list where there are several; empty ones are left out.

    Raises:
        InvalidRequest: it is no form, or not all of one.
    """
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


class _Parser(MultiPartParser):
    """Reads pictures as files, whether or not their parts have a file name."""

    ended = False
    """Whether the form's last boundary has come."""

    def on_headers_finished(self) -> None:
        super().on_headers_finished()
        part = self._current_part
        if part.file is None and part.field_name in PICTURES:
            self._current_fields -= 1
            as_a_file = f'; filename="{UNNAMED}"'.encode()
            part.content_disposition = (part.content_disposition or b"") + as_a_file
            super().on_headers_finished()

    def on_end(self) -> None:
        self.ended = True

    def close(self) -> None:
        """Close every file, that of a part which was cut short included."""
        for file in self._files_to_close_on_error:
            file.close()


async def _content(part: UploadFile | str) -> bytes | FormText:
    if isinstance(part, str):
        return FormText(part)
    content = await part.read()
    # Without a file name it may be base64, or a URL that is refused as one.
    if part.filename in ("", UNNAMED) and content.isascii():
        return FormText(content.decode())
    return content
