"""The life of one tritonserver: start, ready, stop."""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import stat
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import tritonclient.grpc
from tritonclient.utils import InferenceServerException

from pipeline import contract
from pipeline.errors import Unavailable
from serving import processes, sockets
from serving.installation import find
from serving.ports import LOOPBACK
from versions import aliases, configs, served
from versions.catalogue import FINISHED, is_managed

READY_SECONDS = 120.0
POLL_SECONDS = 0.1
EXIT_SECONDS = 5
BACKENDS = ("python", "onnxruntime")
SHARED_MEMORY = Path("/dev/shm")  # noqa: S108
MODELS = "models"
"""The link to the model repository in the folder that Triton works in."""


@dataclass(frozen=True)
class Triton:
    """A running tritonserver."""

    process: subprocess.Popen[bytes]
    address: str
    """Of its gRPC service, for channels."""
    log: Path
    region_prefix: str
    """Of the names of its shared memory."""

    def ended(self) -> int | None:
        """Its exit status, negative for a signal; None while it runs."""
        return self.process.poll()

    def is_ready(self) -> bool:
        """Whether every model is ready. Triton opens its socket when it has loaded them all."""
        return self._answers("is_server_ready")

    def is_alive(self) -> bool:
        """Whether it answers, whatever its models do."""
        return self._answers("is_server_live")

    def reason(self) -> str:
        """Why it ended or is not ready, as far as its log tells."""
        return _reason(self.log)

    def stop(self, *, at_once: bool = False) -> None:
        """End the server and its Python processes, and take back the memory they shared."""
        processes.stop(self.process, 0 if at_once else EXIT_SECONDS + 5)
        # A server that was killed leaves its shared memory, and /dev/shm is small in a container.
        for region in self._regions():
            region.unlink(missing_ok=True)

    def hide_memory(self) -> None:
        """Take from others the right to read the shared memory, which Triton gives to everybody."""
        for region in self._regions():
            with contextlib.suppress(FileNotFoundError):
                mode = region.lstat().st_mode
                # The link to the environment is there, too, and a mode is that of what it names.
                if stat.S_ISREG(mode) and mode & 0o077:
                    region.chmod(0o600)

    def _regions(self) -> Iterator[Path]:
        return SHARED_MEMORY.glob(f"{self.region_prefix}*")

    def _answers(self, question: Literal["is_server_live", "is_server_ready"]) -> bool:
        with tritonclient.grpc.InferenceServerClient(
            self.address, channel_args=list(LOOPBACK)
        ) as client:
            try:
                return bool(getattr(client, question)(client_timeout=1))
            except InferenceServerException:
                return False


def start(
    repository: Path, state: Path, report: Callable[[int, int], None] | None = None
) -> Triton:
    """Start Triton over `repository` and wait until every model is ready.

    Args:
        repository: the model repository, engines included.
        state: folder for the log, the backends and the sockets; Triton works in it.
        report: told how many models are ready, of how many.

    Raises:
        Unavailable: something is missing or Triton did not come up; says what, and the log's place.
    """
    triton = spawn(repository, state)
    try:
        _wait_until_ready(triton, len(served.models_of(repository)), report)
    except BaseException:
        triton.stop()
        raise
    return triton


