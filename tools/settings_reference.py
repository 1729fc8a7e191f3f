"""``python -m tools.settings_reference``: docs/settings.md, from the gateway's settings."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import get_args, get_origin

from pydantic import SecretStr
from pydantic.fields import FieldInfo

from gateway.settings import GROUPS, Settings

PAGE = Path(__file__).resolve().parent.parent / "docs" / "settings.md"
INTRODUCTION = """# Settings

Made from [`gateway/settings.py`](../gateway/settings.py) by `make reference`.

The gateway reads its settings from the environment, once. `maquette up` sets where it listens
(`--host`, `--port`, `--http-port`) and where Triton is, and keeps its files in `var/` unless told
otherwise (`--state`). A setting that is wrong ends the start with a sentence. Secrets are never
written to a log."""


def page() -> str:
    """The whole page, in Markdown."""
    lines = [INTRODUCTION]
    for name, field in Settings.model_fields.items():
        if name in GROUPS:
            lines += ["", f"## {GROUPS[name]}", "", "| variable | default | |", "|---|---|---|"]
        lines.append(f"| `MAQUETTE_{name.upper()}` | {_default(field)} | {_says(field)} |")
    return "\n".join(lines) + "\n"


def _default(field: FieldInfo) -> str:
    value = field.default
    if value is None or value in ("", []):
        return "none"
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _says(field: FieldInfo) -> str:
    secret = SecretStr in get_args(field.annotation)
    listed = get_origin(field.annotation) is list
    return f"{field.description}{' *Secret.*' if secret else ''}{' *JSON list.*' if listed else ''}"


def main() -> int:
    """Write the page."""
    PAGE.write_text(page(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
