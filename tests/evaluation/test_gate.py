# ruff: noqa: N802 - the methods are called as the protocol calls them
"""The gate, before a server whose pictures are known to be good or bad."""

from __future__ import annotations

import json
from contextlib import contextmanager

import numpy as np
import pytest
from grpc import StatusCode
from grpc_status import rpc_status

from evaluation import compare, denoising, gate, thresholds
from evaluation.cases import cases
from evaluation.compare import SIDES, Comparison, Made, renders_to_make
from evaluation.golden import Scene, held_out, of_folder
from evaluation.in_process import InProcess
from evaluation.similarity import ms_ssim
from maquette.client import CallFailed
from maquette.v1 import maquette_pb2 as pb
from maquette.v1.maquette_pb2_grpc import MaquetteServiceServicer
from pipeline.errors import Cancelled, InvalidRequest, NotFound, Unavailable
from pipeline.images import encode_png
from pipeline.pinned_versions import PinnedVersions
from pipeline.samplers import NoiseSchedule
from pipeline.topology import SD15
from tests.maquette.little_gateway import refusal, serving
from versions import aliases
from versions.aliases import Aliases
from versions.gates import MADE

RENDERS = 2
TRUTHS = {case.index: case.truth() for case in cases(4)}
LINE_UPS = {"champion": PinnedVersions(unet=1), "candidate": PinnedVersions(unet=3)}


class Studio(MaquetteServiceServicer):
    """Paints the truth; the candidate's goes through `spoil` first.

    Attributes:
        made_by: what a reply says that each alias is.
        seconds: of a render by each alias, beside 5 s in the queue.
        full: renders that are still to be refused because others are made.
    """

    def __init__(self, spoil=lambda picture, _count: picture):
        self.spoil = spoil
        self.asked = []
        self.served = dict(LINE_UPS)
        self.made_by = dict(LINE_UPS)
        self.seconds = {"champion": 2.0, "candidate": 2.0}
        self.problem = ""
        self.infos = 0
        self.full = 0

    def Render(self, request, context):
        if self.full:
            self.full -= 1
            context.abort_with_status(rpc_status.to_status(refusal(StatusCode.RESOURCE_EXHAUSTED)))
        self.asked.append((request.seed, request.versions))
        picture = TRUTHS.get(request.seed, TRUTHS[0])
        if request.versions == "candidate":
            picture = self.spoil(picture, len(self.asked))
            if picture is None:
                context.abort(StatusCode.INTERNAL, "The stage denoiser failed.")
        seconds = self.seconds[request.versions]
        return pb.RenderResponse(
            images=[pb.RenderedImage(png=encode_png(picture), seed=request.seed)],
            versions=self.made_by[request.versions].versions,
            timings=pb.Timings(queue_seconds=5, total_seconds=5 + seconds),
        )

    def ServerInfo(self, request, context):
        self.infos += 1
        told = [
            pb.PinnedVersions(alias=alias, versions=pinned.versions)
            for alias, pinned in self.served.items()
        ]
        return pb.ServerInfoResponse(served_versions=told, problem=self.problem)


@pytest.fixture
def repository(tmp_path):
    folder = tmp_path / "repository"
    aliases.write(folder, "unet", Aliases(champion=1, candidate=3))
    return folder


@contextmanager
def silent(what, total):
    yield lambda: None


def judged(studio, repository, out, **options):
    given = {"model": "unet", "version": 3, "renders": RENDERS, "progress": silent} | options
    with serving(studio) as address:
        return gate.main(repository, address, None, None, False, out=out / "gate", **given)


def half(picture):
    return picture // 2 + 64


def other_scene(picture, _):
    return np.ascontiguousarray(picture[::-1])


def flickering(picture, count):
    return np.where(picture < 250, picture + 3 * (count % 2), picture).astype(np.uint8)


@pytest.mark.parametrize(
    ("spoil", "names"),
    [
        (other_scene, {"structure_f1_loss", "perceptual_distance"}),
        (lambda picture, _: np.full_like(picture, 128), {"blank_renders", "structure_f1_loss",
                                                         "style_accuracy_loss",
                                                         "perceptual_distance"}),
        (lambda picture, _: None, {"failed_renders", "structure_f1_loss", "style_accuracy_loss",
                                   "perceptual_distance"}),
        (lambda picture, _: np.ascontiguousarray(255 - picture), {"style_accuracy_loss",
                                                                  "perceptual_distance"}),
        (flickering, {"repeat_difference"}),
    ],
    ids=["upside down", "blank", "failed", "negative", "flickering"],
)  # fmt: skip
def test_a_bad_candidate_is_stopped_by_what_is_bad_about_it(spoil, names, repository, tmp_path):
    verdict = judged(Studio(spoil), repository, tmp_path)
    assert not verdict.passed
    assert {sentence.split()[0] for sentence in verdict.missed} == names