def spawn(repository: Path, state: Path) -> Triton:
    """As :func:`start`, without waiting for anything."""
    require_engines(repository)
    installation = find()
    log = state / "triton.log"
    sockets.make_folder(state)
    prefix = f"maquette_{os.getpid()}_{secrets.token_hex(4)}_"
    command: list[str | Path] = [
        installation.binary,
        f"--model-repository={_link(repository, state)}",
        f"--backend-directory={installation.backend_directory(state)}",
        "--model-control-mode=explicit",
        *(f"--load-model={name}" for name in served.prepare(repository)),
        f"--model-config-name={configs.NAME}",
        "--allow-http=false",
        # Of the networks that take turns: the rate limiters in their configs.
        "--rate-limit=execution_count",
        # Otherwise a candidate that does not load makes all of the server unready.
        "--strict-readiness=false",
        f"--grpc-address={sockets.grpc_listen(state)}",
        f"--grpc-port={sockets.NUMBER}",
        f"--metrics-address={sockets.metrics_address(state)}",
        f"--exit-timeout-secs={EXIT_SECONDS}",
        *(f"--backend-config={name},shm-region-prefix-name={prefix}" for name in BACKENDS),
    ]
    # Beside its shared memory, and removed with that.
    environment = installation.environment(SHARED_MEMORY / f"{prefix}python")
    process = processes.start(command, log, environment, state)
    return Triton(process, sockets.grpc_address(state), log, prefix)


def _link(repository: Path, state: Path) -> str:
    """A name for `repository` that is good in `state`, whatever their paths are.

    Triton writes paths into a shell's command line as they are: a space or a bracket there ends
    the model's process. So it is given short relative ones.
    """
    link = state / MODELS
    state.mkdir(parents=True, exist_ok=True)
    link.unlink(missing_ok=True)
    link.symlink_to(repository.resolve(), target_is_directory=True)
    return MODELS


def _remedy(repository: Path) -> str:
    """How engines come into `repository`; no export goes where versions are managed."""
    if is_managed(repository):
        return (
            "Its versions are managed, and no export replaces them: restore the files, or serve "
            "another folder that `maquette export --repository FOLDER` wrote."
        )
    return "Run `make export`, or `maquette export --pack FOLDER`."


def require_engines(repository: Path) -> None:
    """Check that the exporter has done its work, before Triton fails over it at length.

    Raises:
        Unavailable: an engine is missing or for a GPU, or the last export did not finish.
    """
    snapshot = aliases.read(repository)
    missing = [
        model.name
        for model in contract.NETWORKS
        if not model.optional
        and not configs.has_engine(repository, f"{model.name}/{snapshot.champion(model.name)}")
    ]
    if missing:
        raise Unavailable(
            f"No engine for {', '.join(missing)} in {repository}. {_remedy(repository)}"
        )
    finished = repository / FINISHED
    if not finished.exists():
        raise Unavailable(
            f"The engines in {repository} come from an export that did not finish. "
            f"{_remedy(repository)}"
        )
    facts = json.loads(finished.read_text(encoding="utf-8"))
    kind = facts.get("engine", "onnx"), facts.get("precision", "fp32")
    if kind != ("onnx", "fp32"):
        raise Unavailable(
            f"The engines in {repository} are for a GPU ({', '.join(kind)}), and this Triton uses "
            "the CPU. Export them again without --engine and --precision; `make up-gpu` exports "
            "for a GPU, and serves there."
        )


def _wait_until_ready(
    triton: Triton, models: int, report: Callable[[int, int], None] | None
) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline:
        if triton.ended() is not None:
            raise Unavailable(f"Triton ended while starting: {triton.reason()}")
        # Until Triton opens its port, its log tells how far it is.
        if report:
            report(_loaded_models(triton.log), models)
        if triton.is_ready():
            return
        time.sleep(POLL_SECONDS)
    raise Unavailable(f"Triton was not ready after {READY_SECONDS:g} s: {triton.reason()}")


def _loaded_models(log: Path) -> int:
    return log.read_text(errors="replace").count("successfully loaded '")


def _reason(log: Path) -> str:
    """The first model that failed and why, and where to read the rest."""
    text = log.read_text(errors="replace")
    failed = re.search(r"failed to load '(?P<model>\w+)' version \d+: (?P<why>.*?)(\\n|\n)", text)
    if failed:
        return f"model {failed['model']}: {failed['why']} (log: {log})"
    lines = [line for line in text.splitlines() if line.strip()]
    return f"{lines[-1] if lines else 'it gave no reason'} (log: {log})"
