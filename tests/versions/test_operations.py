"""What can be done with versions, and what cannot."""

from __future__ import annotations

import fcntl
import json
import subprocess
import sys
from dataclasses import replace

import pytest

from pipeline.errors import InvalidRequest, NotFound, Unavailable
from tests.conftest import ROOT
from tests.versions import engines
from versions import (
    aliases,
    canary,
    catalogue,
    configs,
    history,
    intent,
    locks,
    manifest,
    operations,
    publishing,
    sources,
)  # fmt: skip
from versions.aliases import Aliases
from versions.canary import Bounds, Canary, Counts
from versions.errors import Busy, Declined
from versions.gates import LEAST_RENDERS, MADE, Verdict
from versions.history import Entry

MODEL = "vae_decoder"
WHO = {"who": "ada"}
FORCED = {**WHO, "force": True, "why": "a test"}


@pytest.fixture
def untried(monkeypatch):
    """Without a process for each engine, where what is tested comes after."""
    monkeypatch.setattr(sources, "try_one", lambda *arguments: None)


@pytest.fixture
def published(repository, new, untried):
    """A repository in which version 2 is the candidate."""
    operations.publish(repository, MODEL, new(), **WHO)
    return repository


@pytest.fixture
def promoted(published):
    operations.promote(published, MODEL, **FORCED)
    return published


def of(repository, model=MODEL):
    return aliases.read(repository).of(model)


def actions(repository):
    return [entry.action for entry in history.read(repository)]


def verdict(repository, passed=True, renders=LEAST_RENDERS, **versions):
    """What a gate decided that tried `versions` beside the champions."""
    champion = aliases.read(repository).pinned().versions
    missed = () if passed else ("structure_f1 is 0.1; at least 0.7.",)
    measures = {MADE: float(renders), "structure_f1": 0.7}
    return Verdict(passed, {**champion, **versions}, champion, measures, missed, "r")


def pass_gate(repository, model=MODEL, version=2, **how):
    told = verdict(repository, **{model: version}, **how)
    return operations.record_gate(repository, told, model=model, **WHO)


def reembed(repository, clip=2):
    operations.record(repository, Entry("reembed", "clip", "ada", to_version=clip))


@pytest.fixture
def pair(repository, tmp_path, untried):
    """A repository in which version 2 of the pair is the candidate."""
    for network in aliases.CLIP:
        engines.write_version(tmp_path / "other" / network / "1", network, seed=4)
    operations.publish(repository, "clip", tmp_path / "other", **WHO)
    return repository


# publish


def test_published_is_the_candidate_and_the_champion_stays(repository, new):
    source = new()
    outcome = operations.publish(repository, MODEL, source, who="ada", why="sharper")
    assert (outcome.changed, outcome.model, outcome.version) == (True, MODEL, 2)
    assert of(repository) == Aliases(champion=1, candidate=2)
    assert outcome.served_versions["champion"][MODEL] == 1
    assert manifest.verify(repository / MODEL / "2") == manifest.verify(source)
    (entry,) = history.read(repository)
    assert (entry.action, entry.model, entry.who, entry.why) == ("publish", MODEL, "ada", "sharper")
    assert (entry.from_version, entry.to_version) == (None, 2)


def test_a_repository_can_be_published_from(repository, new, tmp_path, untried):
    engines.write_version(tmp_path / "other" / MODEL / "1", MODEL, seed=4)
    assert operations.publish(repository, MODEL, tmp_path / "other", **WHO).version == 2


def test_the_pair_is_published_and_promoted_together(repository, tmp_path):
    for network in aliases.CLIP:
        engines.write_version(tmp_path / "other" / network / "1", network, seed=4)
    operations.publish(repository, "clip", tmp_path / "other", **WHO)
    reembed(repository)
    operations.promote(repository, "clip", **FORCED)
    found = aliases.read(repository)
    assert found.aliases["clip_text"] == found.aliases["clip_image"] == Aliases(2, None, 1)
    for network in aliases.CLIP:
        assert manifest.verify(repository / network / "2").network == network
    operations.rollback(repository, "clip", **WHO)
    assert aliases.read(repository).of("clip").champion == 1


def test_half_of_a_pair_is_not_published(repository, tmp_path, untried):
    engines.write_version(tmp_path / "other" / "clip_text" / "1", "clip_text", seed=4)
    with pytest.raises(Declined, match=r"clip_image/1 has no manifest.json"):
        operations.publish(repository, "clip", tmp_path / "other", **WHO)
    with pytest.raises(InvalidRequest, match="are the pair clip, and change together"):
        operations.publish(repository, "clip_text", tmp_path / "other", **WHO)


