"""The gate: whether a candidate may take the champion's place."""

from __future__ import annotations

import math
import shutil
from collections.abc import Mapping
from pathlib import Path

from evaluation import compare, denoising, gate_report, golden, thresholds
from evaluation.cases import Case, cases
from evaluation.compare import Comparison
from evaluation.console import Task, progress_bar
from evaluation.engines import ClipEngines, Engines, runs_here
from evaluation.measures import STYLE_PICTURES, image_retrieval, text_retrieval
from evaluation.stylometry import Stylometer
from maquette.client import Client
from pipeline import pinned_versions
from pipeline.errors import InvalidRequest, NotFound, Unavailable
from versions import aliases
from versions.aliases import CLIP, PAIR
from versions.gates import MADE, Verdict

RENDERS = 16
"""Held-out scenes, unless said otherwise."""
NOISED = 8
"""Held-out scenes whose pictures are noised."""
SERVED_SECONDS = 60.0
"""For the gateway to load what was published a moment ago."""
BEYOND = 1000.0
"""Stands for a ratio that is infinite or no number, which JSON cannot say."""


def main(  # noqa: PLR0913 - one parameter per option
    repository: Path,
    server: str,
    api_key: str | None,
    ca: Path | None,
    tls: bool,
    model: str,
    version: int,
    thresholds_file: Path | None = None,
    golden_folder: Path | None = None,
    out: Path = Path("out/gate"),
    renders: int | None = None,
    progress: Task = progress_bar,
) -> Verdict:
    """Try version `version` of `model` beside the champion, and write a report with pictures.

    Args:
        repository: the model repository that the gateway serves.
        server: the gateway, as ``host:port``; ``clip`` needs none.
        model: a network that is painted with, or ``clip``.
        version: its candidate.
        thresholds_file: TOML; what it leaves out is as in ``evaluation/thresholds.toml``.
        golden_folder: sketches of your own, see :func:`evaluation.golden.of_folder`; the held-out
            scenes of the evaluation without it.
        out: gets a folder ``<model>-<version>``.
        renders: scenes, at most; without it all of the folder, or 16 that are held out.

    Raises:
        InvalidRequest: `version` is not the candidate, or the thresholds are none.
        NotFound: there is no golden set, or no file of thresholds.
        Unavailable: these versions are not served.
        CallFailed: the gateway does not answer, or the champion does not paint.
    """
    snapshot = aliases.read(repository)
    _require_candidate(model, version, snapshot.of(model).candidate)
    folder = out / f"{model}-{version}"
    if model == PAIR:
        limits = thresholds.read("clip", thresholds_file)
        champion = dict.fromkeys(CLIP, snapshot.of(PAIR).champion)
        served_versions = {"champion": champion, "candidate": dict.fromkeys(CLIP, version)}
        found = clip_measures(repository, served_versions, progress)
        return _decide(served_versions, found, limits, [], folder)
    limits = thresholds.read("paint", thresholds_file)
    scenes = (
        golden.of_folder(golden_folder, renders)
        if golden_folder
        else golden.held_out(renders or RENDERS)
    )
    served_versions = {side: snapshot.pinned(side).versions for side in compare.SIDES}
    with Client(server, api_key, ca, tls=tls) as client:
        compare.wait_for(client, served_versions, SERVED_SECONDS)
        with progress("renders", compare.renders_to_make(len(scenes))) as advance:
            comparisons = compare.fight(client, scenes, served_versions, advance)
    found = {MADE: float(len(comparisons))} | compare.measured(comparisons, Stylometer.bundled())
    found |= network_measures(repository, served_versions, progress)
    return _decide(served_versions, found, limits, comparisons, folder)


def network_measures(
    repository: Path, served_versions: Mapping[str, Mapping[str, int]], progress: Task
) -> dict[str, float]:
    """What the engines of both are wrong by, from their files; nothing where a CPU cannot run them.

    Renders hide what these show: see ``evaluation/thresholds.toml``.
    """
    networks = (*pinned_versions.NETWORKS, "vae_encoder")
    if not all(
        runs_here(repository, one, name) for one in served_versions.values() for name in networks
    ):
        return {}
    sides = {side: Engines(repository, versions) for side, versions in served_versions.items()}
    asked: list[Case] = cases(NOISED)
    with progress("noised pictures", len(sides) * NOISED) as advance:
        wrong = {
            side: denoising.errors(engines, engines.schedule(), asked, advance)
            for side, engines in sides.items()
        }
    return {
        key: figure
        for name in denoising.NAMES
        for key, figure in _ratio(name, wrong["champion"][name], wrong["candidate"][name]).items()
    }


def clip_measures(
    repository: Path, served_versions: Mapping[str, Mapping[str, int]], progress: Task
) -> dict[str, float]:
    """What held-out phrases and style pictures find with the pairs of both, run from their files.

    Raises:
        Unavailable: a pair is made for a GPU.
    """
    found = {}
    with progress("pairs", len(served_versions)) as advance:
        for side, versions in served_versions.items():
            unfit = [name for name in CLIP if not runs_here(repository, versions, name)]
            if unfit:
                raise Unavailable(
                    f"The engine of {unfit[0]} {versions[unfit[0]]} does not run on a CPU, where "
                    f"the gate of {PAIR} runs. Try it, and promote it with `force` and `why`."
                )
            finder = ClipEngines(Engines(repository, versions))
            found[side] = {**text_retrieval(finder), **image_retrieval(finder, STYLE_PICTURES)}
            advance()
    measures: dict[str, float] = {}
    for name in ("text_top1", "text_top3", "image_top1"):
        champion, candidate = found["champion"][name], found["candidate"][name]
        measures |= {name: candidate, f"{name}_champion": champion}
        measures[f"{name}_loss"] = round(champion - candidate, 4)
    return measures


def _require_candidate(model: str, version: int, candidate: int | None) -> None:
    if candidate is None:
        raise NotFound(f"{model} has no candidate. `maquette models publish` one.")
    if version != candidate:
        remedy = f"The gate of {model} tries its candidate."
        raise InvalidRequest("version", version, str(candidate), remedy)


def _decide(
    served_versions: Mapping[str, Mapping[str, int]],
    measures: Mapping[str, float],
    limits: thresholds.Thresholds,
    comparisons: list[Comparison],
    folder: Path,
) -> Verdict:
    missed = tuple(thresholds.missed(measures, limits))
    verdict = Verdict(
        not missed,
        served_versions["candidate"],
        served_versions["champion"],
        measures,
        missed,
        str(folder / gate_report.PAGE),
    )
    # Not before: a gate that breaks off leaves the report on the verdict that is kept.
    shutil.rmtree(folder, ignore_errors=True)
    gate_report.write(verdict, limits, comparisons, folder)
    return verdict


def _ratio(name: str, champion: float, candidate: float) -> dict[str, float]:
    ratio = candidate / champion if champion else math.inf
    finite = math.isfinite(ratio)
    return {
        name: round(candidate, 6) if math.isfinite(candidate) else BEYOND,
        f"{name}_champion": round(champion, 6),
        f"{name}_ratio": round(min(ratio, BEYOND), 4) if finite else BEYOND,
    }
