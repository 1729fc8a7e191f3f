"""Triton configs that are derived from those written by hand: other topologies, native backends.

Those written by hand are for Stable Diffusion 1.5's topology. For a pack of another one the tensors
and the ensembles' wiring are replaced by what the contract says of it.

Triton's native ONNX Runtime backend wants the sizes that a network fixes, where the hand-written
configs say -1 for any pack. So the exporter writes, beside them, one config per kind of backend
with this pack's sizes; Triton takes it with ``--model-config-name``.
"""

from __future__ import annotations

from collections.abc import Callable, MutableMapping, Sequence
from pathlib import Path
from typing import Any

from google.protobuf import text_format
from tritonclient.grpc.model_config_pb2 import DataType, ModelConfig, ModelInstanceGroup

from export import tensorrt
from export.asked import EXACT, Build
from export.build import ONNX_FILE
from export.networks import names_of
from export.pack import Pack
from export.shapes import Widths, dims
from pipeline import contract
from pipeline.tensor import Tensor
from pipeline.topology import Topology, is_residual

CACHE_FOLDER = "/var/cache/tensorrt"
"""In the Triton image, where ONNX Runtime's TensorRT provider keeps what it compiled. Not in the
repository, where Triton takes every folder for a model."""
TOPOLOGY_NOTE = "# Written by the exporter for the pack's topology.\n"
NOTE = "# Written by the exporter from ../config.pbtxt and the pack's sizes.\n"


def texts_for(topology: Topology, repository: Path) -> dict[str, str]:
    """The configs in `repository` that are not what the contract says of `topology`, corrected.

    By their place in `repository`.
    """
    models = contract.models(topology)
    texts = {}
    for name, model in models.items():
        path = Path(name) / "config.pbtxt"
        written = _read(repository / path)
        config = ModelConfig()
        config.CopyFrom(written)
        _declare(config.input, model.inputs)
        _declare(config.output, model.outputs)
        for step in config.ensemble_scheduling.step:
            composing = models[step.model_name]
            _wire(step.input_map, composing.inputs)
            _wire(step.output_map, composing.outputs)
        if config != written:
            texts[str(path)] = TOPOLOGY_NOTE + text_format.MessageToString(config)
    return texts


def _read(path: Path) -> ModelConfig:
    return text_format.Parse(path.read_text(encoding="utf-8"), ModelConfig())


def _declare(entries: Any, tensors: Sequence[Tensor]) -> None:
    del entries[:]
    for tensor in tensors:
        kind = "TYPE_STRING" if tensor.dtype == "BYTES" else f"TYPE_{tensor.dtype}"
        entries.add(name=tensor.name, data_type=DataType.Value(kind), dims=tensor.dims)
        if tensor.optional:
            entries[-1].optional = True


def _wire(step: MutableMapping[str, str], tensors: Sequence[Tensor]) -> None:
    """Give a step of an ensemble the residuals that `tensors` have; they go by their own names."""
    for name in [name for name in step if is_residual(name)]:
        del step[name]
    step.update({tensor.name: tensor.name for tensor in tensors if is_residual(tensor.name)})


def configs_of(pack: Pack, repository: Path, build: Build) -> dict[str, str]:
    """The configs that serve engines of `build`, by their place in `repository`."""
    name = KINDS[build.engine]
    return {
        f"{network}/configs/{name}.pbtxt": config_text(name, network, pack, repository)
        for network in names_of(pack)
    }


def config_text(name: str, network: str, pack: Pack, repository: Path) -> str:
    """The hand-written config of `network` with this pack's sizes and the backend of `name`."""
    config = _read(repository / network / "config.pbtxt")
    widths = Widths.of(pack)
    model = pack.model(network)
    for declared, tensors in ((config.input, model.inputs), (config.output, model.outputs)):
        for entry, tensor in zip(declared, tensors, strict=True):
            entry.dims[:] = dims(tensor, widths, -1, -1, chunks=-1)
    for group in config.instance_group:
        group.kind = ModelInstanceGroup.KIND_GPU
    WRITERS[name](config, network, pack)
    return NOTE + text_format.MessageToString(config)


def _onnxruntime_gpu(config: ModelConfig, network: str, pack: Pack) -> None:  # noqa: ARG001
    """ONNX Runtime's CUDA provider."""
    config.default_model_filename = ONNX_FILE


def _onnxruntime_tensorrt(config: ModelConfig, network: str, pack: Pack) -> None:
    """ONNX Runtime that gives to TensorRT what it can: compiled at the first start, then kept."""
    config.default_model_filename = ONNX_FILE
    accelerator = config.optimization.execution_accelerators.gpu_execution_accelerator.add()
    accelerator.name = "tensorrt"
    # With a profile nothing is compiled anew when a size is met for the first time.
    shapes = tensorrt.profile_of(network, pack)
    profile = {
        f"trt_profile_{point}_shapes": ",".join(
            f"{name}:{'x'.join(map(str, points[index]))}" for name, points in shapes.items()
        )
        for index, point in enumerate(("min", "opt", "max"))
    }
    settings = {
        "precision_mode": "FP32" if network in EXACT else "FP16",
        "max_workspace_size_bytes": str(tensorrt.WORKSPACE),
        "trt_engine_cache_enable": "1",
        "trt_engine_cache_path": CACHE_FOLDER,
        "trt_timing_cache_enable": "1",
        "trt_timing_cache_path": CACHE_FOLDER,
        **profile,
    }
    for key, value in settings.items():
        accelerator.parameters[key] = value


def _tensorrt(config: ModelConfig, network: str, pack: Pack) -> None:  # noqa: ARG001
    """An engine that was built with ``--engine tensorrt``."""
    config.backend = "tensorrt"
    config.default_model_filename = tensorrt.PLAN_FILE


WRITERS: dict[str, Callable[[ModelConfig, str, Pack], None]] = {
    "onnxruntime_gpu": _onnxruntime_gpu,
    "onnxruntime_tensorrt": _onnxruntime_tensorrt,
    "tensorrt": _tensorrt,
}
"""By the name that ``--model-config-name`` takes."""
KINDS = {
    "onnx": "onnxruntime_gpu",
    "onnx-tensorrt": "onnxruntime_tensorrt",
    "tensorrt": "tensorrt",
}
"""Which of them serves each kind of engine."""
