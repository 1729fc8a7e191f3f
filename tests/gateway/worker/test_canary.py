from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.telemetry.outcomes import RenderOutcome
from gateway.triton.pinned_versions import ServedVersions
from gateway.worker.canary import CanaryController, Record, worse
from pipeline.pinned_versions import PinnedVersions
from pipeline.request import RenderRequest
from versions import aliases, canary, history
from versions.aliases import Aliases
from versions.canary import Bounds, Canary, Counts
from versions.repositories import LocalRepository

BOUNDS = Bounds(
    max_error_share=0.1, max_latency_ratio=1.5, max_structure_loss=0.05, least_renders=4
)
WELL = RenderOutcome(step_seconds=0.1, structure_f1=0.9)


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
        ([RenderOutcome(0.16, 0.9)] * 4, "A step takes 1.60 times the champion's; allowed: 1.5"),
        ([RenderOutcome(0.14, 0.9)] * 4, ""),
        (
            [RenderOutcome(0.1, 0.84)] * 4,
            "Its structure F1 is 0.060 below the champion's; allowed: 0.05",
        ),
        ([RenderOutcome(0.1, 0.86)] * 4, ""),
        ([RenderOutcome(0.9, 0.1)] * 3, ""),
    ],
)
def test_a_candidate_is_called_off_where_it_leaves_its_bounds(went, words):
    found = worse(record(*went), record(*[WELL] * 4), BOUNDS)
    assert (found == "") if not words else found.startswith(words)


def test_nothing_is_concluded_without_a_champion_to_compare_with():
    assert worse(record(*[RenderOutcome(9, 0.1)] * 9), record(), BOUNDS) == ""


@pytest.fixture
def served_versions():
    found = ServedVersions()
    found.by_alias = {"champion": PinnedVersions(), "candidate": PinnedVersions(unet=3)}
    return found


def test_the_share_is_kept_and_the_same_request_has_the_same_versions(served_versions):
    trial = CanaryController(served_versions, None)
    asked = requests(2000)
    assert {trial.alias_for(request) for request in asked} == {"champion"}
    served_versions.canary = Canary(share=0.25)
    first = [trial.alias_for(request) for request in asked]
    assert 0.2 < first.count("candidate") / len(first) < 0.3
    assert [trial.alias_for(replace(request, seed=7)) for request in asked] == first
    served_versions.canary = Canary(share=0.5)
    more = [trial.alias_for(request) for request in asked]
    # Who was chosen at a smaller share stays chosen.
    assert all(
        now == "candidate" for was, now in zip(first, more, strict=True) if was == "candidate"
    )
    served_versions.canary = Canary(share=1.0)
    assert {trial.alias_for(request) for request in asked} == {"candidate"}


def test_shadows_are_chosen_apart_from_the_share(served_versions):
    trial = CanaryController(served_versions, None)
    served_versions.canary = Canary(shadow=0.5)
    asked = requests(500)
    assert {trial.alias_for(request) for request in asked} == {"champion"}
    assert 0.4 < sum(trial.has_shadow(request) for request in asked) / 500 < 0.6


def test_without_a_candidate_nothing_is_tried(served_versions):
    served_versions.by_alias = {"champion": PinnedVersions()}
    served_versions.canary = Canary(share=1.0, shadow=1.0)
    trial = CanaryController(served_versions, None)
    assert trial.alias_for(requests(1)[0]) == "champion"
    assert not trial.has_shadow(requests(1)[0])


async def test_a_bad_candidate_is_called_off_at_once_and_in_writing(served_versions, tmp_path):
    aliases.write(tmp_path, "unet", Aliases(champion=1, candidate=3))
    plan = Canary(share=1.0, bounds=BOUNDS)
    canary.write(tmp_path, plan)
    served_versions.canary = plan
    trial = CanaryController(served_versions, LocalRepository(tmp_path))
    for _ in range(4):
        assert trial.alias_for(requests(1)[0]) == "candidate"
        trial.note(PinnedVersions(unet=3), None)
    assert trial.alias_for(requests(1)[0]) == "champion"
    await trial.close()
    written = canary.read(tmp_path)
    assert not written.is_on
    assert written.who == "the gateway"
    assert "100% of its renders failed" in written.why
    (entry,) = history.read(tmp_path)
    assert (entry.measures["candidate_renders"], entry.measures["failed_renders"]) == (4, 4)
    # What the gateway then reads changes nothing; a new plan begins anew.
    served_versions.canary = written
    assert trial.alias_for(requests(1)[0]) == "champion"
    served_versions.canary = Canary(share=1.0, bounds=BOUNDS, why="mended")
    assert trial.alias_for(requests(1)[0]) == "candidate"


