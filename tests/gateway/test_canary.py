from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.canary import Record, Trial, Went, worse
from gateway.lineups import LineUps
from pipeline.lineup import LineUp
from pipeline.request import RenderRequest
from versions import aliases, canary, history
from versions.aliases import Aliases
from versions.canary import Bounds, Canary, Counts
from versions.repositories import Plain

BOUNDS = Bounds(
    max_error_share=0.1, max_latency_ratio=1.5, max_structure_loss=0.05, least_renders=4
)
WELL = Went(step_seconds=0.1, structure_f1=0.9)


def record(*went):
    found = Record()
    for one in went:
        found.note(one)
    return found


def requests(count):
    return [RenderRequest(b"sketch", f"house {n}", style="winter") for n in range(count)]


@pytest.mark.parametrize(
    ("went", "words"),
    [
        ([WELL] * 4, ""),
        ([None] * 3, ""),
        ([None, WELL, WELL, WELL], "25% of its renders failed; allowed: 10%"),
        ([Went(0.16, 0.9)] * 4, "A step takes 1.60 times the champion's; allowed: 1.5"),
        ([Went(0.14, 0.9)] * 4, ""),
        ([Went(0.1, 0.84)] * 4, "Its structure F1 is 0.060 below the champion's; allowed: 0.05"),
        ([Went(0.1, 0.86)] * 4, ""),
        ([Went(0.9, 0.1)] * 3, ""),
    ],
)
def test_a_candidate_is_called_off_where_it_leaves_its_bounds(went, words):
    found = worse(record(*went), record(*[WELL] * 4), BOUNDS)
    assert (found == "") if not words else found.startswith(words)


def test_nothing_is_concluded_without_a_champion_to_compare_with():
    assert worse(record(*[Went(9, 0.1)] * 9), record(), BOUNDS) == ""


@pytest.fixture
def line_ups():
    found = LineUps()
    found.by_alias = {"champion": LineUp(), "candidate": LineUp(unet=3)}
    return found


def test_the_share_is_kept_and_the_same_request_has_the_same_versions(line_ups):
    trial = Trial(line_ups, None)
    asked = requests(2000)
    assert {trial.alias_for(request) for request in asked} == {"champion"}
    line_ups.canary = Canary(share=0.25)
    first = [trial.alias_for(request) for request in asked]
    assert 0.2 < first.count("candidate") / len(first) < 0.3
    assert [trial.alias_for(replace(request, seed=7)) for request in asked] == first
    line_ups.canary = Canary(share=0.5)
    more = [trial.alias_for(request) for request in asked]
    # Who was chosen at a smaller share stays chosen.
    assert all(
        now == "candidate" for was, now in zip(first, more, strict=True) if was == "candidate"
    )
    line_ups.canary = Canary(share=1.0)
    assert {trial.alias_for(request) for request in asked} == {"candidate"}


def test_shadows_are_chosen_apart_from_the_share(line_ups):
    trial = Trial(line_ups, None)
    line_ups.canary = Canary(shadow=0.5)
    asked = requests(500)
    assert {trial.alias_for(request) for request in asked} == {"champion"}
    assert 0.4 < sum(trial.has_shadow(request) for request in asked) / 500 < 0.6


def test_without_a_candidate_nothing_is_tried(line_ups):
    line_ups.by_alias = {"champion": LineUp()}
    line_ups.canary = Canary(share=1.0, shadow=1.0)
    trial = Trial(line_ups, None)
    assert trial.alias_for(requests(1)[0]) == "champion"
    assert not trial.has_shadow(requests(1)[0])


async def test_a_bad_candidate_is_called_off_at_once_and_in_writing(line_ups, tmp_path):
    aliases.write(tmp_path, "unet", Aliases(champion=1, candidate=3))
    plan = Canary(share=1.0, bounds=BOUNDS)
    canary.write(tmp_path, plan)
    line_ups.canary = plan
    trial = Trial(line_ups, Plain(tmp_path))
    for _ in range(4):
        assert trial.alias_for(requests(1)[0]) == "candidate"
        trial.note(LineUp(unet=3), None)
    assert trial.alias_for(requests(1)[0]) == "champion"
    await trial.close()
    written = canary.read(tmp_path)
    assert not written.is_on
    assert written.who == "the gateway"
    assert "100% of its renders failed" in written.why
    (entry,) = history.read(tmp_path)
    assert (entry.measures["candidate_renders"], entry.measures["failed_renders"]) == (4, 4)
    # What the gateway then reads changes nothing; a new plan begins anew.
    line_ups.canary = written
    assert trial.alias_for(requests(1)[0]) == "champion"
    line_ups.canary = Canary(share=1.0, bounds=BOUNDS, why="mended")
    assert trial.alias_for(requests(1)[0]) == "candidate"