def test_a_new_unet_is_not_taken_for_the_one_for_few_steps(repository, new, untried):
    assert operations.publish(repository, "unet", new("unet"), **WHO).version == 3


def test_the_same_engine_is_published_once(published, new):
    again = operations.publish(published, MODEL, new(), **WHO)
    assert (again.changed, again.version) == (False, 2)
    assert "is this very engine, and the candidate already" in again.said[0]
    operations.withdraw(published, MODEL, "candidate", **WHO)
    again = operations.publish(published, MODEL, new(), **WHO)
    assert (again.changed, again.version, of(published).candidate) == (True, 2, 2)
    assert catalogue.on_disk(published, MODEL) == [1, 2]


def test_a_number_is_never_given_again(published, new):
    operations.withdraw(published, MODEL, "candidate", **WHO)
    operations.retire(published, MODEL, 2, **WHO)
    assert operations.publish(published, MODEL, new(seed=2), **WHO).version == 3


def test_readers_do_not_wait_for_a_copy(repository, new, untried):
    """The gateway looks every half second, and a copy of gigabytes takes minutes."""
    (repository / aliases.LOCK).touch()
    seen = []

    def report(doing, done, total):
        with (repository / aliases.LOCK).open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        seen.append((doing, done, total))

    operations.publish(repository, MODEL, new(), **WHO, report=report)
    size = (repository / MODEL / "2" / "model.onnx").stat().st_size
    assert ("copying model.onnx", size, size) in seen


def test_without_room_nothing_is_copied(repository, new, monkeypatch):
    full = shutil_usage(free=10)
    monkeypatch.setattr(sources.shutil, "disk_usage", lambda path: full)
    with pytest.raises(Unavailable, match="GB are free"):
        operations.publish(repository, MODEL, new(), **WHO)
    assert not list(repository.rglob(".*.partial"))


def shutil_usage(free):
    return type("Usage", (), {"free": free})


def test_publish_names_what_is_not_there(repository, tmp_path):
    with pytest.raises(NotFound, match="is not a folder"):
        operations.publish(repository, MODEL, tmp_path / "nowhere", **WHO)
    with pytest.raises(InvalidRequest, match="model is 'canny'; allowed: text_encoder"):
        operations.publish(repository, "canny", tmp_path, **WHO)


# promote


def test_promoted_after_its_gate(published):
    assert pass_gate(published).said == (f"{MODEL} 2 passed its gate.",)
    outcome = operations.promote(published, MODEL, **WHO)
    assert of(published) == Aliases(champion=2, candidate=None, previous=1)
    assert outcome.served_versions["champion"][MODEL] == 2
    entry = history.read(published)[-1]
    assert (entry.action, entry.from_version, entry.to_version, entry.forced) == (
        "promote", 1, 2, False,
    )  # fmt: skip


def test_not_promoted_without_a_gate(published):
    with pytest.raises(Declined, match="has not been at its gate"):
        operations.promote(published, MODEL, **WHO)
    assert of(published).champion == 1


def test_not_promoted_after_a_gate_that_was_not_passed(published):
    for passed in (True, False):
        told = verdict(published, passed, vae_decoder=2)
        operations.record_gate(published, told, model=MODEL, **WHO)
    with pytest.raises(Declined, match=r"did not pass its gate. structure_f1 is 0.1; at least"):
        operations.promote(published, MODEL, **WHO)


def test_a_gate_of_another_line_up_does_not_count(published, new):
    operations.publish(published, "controlnet", new("controlnet"), **WHO)
    told = verdict(published, vae_decoder=2, controlnet=2)
    operations.record_gate(published, told, model=MODEL, **WHO)
    with pytest.raises(Declined, match="without the candidate of controlnet"):
        operations.promote(published, MODEL, **WHO)


def test_a_gate_of_another_engine_of_that_number_does_not_count(published):
    """What is exported again in place of version 1 may be another network."""
    operations.record_gate(published, verdict(published, vae_decoder=2), model=MODEL, **WHO)
    engines.write_version(published / "unet" / "1", "unet", seed=9)
    with pytest.raises(Declined, match="An engine was changed since"):
        operations.promote(published, MODEL, **WHO)


