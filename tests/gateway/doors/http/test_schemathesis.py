"""schemathesis against /openapi.json, with all its checks: what it says is what is so."""

from __future__ import annotations

import asyncio
import os
import sys

import pytest

from gateway.auth.caller import Scope
from gateway.doors.http.dependencies import admitted
from gateway.doors.openinference.rest import router
from gateway.doors.openinference.virtual_model import VirtualModel
from tests.amounts import sample
from tests.conftest import ROOT
from tests.gateway.doors.http.conftest import serve
from tests.gateway.doors.http.test_openapi import Following
from tests.gateway.versioned import MODEL, versioned
from tests.versions.engines import write_version
from versions import sources

CONFIG = ROOT / "tests" / "gateway" / "doors" / "http" / "schemathesis.toml"


SOME = ["--phases", "examples,fuzzing", "--max-examples", "2"]
"""A sample of what it draws."""


@pytest.mark.parametrize("drawn", sample([SOME, []], [SOME]), ids=["some", "all"])
async def test_the_document_is_what_is_so(tmp_path, monkeypatch, drawn):
    incoming = tmp_path / "incoming"
    # Engines are tried in processes, which have tests of their own.
    monkeypatch.setattr(sources, "try_one", lambda *arguments: None)
    repository = versioned(tmp_path / "repository")
    write_version(incoming / "new", MODEL, seed=9)
    async with serve(
        tmp_path,
        other_door=open_inference,
        auth="required",
        repository=repository,
        incoming=incoming,
    ) as served:
        served.painter.served_versions = Following(repository)
        name, key = next(iter(served.key(Scope.ADMIN).items()))
        running = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "schemathesis.cli", "--config-file", CONFIG, "run",
            f"{served.url}/openapi.json", "--checks", "all", "--header", f"{name}: {key}",
            *drawn,
            cwd=tmp_path,
            env={**os.environ, "SCHEMATHESIS_HOOKS": "tests.gateway.doors.http.generated",
                 "PYTHONPATH": str(ROOT)},
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        told, _ = await running.communicate()
    assert running.returncode == 0, told.decode()


def open_inference(served):
    return router(VirtualModel(served.renders, served.is_ready, "0"), admitted)
