"""``python -m tools.sync_client``: the client that waits, from the one for asyncio."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from unasync import Rule, unasync_files

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "maquette" / "client" / "asynchronous.py"
PAGE = SOURCE.with_name("synchronous.py")
HEADER = "# Made from asynchronous.py by `make reference`; change that one.\n"
REPLACEMENTS = {
    "AsyncClient": "Client",
    "aclosing": "closing",
    "async_channel": "sync_channel",
    "asyncio": "time",
}
"""Beside what unasync knows: ``await``, ``async``, ``AsyncGenerator`` and the like."""


def page() -> str:
    """The whole module."""
    with tempfile.TemporaryDirectory() as folder:
        source, made = (Path(folder) / path.name for path in (SOURCE, PAGE))
        source.write_bytes(SOURCE.read_bytes())
        unasync_files([str(source)], [Rule(source.name, made.name, REPLACEMENTS)])
        text = HEADER + made.read_text(encoding="utf-8")
    for command in (["check", "--select", "I", "--fix-only", "--quiet"], ["format", "--quiet"]):
        text = _ruff(*command, text)
    return text


def _ruff(*words: str) -> str:
    """What ruff makes of the last of `words`, by the rules for the file that it will be."""
    *command, text = words
    done = subprocess.run(
        [sys.executable, "-m", "ruff", *command, "--stdin-filename", PAGE, "-"],
        input=text,
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    )
    return done.stdout


def main() -> int:
    """Write the module."""
    PAGE.write_text(page(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
