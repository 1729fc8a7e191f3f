"""``maquette doctor``: what is missing on this machine, and how to get it."""

from __future__ import annotations

import importlib.util
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from maquette import running
from maquette.cli.common import console
from maquette.paths import EXAMPLE_STYLES, MODEL_REPOSITORY
from pipeline.errors import MaquetteError
from serving import installation, launcher

SERVING_PACKAGES = ("cv2", "grpc", "numpy", "onnxruntime", "PIL", "qdrant_client", "tokenizers")
NEEDED_GIB = 6


class Missing(Exception):
    """A check found something missing; says what and what to do."""


def doctor(
    repository: Annotated[Path, typer.Option(help="Triton's model repository.")] = MODEL_REPOSITORY,
) -> None:
    """Check that this machine can serve renders; say what is missing and how to get it."""
    checks: dict[str, Callable[[], str]] = {
        "Python": _python,
        "packages": _packages,
        "tritonserver": _tritonserver,
        "setpriv": _setpriv,
        "engines": lambda: _engines(repository),
        "bundled styles": _styles,
        "gateway": _gateway,
        "memory": _memory,
        "GPU": _gpu,
    }
    failed = 0
    for name, check in checks.items():
        try:
            mark, found = "[green]ok     [/green]", check()
        except (Missing, MaquetteError) as error:
            mark, found = "[red]missing[/red]", str(error)
            failed += 1
        console.print(f"{mark}  {name:<15}", found, highlight=False, soft_wrap=True)
    if failed:
        raise typer.Exit(1)


def _python() -> str:
    return f"{sys.version.split()[0]} at {sys.executable}"


def _packages() -> str:
    missing = [name for name in SERVING_PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        remedy = "Install maquette[serving,gateway]; in a checkout, run `make setup`."
        raise Missing(f"{', '.join(missing)}. {remedy}")
    return "everything that serving needs"


def _tritonserver() -> str:
    return str(installation.find().binary)


def _setpriv() -> str:
    found = shutil.which("setpriv")
    if not found:
        raise Missing("it ends Triton when maquette dies. Install util-linux.")
    return found


def _engines(repository: Path) -> str:
    launcher.require_engines(repository)
    return f"all built, in {repository}"


def _styles() -> str:
    count = len(list(EXAMPLE_STYLES.glob("*.png")))
    if not count:
        raise Missing(f"no pictures in {EXAMPLE_STYLES}. Install maquette again.")
    return f"{count} pictures"


def _gateway() -> str:
    found = [f"{one.server}; keys in {one.keys}; logs {one.logs}" for one in running.found()]
    return ". ".join(found) or "none runs here that `maquette up` started"


def _memory() -> str:
    lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    available = int(next(line for line in lines if "MemAvailable" in line).split()[1]) / 2**20
    if available < NEEDED_GIB:
        raise Missing(f"{available:.1f} GiB free, {NEEDED_GIB} needed. Close something large.")
    return f"{available:.1f} GiB free"


def _gpu() -> str:
    if shutil.which("nvidia-smi"):
        return "found"
    return "none: the CPU is used, which the bundled tiny pack is made for"
