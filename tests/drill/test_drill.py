"""What the drill makes of renders, pictures and swaps; the drill itself is `make drill`."""

from __future__ import annotations

import json

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from drill import candidates
from drill.bars import SWAPS, bars
from drill.figures import Swap, figures
from drill.load import Made, requests
from drill.pictures import References, same
from drill.repository import copied
from evaluation.bars import missed, table
from pipeline.images import encode_png
from versions import manifest, weights
from versions.manifest import Manifest

OLD, NEW = {"unet": 1}, {"unet": 3}


def picture(level):
    return encode_png(np.full((16, 16, 3), level, np.uint8))


@pytest.fixture
def references():
    found = References()
    found.learn("a", "old", picture(100), OLD)
    found.learn("a", "new", picture(110), NEW)
    found.learn("b", "old", picture(50), OLD)
    found.learn("b", "new", picture(60), NEW)
    return found


@pytest.mark.parametrize(
    ("request_name", "level", "versions", "wrong"),
    [
        ("a", 100, OLD, ""),
        ("a", 101, OLD, ""),
        ("a", 110, NEW, ""),
        ("a", 110, OLD, "a: said to be by old, looks like new"),
        ("a", 105, NEW, "a: said to be by new, looks like none"),
        ("a", 102, OLD, "a: said to be by old, looks like none"),
        ("a", 60, NEW, "a: said to be by new, looks like none"),
        ("b", 60, {"unet": 4}, "b: made by {'unet': 4}, which is no set of versions of the drill"),
    ],
)
def test_pixels_tell_who_painted(request_name, level, versions, wrong, references):
    assert references.wrong(request_name, picture(level), versions) == wrong


def test_pictures_of_two_sizes_are_not_the_same():
    assert not same(np.zeros((8, 8, 3), np.uint8), np.zeros((8, 9, 3), np.uint8))
    assert not same(np.full((8, 8, 3), 255, np.uint8), np.zeros((8, 8, 3), np.uint8))


def test_versions_that_paint_alike_are_noticed(references):
    assert references.tells_apart()
    references.learn("c", "old", picture(7), OLD)
    references.learn("c", "new", picture(8), NEW)
    assert not references.tells_apart()


def test_pinned_versions_do_not_change_while_it_is_learnt(references):
    with pytest.raises(ValueError, match="old was"):
        references.learn("c", "old", picture(7), NEW)


def made(sent, seconds, wrong="", failure=""):
    return Made("a", sent, sent + seconds, wrong, failure)


def test_the_figures_are_of_renders_that_a_swap_met():
    calm = [made(at, 2.0) for at in range(3)]
    during = [
        made(10.0, 3.0),
        made(20.0, 9.0),  # beside a gate, not a swap alone
        made(30.0, 8.0),  # beside no swap
        made(11.0, 3.0, wrong="a mixture"),
        made(12.0, 0.1, failure="it failed"),
    ]
    swaps = [Swap("promote", 10.5, 11.5, True), Swap("rollback", 12.0, 12.7),
             Swap("rollback", 24.0, 24.4)]  # fmt: skip
    found = figures(calm, during, swaps, disturbed=[(19.0, 22.0)])
    assert found["p95_ratio_during_swaps"] == 1.5
    assert (found["renders"], found["renders_during_swaps"]) == (8, 3)
    assert (found["failed"], found["failures"]) == (1, ["it failed"])
    assert (found["mixed_versions"], found["mixtures"]) == (1, ["a mixture"])
    assert (found["swaps"], found["swaps_by_command"], found["rollbacks"]) == (3, 1, 2)
    assert found["rollback_seconds"] == 0.7
    assert json.loads(json.dumps(found)) == found


GOOD = {
    "swaps": 100, "renders": 9, "failed": 0, "mixed_versions": 0, "bad_candidates_refused": 3,
    "p95_ratio_during_swaps": 1.2, "rollback_seconds": 0.7, "same_pixels_after_rollback": True,
    "processes_left": 0, "reembedded": 12,
}  # fmt: skip