@pytest.mark.parametrize("renders", [1, LEAST_RENDERS - 1])
def test_a_gate_of_few_renders_opens_no_way(published, renders):
    told = pass_gate(published, renders=renders).said[-1]
    assert told.startswith(f"Its gate compared {renders} render")
    for way in (
        lambda: operations.promote(published, MODEL, **WHO),
        lambda: operations.set_canary(published, Canary(0.1, who="ada")),
    ):
        with pytest.raises(Declined, match=f"promote and canary ask for {LEAST_RENDERS} at least"):
            way()
    pass_gate(published)
    assert operations.promote(published, MODEL, **WHO).changed


def test_the_way_to_a_gate_is_one_that_leads_there(published, new):
    """A gate tries the candidates, so no other version comes to one by itself."""
    operations.publish(published, MODEL, new(seed=3), **WHO)
    with pytest.raises(Declined, match=f"Publish {MODEL} 2 again, .* which is 3 now, then run `m"):
        operations.promote(published, MODEL, 2, **WHO)
    operations.publish(published, "controlnet", new("controlnet"), **WHO)
    with pytest.raises(Declined, match="Take the candidate of controlnet away .*, then run `maqu"):
        operations.promote(published, MODEL, 3, **WHO)
    assert operations.publish(published, MODEL, published / MODEL / "2", **WHO).version == 2
    operations.withdraw(published, "controlnet", "candidate", **WHO)
    pass_gate(published)
    assert operations.promote(published, MODEL, 2, **WHO).changed


def test_a_pair_without_vectors_is_never_the_champion(pair):
    """The gateway would go on with the old one, whatever the aliases say."""
    for how in (WHO, FORCED):
        with pytest.raises(Declined, match="no vectors of clip 2 yet.*`maquette models reembed 2`"):
            operations.promote(pair, "clip", **how)
    aliases.write(pair, "clip_text", Aliases(champion=1, previous=2))
    with pytest.raises(Declined, match="no vectors of clip 2 yet"):
        operations.rollback(pair, "clip", **WHO)
    assert of(pair, "clip").champion == 1
    reembed(pair)
    assert operations.rollback(pair, "clip", **WHO).served_versions


def test_who_loses_a_name_is_told(published, new):
    told = operations.publish(published, MODEL, new(seed=3), **WHO).said
    assert f"{MODEL} 2 is no longer the candidate; its files stay." in told
    told = operations.publish(published, MODEL, new(), **WHO).said[0]
    assert told.endswith(f"{MODEL} 3 is no longer the candidate; its files stay.")
    told = operations.publish(published, MODEL, new(seed=4), **WHO, dry_run=True).said
    assert f"{MODEL} 2 would be no longer the candidate; its files stay." in told
    operations.promote(published, MODEL, **FORCED)
    told = operations.promote(published, MODEL, 3, **FORCED).said[0]
    assert told.endswith(f"{MODEL} 1 is no longer the previous; its files stay.")


def test_forced_is_recorded_with_its_reason(published):
    with pytest.raises(InvalidRequest, match="Say why it is done without a passed gate"):
        operations.promote(published, MODEL, **WHO, force=True)
    operations.promote(published, MODEL, **WHO, force=True, why="the customer waits")
    entry = history.read(published)[-1]
    assert (entry.forced, entry.why) == (True, "the customer waits")


def test_force_where_the_gate_was_passed_is_none(published):
    pass_gate(published)
    operations.promote(published, MODEL, **FORCED)
    assert history.read(published)[-1].forced is False


def test_the_champion_is_not_promoted_again(promoted):
    before = actions(promoted)
    outcome = operations.promote(promoted, MODEL, 2, **WHO)
    assert (outcome.changed, outcome.said) == (False, (f"{MODEL} 2 is the champion already.",))
    assert actions(promoted) == before


def test_a_champion_that_changed_meanwhile_is_told(promoted, new):
    operations.publish(promoted, MODEL, new(seed=3), **WHO)
    with pytest.raises(Busy, match=f"The champion of {MODEL} is 2 by now, not 1"):
        operations.promote(promoted, MODEL, 3, **FORCED, expected=1)
    assert of(promoted).champion == 2


@pytest.mark.parametrize(
    ("model", "version", "kind", "words"),
    [
        (MODEL, None, NotFound, "has no candidate"),
        (MODEL, 7, NotFound, "has no version 7; there: 1"),
        ("unet", 2, Declined, "is never the champion"),
    ],
)
def test_what_cannot_be_promoted(repository, model, version, kind, words):
    with pytest.raises(kind, match=words):
        operations.promote(repository, model, version, **FORCED)


