"""A gRPC server that asks who calls, over a repository of versions."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from gateway.auth.caller import Scope
from gateway.auth.keys import KeyStore
from gateway.doors.grpc.server import make_server
from gateway.doors.grpc.servicer import MaquetteServicer
from gateway.doors.openinference.servicer import OpenInferenceServicer
from gateway.doors.openinference.virtual_model import VirtualModel
from gateway.settings import Settings
from maquette.client import AsyncClient, CallFailed
from tests.gateway.fakes import Stage, staged
from tests.gateway.versioned import MODEL, versioned
from versions import aliases


@dataclass
class Door:
    """A server that asks who calls, and what is behind it."""

    address: str
    key: str
    """Of an administrator."""
    who: str
    """The administrator, as the gateway calls them."""
    stage: Stage
    settings: Settings

    @property
    def repository(self) -> Path:
        return self.settings.repository

    def of(self, model=MODEL):
        return aliases.read(self.repository).of(model)

    def audited(self):
        lines = map(json.loads, self.settings.audit.read_text().splitlines())
        return [(line["action"], line["ids"], line["outcome"]) for line in lines]


@pytest.fixture
def repository(tmp_path):
    return versioned(tmp_path / "repository")


@pytest.fixture
async def door(tmp_path, repository):
    settings = Settings(
        auth="required", keys=tmp_path / "keys.json", library=tmp_path / "library",
        audit=tmp_path / "audit.log", repository=repository,
        incoming=tmp_path / "incoming",
    )  # fmt: skip
    known, key = KeyStore(settings.keys).create("ada", {Scope.ADMIN})
    async with staged(settings) as stage:
        model = VirtualModel(stage.parts.renders, stage.parts.inference.is_ready, "0")
        other = OpenInferenceServicer(model, stage.parts.desk)
        server, _ = make_server(MaquetteServicer(stage.parts), other, 64)
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        yield Door(f"127.0.0.1:{port}", key, f"key:{known.id}", stage, settings)
        await server.stop(0)


@pytest.fixture
async def client(door):
    async with AsyncClient(door.address, door.key) as client:
        yield client


async def refused(call):
    with pytest.raises(CallFailed) as failed:
        await call
    return failed.value.code, str(failed.value)
