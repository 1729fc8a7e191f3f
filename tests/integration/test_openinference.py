"""Clients of the Open Inference Protocol, unmodified, on the real thing."""

from __future__ import annotations

import io
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from maquette.v1 import maquette_pb2 as pb
from tests.conftest import ROOT
from tests.gateway.doors.openinference.clients import FLAVOURS, MODEL
from tools.perf_analyzer import perf_analyzer

PAGE = ROOT / "docs" / "open-inference-protocol.md"


def pixels(png: bytes):
    return np.asarray(Image.open(io.BytesIO(png)))


def address_of(live, flavour) -> str:
    return live.http_address if flavour.is_http else live.address


def blocks(language: str, live) -> list[str]:
    """The page's examples, at the ports of `live`."""
    text = PAGE.read_text().replace("127.0.0.1:8033", live.address)
    text = text.replace("127.0.0.1:8034", live.http_address)
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


@pytest.mark.parametrize("flavour", FLAVOURS.values(), ids=FLAVOURS)
async def test_the_picture_is_the_one_that_maquettes_own_protocol_gives(
    live, stub, request_for, sketch, flavour
):
    own = stub.Render(request_for())
    values = {
        "sketch": [sketch],
        "prompt": [own_prompt(request_for)],
        "style": [b"cyberpunk"],
        "seed": [11],
        "num_inference_steps": [4],
    }
    result = await flavour.infer(address_of(live, flavour), values)
    (image,) = flavour.values(result, "image")
    assert np.array_equal(pixels(image), pixels(own.images[0].png))
    assert flavour.values(result, "seed") == [own.images[0].seed]
    assert flavour.values(result, "structure_f1") == pytest.approx([own.images[0].structure_f1])
    (control_image,) = flavour.values(result, "control_image")
    assert control_image == own.control_image
    assert flavour.values(result, "style") == [b"cyberpunk"]
    assert flavour.values(result, "style_score") == []


def own_prompt(request_for) -> bytes:
    return request_for().prompt.encode()


@pytest.mark.parametrize("flavour", [FLAVOURS["grpc"], FLAVOURS["http"]], ids=["grpc", "http"])
async def test_the_style_is_the_one_that_a_search_finds(live, stub, request_for, sketch, flavour):
    prompt = own_prompt(request_for)
    (found,) = stub.SearchStyles(pb.SearchStylesRequest(prompt=prompt, limit=1)).styles
    values = {"sketch": [sketch], "prompt": [prompt], "num_inference_steps": [1]}
    result = await flavour.infer(address_of(live, flavour), values)
    assert flavour.values(result, "style") == [found.style.id.encode()]
    assert flavour.values(result, "style_score") == pytest.approx([found.score], abs=1e-4)


async def test_its_statistics_tell_where_the_time_goes(live, request_for, sketch):
    flavour = FLAVOURS["grpc.aio"]
    values = {"sketch": [sketch], "prompt": [own_prompt(request_for)], "num_inference_steps": [1]}
    await flavour.infer(live.address, values)
    told = await flavour.call(live.address, "get_inference_statistics", MODEL)
    (statistics,) = told.model_stats
    assert statistics.inference_count == statistics.inference_stats.success.count >= 1
    for stage in ("compute_input", "compute_infer", "compute_output"):
        assert getattr(statistics.inference_stats, stage).ns > 0


def test_the_pages_examples_work(live, tmp_path):
    """Its Python as it stands, then its perf_analyzer over gRPC and HTTP."""
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    for code in blocks("python", live):
        subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True, timeout=120)
    assert pixels((tmp_path / "villa.png").read_bytes()).ndim == 3
    (commands,) = blocks("bash", live)
    for command in commands.splitlines():
        _, *options = shlex.split(command)
        result = perf_analyzer().run(*in_folder(options, tmp_path))
        assert result.returncode == 0, result.stdout
        throughputs = re.findall(r"throughput: ([\d.]+) infer/sec", result.stdout, re.IGNORECASE)
        assert throughputs, result.stdout
        assert min(map(float, throughputs)) > 0


def in_folder(options: list[str], folder: Path) -> list[str]:
    return [str(folder / option) if option.endswith(".json") else option for option in options]