def test_a_version_that_lost_a_file_is_not_promoted(published):
    (published / MODEL / "2" / "model.onnx").unlink()
    with pytest.raises(Declined, match="has no file model.onnx"):
        operations.promote(published, MODEL, **FORCED)


# rollback, withdraw, retire


def test_rollback_and_back_again(promoted):
    for champion, previous in ((1, 2), (2, 1)):
        outcome = operations.rollback(promoted, MODEL, **WHO)
        assert of(promoted) == Aliases(champion, None, previous)
        assert (outcome.version, outcome.served_versions["champion"][MODEL]) == (champion, champion)


def test_a_second_rollback_says_what_it_brings_back(promoted):
    told = operations.rollback(promoted, MODEL, who="bob", why="too pale").said
    assert told == (f"{MODEL} 1 is the champion again, not 2.",)
    for dry_run in (True, False):
        told = operations.rollback(promoted, MODEL, **WHO, dry_run=dry_run).said[0]
        assert f"That takes back the roll-back from {MODEL} 2 that bob made at 20" in told
        assert told.endswith("(too pale).")
    # One after a promote is a first one.
    operations.rollback(promoted, MODEL, **WHO)
    operations.promote(promoted, MODEL, 2, **FORCED)
    assert operations.rollback(promoted, MODEL, **WHO).said == (
        f"{MODEL} 1 is the champion again, not 2.",
    )


def test_nothing_to_roll_back_to(promoted):
    operations.withdraw(promoted, MODEL, "previous", **WHO)
    with pytest.raises(
        Declined, match=r"no previous version to go back to\. `maquette models list"
    ):
        operations.rollback(promoted, MODEL, **WHO)


@pytest.mark.parametrize(("version", "alias"), [(1, "previous"), (2, "champion"), (3, "candidate")])
def test_what_is_used_is_not_retired(promoted, new, version, alias):
    operations.publish(promoted, MODEL, new(seed=3), **WHO)
    with pytest.raises(Declined, match=f"{MODEL} {version} is the {alias} version"):
        operations.retire(promoted, MODEL, version, **WHO)
    assert (promoted / MODEL / str(version)).exists()


def test_the_unet_for_few_steps_is_not_retired(repository):
    with pytest.raises(Declined, match="is never retired"):
        operations.retire(repository, "unet", 2, **WHO)


@pytest.fixture
def lingering(promoted):
    """Version 1 has no alias any more, and Triton is held to it still."""
    operations.withdraw(promoted, MODEL, "previous", **WHO)
    (promoted / MODEL / "config.pbtxt").write_text(f'name: "{MODEL}"\n')
    configs.write(promoted, MODEL, None, {1, 2})
    assert configs.held(promoted, MODEL) == {1, 2}
    return promoted


@pytest.mark.parametrize("dry_run", [True, False])
def test_what_a_gateway_holds_is_not_retired(lingering, monkeypatch, dry_run):
    """Renders that began with it go on."""
    monkeypatch.setattr(operations, "PATIENCE", 0.05)
    with (
        locks.following(lingering),
        pytest.raises(Busy, match=f"A gateway holds {MODEL} 1 still.*Try again"),
    ):
        operations.retire(lingering, MODEL, 1, **WHO, dry_run=dry_run)
    assert catalogue.on_disk(lingering, MODEL) == [1, 2]


def test_what_a_gateway_lets_go_of_meanwhile_is_retired(lingering, monkeypatch):
    looked = []

    def held(repository, network):
        looked.append(network)
        if len(looked) == 2:
            configs.hold(repository, network, {2})
        return configs_held(repository, network)

    configs_held = configs.held
    monkeypatch.setattr(configs, "held", held)
    with locks.following(lingering):
        operations.retire(lingering, MODEL, 1, **WHO)
    assert len(looked) >= 2
    assert catalogue.on_disk(lingering, MODEL) == [2]


def test_without_a_gateway_nobody_is_waited_for(lingering):
    """Also after one was killed, which leaves the config as it was."""
    with locks.following(lingering):
        assert locks.is_followed(lingering)
    assert not locks.is_followed(lingering)
    operations.retire(lingering, MODEL, 1, **WHO)
    assert catalogue.on_disk(lingering, MODEL) == [2]


def test_the_exported_version_can_be_retired(promoted):
    operations.withdraw(promoted, MODEL, "previous", **WHO)
    operations.retire(promoted, MODEL, 1, **WHO)
    assert catalogue.on_disk(promoted, MODEL) == [2]
    assert actions(promoted)[-2:] == ["withdraw", "retire"]
    with pytest.raises(NotFound, match="has no version 1; there: 2"):
        operations.retire(promoted, MODEL, 1, **WHO)


