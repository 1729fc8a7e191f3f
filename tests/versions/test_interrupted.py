"""Commands that are killed at each of their steps, and what the next one makes of it."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from pipeline.errors import Unavailable
from tests.amounts import sample
from tests.conftest import ROOT
from tests.versions import killing
from tests.versions.engines import write_version
from versions import aliases, history, intent, operations, sources
from versions.canary import Canary
from versions.history import Entry


def prepare(repository, new, operation):
    """Bring `repository` to where `operation` can be done, and give what it is done with."""
    if operation in {"promote_pair", "publish_pair"}:
        source = new("clip_text").parent
        for network in ("clip_text", "clip_image"):
            write_version(source / network / "1", network, seed=1)
        if operation == "promote_pair":
            operations.publish(repository, "clip", source, who="eve")
            operations.record(repository, Entry("reembed", "clip", "eve", to_version=2))
        return source
    source = new()
    if operation != "publish":
        operations.publish(repository, "vae_decoder", source, who="eve")
    if operation == "retire":
        operations.withdraw(repository, "vae_decoder", "candidate", who="eve")
    else:
        # It ends by itself when the candidate is another, which takes a step more.
        if operation != "publish":
            canary = Canary(share=0.1, who="eve", why="a test")
            operations.set_canary(repository, canary, force=True)
        if operation == "rollback":
            operations.promote(repository, "vae_decoder", 2, who="eve", force=True, why="a test")
    return source


@pytest.mark.parametrize("operation", sample(killing.OPERATIONS, {"publish_pair", "promote"}))
def test_killed_at_any_step_the_next_command_finishes_or_undoes_it(repository, new, operation):
    source = prepare(repository, new, operation)
    done = subprocess.run(
        [sys.executable, "-m", "tests.versions.killing", repository, source, operation],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert [report["killed"] for report in found] == [True] * (len(found) - 1) + [False]
    assert len(found) > 8, "its steps were not seen"
    for report in found:
        assert report["broken"] == [], report
        assert report["state"] in {"before", "after"}, report
        assert report["left"] == [], report
        assert report["again"], report
    states = [report["state"] for report in found]
    assert states == sorted(states, reverse=True), "undone first, and finished from some step on"
    assert states[0] == "before"


def cut_short(monkeypatch, module, name):
    """Let a publish end, as if it were killed, when it gets to `name`."""

    class Killed(BaseException):
        pass

    def end(*arguments):
        raise Killed

    monkeypatch.setattr(module, name, end)
    return Killed


def test_what_was_being_copied_is_undone_by_the_next_command(repository, new, monkeypatch):
    source = new()
    with monkeypatch.context() as patched:
        # A power cut tidies nothing up.
        patched.setattr(intent, "undo_copying", lambda *arguments: None)
        killed = cut_short(patched, sources, "try_one")
        with pytest.raises(killed):
            operations.publish(repository, "vae_decoder", source, who="ada")
    assert (repository / "vae_decoder/.2.partial/model.onnx").exists()
    outcome = operations.publish(repository, "unet", new("unet"), who="bob")
    assert outcome.said[0].startswith("The publish of vae_decoder 2 that ada began at ")
    assert outcome.said[0].endswith("interrupted before it changed anything; it is undone.")
    assert not (repository / "vae_decoder/.2.partial").exists()
    assert operations.publish(repository, "vae_decoder", source, who="bob").version == 2


def test_an_interrupt_leaves_nothing(repository, new, monkeypatch):
    with monkeypatch.context() as patched:
        killed = cut_short(patched, sources, "try_one")
        with pytest.raises(killed):
            operations.publish(repository, "vae_decoder", new(), who="ada")
    assert killing.leftovers(repository) == []


def test_the_sentences_tell_who_did_what(repository, new, monkeypatch):
    source = new()
    with monkeypatch.context() as patched:
        killed = cut_short(patched, intent, "_finish")
        with pytest.raises(killed):
            operations.publish(repository, "vae_decoder", source, who="ada")
    said = operations.recover(repository, "bob")
    assert said.startswith("The publish of vae_decoder 2 that ada began at ")
    assert said.endswith("was interrupted half-way; it is finished now.")
    assert aliases.read(repository).of("vae_decoder").candidate == 2
    assert [entry.who for entry in history.read(repository)] == ["ada"]
    assert operations.recover(repository, "bob") == ""


def test_a_dry_run_leaves_what_it_finds(repository, new, monkeypatch):
    with monkeypatch.context() as patched:
        killed = cut_short(patched, intent, "_finish")
        with pytest.raises(killed):
            operations.publish(repository, "vae_decoder", new(), who="ada")
    outcome = operations.publish(repository, "unet", new("unet"), who="bob", dry_run=True)
    assert "in progress, or was interrupted" in outcome.said[0]
    assert intent.pending(repository)


def test_a_damaged_intent_is_one_sentence(repository):
    (repository / intent.FILE).write_text("{")
    with pytest.raises(Unavailable, match="does not say what was interrupted"):
        operations.recover(repository, "bob")


def test_an_entry_that_was_half_written_is_written_again(repository):
    entry = history.Entry("promote", "unet", "ada")
    history.append(repository, history.Entry("publish", "unet", "ada"))
    path = repository / history.FILE
    with path.open("a") as file:
        file.write(json.dumps(entry.to_dict())[:40])
    assert [found.action for found in history.read(repository)] == ["publish"]
    for _ in range(2):
        history.append(repository, entry)
    assert [found.action for found in history.read(repository)] == ["publish", "promote"]
