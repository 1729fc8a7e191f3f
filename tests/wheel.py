"""maquette as its users get it: an sdist, the wheel made of that, and environments that hold it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.conftest import ROOT

BUILD = "import sys; from setuptools import build_meta; print(build_meta.build_sdist(sys.argv[1]))"


def build_sdist(folder: Path) -> Path:
    """The sdist of this checkout in `folder`; nothing is written into the checkout."""
    (folder / "egg").mkdir()
    elsewhere = folder / "elsewhere.cfg"
    elsewhere.write_text(f"[egg_info]\negg_base = {folder / 'egg'}\n")
    environment = {**os.environ, "DIST_EXTRA_CONFIG": str(elsewhere)}
    run(sys.executable, "-c", BUILD, folder, cwd=ROOT, env=environment)
    return next(folder.glob("*.tar.gz"))


def build_wheel(sdist: Path) -> Path:
    """The wheel beside `sdist`, made of that."""
    options = ("--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", sdist.parent)
    run(sys.executable, "-m", "pip", "wheel", *options, sdist)
    return next(sdist.parent.glob("*.whl"))


def environment(folder: Path, wheel: Path, dependencies: Path) -> Path:
    """An environment in `folder` with `wheel`; what it depends on is that of another environment.

    A line of a ``.pth`` file does not read the ``.pth`` files in the folder that it names, and so
    leaves out the checkout that is installed there.

    Returns:
        Its folder of programs.
    """
    run(dependencies / "bin" / "python", "-m", "venv", "--without-pip", folder)
    install = ("-m", "pip", "--python", folder / "bin" / "python", "install", "--quiet")
    run(sys.executable, *install, "--no-deps", wheel)
    packages = next((folder / "lib").glob("python*/site-packages"))
    theirs = dependencies / packages.relative_to(folder)
    (packages / "dependencies.pth").write_text(f"{theirs}\n")
    return folder / "bin"


def run(*command: str | Path, **options: object) -> str:
    """What `command` writes, which must end well."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