def test_a_champion_is_not_withdrawn(promoted):
    with pytest.raises(InvalidRequest, match="alias is 'champion'; allowed: candidate or previous"):
        operations.withdraw(promoted, MODEL, "champion", **WHO)


# canary


def test_a_canary_asks_for_a_passed_gate(published):
    with pytest.raises(Declined, match="has not been at its gate beside today's champion"):
        operations.set_canary(published, Canary(0.1, who="ada"))
    pass_gate(published, passed=False)
    with pytest.raises(Declined, match="did not pass its gate"):
        operations.set_canary(published, Canary(0.1, who="ada"))
    with pytest.raises(InvalidRequest, match="Say why it is done without a passed gate"):
        operations.set_canary(published, Canary(0.1, who="ada"), force=True)
    # Nobody sees what a shadow makes.
    operations.set_canary(published, Canary(0, 0.2, who="ada"))
    operations.set_canary(published, Canary(0.1, who="ada", why="a try"), force=True)
    assert history.read(published)[-1].forced
    pass_gate(published)
    operations.set_canary(published, Canary(0.2, who="ada"))
    assert not history.read(published)[-1].forced


def test_a_canary_of_two_candidates_asks_for_a_gate_of_both(published, new):
    operations.publish(published, "controlnet", new("controlnet"), **WHO)
    pass_gate(published)
    with pytest.raises(Declined, match="controlnet 2 with vae_decoder 2 has not been at its gate"):
        operations.set_canary(published, Canary(0.1, who="ada"))
    pass_gate(published, controlnet=2)
    assert operations.set_canary(published, Canary(0.1, who="ada")).changed


def test_a_canary_of_all_renders_is_none(published):
    pass_gate(published)
    with pytest.raises(InvalidRequest, match=r"share is 1.0; allowed: 0 to less than 1. With all"):
        operations.set_canary(published, Canary(1.0, who="ada"))
    assert operations.set_canary(published, Canary(0.0, 1.0, who="ada")).changed


def test_the_history_says_what_a_canary_came_to(published):
    pass_gate(published)
    operations.set_canary(published, Canary(0.25, who="ada"))
    begun = history.read(published)[-1]
    assert (begun.pinned, begun.measures) == ({MODEL: 2}, {"share": 0.25, "shadow": 0})
    operations.set_canary(published, Canary(who="gate"), counts=Counts(57, 2, 512))
    measures = history.read(published)[-1].measures
    assert (measures["candidate_renders"], measures["failed_renders"]) == (57, 2)
    assert measures["champion_renders"] == 512


def test_a_canary_is_kept_and_ends_with_its_candidate(published):
    pass_gate(published)
    wanted = Canary(0.1, 0.2, Bounds(max_latency_ratio=2.0), "ada", "careful")
    outcome = operations.set_canary(published, wanted)
    assert canary.read(published) == wanted
    assert outcome.said[0].startswith("The candidate (vae_decoder 2) now: makes 10% of the renders")
    outcome = operations.promote(published, MODEL, **FORCED)
    assert "The canary is over." in outcome.said
    assert not canary.read(published).is_on


def test_another_candidate_is_not_tried_unasked(published, new):
    pass_gate(published)
    operations.set_canary(published, Canary(0.1, who="ada"))
    operations.publish(published, "controlnet", new("controlnet"), **WHO)
    assert not canary.read(published).is_on


def test_a_rollback_leaves_the_canary_of_another_model(promoted, new):
    operations.publish(promoted, "controlnet", new("controlnet"), **WHO)
    pass_gate(promoted, "controlnet")
    operations.set_canary(promoted, Canary(0.1, who="ada"))
    operations.rollback(promoted, MODEL, **WHO)
    assert canary.read(promoted).is_on


def test_no_canary_without_a_candidate(repository):
    with pytest.raises(Declined, match="No network has a candidate"):
        operations.set_canary(repository, Canary(0.1, who="ada"))
    operations.set_canary(repository, Canary(who="ada"))


@pytest.mark.parametrize(
    "wanted",
    [
        Canary(share=1.1),
        Canary(shadow=-0.1),
        Canary(share=float("nan")),
        Canary(bounds=Bounds(max_error_share=2)),
        Canary(bounds=Bounds(least_renders=-1)),
    ],
)
def test_numbers_out_of_range(published, wanted):
    with pytest.raises(InvalidRequest, match="allowed: 0 to"):
        operations.set_canary(published, wanted)


