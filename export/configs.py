"""Configs for Triton's own backends, derived from those that are written by hand.

Triton's native ONNX Runtime backend wants the sizes that a network fixes, where the hand-written
configs say -1 for any pack. So the exporter writes, beside them, one config per kind of backend
with this pack's sizes; Triton takes it with ``--model-config-name``.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from google.protobuf import text_format
from tritonclient.grpc.model_config_pb2 import ModelConfig, ModelInstanceGroup

from export import tensorrt
from export.asked import EXACT, Build
from export.build import ONNX_FILE
from export.networks import names_of
from export.pack import Pack
from export.shapes import Widths, dims
from pipeline import contract

CACHE_FOLDER = "/var/cache/tensorrt"
"""In the Triton image, where ONNX Runtime's TensorRT provider keeps what it compiled. Not in the
repository, where Triton takes every folder for a model."""
NOTE = "# Written by the exporter from ../config.pbtxt and the pack's sizes.\n"


def configs_of(pack: Pack, repository: Path, build: Build) -> dict[str, str]:
    """The configs that serve engines of `build`, by their place in `repository`."""
    name = KINDS[build.engine]
    return {
        f"{network}/configs/{name}.pbtxt": config_text(name, network, pack, repository)
        for network in names_of(pack)
    }


def config_text(name: str, network: str, pack: Pack, repository: Path) -> str:
    """The hand-written config of `network` with this pack's sizes and the backend of `name`."""
    config = ModelConfig()
    text_format.Parse((repository / network / "config.pbtxt").read_text(encoding="utf-8"), config)
    widths = Widths.of(pack)
    model = contract.MODELS[network]
    for declared, tensors in ((config.input, model.inputs), (config.output, model.outputs)):
        for entry, tensor in zip(declared, tensors, strict=True):
            entry.dims[:] = dims(tensor, widths, -1, -1)
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
