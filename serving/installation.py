"""Where tritonserver is, and what it needs to start."""

from __future__ import annotations

import os
import re
import shutil
import sys
import sysconfig
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from pipeline.errors import Unavailable

WHEEL = "nvidia-pytriton"
REQUIREMENT = f"{WHEEL}==0.7.0"
ROOT = Path(__file__).absolute().parent.parent
PACKAGES = ("pipeline", "serving")
"""What Triton's Python processes import."""
CPU_BACKENDS = Path(__file__).parent / "backends"
BACKENDS = "backends"
NATIVE_BACKENDS = Path("/opt/tritonserver/backends")
INHERITED = re.compile(
    r"(HOME|USER|LOGNAME|LANG|LANGUAGE|TZ|TMPDIR|LD_PRELOAD|GLIBC_TUNABLES)"
    r"|(LC|MALLOC|OMP|KMP|GOMP|MKL|OPENBLAS|ORT|CUDA|NVIDIA|TRITON|TRITONSERVER)_\w+"
)
"""Variables that Triton and its models may need. None else is passed on: the gateway's secrets and
those of clouds are in the environment that `maquette up` was started in."""
REMEDY = (
    f"Run `pip install --no-deps {REQUIREMENT}` (in a checkout, `make setup`), or start inside "
    "NVIDIA's Triton container."
)


@dataclass(frozen=True)
class Installation:
    """A tritonserver that can be started."""

    binary: Path
    python_backend: Path | None
    """The wheel's Python backend; None when the server brings its own backends."""
    stub: Path | None
    """The wheel's backend process for the running Python."""
    libraries: tuple[Path, ...]

    def backend_directory(self, scratch: Path) -> Path:
        """A folder of backends for ``--backend-directory``, as it is called from `scratch`.

        Triton's own container has native backends. The wheel has only the Python backend, so the
        CPU backend that serves ``backend: "onnxruntime"`` is laid beside it, in `scratch`; and so
        are our packages, since the folder of the Python backend is where its processes import from.
        """
        if self.python_backend is None or self.stub is None:
            return NATIVE_BACKENDS
        folder = scratch / BACKENDS
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(self.python_backend, folder / "python")
        shutil.copy2(self.stub, folder / "python")
        for package in PACKAGES:
            (folder / "python" / package).symlink_to(ROOT / package, target_is_directory=True)
        shutil.copytree(CPU_BACKENDS, folder, dirs_exist_ok=True)
        return Path(BACKENDS)

    def environment(self, link: Path) -> dict[str, str]:
        """The server's environment variables.

        Triton's Python processes take their packages from the ``python3`` that comes first on PATH,
        so that has to be the one running now. The wheel's run it isolated, which knows only ASCII,
        and so find it by a `link` to its environment, made here; who stops the server removes it.
        """
        programs = Path(sys.executable).parent
        if self.stub:
            link.unlink(missing_ok=True)
            link.symlink_to(programs.parent, target_is_directory=True)
            programs = link / programs.name
        inherited = {name: value for name, value in os.environ.items() if INHERITED.fullmatch(name)}
        paths = [*map(str, self.libraries), os.environ.get("LD_LIBRARY_PATH", "")]
        return {
            **inherited,
            "PATH": f"{programs}:{os.environ.get('PATH', '')}",
            "LD_LIBRARY_PATH": ":".join(path for path in paths if path),
        }


def find() -> Installation:
    """NVIDIA's own, as in its container with native backends, else the one in the wheel.

    Raises:
        Unavailable: neither is there, or the wheel's does not fit the running Python.
    """
    on_path = shutil.which("tritonserver")
    if on_path and NATIVE_BACKENDS.is_dir():
        return Installation(Path(on_path), None, None, ())
    return _from_wheel()


def _from_wheel() -> Installation:
    try:
        wheel = metadata.distribution(WHEEL)
    except metadata.PackageNotFoundError as error:
        raise Unavailable(f"tritonserver is not installed. {REMEDY}") from error
    root = Path(str(wheel.locate_file("pytriton/tritonserver")))
    running = f"{sys.version_info.major}.{sys.version_info.minor}"
    stub = root / "python_backend_stubs" / running / "triton_python_backend_stub"
    if not stub.exists():
        fitting = ", ".join(sorted(folder.name for folder in stub.parent.parent.iterdir()))
        raise Unavailable(
            f"tritonserver's Python backend does not run on Python {running}; it runs on "
            f"{fitting}. Make the environment with one of these."
        )
    return Installation(
        binary=root / "bin" / "tritonserver",
        python_backend=root / "backends" / "python",
        stub=stub,
        libraries=(Path(str(wheel.locate_file("nvidia_pytriton.libs"))), _libpython_folder()),
    )


def _libpython_folder() -> Path:
    folder = Path(sysconfig.get_config_var("LIBDIR"))
    library = str(sysconfig.get_config_var("INSTSONAME"))
    if not (folder / library).exists():
        raise Unavailable(
            f"This Python has no shared library ({library}), which Triton's Python backend needs. "
            "Install Debian's libpython3-dev, or use a Python built with --enable-shared."
        )
    return folder