async def test_what_cannot_be_written_down_is_called_off_all_the_same(line_ups, tmp_path, caplog):
    line_ups.canary = Canary(share=1.0, bounds=BOUNDS)
    trial = Trial(line_ups, Plain(tmp_path / "nowhere"))
    for _ in range(4):
        trial.note(LineUp(unet=3), None)
    await trial.close()
    assert trial.alias_for(requests(1)[0]) == "champion"
    assert "could not be written down" in caplog.text


def test_what_a_render_of_other_versions_came_to_counts_for_nobody(line_ups):
    line_ups.canary = Canary(share=1.0, bounds=BOUNDS)
    trial = Trial(line_ups, None)
    for _ in range(9):
        trial.note(LineUp(unet=2), None)
    assert trial.alias_for(requests(1)[0]) == "candidate"


def test_another_candidate_begins_anew(line_ups):
    line_ups.canary = Canary(share=1.0, bounds=BOUNDS)
    trial = Trial(line_ups, None)
    for _ in range(3):
        trial.note(LineUp(unet=3), None)
    line_ups.by_alias = {"champion": LineUp(), "candidate": LineUp(unet=4)}
    trial.note(LineUp(unet=4), None)
    assert trial.alias_for(requests(1)[0]) == "candidate"


@pytest.mark.parametrize("ended", ["by an operator", "by a promote", "by another share"])
async def test_whoever_ends_a_canary_the_history_says_what_it_came_to(line_ups, tmp_path, ended):
    plan = Canary(share=0.25, bounds=BOUNDS)
    line_ups.canary = plan
    trial = Trial(line_ups, Plain(tmp_path))
    line_ups.changed()
    assert trial.counts == Counts()
    for line_up, went in ((3, WELL), (3, WELL), (3, None), (1, WELL)):
        trial.note(LineUp(unet=line_up), went)
    assert trial.counts == Counts(3, 1, 1)
    if ended == "by a promote":
        line_ups.by_alias = {"champion": LineUp(unet=3), "previous": LineUp()}
    share = 0.5 if ended == "by another share" else 0.0
    line_ups.canary = Canary(share=share, bounds=BOUNDS)
    # As the gateway does when it has looked at the repository.
    line_ups.changed()
    line_ups.changed()
    assert trial.counts == Counts()
    await trial.close()
    (entry,) = history.read(tmp_path)
    assert (entry.action, entry.model, entry.who) == ("canary", "unet", "the gateway")
    assert entry.line_up == {"unet": 3}
    assert (entry.measures["share"], entry.measures["champion_renders"]) == (0.25, 1)
    assert entry.why == "The candidate made 3 renders, of which 1 failed; the champion made 1."


async def test_a_gateway_that_ends_says_what_its_canary_came_to(line_ups, tmp_path):
    line_ups.canary = Canary(share=0.25, bounds=BOUNDS)
    trial = Trial(line_ups, Plain(tmp_path))
    trial.note(LineUp(unet=3), WELL)
    await trial.close()
    assert [entry.measures["candidate_renders"] for entry in history.read(tmp_path)] == [1]


async def test_a_triton_that_comes_back_loses_no_counts(line_ups):
    line_ups.canary = Canary(share=0.25, bounds=BOUNDS)
    trial, served = Trial(line_ups, None), line_ups.by_alias
    trial.note(LineUp(unet=3), WELL)
    line_ups.by_alias = {}
    line_ups.changed()
    line_ups.by_alias = served
    assert trial.counts == Counts(1, 0, 0)


async def test_a_newer_plan_is_not_overwritten(line_ups, tmp_path):
    plan = Canary(share=1.0, bounds=BOUNDS)
    newer = Canary(share=0.5, bounds=BOUNDS, why="another try")
    canary.write(tmp_path, newer)
    line_ups.canary = plan
    trial = Trial(line_ups, Plain(tmp_path))
    for _ in range(4):
        trial.note(LineUp(unet=3), None)
    await trial.close()
    assert canary.read(tmp_path) == newer