@pytest.mark.parametrize("text", ["{", "{}", '{"bounds": {}, "share": 7}', "[]"])
def test_a_damaged_canary_is_one_sentence(repository, text):
    (repository / canary.FILE).write_text(text)
    with pytest.raises(Unavailable, match="does not say how the candidate is tried"):
        canary.read(repository)
    operations.set_canary(repository, Canary(who="ada"))
    assert not canary.read(repository).is_on


# all of them


@pytest.mark.parametrize("operation", ["publish", "promote", "rollback", "withdraw", "retire"])
def test_a_dry_run_changes_nothing(promoted, new, operation):
    operations.publish(promoted, MODEL, new(seed=3), **WHO)
    operations.withdraw(promoted, MODEL, "previous", **WHO)
    asked = {
        "publish": (new(seed=4),),
        "promote": (),
        "rollback": (),
        "withdraw": ("candidate",),
        "retire": (1,),
    }[operation]
    if operation == "rollback":
        operations.promote(promoted, MODEL, **FORCED)
    before = {
        path: path.read_bytes() for path in promoted.rglob("*") if path.is_file()
    }  # fmt: skip
    force = {"force": True, "why": "a test"} if operation == "promote" else {}
    outcome = getattr(operations, operation)(promoted, MODEL, *asked, **WHO, **force, dry_run=True)
    assert (outcome.changed, outcome.would_change) == (False, True)
    assert "would" in outcome.said[0]
    assert before == {path: path.read_bytes() for path in promoted.rglob("*") if path.is_file()}


def hold(repository):
    """A process that is at an operation until its standard input ends."""
    code = (
        "import sys; from pathlib import Path; from versions.locks import operating\n"
        "with operating(Path(sys.argv[1]), 'bob', 'publish of unet'):\n"
        "    print('held', flush=True); sys.stdin.read()"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", code, repository],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=ROOT,
        text=True,
    )
    assert holder.stdout.readline() == "held\n"
    return holder


def test_who_comes_second_is_told_who_is_at_it(promoted, new, monkeypatch):
    for module in (operations, publishing):
        monkeypatch.setattr(module, "PATIENCE", 0.0)
    with hold(promoted):
        for call in (
            lambda: operations.publish(promoted, MODEL, new(seed=5), **WHO),
            lambda: operations.promote(promoted, MODEL, **WHO),
            lambda: operations.rollback(promoted, MODEL, **WHO),
            lambda: operations.retire(promoted, MODEL, 1, **WHO),
            lambda: operations.set_canary(promoted, Canary(who="ada")),
            lambda: operations.record(promoted, Entry("reembed", "clip", "ada")),
            lambda: operations.recover(promoted, "ada"),
        ):
            with pytest.raises(Busy, match=r"bob is at publish of unet since 20..-.*process \d+"):
                call()
        # Readers and dry runs keep out of nobody's way.
        assert operations.rollback(promoted, MODEL, **WHO, dry_run=True).would_change
        assert of(promoted).champion == 2
    operations.rollback(promoted, MODEL, **WHO)


def test_a_roll_back_does_not_wait_for_a_copy(promoted, new):
    """Of gigabytes, when the champion is bad. The publish goes on with what it finds then."""
    others = []

    def report(doing, done, total):
        if others:
            return
        others.append(operations.rollback(promoted, MODEL, who="bob"))
        assert intent.pending(promoted, intent.COPYING_FILE), "what a power cut would leave"
        with pytest.raises(Busy, match=f"ada is at publish of {MODEL} since"):
            operations.publish(promoted, MODEL, new(seed=4), who="bob")
        assert not (promoted / MODEL / "3").exists()

    outcome = operations.publish(promoted, MODEL, new(seed=3), **WHO, report=report)
    assert others[0].said == (f"{MODEL} 1 is the champion again, not 2.",)
    assert outcome.said == (f"{MODEL} 3 is published, and the candidate.",)
    assert of(promoted) == Aliases(champion=1, candidate=3, previous=2)
    assert actions(promoted) == ["publish", "promote", "rollback", "publish"]


def test_the_lock_of_a_process_that_was_killed_is_free(promoted):
    with hold(promoted) as holder:
        holder.kill()
    operations.rollback(promoted, MODEL, **WHO)


