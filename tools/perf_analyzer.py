"""NVIDIA's perf_analyzer, fetched once into a folder that git ignores.

Its last build that runs on any Linux is inside a wheel of Triton's client; it wants two libraries
beside it, of which one is in a wheel and the other a Debian package.
"""

from __future__ import annotations

import ctypes.util
import os
import shutil
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[1] / ".tools" / "perf_analyzer"
WHEELS = {
    "tritonclient==2.50.0": "tritonclient-2.50.0.data/data/bin/perf_analyzer",
    "nvidia-cuda-runtime-cu12==12.9.79": "nvidia/cuda_runtime/lib/libcudart.so.12",
}
DEBIAN_PACKAGE = "libb64-0d"


@dataclass(frozen=True)
class PerfAnalyzer:
    """The command, and the environment that it runs in."""

    command: Path
    environment: dict[str, str]

    def run(self, *options: str) -> subprocess.CompletedProcess[str]:
        """Run it to its end; what it says is in ``stdout``."""
        return subprocess.run(
            [self.command, *options],
            env=self.environment,
            text=True,
            check=False,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=240,
        )


def perf_analyzer() -> PerfAnalyzer:
    """perf_analyzer, fetched if it is not there."""
    if not FOLDER.is_dir():
        partial = FOLDER.with_name(f"{FOLDER.name}.{os.getpid()}.partial")
        partial.mkdir(parents=True)
        try:
            _fetch(partial)
            partial.rename(FOLDER)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    return PerfAnalyzer(
        FOLDER / "perf_analyzer", {**os.environ, "LD_LIBRARY_PATH": str(FOLDER), "LC_ALL": "C"}
    )


def _fetch(folder: Path) -> None:
    for requirement, member in WHEELS.items():
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
        subprocess.run(
            [*pip, "--no-deps", "--only-binary=:all:", "--dest", folder, requirement], check=True
        )
        wheel = next(folder.glob("*.whl"))
        with zipfile.ZipFile(wheel) as archive:
            (folder / Path(member).name).write_bytes(archive.read(member))
        wheel.unlink()
    (folder / "perf_analyzer").chmod(0o755)
    if not ctypes.util.find_library("b64"):
        _fetch_library(folder)


def _fetch_library(folder: Path) -> None:
    download = ["apt-get", "download", "--quiet", "--quiet", DEBIAN_PACKAGE]
    if subprocess.run(download, cwd=folder, check=False).returncode:
        subprocess.run(["apt-get", "update", "--quiet", "--quiet"], check=True)
        subprocess.run(download, cwd=folder, check=True)
    package = next(folder.glob("*.deb"))
    subprocess.run(["dpkg-deb", "-x", package, folder / "debian"], check=True)
    library = next((folder / "debian").rglob("libb64.so.0d"))
    shutil.copy(library, folder)
    shutil.rmtree(folder / "debian")
    package.unlink()
