"""Triton's own four clients, unmodified, each asked in the same way."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import tritonclient.grpc
import tritonclient.grpc.aio
import tritonclient.http
import tritonclient.http.aio
from tritonclient.utils import triton_to_np_dtype

from gateway.doors.openinference.model import INPUTS, OUTPUTS, PICTURES

MODEL = "sketch_to_render"


@dataclass(frozen=True)
class Flavour:
    """One way to ask: a client, and for HTTP whether tensors travel as JSON."""

    library: Any
    is_async: bool = False
    json: bool = False

    @property
    def is_http(self) -> bool:
        return "http" in self.library.__name__

    async def call(self, address: str, method: str, *arguments, **options) -> Any:
        """What the client's `method` answers."""
        client = self.library.InferenceServerClient(address)
        if self.is_async:
            async with client:
                return await getattr(client, method)(*arguments, **options)
        with client:
            return getattr(client, method)(*arguments, **options)

    async def infer(self, address: str, values: Mapping[str, list], outputs=None, **options) -> Any:
        wanted = self.outputs(outputs) if outputs or self.json else None
        return await self.call(
            address, "infer", MODEL, self.inputs(values), outputs=wanted, **options
        )

    def inputs(self, values: Mapping[str, list]) -> list[Any]:
        return [self._input(name, items) for name, items in values.items()]

    def outputs(self, names) -> list[Any]:
        how = {"binary_data": not self.json} if self.is_http else {}
        return [self.library.InferRequestedOutput(name, **how) for name in names or OUTPUTS]

    def values(self, result: Any, name: str) -> list[Any]:
        """An output as a list, its BYTES as bytes whichever way they came."""
        items = result.as_numpy(name).tolist()
        if self.json and name in PICTURES:
            return [base64.b64decode(item) for item in items]
        return [item.encode() if isinstance(item, str) else item for item in items]

    def _input(self, name: str, items: list) -> Any:
        dtype = INPUTS[name].dtype
        if self.json and name in PICTURES:
            items = [base64.b64encode(item) for item in items]
        array = np.array(items, dtype=triton_to_np_dtype(dtype))
        tensor = self.library.InferInput(name, list(array.shape), dtype)
        how = {"binary_data": not self.json} if self.is_http else {}
        tensor.set_data_from_numpy(array, **how)
        return tensor


FLAVOURS = {
    "grpc": Flavour(tritonclient.grpc),
    "grpc.aio": Flavour(tritonclient.grpc.aio, is_async=True),
    "http": Flavour(tritonclient.http),
    "http, JSON": Flavour(tritonclient.http, json=True),
    "http.aio": Flavour(tritonclient.http.aio, is_async=True),
    "http.aio, JSON": Flavour(tritonclient.http.aio, is_async=True, json=True),
}


def address_of(served: Any, flavour: Flavour) -> str:
    return served.http if flavour.is_http else served.grpc