def test_two_operators_promote_at_once_and_one_is_told(published, new):
    """Whoever is later, by however little, finds the lock held or another champion."""
    operations.publish(published, MODEL, new(seed=3), **WHO)
    code = (
        "import sys; from pathlib import Path; from versions import operations\n"
        "from versions.errors import Busy\n"
        "print('ready', flush=True); sys.stdin.readline()\n"
        "try: operations.promote(Path(sys.argv[1]), 'vae_decoder', int(sys.argv[2]),"
        " who=sys.argv[2], force=True, why='a race', expected=1)\n"
        "except Busy as error: print('busy')\n"
        "else: print('done')"
    )
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", code, published, version],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=ROOT,
            text=True,
        )
        for version in ("2", "3")
    ]
    for racer in racers:
        assert racer.stdout.readline() == "ready\n"
    for racer in racers:
        racer.stdin.write("go\n")
        racer.stdin.flush()
    told = [racer.communicate()[0].strip() for racer in racers]
    assert sorted(told) == ["busy", "done"]
    winner = 2 + told.index("done")
    assert of(published).champion == winner
    assert of(published).previous == 1
    assert actions(published).count("promote") == 1


def test_history_tells_everything_in_order(promoted):
    operations.rollback(promoted, MODEL, who="bob", why="too pale")
    operations.record(promoted, Entry("reembed", "clip", "eve", "new vectors", 1, 2))
    lines = (promoted / history.FILE).read_text().splitlines()
    found = [json.loads(line) for line in lines]
    assert [line["action"] for line in found] == ["publish", "promote", "rollback", "reembed"]
    assert (found[2]["from"], found[2]["to"], found[2]["why"]) == (2, 1, "too pale")
    assert len({line["id"] for line in found}) == 4
    assert [entry.to_dict() for entry in history.read(promoted)] == found


@pytest.mark.parametrize(
    "line",
    [b'{"action": "publish"}', b'{"action": "a", "model": "b", "who": "c", "to": "2"}', b"\xff\xfe",
     b"[" * 100_000, b'{"action": "a", "model": "b", "who": 5}', b""],
)  # fmt: skip
def test_a_damaged_history_is_one_sentence(repository, line):
    (repository / history.FILE).write_bytes(line + b"\n")
    with pytest.raises(Unavailable, match=r"history.jsonl: line 1 is not an entry.*Restore"):
        history.read(repository)


def test_versions_are_listed_with_what_they_are(promoted):
    (promoted / MODEL / "2" / "model.onnx").unlink()
    (promoted / MODEL / ".9.partial").mkdir()
    one, two = catalogue.versions_of(promoted, MODEL)
    assert (one.version, one.aliases, one.problem) == (1, ("previous",), "")
    assert (two.version, two.aliases) == (2, ("champion",))
    assert "has no file model.onnx" in two.problem


@pytest.mark.parametrize(
    "spoilt", ['{"libraries": {"x": 5}}', "", "\0" * 99, "[" * 100_000, "\xff", "5"]
)
def test_one_bad_manifest_is_listed_as_bad_and_the_others_as_they_are(promoted, spoilt):
    path = promoted / MODEL / "2" / manifest.FILE
    whole = json.loads(path.read_text())
    changed = json.dumps(whole | json.loads(spoilt)) if spoilt.startswith("{") else spoilt
    path.write_bytes(changed.encode("latin-1"))
    one, two = catalogue.versions_of(promoted, MODEL)
    assert (one.problem, list(one.manifests)) == ("", [MODEL])
    assert f"{path} is not a manifest" in two.problem
    assert not two.manifests


def test_a_version_takes_no_other_files_along(repository, new):
    source = new()
    for name in ("model.py", "notes.txt", ".hidden"):
        (source / name).write_text("import os")
    outcome = operations.publish(repository, MODEL, source, **WHO)
    there = {path.name for path in (repository / MODEL / str(outcome.version)).iterdir()}
    assert there == {"model.onnx", manifest.FILE}


def test_a_manifest_names_only_engines_and_their_weights(repository, new):
    source = new()
    (source / "model.py").write_text("import os")
    found = manifest.read(source)
    manifest.write(source, replace(found, files={**found.files, "model.py": "0"}))
    with pytest.raises(Declined, match="files names 'model.py'"):
        operations.publish(repository, MODEL, source, **WHO)


def test_an_alias_without_files_is_listed_as_a_problem(repository):
    aliases.write(repository, MODEL, Aliases(champion=5))
    assert [found.version for found in catalogue.versions_of(repository, MODEL)] == [1, 5]
    assert "has no manifest.json" in catalogue.versions_of(repository, MODEL)[1].problem