async def test_what_cannot_be_written_down_is_called_off_all_the_same(
    served_versions, tmp_path, caplog
):
    served_versions.canary = Canary(share=1.0, bounds=BOUNDS)
    trial = CanaryController(served_versions, LocalRepository(tmp_path / "nowhere"))
    for _ in range(4):
        trial.note(PinnedVersions(unet=3), None)
    await trial.close()
    assert trial.alias_for(requests(1)[0]) == "champion"
    assert "could not be written down" in caplog.text


def test_what_a_render_of_other_versions_came_to_counts_for_nobody(served_versions):
    served_versions.canary = Canary(share=1.0, bounds=BOUNDS)
    trial = CanaryController(served_versions, None)
    for _ in range(9):
        trial.note(PinnedVersions(unet=2), None)
    assert trial.alias_for(requests(1)[0]) == "candidate"


def test_another_candidate_begins_anew(served_versions):
    served_versions.canary = Canary(share=1.0, bounds=BOUNDS)
    trial = CanaryController(served_versions, None)
    for _ in range(3):
        trial.note(PinnedVersions(unet=3), None)
    served_versions.by_alias = {"champion": PinnedVersions(), "candidate": PinnedVersions(unet=4)}
    trial.note(PinnedVersions(unet=4), None)
    assert trial.alias_for(requests(1)[0]) == "candidate"


@pytest.mark.parametrize("ended", ["by an operator", "by a promote", "by another share"])
async def test_whoever_ends_a_canary_the_history_says_what_it_came_to(
    served_versions, tmp_path, ended
):
    plan = Canary(share=0.25, bounds=BOUNDS)
    served_versions.canary = plan
    trial = CanaryController(served_versions, LocalRepository(tmp_path))
    served_versions.changed()
    assert trial.counts == Counts()
    for pinned, went in ((3, WELL), (3, WELL), (3, None), (1, WELL)):
        trial.note(PinnedVersions(unet=pinned), went)
    assert trial.counts == Counts(3, 1, 1)
    if ended == "by a promote":
        served_versions.by_alias = {
            "champion": PinnedVersions(unet=3),
            "previous": PinnedVersions(),
        }
    share = 0.5 if ended == "by another share" else 0.0
    served_versions.canary = Canary(share=share, bounds=BOUNDS)
    # As the gateway does when it has looked at the repository.
    served_versions.changed()
    served_versions.changed()
    assert trial.counts == Counts()
    await trial.close()
    (entry,) = history.read(tmp_path)
    assert (entry.action, entry.model, entry.who) == ("canary", "unet", "the gateway")
    assert entry.pinned == {"unet": 3}
    assert (entry.measures["share"], entry.measures["champion_renders"]) == (0.25, 1)
    assert entry.why == "The candidate made 3 renders, of which 1 failed; the champion made 1."


async def test_a_gateway_that_ends_says_what_its_canary_came_to(served_versions, tmp_path):
    served_versions.canary = Canary(share=0.25, bounds=BOUNDS)
    trial = CanaryController(served_versions, LocalRepository(tmp_path))
    trial.note(PinnedVersions(unet=3), WELL)
    await trial.close()
    assert [entry.measures["candidate_renders"] for entry in history.read(tmp_path)] == [1]


async def test_a_triton_that_comes_back_loses_no_counts(served_versions):
    served_versions.canary = Canary(share=0.25, bounds=BOUNDS)
    trial, served = CanaryController(served_versions, None), served_versions.by_alias
    trial.note(PinnedVersions(unet=3), WELL)
    served_versions.by_alias = {}
    served_versions.changed()
    served_versions.by_alias = served
    assert trial.counts == Counts(1, 0, 0)


async def test_a_newer_plan_is_not_overwritten(served_versions, tmp_path):
    plan = Canary(share=1.0, bounds=BOUNDS)
    newer = Canary(share=0.5, bounds=BOUNDS, why="another try")
    canary.write(tmp_path, newer)
    served_versions.canary = plan
    trial = CanaryController(served_versions, LocalRepository(tmp_path))
    for _ in range(4):
        trial.note(PinnedVersions(unet=3), None)
    await trial.close()
    assert canary.read(tmp_path) == newer
