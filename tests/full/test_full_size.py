"""Stable Diffusion 1.5's own sizes on a CPU, from checkpoint files to a picture: `make test-full`.

The weights are random, so nothing is downloaded; layouts, names and shapes are the published ones.
What is slow is kept in out/full, and an interrupted run goes on.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from threading import Event, Thread

import numpy as np
import psutil
import pytest
from PIL import Image

from export.checkpoints import random
from export.networks import NAMES
from export.pack import Pack
from tests.conftest import ROOT
from tests.integration.reference import by_diffusers, picture, pixels
from tests.integration.stack import MAQUETTE, live_stack

WORK = ROOT / "out" / "full"
CHECKPOINTS, PACKS, REPOSITORY = WORK / "checkpoints", WORK / "packs", WORK / "repository"
PROMPT, SEED, STEPS, SIZE = "futuristic neon city at night", 7, 2, 512
SKETCH = ROOT / "examples" / "sketches" / "town-house.png"
STYLE = ROOT / "examples" / "styles" / "cyberpunk.png"
LARGEST_GB = 20


def python(*arguments):
    subprocess.run([sys.executable, *arguments], cwd=ROOT, check=True)


@pytest.fixture(scope="module")
def repository():
    """Engines of a pack made from checkpoints, by the commands that a user has."""
    if not (CHECKPOINTS / random.LORA).exists():
        python("-m", "export.checkpoints", CHECKPOINTS)
    python(
        "-m", "export", "--repository", REPOSITORY, "--packs", PACKS,
        "--pack", CHECKPOINTS / random.BASE,
        "--controlnet", CHECKPOINTS / random.CONTROLNET,
        "--ip-adapter", CHECKPOINTS / random.IP_ADAPTER / "ip-adapter_sd15.safetensors",
        "--image-encoder", CHECKPOINTS / random.IP_ADAPTER / "image_encoder",
        "--clip", CHECKPOINTS / random.CLIP,
    )  # fmt: skip
    return REPOSITORY


class PeakMemory:
    """The most that a stack's processes held at one time, shared pages counted once."""

    def __init__(self, processes):
        self.processes, self.total, self.by_name = processes, 0, {}
        self._stop = Event()
        self._thread = Thread(target=self._watch)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join()

    def _watch(self):
        while not self._stop.wait(0.5):
            now = {}
            for process in self.processes:
                name = name_of(process)
                now[name] = now.get(name, 0) + process.memory_full_info().pss
            self.total = max(self.total, sum(now.values()))
            self.by_name = {name: max(now[name], self.by_name.get(name, 0)) for name in now}


def name_of(process):
    """The model of a Triton Python process, or the program."""
    words = process.cmdline()
    model = next((Path(word).parts[-3] for word in words if "/1/model." in word), None)
    return model or Path(words[0]).name + (f" {words[3]}" if "gateway" in words else "")


@pytest.fixture(scope="module")
def rendered(repository):
    """The served picture; the stack has ended before anything else takes memory."""
    target = WORK / "render.png"
    options = ("--repository", str(repository), "--no-bundled-styles")
    with live_stack(WORK / "state", *options) as stack, PeakMemory(stack.processes()) as memory:
        started = time.monotonic()
        subprocess.run(
            [MAQUETTE, "render", SKETCH, PROMPT, "--style-image", STYLE, "--steps", str(STEPS),
             "--seed", str(SEED), "--scheduler", "ddim", "--server", stack.address,
             "-o", target, "--board", WORK / "board.png"],
            check=True, timeout=1200,
        )  # fmt: skip
        seconds = time.monotonic() - started
    report = {
        "seconds": round(seconds, 1),
        "gigabytes": round(memory.total / 1e9, 2),
        "gigabytes_by_process": {
            name: round(used / 1e9, 2)
            for name, used in sorted(memory.by_name.items(), key=lambda pair: -pair[1])
        },
    }
    (WORK / "report.json").write_text(json.dumps(report, indent=2) + "\n")
    print(json.dumps(report, indent=2))
    return target.read_bytes(), report


def test_every_network_agrees_with_torch(repository):
    for network in NAMES:
        record = json.loads((repository / network / "1" / "manifest.json").read_text())
        assert record["build"] == {"engine": "onnx", "precision": "fp32"}
        assert record["pack"] == next(PACKS.iterdir()).name
        assert 0 < record["error"] <= 3e-5, network


def test_a_picture_of_512_pixels_in_bounded_memory(rendered):
    png, report = rendered
    with Image.open(WORK / "render.png") as image:
        assert (image.format, image.size) == ("PNG", (SIZE, SIZE))
    assert pixels(png).std() > 10
    assert report["gigabytes"] <= LARGEST_GB
    assert set(NAMES) <= set(report["gigabytes_by_process"])


def test_it_is_diffusers_picture(rendered):
    (folder,) = PACKS.iterdir()
    expected = by_diffusers(
        Pack(folder).pipeline, SKETCH.read_bytes(), "ddim", STEPS, prompt=PROMPT,
        negative_prompt="", ip_adapter_image=picture(STYLE.read_bytes()), seed=SEED,
        width=SIZE, height=SIZE,
    )  # fmt: skip
    found = pixels(rendered[0])
    largest = int(np.abs(found - expected).max())
    print(f"largest difference from diffusers: {largest} of 255")
    assert largest <= 2


@pytest.fixture(scope="module", autouse=True)
def room():
    free = psutil.disk_usage(ROOT).free
    needed = 0 if REPOSITORY.exists() else 20e9
    assert free > needed, f"{needed / 1e9:.0f} GB are needed in {WORK}, {free / 1e9:.0f} are free"
