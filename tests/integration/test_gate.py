"""What the gate finds in engines themselves: a little noise on the weights, which renders hide."""

from __future__ import annotations

from contextlib import contextmanager

import pytest

from drill import candidates
from drill.repository import copied
from evaluation import gate, thresholds
from tests.amounts import long
from tests.exported import EXPORTED
from versions import aliases
from versions.aliases import Aliases

CASES = 2
LIMITS = {
    name: limit for name, limit in thresholds.read("paint").items() if name.endswith("error_ratio")
}


@contextmanager
def silent(what, total):
    yield lambda: None


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    """What is exported, and UNets and a VAE made of it."""
    folder = copied(EXPORTED, tmp_path_factory.mktemp("gate") / "repository")
    unet, vae = folder / "unet", folder / "vae_decoder"
    candidates.tinted(unet / "1", unet / "3")
    candidates.noisy(unet / "1", unet / "4")
    candidates.noisy(unet / "1", unet / "5", 0.0)
    candidates.noisy(vae / "1", vae / "2", 0.3)
    return folder


def missed(repository, monkeypatch, candidate):
    monkeypatch.setattr(gate, "NOISED", CASES)
    measures = gate.network_measures(repository, {"champion": {}, "candidate": candidate}, silent)
    assert set(LIMITS) <= set(measures)
    return {sentence.split()[0] for sentence in thresholds.missed(measures, LIMITS)}


@pytest.mark.parametrize(
    ("candidate", "names"),
    [
        pytest.param({"unet": 5}, set(), marks=long),
        ({"unet": 3}, set()),
        ({"unet": 4}, {"denoising_error_ratio"}),
        pytest.param({"vae_decoder": 2}, {"autoencoder_error_ratio"}, marks=long),
    ],
    ids=["the same", "tinted", "noise on the UNet", "noise on the VAE"],
)
def test_noise_on_the_weights_is_found_out(candidate, names, repository, monkeypatch):
    assert missed(repository, monkeypatch, candidate) == names


def test_nothing_is_measured_of_engines_that_do_not_run_here(repository):
    served_versions = {"champion": {}, "candidate": {"unet": 9}}
    assert gate.network_measures(repository, served_versions, silent) == {}


@pytest.mark.parametrize(("spread", "passed"), [(0.0, True), (3.0, False)])
def test_a_new_clip_is_tried_on_phrases_and_pictures(
    spread, passed, repository, tmp_path, monkeypatch
):
    """Three times its spread in noise leaves nothing of a text tower."""
    monkeypatch.setattr(gate, "STYLE_PICTURES", 12)
    for name, share in (("clip_text", spread), ("clip_image", 0.0)):
        candidates.noisy(repository / name / "1", repository / name / "2", share)
    aliases.write(repository, "clip_text", Aliases(candidate=2))
    aliases.write(repository, "clip_image", Aliases(candidate=2))
    verdict = gate.main(
        repository, "127.0.0.1:1", None, None, False, "clip", 2, out=tmp_path, progress=silent
    )
    assert verdict.passed == passed
    assert verdict.pinned == {"clip_text": 2, "clip_image": 2}
    assert verdict.measures["text_top1_champion"] >= 0.95
