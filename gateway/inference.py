"""Triton as the gateway sees it: two embeddings and a stream of render steps."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import grpc
import numpy as np
import numpy.typing as npt
from tritonclient.grpc import InferInput
from tritonclient.grpc import aio as triton
from tritonclient.utils import InferenceServerException

from pipeline import contract, wire
from pipeline.errors import MaquetteError, StageFailed, Unavailable
from pipeline.request import RenderRequest

Arrays = Mapping[str, npt.NDArray[Any]]
Vector = npt.NDArray[np.float32]

REPORT_STATUS = {"triton_grpc_error": "true"}
"""Makes Triton end a stream with a gRPC status instead of hiding the error in a message."""

READY_SECONDS = 1.0
# Triton stands beside the gateway, so no proxy of the environment's has a part in it.
CHANNEL = [
    ("grpc.enable_http_proxy", 0),
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
]

log = logging.getLogger("maquette.gateway")


class CallerError(MaquetteError):
    """A served model found the caller's input wrong; its message names the field."""


class Inference:
    """The served models that the gateway calls by name.

    Args:
        stall_seconds: how long Triton may be silent before a call is given up.
    """

    def __init__(self, client: triton.InferenceServerClient, stall_seconds: float) -> None:
        self._client = client
        self._stall_seconds = stall_seconds

    async def is_ready(self) -> bool:
        """Whether Triton answers and every model is loaded."""
        try:
            return bool(await self._client.is_server_ready(client_timeout=READY_SECONDS))
        except InferenceServerException:
            return False

    async def embed_text(self, prompt: str) -> Vector:
        """The retrieval vector ``[512]`` of a sentence."""
        outputs = await self._infer("embed_text", {"text": np.array([[prompt.encode()]], object)})
        return np.asarray(outputs["text_embedding"][0])

    async def embed_image(self, png: bytes) -> Vector:
        """The retrieval vector ``[512]`` of a picture."""
        outputs = await self._infer("embed_image", {"image": np.array([[png]], object)})
        return np.asarray(outputs["image_embedding"][0])

    async def render(self, request: RenderRequest) -> AsyncGenerator[Arrays]:
        """The outputs of the ``render`` model: ``step`` each time, the pictures last.

        Closing the iterator cancels the render at its next step.
        """

        async def requests() -> AsyncIterator[dict[str, Any]]:
            yield {"model_name": "render", "inputs": _inputs("render", wire.to_tensors(request))}

        stream = self._client.stream_infer(requests(), headers=REPORT_STATUS)
        try:
            while True:
                async with asyncio.timeout(self._stall_seconds):
                    result, error = await anext(stream)
                if error is not None:
                    raise error
                if result.get_response().outputs:
                    yield _outputs("render", result)
        except StopAsyncIteration:
            return
        except TimeoutError as error:
            raise Unavailable(_not_served("render")) from error
        except (InferenceServerException, grpc.RpcError) as error:
            raise _translated("render", error) from error
        finally:
            stream.cancel()

    async def _infer(self, model: str, arrays: Arrays) -> Arrays:
        try:
            result = await self._client.infer(
                model, _inputs(model, arrays), client_timeout=self._stall_seconds
            )
        except InferenceServerException as error:
            raise _translated(model, error) from error
        return _outputs(model, result)


def _inputs(model: str, arrays: Arrays) -> list[InferInput]:
    inputs = []
    for name, array in arrays.items():
        tensor = InferInput(name, array.shape, contract.MODELS[model].input(name).dtype)
        tensor.set_data_from_numpy(array)
        inputs.append(tensor)
    return inputs


def _outputs(model: str, result: Any) -> Arrays:
    names = [tensor.name for tensor in contract.MODELS[model].outputs]
    found = {name: result.as_numpy(name) for name in names}
    return {name: array for name, array in found.items() if array is not None}


def _translated(model: str, error: Exception) -> MaquetteError:
    """Triton's error as one of ours."""
    status, message = _status(error)
    if "INVALID_ARGUMENT" in status:
        return CallerError(message)
    if any(word in status for word in ("UNAVAILABLE", "DEADLINE_EXCEEDED", "NOT_FOUND")):
        return Unavailable(_not_served(model))
    log.error("%s failed: %s %s", model, status, message)
    return StageFailed(f"The model {model} failed; the server's log has the details.")


def _not_served(model: str) -> str:
    return f"Triton does not serve {model} at the moment. Try again shortly."


def _status(error: Exception) -> tuple[str, str]:
    if isinstance(error, grpc.aio.AioRpcError):
        return error.code().name, error.details() or ""
    if isinstance(error, InferenceServerException):
        return str(error.status() or ""), str(error.message())
    return "", str(error)


@asynccontextmanager
async def connect(address: str, stall_seconds: float) -> AsyncIterator[Inference]:
    """A connection to Triton's gRPC service at `address`, closed at the end of the block."""
    client = triton.InferenceServerClient(address, channel_args=CHANNEL)
    try:
        yield Inference(client, stall_seconds)
    finally:
        await client.close()
