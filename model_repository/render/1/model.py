"""The denoising loop as a decoupled model: one response per step, the last with the pictures."""

from __future__ import annotations

import asyncio
import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from pipeline import topology, triton, wire
from pipeline.painter import PackFacts
from pipeline.preview import LatentRgb
from pipeline.render import Rendered, render
from pipeline.samplers import NoiseSchedule
from pipeline.vae import require_tile

MAX_THREADS = 64


class Cancelled(Exception):
    """The caller has gone; nobody reads what this render would send."""


class TritonPythonModel:
    """Triton's interface to ``pipeline.render``. Many renders interleave in one process."""

    def initialize(self, args: dict[str, str]) -> None:
        """Read what the exporter told of the pack."""
        facts = triton.read_json(args, "pack.json")
        self.identity = wire.pack_identity(facts)
        structure = topology.from_facts(facts)
        self.pack = PackFacts(
            NoiseSchedule.from_config(triton.read_json(args, "scheduler_config.json")),
            int(facts["native_size"]),
            require_tile(triton.parameter(args, "vae_tile", default=0)),
            _latent_rgb(args, structure),
            bool(facts.get("few_steps", False)),
            structure,
        )
        # Each call to another model holds a thread while it waits; asyncio's default of a few per
        # core would keep renders from stepping together.
        self.threads = ThreadPoolExecutor(MAX_THREADS)

    async def execute(self, requests: list[Any]) -> None:
        """Start a loop per request; later calls start theirs while these run."""
        asyncio.get_running_loop().set_default_executor(self.threads)
        await asyncio.gather(*(self.serve(request) for request in requests))

    async def serve(self, request: Any) -> None:
        """Run one render and stream its steps."""
        sender = request.get_response_sender()

        async def on_step(step: int, steps: int, previews: tuple[bytes, ...]) -> None:
            if request.is_cancelled():
                raise Cancelled
            preview = {"preview": previews} if previews else {}
            told = {"step": [step], "steps": [steps], **preview}
            sender.send(triton.response("render", told))

        # What ends the stream goes out together with the flag that says so: Triton 24.10 crashes
        # when a flag follows an error on a stream that reports errors as gRPC statuses.
        try:
            wanted, pinned = wire.from_tensors(triton.inputs_of(request))
            rendered = await render(triton.infer, wanted, self.pack, on_step, pinned)
            outputs = {**_outputs(rendered), "pack": [self.identity]}
            sender.send(triton.response("render", outputs), triton.FINAL)
        except Cancelled:
            sender.send(flags=triton.FINAL)
        except Exception as error:
            sender.send(triton.error_response(error), triton.FINAL)


def _latent_rgb(args: dict[str, str], structure: topology.Topology) -> LatentRgb | None:
    """None beside an export of before there were previews."""
    name = "latent_rgb.json"
    if not (triton.version_folder(args) / name).exists():
        return None
    return LatentRgb.from_config(triton.read_json(args, name), structure)


def _outputs(rendered: Rendered) -> dict[str, Any]:
    return {
        "images": rendered.images,
        "control_image": [rendered.control_image],
        "seeds": rendered.seeds,
        "sketch_kind": [rendered.sketch_kind.encode()],
        "structure_f1": rendered.structure_f1,
        "warnings": [warning.encode() for warning in rendered.warnings],
        "condition_seconds": [rendered.condition_seconds],
        "denoise_seconds": [rendered.denoise_seconds],
        "decode_seconds": [rendered.decode_seconds],
        "steps": [rendered.steps],
        "versions": [json.dumps(rendered.versions).encode()],
    }
