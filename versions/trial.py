"""An engine is tried before Triton hears of it: in a process of its own, beside the champion.

Triton may die of a file that is no engine, and cannot tell a network of another shape from the one
that it has. So the file is loaded here first, its tensors are held against the contract, its
weights are looked at, and it is run on what the champion's own neighbours give it.
"""

from __future__ import annotations

import importlib.util
import json
import os
import resource
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline import contract
from pipeline.errors import Unavailable
from pipeline.tensor import Tensor
from pipeline.topology import SD15, Topology, from_facts, is_residual
from versions import reading, weights
from versions.errors import Declined

SECONDS = 300.0
"""A network of Stable Diffusion 1.5's size takes about a minute on one core."""
MEMORY = 12 << 30
"""Bytes of address space beside several times the engine's own."""
ENGINE_COPIES = 4
"""Of the weights: in the file, as read, and as ONNX Runtime arranges them."""
NICENESS = 10
"""Renders come first."""
ROWS = (1, 2)
LATENT_SIDES = (16, 24)
"""Two sides that differ, so that an engine which mixes them up is found."""
EARLY, LATE = 1.0, 999.0
SHOWN = 200
CPU = "CPUExecutionProvider"
DTYPES = {
    "tensor(float)": "FP32",
    "tensor(int32)": "INT32",
    "tensor(int64)": "INT64",
    "tensor(uint8)": "UINT8",
}
"""The contract's names for ONNX Runtime's."""
CHOSEN = ("sample", "latents", "pixels", "pixel_values")
"""Inputs that are made here, though another network could give them."""

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class EngineValidation:
    """What is tried, and beside what. Folders and files are absolute."""

    network: str
    engine: str
    """The ONNX file."""
    precision: str
    """As the manifest says."""
    champions: Mapping[str, str] = field(default_factory=dict)
    """The ONNX file of each network's champion; without them its weights are looked at only."""
    tokenizer: str = ""
    preprocessor: str = ""
    """The files that say how large the vocabulary and the pictures are."""
    pack: str = ""
    """What the exporter tells of the pack; without it, it is of Stable Diffusion 1.5's topology."""


class Failure(Exception):
    """The engine is not fit; why, in words that follow its name."""


def runs_here(build: Mapping[str, str]) -> bool:
    """Whether a CPU can run engines of that kind."""
    return build["engine"] != "tensorrt" and build["precision"] == "fp32"


