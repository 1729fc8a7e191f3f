"""The engines of one set of versions, run from their files beside whatever serves them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from evaluation.in_process import Arrays, InProcess
from evaluation.painters import nearest_styles
from pipeline.errors import Unavailable
from pipeline.pinned_versions import EXPORTED
from pipeline.samplers import NoiseSchedule
from pipeline.topology import from_facts
from serving.onnx_network import OnnxNetwork
from training.bundled import style_pngs
from versions import manifest, trial
from versions.errors import Declined

ENGINE = "model.onnx"


def engine(repository: Path, versions: Mapping[str, int], network: str) -> Path:
    """Where the engine of `network` lies, if it is an ONNX file."""
    return repository / network / str(versions.get(network, EXPORTED)) / ENGINE


def runs_here(repository: Path, versions: Mapping[str, int], network: str) -> bool:
    """Whether the engine of `network` can be run on a CPU."""
    path = engine(repository, versions, network)
    if not path.exists():
        return False
    try:
        return trial.runs_here(manifest.read(path.parent).build)
    except Declined:
        # Exported before there were manifests, or so broken that running it will tell.
        return True


class Engines(InProcess):
    """The networks of a repository, in ONNX Runtime; each is loaded when it is first run.

    Args:
        versions: by the network's name; others take part as they were exported.

    Raises:
        Unavailable: what the exporter wrote is not there.
    """

    def __init__(self, repository: Path, versions: Mapping[str, int]) -> None:
        self._repository, self._versions = repository, versions
        self._loaded: dict[str, OnnxNetwork] = {}
        tokenizer = self._exported("tokenizer", "tokenizer.json")
        preprocessor = json.loads(self._exported("image_processor", "preprocessor_config.json"))
        facts = json.loads(self._exported("render", "pack.json"))
        super().__init__(tokenizer, preprocessor, from_facts(facts))

    def schedule(self) -> NoiseSchedule:
        """The forward process that the pack was trained on."""
        return NoiseSchedule.from_config(
            json.loads(self._exported("render", "scheduler_config.json"))
        )

    def run(self, network: str, **inputs: Any) -> Arrays:
        wanted = self.models[network]
        if network not in self._loaded:
            self._loaded[network] = OnnxNetwork(engine(self._repository, self._versions, network))
        taken = {tensor.name: inputs[tensor.name] for tensor in wanted.inputs}
        return dict(self._loaded[network].run([taken])[0])

    def denoise(self, inputs: Mapping[str, Any]) -> Arrays:
        return self.run("unet", **inputs, **self.run("controlnet", **inputs))

    def _exported(self, model: str, file: str) -> str:
        path = self._repository / model / str(EXPORTED) / file
        try:
            return path.read_text(encoding="utf-8")
        except OSError as error:
            remedy = "Build it with `make export`, or `maquette export --pack FOLDER`."
            raise Unavailable(f"{path} cannot be read: {error.strerror}. {remedy}") from error


class ClipEngines:
    """A :class:`evaluation.painters.Finder` over a CLIP pair that runs in this process."""

    def __init__(self, networks: InProcess) -> None:
        self.networks = networks
        self._library = np.stack([*map(self.embed_picture, style_pngs())])

    def styles_for_text(self, phrase: str) -> list[str]:
        return nearest_styles(self._library, self.embed_text(phrase))

    def styles_for_picture(self, picture: bytes) -> list[str]:
        return nearest_styles(self._library, self.embed_picture(picture))

    def embed_text(self, text: str) -> npt.NDArray[Any]:
        ids = self.networks.token_ids([text])
        return self.networks.run("clip_text", input_ids=ids)["text_embedding"][0]

    def embed_picture(self, picture: bytes) -> npt.NDArray[Any]:
        values = self.networks.picture(picture)[None]
        return self.networks.run("clip_image", pixel_values=values)["image_embedding"][0]
