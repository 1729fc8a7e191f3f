"""What Triton holds, and how that changes while it serves."""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Collection, Mapping
from pathlib import Path

from google.protobuf import json_format, text_format
from tritonclient.grpc import aio as triton
from tritonclient.grpc.model_config_pb2 import ModelConfig
from tritonclient.utils import InferenceServerException

from pipeline import contract
from pipeline.errors import MaquetteError, Unavailable
from pipeline.pinned_versions import EXPORTED
from versions import configs

ASK_SECONDS = 5.0
LOAD_SECONDS = 300.0
"""For several versions of the largest network."""
NO_FILE = {"file:1/none": b"none"}
"""Triton takes a model that is in no folder only with a file of its own."""


SHOWN = 500
"""Characters of what Triton says about a model that it did not load."""

log = logging.getLogger("maquette.gateway")


class NotLoaded(MaquetteError):
    """Triton was asked to load something, and could not."""


class Away(Unavailable):
    """Triton does not answer."""

    def __init__(self) -> None:
        super().__init__("Triton does not answer at the moment.")


class Loader:
    """Has Triton load and unload versions of networks, and ensembles around them.

    Args:
        client: of Triton.
        repository: the model repository, for the configs that are written by hand.
        lock: held while a model is loaded, so that no two load the same one with two configs.
    """

    def __init__(
        self, client: triton.InferenceServerClient, repository: Path, lock: asyncio.Lock
    ) -> None:
        self.repository = repository
        self._client = client
        self._lock = lock

    async def is_ready(self) -> bool:
        """Whether Triton has loaded what it was started with."""
        try:
            return bool(await self._client.is_server_ready(client_timeout=ASK_SECONDS))
        except InferenceServerException:
            return False

    async def holds(self, model: str, version: int = EXPORTED) -> bool:
        """Whether that version of `model` answers.

        Raises:
            Unavailable: Triton does not.
        """
        try:
            return bool(
                await self._client.is_model_ready(model, str(version), client_timeout=ASK_SECONDS)
            )
        except InferenceServerException as error:
            raise Away from error

    async def held(self) -> dict[str, frozenset[int]]:
        """The versions of each model that answer, by its name.

        Raises:
            Unavailable: Triton does not.
        """
        try:
            index = await self._client.get_model_repository_index(client_timeout=ASK_SECONDS)
        except InferenceServerException as error:
            raise Away from error
        found: defaultdict[str, set[int]] = defaultdict(set)
        for model in index.models:
            if model.state == "READY":
                found[model.name].add(int(model.version))
        return {name: frozenset(versions) for name, versions in found.items()}

    def has_few_steps(self) -> bool:
        """Whether there is a UNet that paints in few steps."""
        return configs.has_engine(self.repository, f"unet/{contract.FEW_STEPS_VERSION}")

    async def write_configs(self, versions: Mapping[str, Collection[int]]) -> None:
        """Hold Triton to `versions` of each network from its next look at it.

        Raises:
            NotLoaded: the repository cannot be written to.
        """
        for network, wanted in versions.items():
            try:
                await asyncio.to_thread(configs.hold, self.repository, network, wanted)
            except OSError as error:
                raise NotLoaded(
                    f"the configs in {self.repository} cannot be written ({error.strerror}). "
                    "Let the gateway write there."
                ) from error

    async def settle(self, network: str) -> None:
        """Have those versions of `network` loaded that its config names; what runs goes on.

        Raises:
            NotLoaded: Triton could not.
            Unavailable: Triton does not answer.
        """
        async with self._lock:
            try:
                await self._client.load_model(network, client_timeout=LOAD_SECONDS)
            except InferenceServerException as error:
                raise _told(network, error) from error

    async def load_ensemble(self, name: str, written: str, pins: Mapping[str, int]) -> None:
        """Load the ensemble `written` in the repository under another `name`.

        Args:
            pins: the version of each network, in place of the exported one.

        Raises:
            NotLoaded: Triton could not.
            Unavailable: Triton does not answer, or the repository cannot be read.
        """
        async with self._lock:
            try:
                if name == written:
                    await self._client.load_model(name, client_timeout=LOAD_SECONDS)
                else:
                    config = await asyncio.to_thread(self._pinned, name, written, pins)
                    await self._client.load_model(
                        name, config=config, files=NO_FILE, client_timeout=LOAD_SECONDS
                    )
            except InferenceServerException as error:
                raise _told(name, error) from error

    async def unload(self, name: str) -> None:
        """Let go of a model; one that is not held is no mistake.

        Raises:
            Unavailable: Triton does not answer.
        """
        async with self._lock:
            try:
                await self._client.unload_model(name, client_timeout=ASK_SECONDS)
            except InferenceServerException as error:
                raise _told(name, error) from error

    def _pinned(self, name: str, written: str, pins: Mapping[str, int]) -> str:
        path = self.repository / written / "config.pbtxt"
        try:
            config = text_format.Parse(path.read_text(encoding="utf-8"), ModelConfig())
        except OSError as error:
            raise Unavailable(f"{path} cannot be read ({error.strerror}).") from error
        config.name = name
        for step in config.ensemble_scheduling.step:
            # Another version that is written there is meant: the UNet for few steps.
            if step.model_version == EXPORTED:
                step.model_version = pins.get(step.model_name, EXPORTED)
        return json_format.MessageToJson(config, preserving_proto_field_name=True)


def _told(model: str, error: InferenceServerException) -> MaquetteError:
    if "UNAVAILABLE" in str(error.status()):
        return Away()
    log.error("Triton did not load %s: %s", model, error.message())
    return NotLoaded(f"Triton did not load {model}: {error.message()[:SHOWN]}")