def test_a_slow_candidate_is_stopped_whatever_the_queue(repository, tmp_path):
    studio = Studio()
    studio.seconds["candidate"] = 3.2
    verdict = judged(studio, repository, tmp_path)
    assert verdict.measures["latency_ratio"] == 1.6
    assert verdict.missed == ("latency_ratio is 1.6; allowed: at most 1.5.",)


def test_the_same_pictures_pass_and_the_report_shows_them(repository, tmp_path):
    studio = Studio()
    verdict = judged(studio, repository, tmp_path)
    assert (verdict.passed, verdict.missed) == (True, ())
    assert verdict.pinned == LINE_UPS["candidate"].versions
    assert verdict.champion == LINE_UPS["champion"].versions
    assert verdict.measures["perceptual_distance"] == 0
    assert verdict.measures[MADE] == RENDERS
    assert verdict.measures["structure_f1_champion"] > 0.9
    folder = tmp_path / "gate" / "unet-3"
    assert verdict.report == str(folder / "report.md")
    assert "# Passed" in (folder / "report.md").read_text()
    found = json.loads((folder / "report.json").read_text())
    assert (found["passed"], len(found["scenes"])) == (True, RENDERS)
    assert (folder / "sheet.png").stat().st_size > 50_000


def test_a_gateway_that_is_full_is_waited_for(repository, tmp_path, monkeypatch):
    studio = Studio()
    studio.full = 5
    verdict = judged(studio, repository, tmp_path)
    assert verdict.passed
    assert (studio.full, len(studio.asked)) == (0, renders_to_make(RENDERS))
    # Not for ever: it decides nothing.
    monkeypatch.setattr(compare, "PATIENCE_SECONDS", 0.0)
    studio.full = 1
    with pytest.raises(CallFailed, match="Too many"):
        judged(studio, repository, tmp_path)


def test_a_gate_that_breaks_off_leaves_the_report_before(repository, tmp_path):
    @contextmanager
    def left(what, total):
        raise Cancelled("Nobody waits.")
        yield

    folder = tmp_path / "gate" / "unet-3"
    folder.mkdir(parents=True)
    (folder / "report.md").write_text("# Of a verdict that is kept")
    (folder / "old.png").touch()
    with pytest.raises(Cancelled):
        judged(Studio(), repository, tmp_path, progress=left)
    assert (folder / "report.md").read_text() == "# Of a verdict that is kept"
    judged(Studio(), repository, tmp_path, renders=1)
    assert "# Passed" in (folder / "report.md").read_text()
    assert not (folder / "old.png").exists()


def test_both_take_turns_at_being_first(repository, tmp_path):
    studio = Studio()
    judged(studio, repository, tmp_path, renders=4)
    assert len(studio.asked) == renders_to_make(4)
    timed = [alias for seed, alias in studio.asked if seed == 3]
    assert timed == ["candidate", "champion"]
    assert [alias for _, alias in studio.asked[2:4]] == list(SIDES)


def test_a_little_difference_is_no_fault(repository, tmp_path):
    verdict = judged(Studio(lambda picture, _: half(picture) * 2 - 128), repository, tmp_path)
    assert verdict.passed, verdict.missed


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (
            lambda studio: studio.made_by.update(candidate=PinnedVersions()),
            "was made by .*unet 1.* not by",
        ),
        (
            lambda studio: studio.made_by.update(champion=PinnedVersions(vae_decoder=2)),
            "by the champion",
        ),
        (lambda studio: setattr(studio, "problem", "unet 3 does not load."), "unet 3 does not lo"),
    ],
)
def test_a_server_of_other_versions_makes_it_void(change, says, repository, tmp_path):
    studio = Studio()
    change(studio)
    if studio.problem:
        del studio.served["candidate"]
    with pytest.raises(Unavailable, match=says):
        judged(studio, repository, tmp_path)
    # A problem does not pass by waiting.
    assert studio.infos == 1


def test_only_the_candidate_is_tried(repository, tmp_path):
    with pytest.raises(InvalidRequest, match="version is 4; allowed: 3"):
        judged(Studio(), repository, tmp_path, version=4)
    with pytest.raises(NotFound, match="vae_decoder has no candidate"):
        judged(Studio(), repository, tmp_path, model="vae_decoder")


def test_a_golden_set_of_one_s_own(repository, tmp_path):
    folder = tmp_path / "golden"
    folder.mkdir()
    first, second = held_out(2)
    (folder / "a.png").write_bytes(first.sketch)
    (folder / "a.txt").write_text("a brick house\n")
    (folder / "a.style.png").write_bytes(first.style_image)
    (folder / "b.png").write_bytes(second.sketch)
    one, other = of_folder(folder)
    assert of_folder(folder, 1) == [one]
    assert (one.name, one.prompt, one.style_image) == ("a", "a brick house", first.style_image)
    assert (other.name, other.prompt, other.style_image) == ("b", "a building", None)
    verdict = judged(Studio(), repository, tmp_path, golden_folder=folder)
    assert verdict.passed
    assert "style_accuracy" not in verdict.measures
    assert "| style_accuracy_loss | not measured |" in (
        tmp_path / "gate" / "unet-3" / "report.md"
    ).read_text()  # fmt: skip