@pytest.mark.parametrize(
    "worse",
    [
        {"swaps": 99}, {"failed": 1}, {"mixed_versions": 1}, {"bad_candidates_refused": 2},
        {"p95_ratio_during_swaps": 1.51}, {"rollback_seconds": 5.1},
        {"same_pixels_after_rollback": False}, {"processes_left": 1}, {"reembedded": 0},
    ],
    ids=lambda worse: next(iter(worse)),
)  # fmt: skip
def test_every_bar_can_be_missed(worse):
    asked = bars(SWAPS)
    assert not list(missed(GOOD, asked))
    assert list(missed(GOOD | worse, asked))
    assert table(GOOD | worse, asked).row_count == len(asked)


def test_requests_differ_in_all_that_matters():
    asked = requests()
    options = [request.options for request in asked]
    assert len({request.name for request in asked}) == len(asked)
    assert {one["num_inference_steps"] for one in options} >= {2, 8}
    assert len({(one["width"], one["height"]) for one in options}) >= 3
    assert {"style" in one for one in options} == {"style_images" in one for one in options}
    assert all("seed" in one for one in options)


@pytest.fixture
def engine(tmp_path):
    """The folder of a small network with the names that the candidates look for."""
    random = np.random.default_rng(0)
    tensors = {
        "network.conv_out.weight": random.standard_normal((4, 4)).astype(np.float32),
        "network.conv_out.bias": np.zeros(4, np.float32),
        "sizes": np.array([1, 1, 2, 2], np.float32),
    }
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "network.conv_out.weight"], ["y"])],
        "little",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 4])],
        [numpy_helper.from_array(array, name) for name, array in tensors.items()],
    )
    folder = tmp_path / "unet" / "1"
    folder.mkdir(parents=True)
    onnx.save(helper.make_model(graph), str(folder / "model.onnx"))
    build = {"engine": "onnx", "precision": "fp32"}
    manifest.write(folder, Manifest(
        "unet", "tiny", "r", "f", build, manifest.digests(folder), 0.0, 1.0, 20, {}, "now"
    ))  # fmt: skip
    return folder


def weights_of(folder):
    return {weight.name: np.array(weight.values) for weight in weights.read(folder / "model.onnx")}


def test_candidates_are_what_they_are_called_and_their_manifests_agree(engine, tmp_path):
    before = weights_of(engine)
    good = weights_of(candidates.tinted(engine, tmp_path / "good"))
    assert good["network.conv_out.bias"].tolist() == [np.float32(candidates.TINT), 0, 0, 0]
    assert np.array_equal(good["network.conv_out.weight"], before["network.conv_out.weight"])
    noisy = weights_of(candidates.noisy(engine, tmp_path / "noisy"))
    difference = noisy["network.conv_out.weight"] - before["network.conv_out.weight"]
    assert 0.02 < difference.std() / before["network.conv_out.weight"].std() < 0.08
    assert np.array_equal(noisy["sizes"], before["sizes"])
    spoilt = weights_of(candidates.not_a_number(engine, tmp_path / "nan"))
    assert np.isnan(spoilt["network.conv_out.bias"]).all()
    with pytest.raises(weights.NotOnnx):
        weights_of(candidates.corrupt(engine, tmp_path / "corrupt"))
    for name in ("good", "noisy", "nan", "corrupt"):
        manifest.verify(tmp_path / name)
    assert weights_of(engine).keys() == before.keys()


def test_a_repository_of_its_own_leaves_out_what_was_published(engine, tmp_path):
    repository = engine.parent.parent
    (repository / "unet" / "3").mkdir()
    (repository / "unet" / "aliases.json").write_text('{"champion": 3}')
    (repository / "unet" / "config.pbtxt").write_text("as exported")
    (repository / "history.jsonl").write_text("{}\n")
    (repository / "canary.json").write_text("{}\n")
    copy = copied(repository, tmp_path / "copy")
    assert {path.name for path in (copy / "unet").iterdir()} == {"1", "config.pbtxt"}
    assert not (copy / "history.jsonl").exists()
    assert not (copy / "canary.json").exists()
    assert (copy / "unet/1/model.onnx").samefile(engine / "model.onnx")
    # What a gateway writes into must not be written into the other repository, too.
    assert not (copy / "unet/config.pbtxt").samefile(repository / "unet/config.pbtxt")
    assert not (copy / "unet/1/manifest.json").samefile(engine / "manifest.json")
