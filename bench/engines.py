"""The engines without everything that serves them: each alone in a process, timed around its run.

Triton, too, keeps each of them in a process of its own. Their settings are what the served models'
configs tell their backend, their inputs what those models would be given.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from tritonclient.grpc import InferenceServerClient, InferInput

from bench.children import Answer, Child, child
from bench.stack import Stack
from maquette.paths import MODEL_REPOSITORY
from pipeline import contract
from pipeline.pinned_versions import EXPORTED
from pipeline.tensor import NUMPY_DTYPES
from pipeline.topology import SD15
from serving.onnx_network import OnnxNetwork

Arrays = Mapping[str, npt.NDArray[Any]]

STEP = ("controlnet", "unet")
"""What each step runs, in order."""
MODELS = ("text_encoder", "image_encoder", *STEP, "vae_decoder")
"""What a render runs, in order."""
PAIR = 2
"""Rows of one request: guidance asks twice."""


def prepare(path: Path, threads: int) -> Answer:
    """Load an engine; what answers keeps the requests given with ``keep`` and times their runs."""
    network, kept = OnnxNetwork(path, threads), {}

    def answer(what: str, key: str, batch: Sequence[Arrays] = ()) -> Any:
        if what == "keep":
            kept[key] = batch
            return network.run(batch)
        began = time.perf_counter()
        network.run(kept[key])
        return time.perf_counter() - began

    return answer


class Engines:
    """The running engines of one render, with requests to run. Made by :func:`loaded`."""

    def __init__(self, children: Mapping[str, Child]) -> None:
        self._children = children

    def keep(self, model: str, batch: Sequence[Arrays], key: str = "") -> list[Arrays]:
        """Let `model` keep `batch` for :meth:`seconds`; its outputs, after this first run."""
        outputs: list[Arrays] = self._children[model]("keep", key, batch)
        return outputs

    def seconds(self, model: str, key: str = "") -> float:
        """One execution of what `model` has kept."""
        return float(self._children[model]("time", key))

    def render_seconds(self, steps: int) -> float:
        """The bare sum of one render's executions, in the order of a render."""
        before = self.seconds("text_encoder") + self.seconds("image_encoder")
        loop = sum(self.seconds(model) for _ in range(steps) for model in STEP)
        return before + loop + self.seconds("vae_decoder")

    def step_seconds(self, requests: int) -> float:
        """ControlNet and UNet with so many requests in one batch."""
        return sum(self.seconds(model, f"batch of {requests}") for model in STEP)

    def give(self, inputs: Mapping[str, Arrays], batches: Sequence[int]) -> dict[str, Arrays]:
        """Hand each engine its request, made of `inputs` and of what the ones before it put out.

        Args:
            inputs: by model, those that no engine puts out; rows first.
            batches: so many requests in one batch are prepared for ControlNet and UNet as well.

        Returns:
            The whole request of each model.
        """
        known: dict[str, npt.NDArray[Any]] = {}
        asked: dict[str, Arrays] = {}
        for model in MODELS:
            names = [tensor.name for tensor in contract.MODELS[model].inputs]
            asked[model] = {name: {**known, **inputs[model]}[name] for name in names}
            (outputs,) = self.keep(model, [asked[model]])
            known |= {name: in_pairs(array) for name, array in outputs.items()}
        for model in STEP:
            for requests in batches:
                self.keep(model, [asked[model]] * requests, f"batch of {requests}")
        return asked


def in_pairs(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """One row, such as a style picture's, as the two rows that guidance asks with."""
    return array if len(array) == PAIR else np.repeat(array[:1], PAIR, axis=0)


@contextmanager
def loaded(stack: Stack) -> Iterator[Engines]:
    """The engines of a render, with the settings that `stack` serves them with."""
    with ExitStack() as held:
        yield Engines(
            {
                model: held.enter_context(child(prepare, *_settings(stack, model)))
                for model in MODELS
            }
        )


def real_inputs(
    triton: InferenceServerClient, sketch: bytes, style: bytes, prompt: str, side: int
) -> dict[str, Arrays]:
    """What the engines of a render of `side` x `side` pixels are given that no engine puts out.

    The Python models make them, as they do in a render; noise and scales are drawn here.
    """
    random = np.random.default_rng(0)
    latents = side // SD15.vae_scale_factor
    noise = random.standard_normal((PAIR, SD15.latent_channels, latents, latents), np.float32)
    ids = _infer(triton, "tokenizer", {"text": np.array([[b""], [prompt.encode()]], object)})
    pixels = _infer(triton, "image_processor", {"image": np.array([[style]], object)})
    values = (sketch, side, side, 50, 150, b"clean", b"canny")
    edges = _infer(
        triton,
        "canny",
        {
            tensor.name: np.array([value], NUMPY_DTYPES[tensor.dtype])
            for tensor, value in zip(contract.CANNY_INPUTS, values, strict=True)
        },
    )
    layers = len(SD15.cross_attention_layers)
    step = {
        "sample": noise,
        "timestep": np.full((PAIR, 1), 500, np.float32),
        "control_image": np.repeat(edges["control_image"][None], PAIR, axis=0),
        "conditioning_scale": np.ones((PAIR, 1), np.float32),
        "ip_adapter_scale": np.full((PAIR, layers), 0.8, np.float32),
    }
    return {
        "text_encoder": ids,
        "image_encoder": pixels,
        "controlnet": step,
        "unet": step,
        "vae_decoder": {"latents": noise[:1]},
    }


def inputs_of(model: str, arrays: Arrays) -> list[InferInput]:
    """`arrays` as Triton's client takes them."""
    return [
        InferInput(name, array.shape, contract.MODELS[model].input(name).dtype).set_data_from_numpy(
            array
        )
        for name, array in arrays.items()
    ]


def _settings(stack: Stack, model: str) -> tuple[Path, int]:
    """The engine's file and its threads, read as the backend reads them."""
    config = stack.config(model)
    file = config.get("default_model_filename") or "model.onnx"
    threads = config.get("parameters", {}).get("intra_op_thread_count", {})
    path = MODEL_REPOSITORY / model / str(EXPORTED) / file
    return path, int(threads.get("string_value", 0))


def _infer(triton: InferenceServerClient, model: str, arrays: Arrays) -> dict[str, Any]:
    found = triton.infer(model, inputs_of(model, arrays))
    return {tensor.name: found.as_numpy(tensor.name) for tensor in contract.MODELS[model].outputs}