def test_a_golden_set_without_sketches_is_none(repository, tmp_path):
    (tmp_path / "x.style.png").write_bytes(b"")
    with pytest.raises(NotFound, match="No sketch in"):
        judged(Studio(), repository, tmp_path, golden_folder=tmp_path)


def test_thresholds_of_one_s_own_win_over_the_defaults(repository, tmp_path):
    file = tmp_path / "own.toml"
    file.write_text("[paint]\nstructure_f1_loss = 1\nperceptual_distance = 1\n")
    verdict = judged(Studio(other_scene), repository, tmp_path, thresholds_file=file)
    assert verdict.passed
    own = thresholds.read("paint", file)
    assert own["latency_ratio"] == thresholds.read("paint")["latency_ratio"] == 1.5


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("paint", "allowed: TOML"),
        ("[pain]\n", "allowed: paint, clip"),
        ("paint = 3\n", "allowed: a table"),
        ("[paint]\nstructure = 1\n", "'structure'; allowed: structure_f1_loss"),
        ("[paint]\nlatency_ratio = true\n", "latency_ratio is True; allowed: a number"),
        ("[paint]\nlatency_ratio = nan\n", "latency_ratio is nan; allowed: a number"),
    ],
)
def test_thresholds_that_are_none_are_told(text, says, tmp_path):
    file = tmp_path / "own.toml"
    file.write_text(text)
    with pytest.raises(InvalidRequest, match=says):
        thresholds.read("paint", file)
    with pytest.raises(NotFound, match=r"nowhere\.toml cannot be read"):
        thresholds.read("paint", tmp_path / "nowhere.toml")


def test_what_is_no_number_is_missed():
    assert list(thresholds.missed({"a": float("nan"), "b": 1.0}, {"a": 1.0, "b": 1.0, "c": 0}))


def test_a_render_of_another_size_is_as_far_as_can_be():
    scene = Scene("one", b"", "", None, 0)
    small, large = (Made(encode_png(np.zeros((s, s, 3), np.uint8)), {}, 1) for s in (64, 128))
    comparison = Comparison(scene, large, small, again=large)
    assert (comparison.distance, comparison.repeat_difference) == (1, 255)


def test_likeness_falls_with_noise_and_colour_counts():
    truth = TRUTHS[0]
    random = np.random.default_rng(0)
    noisy = [
        np.clip(truth + random.normal(0, sigma, truth.shape), 0, 255).astype(np.uint8)
        for sigma in (2, 20, 60)
    ]
    likeness = [ms_ssim(truth, picture) for picture in noisy]
    assert ms_ssim(truth, truth) == 1 > likeness[0] > likeness[1] > likeness[2] > 0
    assert ms_ssim(truth, np.ascontiguousarray(truth[..., ::-1])) < 0.99
    for colour in range(3):
        other = truth.copy()
        other[..., colour] = truth[::-1, :, colour]
        assert ms_ssim(truth, other) < 0.95
    assert ms_ssim(truth[:40, :40], truth[:40, :40]) == pytest.approx(1)
    with pytest.raises(ValueError, match="one size"):
        ms_ssim(truth, truth[:128])


class Networks(InProcess):
    """Knows the noise that was added, and finds it but for `error`; the VAE loses `loss`."""

    topology = SD15

    def __init__(self, error, loss=0.0):
        self.error, self.loss = error, loss

    def condition(self, inputs):
        return {
            "prompt_embeds": np.zeros((2, SD15.context_length, 4)),
            "ip_adapter_image_embeds": np.zeros((2, 1, 4)),
            "control_image": np.zeros((1, 256, 256)),
        }

    def run(self, network, **inputs):
        if network == "vae_encoder":
            pixels = inputs["pixels"]
            self.pixels = pixels
            self.latents = np.repeat(pixels[:, :1, ::8, ::8], 4, axis=1)
            return {"latents": self.latents}
        return {"pixels": self.pixels + self.loss}

    def denoise(self, inputs):
        alpha = SCHEDULE.alphas_cumprod[int(inputs["timestep"][0, 0])]
        noise = (inputs["sample"] - alpha**0.5 * self.latents) / (1 - alpha) ** 0.5
        return {"noise_pred": noise + self.error}


SCHEDULE = NoiseSchedule(alphas_cumprod=np.linspace(0.999, 0.005, 1000))


@pytest.mark.parametrize("error", [0.0, 0.1, float("nan")])
def test_errors_are_of_the_noise_that_was_added(error):
    told = []
    found = denoising.errors(Networks(error, 0.2), SCHEDULE, cases(2), lambda: told.append(1))
    assert found == {
        "denoising_error": pytest.approx(error**2, abs=1e-6, nan_ok=True),
        "autoencoder_error": pytest.approx(0.04, rel=1e-3),
    }
    assert len(told) == 2
