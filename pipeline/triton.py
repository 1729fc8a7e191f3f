"""The one door between Triton's Python models and this package.

Importable only inside a Triton Python model. A ``model.py`` reads tensors, calls :mod:`pipeline`
and responds; everything about Triton that could be got wrong is here once.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import triton_python_backend_utils as pb_utils

from pipeline import contract, pinned_versions
from pipeline.errors import MISTAKE, InvalidRequest, MaquetteError, StageFailed
from pipeline.tensor import NUMPY_DTYPES

Arrays = dict[str, npt.NDArray[Any]]

FINAL = pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL
"""The flag that ends a decoupled model's stream."""


class ModelFailed(StageFailed):
    """A served model answered with an error, whose Triton code is passed on."""

    def __init__(self, model: str, error: Any) -> None:
        super().__init__(f"{model}: {error.message()}")
        self.code = error.code()


def version_folder(args: Mapping[str, str]) -> Path:
    """The folder of the model version being loaded, from ``initialize``'s `args`."""
    return Path(args["model_repository"]) / args["model_version"]


def read_json(args: Mapping[str, str], name: str) -> Any:
    """A JSON file that the exporter wrote beside ``model.py``.

    Raises:
        RuntimeError: it is not there; Triton shows the message as the reason the model is down.
    """
    path = version_folder(args) / name
    if not path.exists():
        raise RuntimeError(f"{path} is missing. Run `maquette export` first.")
    return json.loads(path.read_text(encoding="utf-8"))


def parameter(args: Mapping[str, str], name: str, default: int) -> int:
    """A whole number from ``parameters`` in the model's config.

    Raises:
        RuntimeError: it is none; Triton shows the message as the reason the model is down.
    """
    given = json.loads(args["model_config"]).get("parameters", {}).get(name)
    text = given["string_value"] if given else str(default)
    if not text.isdecimal():
        raise RuntimeError(f"parameter {name} of the config is {text!r}; give a whole number.")
    return int(text)


def inputs_of(request: Any) -> Arrays:
    """`request`'s inputs by name, as arrays."""
    return {tensor.name(): tensor.as_numpy() for tensor in request.inputs()}


def response(model: str, outputs: Mapping[str, Any]) -> Any:
    """A response with `outputs` in the dtypes that the contract gives them."""
    dtypes = {tensor.name: tensor.dtype for tensor in contract.MODELS[model].outputs}
    return tensors_response(
        {
            name: np.asarray(value, dtype=NUMPY_DTYPES[dtypes[name]])
            for name, value in outputs.items()
        }
    )


def tensors_response(outputs: Mapping[str, npt.NDArray[Any]]) -> Any:
    """A response with `outputs` as they are."""
    tensors = [pb_utils.Tensor(name, array) for name, array in outputs.items()]
    return pb_utils.InferenceResponse(output_tensors=tensors)


def error_response(error: Exception) -> Any:
    """`error` as a response with Triton's code for it; what we did not raise stays in the log."""
    code = pb_utils.TritonError.INTERNAL
    text = str(error)
    if isinstance(error, InvalidRequest):
        code, text = pb_utils.TritonError.INVALID_ARG, f"{MISTAKE}{error}"
    elif isinstance(error, ModelFailed):
        code = error.code
    elif not isinstance(error, MaquetteError):
        logging.exception("a model failed", exc_info=error)
        text = f"an unexpected {type(error).__name__}; the server's log has the details"
    return pb_utils.InferenceResponse(error=pb_utils.TritonError(text, code))


def answer_each(
    model: str, requests: list[Any], answer: Callable[[Arrays], Mapping[str, Any]]
) -> list[Any]:
    """One response per request; a request that fails leaves its batch-mates alone."""
    responses = []
    for request in requests:
        try:
            responses.append(response(model, answer(inputs_of(request))))
        except Exception as error:
            responses.append(error_response(error))
    return responses


async def infer(model: str, inputs: Mapping[str, npt.NDArray[Any]]) -> Arrays:
    """Run another served model and return its outputs.

    Args:
        model: as :mod:`pipeline.pinned_versions` names it.

    Raises:
        ModelFailed: it answered with an error.
    """
    names = [tensor.name for tensor in contract.MODELS[pinned_versions.base(model)].outputs]
    name, version = pinned_versions.name_and_version(model)
    call = pb_utils.InferenceRequest(
        model_name=name,
        # Triton would take the newest, which may be a candidate.
        model_version=version,
        requested_output_names=names,
        inputs=[
            pb_utils.Tensor(name, np.ascontiguousarray(array)) for name, array in inputs.items()
        ],
        preferred_memory=pb_utils.PreferredMemory(pb_utils.TRITONSERVER_MEMORY_CPU, 0),
    )
    answer = await call.async_exec()
    if answer.has_error():
        raise ModelFailed(model, answer.error())
    # Copied, because the arrays lie in shared memory that Triton takes back with the response.
    return {tensor.name(): np.array(tensor.as_numpy()) for tensor in answer.output_tensors()}
