"""``python -m tools.field_reference``: what is written from the tables of fields.

The inputs in the config of ``render``, the keywords of the client, and a table on a page.
"""

from __future__ import annotations

import re
import sys
import textwrap
from collections.abc import Iterable, Mapping
from pathlib import Path

from gateway.doors.openinference.model import INPUTS
from gateway.renders.registry import CALL_FIELDS
from pipeline import contract
from pipeline.fields import Field
from pipeline.request import FIELDS
from pipeline.tensor import Tensor
from retrieval.styles import STYLE_FIELDS

ROOT = Path(__file__).resolve().parent.parent
CONFIG = ROOT / "model_repository" / "render" / "config.pbtxt"
OPTIONS = ROOT / "maquette" / "client" / "options.py"
PAGE = ROOT / "docs" / "open-inference-protocol.md"
OPTIONS_BEGIN = '''"""The keywords of calls, made from the tables of fields by `make reference`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TypedDict

File = bytes | str | os.PathLike[str]
"""An encoded picture, or the path of one; for an ``image`` also ``render/<id>/<n>``."""
'''
WIDTH = 96


def written() -> Mapping[Path, str]:
    """What each file has to hold."""
    return {CONFIG: _config(), OPTIONS: _options(), PAGE: _page()}


def _config() -> str:
    inputs = ",\n".join(map(_input, contract.MODELS["render"].inputs))
    return _replaced(CONFIG, r"(^input \[\n).*?(\n\]$)", inputs)


def _input(tensor: Tensor) -> str:
    kind = {"BYTES": "STRING"}.get(tensor.dtype, tensor.dtype)
    optional = " optional: true" if tensor.optional else ""
    dims = ", ".join(map(str, tensor.dims))
    return f'  {{ name: "{tensor.name}" data_type: TYPE_{kind} dims: [ {dims} ]{optional} }}'


def _options() -> str:
    beside = [field for name, field in FIELDS.items() if name not in ("sketch", "prompt")]
    render = [*beside, *CALL_FIELDS.values()]
    classes = (
        _class("RenderOptions", "What a render can be told beside its sketch and prompt.", render),
        _class("StyleOptions", "What a new style can have beside its image and name.",
               STYLE_FIELDS.values()),
    )  # fmt: skip
    return "\n\n".join([OPTIONS_BEGIN, *classes])


def _class(name: str, says: str, fields: Iterable[Field]) -> str:
    head = f'class {name}(TypedDict, total=False):\n    """{says} None: left out."""\n\n'
    return head + "".join(_keyword(field) for field in fields if not field.required)


def _keyword(field: Field) -> str:
    kind = "File" if field.kind is bytes else field.kind.__name__
    if field.several:
        alone = f"{kind} | " if field.kind is float else ""
        kind = f"{alone}Sequence[{kind}]"
    says = textwrap.fill(f'"""{field.described}"""', WIDTH)
    return textwrap.indent(f"{field.name}: {kind} | None\n{says}\n", "    ")


def _page() -> str:
    rows = "\n".join(_row(FIELDS[name], tensor) for name, tensor in INPUTS.items())
    return _replaced(PAGE, r"(^## Inputs\n.*?---\|\n).*?(\n\n## )", rows)


def _row(field: Field, tensor: Tensor) -> str:
    default = "required" if field.required else field.default_text
    cells = (f"`{field.name}`", tensor.dtype, str(list(tensor.dims)), default, field.help)
    return f"| {' | '.join(cells)} |"


def _replaced(path: Path, place: str, content: str) -> str:
    """The text of `path` with `content` where `place` matches."""
    text = path.read_text(encoding="utf-8")
    flags = re.DOTALL | re.MULTILINE
    return re.sub(place, lambda found: f"{found[1]}{content}{found[2]}", text, count=1, flags=flags)


def main() -> int:
    """Write the files."""
    for path, text in written().items():
        path.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
