"""How measures are made, over painters that are known to be good or bad."""

from __future__ import annotations

import numpy as np
import pytest

from evaluation import measures, report
from evaluation.cases import Case, cases
from evaluation.freehand import SHEETS
from evaluation.measures import BARS, Bar, Evaluation
from pipeline.images import encode_png
from training.bundled import style_pictures
from training.phrases import PHRASES
from training.samples import SIDE
from training.styles import STYLES

NAMES = [style.name for style in STYLES]


class Generator:
    """Paints the truth: the sketch's own building in the reference's look, unless told not to."""

    def __init__(self) -> None:
        self.known = {case.ask().seed: case for case in cases(12)}

    def paint(self, ask):
        case = self.known[ask.seed]
        no_control = ask.controlnet_conditioning_scale == 0
        return encode_png(case.partner.render() if no_control else case.truth())

    def through_vae(self, picture):
        return picture

    def styles_for_text(self, phrase):
        right = next(name for name in NAMES if phrase in PHRASES[name].held_out)
        return [right, *(name for name in NAMES if name != right)]

    def styles_for_picture(self, picture):
        return NAMES


@pytest.fixture(scope="module")
def evaluation():
    return Evaluation(Generator(), report=lambda _count: None)


def test_the_truth_reaches_every_bar_of_structure_and_style(evaluation):
    made = evaluation.default(12)
    assert measures.f1(made) >= 0.93
    assert measures.f1(made) == measures.vae_f1(evaluation, 12)
    assert measures.f1(evaluation.no_control(12)) < measures.f1(made) - 0.35
    assert evaluation.style_accuracy(made) == 1
    assert evaluation.text_retrieval() == {"text_top1": 1, "text_top3": 1, "phrases": 144}


def test_a_painter_that_knows_one_style_is_right_by_chance_only(evaluation):
    assert evaluation.image_retrieval(24)["image_top1"] == pytest.approx(1 / 12, abs=1e-4)


def test_each_question_changes_only_what_it_is_about(evaluation, monkeypatch):
    asked = []
    monkeypatch.setattr(evaluation.painter, "paint", lambda ask: asked.append(ask) or b"")
    monkeypatch.setattr(measures, "picture_of", lambda _png: np.zeros((SIDE, SIDE, 3), np.uint8))
    evaluation.default(1), evaluation.no_control(1), evaluation.no_ip(1), evaluation.contradicted(1)
    default, no_control, no_ip, contradicted = asked
    assert {ask.sketch for ask in asked} == {default.sketch}
    assert {ask.style_image for ask in asked} == {default.style_image}
    assert (no_control.controlnet_conditioning_scale, no_control.prompt) == (0, default.prompt)
    assert (no_ip.ip_adapter_scale, no_ip.prompt) == (0, "a building")
    assert contradicted.ip_adapter_scale == 0.8
    assert contradicted.prompt not in PHRASES[cases(1)[0].style].held_out


def test_a_reference_shows_another_building_in_the_same_look():
    case = Case.describe(3)
    assert case.partner.worn == case.sample.worn
    assert case.partner.scene != case.sample.scene


@pytest.mark.parametrize("bar", BARS, ids=lambda bar: f"{bar.measure} {bar.allowed}")
def test_a_bar_tells_reached_from_missed(bar: Bar):
    found = {"structure_f1": 0.9, "structure_f1_vae": 0.92, bar.measure: 0.9}
    limit = bar.limit(found)
    better, worse = (limit + 0.01, limit - 0.01)[:: 1 if bar.allowed == ">=" else -1]
    assert bar.holds(found | {bar.measure: better})
    assert not bar.holds(found | {bar.measure: worse})


def test_sketches_by_another_hand_are_many_and_repeatable():
    assert len(SHEETS) >= 8
    for sheet in SHEETS:
        once, again = (np.asarray(sheet.draw()) for _ in range(2))
        assert np.array_equal(once, again)
        assert once.shape == (512, 512, 3)


def test_the_sheet_of_other_hands_is_written_with_a_score_for_each(evaluation, tmp_path):
    picture = encode_png(np.asarray(style_pictures()[0]))
    painter = type("Same", (), {"paint": lambda self, ask: picture})()
    found = report.draw_hands(Evaluation(painter, lambda _count: None), tmp_path / "hands.png")
    assert list(found) == [sheet.name for sheet in SHEETS]
    assert all(0 < score < 0.7 for score in found.values())
    assert (tmp_path / "hands.png").stat().st_size > 10_000