def try_engine(trial: EngineValidation, seconds: float = SECONDS) -> None:
    """Try an engine, in a process of its own that ends with this one.

    Raises:
        Declined: it is not fit to be served; says why.
        Unavailable: it cannot be tried here.
    """
    if importlib.util.find_spec("onnxruntime") is None:
        raise Unavailable(
            "An engine is tried with ONNX Runtime, which is not installed here. Publish from the "
            "environment that serves, or install maquette[serving]."
        )
    package = Path(__file__).resolve().parent
    reading, writing = os.pipe()
    module = f"{package.name}.{Path(__file__).stem}"
    try:
        ended = subprocess.run(
            [sys.executable, "-m", module, json.dumps(asdict(trial)), str(reading)],
            cwd=package.parent,
            pass_fds=(reading,),
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise Declined(
            f"The engine for {trial.network} is refused: it was not done with its trial after "
            f"{seconds:g} s."
        ) from error
    finally:
        os.close(reading)
        os.close(writing)
    if ended.returncode == 0:
        return
    said = json.loads(ended.stdout) if ended.stdout.startswith("{") else {}
    if "unavailable" in said:
        raise Unavailable(said["unavailable"])
    reason = said.get("failure") or _how_it_ended(ended.returncode, ended.stderr)
    raise Declined(f"The engine for {trial.network} is refused: {reason}.")


def _how_it_ended(code: int, errors: str) -> str:
    if code < 0:
        return f"whoever loads it dies of signal {-code}"
    lines = [line for line in errors.splitlines() if line.strip()]
    return _short(lines[-1]) if lines else f"its trial ended with {code}"


def main(argument: str, tether: int) -> int:
    """Try what `argument` tells; say on standard output what is wrong with it.

    Args:
        tether: a file descriptor that ends when the parent does.
    """
    threading.Thread(target=_end_with_parent, args=(tether,), daemon=True).start()
    trial = EngineValidation(**json.loads(argument))
    os.nice(NICENESS)
    _bound_memory(trial)
    try:
        check(trial)
    except (Failure, Unavailable) as error:
        kind = "failure" if isinstance(error, Failure) else "unavailable"
        print(json.dumps({kind: str(error)}))  # noqa: T201 - to the parent
        return 1
    return 0


def _end_with_parent(tether: int) -> None:
    """A parent that was killed has closed the other end."""
    os.read(tether, 1)
    os._exit(1)


def _bound_memory(trial: EngineValidation) -> None:
    files = [Path(trial.engine), *map(Path, trial.champions.values())]
    largest = max(sum(part.stat().st_size for part in path.parent.iterdir()) for path in files)
    limit = MEMORY + ENGINE_COPIES * largest
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def check(trial: EngineValidation) -> None:
    """Everything that is looked at, in this process.

    Raises:
        Failure: it is not fit.
        Unavailable: the champion cannot be run, so that there is nothing to compare with.
    """
    path = Path(trial.engine)
    if not trial.champions:
        check_weights(path, trial.precision)
        return
    models = contract.models(_topology(trial))
    session = _load(path)
    check_tensors(models[trial.network], session)
    del session
    check_weights(path, trial.precision)
    beside = Neighbours(trial)
    wanted = [beside.run(trial.network, rows) for rows in ROWS]
    session = _load(path)
    for rows, champion in zip(ROWS, wanted, strict=True):
        inputs = beside.inputs(trial.network, rows)
        found = _run(session, inputs, rows)
        _compare(champion, found, rows)
        again = _run(session, inputs, rows)
        if any(not np.array_equal(found[name], again[name]) for name in found):
            raise Failure("it gives other numbers when it is run again on the same inputs")


def check_tensors(model: contract.Model, session: Any) -> None:
    """Hold the inputs and outputs of `session` against the contract of `model`.

    Raises:
        Failure: they are others.
    """
    for what, found, wanted in (
        ("input", session.get_inputs(), model.inputs),
        ("output", session.get_outputs(), model.outputs),
    ):
        by_name = {tensor.name: tensor for tensor in found}
        names = {tensor.name for tensor in wanted}
        if lacking := [tensor.name for tensor in wanted if tensor.name not in by_name]:
            raise Failure(f"it has no {what} {', '.join(lacking)}")
        if others := sorted(set(by_name) - names):
            raise Failure(f"it has an {what} {', '.join(others)}, which the contract has not")
        for tensor in wanted:
            _check_tensor(what, by_name[tensor.name], tensor)


def _check_tensor(what: str, found: Any, wanted: Tensor) -> None:
    dtype = DTYPES.get(found.type, found.type)
    if dtype != wanted.dtype:
        raise Failure(
            f"its {what} {wanted.name} is {dtype}, where the contract says {wanted.dtype}"
        )
    # The batch comes first, and is not in the contract's dims.
    sizes = found.shape[1:]
    fits = len(sizes) == len(wanted.dims) and all(
        not isinstance(size, int) or allowed in {-1, size}
        for size, allowed in zip(sizes, wanted.dims, strict=True)
    )
    if not fits:
        raise Failure(
            f"its {what} {wanted.name} has the sizes {_sizes(found.shape)}, where the contract "
            f"says {_sizes(('batch', *wanted.dims))}"
        )


def check_weights(path: Path, precision: str) -> None:
    """See that every weight is a number, and that they are of the precision that was told.

    Raises:
        Failure: one is not, or they are of another.
    """
    halves = False
    try:
        for weight in weights.read(path):
            if not weight.is_finite():
                raise Failure(f"its weights {weight.name} hold NaN or infinity")
            halves |= weight.values.dtype == np.float16 and weight.values.size > 0
    except weights.NotOnnx as error:
        raise Failure(f"its weights cannot be read: {_short(str(error))}") from error
    if halves != (precision == "fp16"):
        found = "fp16" if halves else "fp32"
        raise Failure(f"its manifest says {precision}, and its weights are {found}")


class Neighbours:
    """The champions around the engine that is tried, and what they give it.

    The sizes that a pack fixes stand nowhere but in its networks, so they are asked.
    """

    def __init__(self, trial: EngineValidation) -> None:
        self._trial = trial
        self._topology = _topology(trial)
        self._models = contract.models(self._topology)
        self._given: dict[tuple[str, int], dict[str, Array]] = {}

    def run(self, network: str, rows: int) -> dict[str, Array]:
        """What the champion of `network` makes of its inputs; each runs once.

        Raises:
            Unavailable: it cannot be run.
        """
        if (network, rows) not in self._given:
            inputs = self.inputs(network, rows)
            try:
                session = _load(Path(self._trial.champions[network]))
                self._given[network, rows] = _run(session, inputs, rows)
            except (KeyError, Failure) as error:
                raise Unavailable(
                    f"The champion of {network}, beside which an engine is tried, cannot be run "
                    f"here: {error}. Export it again, or roll it back."
                ) from error
        return self._given[network, rows]

    def inputs(self, network: str, rows: int) -> dict[str, Array]:
        """Small inputs for `network`, the same ones every time."""
        return {tensor.name: self._value(tensor, rows) for tensor in self._models[network].inputs}

    def _value(self, tensor: Tensor, rows: int) -> Array:
        giver = giver_of(tensor.name)
        if giver and tensor.name not in CHOSEN:
            return self.run(giver, rows)[tensor.name]
        random = np.random.default_rng(rows)
        height, width = LATENT_SIDES
        factor = self._topology.vae_scale_factor
        match tensor.name:
            case "input_ids":
                known = self._vocabulary()
                ids = random.integers(0, known, (rows, *tensor.dims))
                # Its last word, too: a table that is too short must be found.
                ids[:, -1] = known - 1
                return ids
            case "pixel_values":
                crop = _read(self._trial.preprocessor)["crop_size"]
                shape: tuple[int, ...] = (3, crop["height"], crop["width"])
            case "pixels":
                shape = (3, height * factor, width * factor)
            case "control_image":
                edges = random.random((rows, 1, height * factor, width * factor)) < 0.1
                return (edges * 255).astype(np.uint8)
            case "sample" | "latents":
                shape = (tensor.dims[0], height, width)
            case "timestep":
                steps = np.linspace(LATE, EARLY, rows, dtype=np.float32)
                return steps.reshape(rows, 1)
            case _:
                return np.ones((rows, *tensor.dims), np.float32)
        return random.standard_normal((rows, *shape), dtype=np.float32)

    def _vocabulary(self) -> int:
        words = _read(self._trial.tokenizer)["model"]["vocab"]
        return 1 + max(int(number) for number in words.values())


def _read(path: str) -> Any:
    try:
        return reading.from_json(Path(path).read_bytes())
    except (OSError, ValueError) as error:
        text = f"{path} cannot be read ({error}). Run `maquette export` again."
        raise Unavailable(text) from error


def _topology(trial: EngineValidation) -> Topology:
    return from_facts(_read(trial.pack)) if trial.pack else SD15


GIVERS = {tensor.name: model.name for model in contract.NETWORKS for tensor in model.outputs}


def giver_of(tensor: str) -> str | None:
    """The network that gives `tensor`, in any topology; None where none does."""
    return "controlnet" if is_residual(tensor) else GIVERS.get(tensor)


def needed(network: str) -> Iterator[str]:
    """The networks whose champions run beside `network`, itself included."""
    yield network
    for tensor in contract.MODELS[network].inputs:
        giver = giver_of(tensor.name)
        if giver and tensor.name not in CHOSEN:
            yield from needed(giver)


def _load(path: Path) -> Any:
    """The engine at `path`, as the CPU's Triton loads it."""
    import onnxruntime  # noqa: PLC0415 - the parent process does without

    # What a network cannot take is told in one sentence, not in the library's log.
    onnxruntime.set_default_logger_severity(4)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=[CPU])
    except Exception as error:
        raise Failure(f"ONNX Runtime cannot load it: {_short(str(error))}") from error


def _run(session: Any, inputs: Mapping[str, Array], rows: int) -> dict[str, Array]:
    names = [output.name for output in session.get_outputs()]
    try:
        return dict(zip(names, session.run(names, dict(inputs)), strict=True))
    except Exception as error:
        raise Failure(
            f"it cannot be run at batch {rows} on what its neighbours give, so it is of another "
            f"topology: {_short(str(error))}"
        ) from error


def _compare(champion: Mapping[str, Array], found: Mapping[str, Array], rows: int) -> None:
    for name, wanted in champion.items():
        if found[name].shape != wanted.shape:
            raise Failure(
                f"its {name} has the sizes {_sizes(found[name].shape)} where the champion's has "
                f"{_sizes(wanted.shape)}, so it is of another topology"
            )
        if not np.isfinite(found[name]).all():
            raise Failure(f"its {name} holds NaN or infinity at batch {rows}")


def _sizes(shape: tuple[object, ...]) -> str:
    return " x ".join("any" if size == -1 else str(size) for size in shape)


def _short(text: str) -> str:
    """A library's message on one line, without the full stop."""
    line = " ".join(text.rpartition(" : ")[2].split()).removesuffix(".")
    return line if len(line) <= SHOWN else f"{line[:SHOWN]}…"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2])))