def test_no_lock_file_is_read_for_a_name_that_is_half_written(repository):
    with locks.operating(repository, "bob", "publish"):
        (repository / locks.OPERATION).write_text('{"who": ')
        with (
            pytest.raises(Busy, match="Somebody else is changing versions"),
            locks.operating(repository, "ada", "promote"),
        ):
            pass


def test_a_folder_that_is_none(tmp_path):
    with pytest.raises(NotFound, match="is not a folder"):
        operations.rollback(tmp_path / "nowhere", MODEL, **WHO)


# asked for again after it was cut short


def cut_short(repository, monkeypatch, act):
    """Do `act` as a process does that dies once its intent is written down."""

    class PowerCut(BaseException):
        pass

    def die(*_):
        raise PowerCut

    with monkeypatch.context() as patched:
        patched.setattr(intent, "_finish", die)
        with pytest.raises(PowerCut):
            act()
    assert intent.pending(repository)


def test_a_rollback_that_is_given_again_does_not_undo_itself(promoted, monkeypatch):
    cut_short(promoted, monkeypatch, lambda: operations.rollback(promoted, MODEL, **WHO))
    outcome = operations.rollback(promoted, MODEL, **WHO)
    assert "it is finished now" in outcome.said[0]
    assert of(promoted) == Aliases(champion=1, previous=2)
    assert actions(promoted).count("rollback") == 1


def test_a_promote_that_is_given_again_is_not_told_of_somebody_quicker(published, monkeypatch):
    promote = lambda: operations.promote(published, MODEL, expected=1, **FORCED)  # noqa: E731
    cut_short(published, monkeypatch, promote)
    assert "it is finished now" in promote().said[0]
    assert of(published).champion == 2


def test_what_was_found_is_told_also_by_a_command_that_fails(promoted, monkeypatch):
    cut_short(promoted, monkeypatch, lambda: operations.rollback(promoted, MODEL, **WHO))
    with pytest.raises(NotFound, match="it is finished now. .* no version 9"):
        operations.promote(promoted, MODEL, 9, **FORCED)


def test_two_who_roll_back_do_not_undo_each_other(promoted):
    operations.rollback(promoted, MODEL, expected=2, **WHO)
    with pytest.raises(Busy, match="is 1 by now, not 2: somebody was quicker"):
        operations.rollback(promoted, MODEL, expected=2, **WHO)
    assert of(promoted).champion == 1


def test_a_gate_beside_another_champion_is_none(published, new):
    pass_gate(published)
    operations.publish(published, MODEL, new(seed=2), **WHO)
    operations.promote(published, MODEL, 3, **FORCED)
    with pytest.raises(Declined, match="held against 1 at its gate, and the champion is 3 now"):
        operations.promote(published, MODEL, 2, **WHO)


def test_one_gate_at_a_time(published):
    with operations.gating(published, MODEL, "bob"):
        with (
            pytest.raises(Busy, match=f"bob is at gate of {MODEL} since"),
            operations.gating(published, "unet", "ada"),
        ):
            pass
        # It takes minutes, and keeps nobody from anything else.
        assert operations.promote(published, MODEL, **FORCED).changed
    with operations.gating(published, "unet", "ada"):
        pass


def test_a_canary_ends_only_the_one_that_it_was_about(published):
    pass_gate(published)
    first = Canary(share=0.1, who="ada")
    operations.set_canary(published, first)
    newer = Canary(share=0.2, who="bob")
    operations.set_canary(published, newer)
    outcome = operations.set_canary(published, Canary(), instead_of=first)
    assert not outcome.changed
    assert canary.read(published) == newer


@pytest.mark.parametrize(
    "changed",
    [{"build": []}, {"files": ["model.onnx"]}, {"files": {"model.onnx": 5}}, {"error": "small"},
     {"libraries": {"x": 5}}, {"libraries": None}, {"licence": 5}, {"opset": 2**40},
     {"opset": True}, {"few_steps": 1}, {"pack": "\ud800"}, {"fused": {"x": "y"}}, {"more": 1},
     {"error": float("nan")}, {"tolerance": float("inf")}, {"network": None}],
)  # fmt: skip
def test_a_manifest_of_other_types_is_one_sentence(repository, new, changed):
    source = new()
    path = source / manifest.FILE
    path.write_text(json.dumps(json.loads(path.read_text()) | changed))
    with pytest.raises(Declined, match="is not a manifest"):
        operations.publish(repository, MODEL, source, **WHO)
