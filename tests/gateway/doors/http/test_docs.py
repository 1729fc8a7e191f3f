"""docs/http.md, run as it stands."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import sys

from tests.conftest import ROOT
from tests.gateway.doors.http.conftest import serve

PAGE = (ROOT / "docs/http.md").read_text(encoding="utf-8")
ADDRESS = "127.0.0.1:8034"
OF_THE_TESTS = {"/v2/wrong", "/broken"}


async def test_every_block_runs(tmp_path):
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    async with serve(tmp_path) as served:
        address = served.url.removeprefix("http://")
        for language, block in re.findall(r"```(bash|python)\n(.*?)```", PAGE, re.DOTALL):
            code = block.replace(ADDRESS, address)
            program = ["bash", "-euo", "pipefail"] if language == "bash" else [sys.executable]
            running = await asyncio.create_subprocess_exec(
                *program, "-c", code, cwd=tmp_path, env={**os.environ, "HOST": address},
                stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
            )  # fmt: skip
            said, _ = await running.communicate()
            assert running.returncode == 0, f"{block}\n{said.decode()}"
            assert said or language == "python"
    assert (tmp_path / "out/house.png").read_bytes()[:4] == b"\x89PNG"
    assert (tmp_path / "render.png").read_bytes()[:4] == b"\x89PNG"


async def test_every_route_is_named(served):
    paths = (await served.client.get("/openapi.json")).json()["paths"]
    for path in paths.keys() - OF_THE_TESTS:
        plain = re.escape(path).replace(r"\{id\}", "[^/ ]+").replace(r"\{n\}", "[^/ ]+")
        assert re.search(rf'{plain}["`?]|{plain}/', PAGE), path
