"""A repository in an object store, and the machines that work on it."""

from __future__ import annotations

import json
import re
import shutil
import threading
from datetime import timedelta

import obstore
import pytest

from pipeline.errors import InvalidRequest, NotFound, Unavailable
from tests.versions.killing import broken_versions, leftovers, state_of
from versions import (
    aliases,
    copies,
    history,
    index,
    locks,
    objects,
    operations,
    repositories,
    sources,
)
from versions.aliases import Aliases
from versions.catalogue import FINISHED
from versions.errors import Busy, Declined
from versions.index import KEY
from versions.objects import Objects
from versions.repositories import LocalRepository, ObjectStoreRepository, opened, publish

MODEL = "vae_decoder"
FORCED = {"force": True, "why": "a test"}


@pytest.fixture(autouse=True)
def _untried(monkeypatch):
    """The processes in which engines are tried have tests of their own."""
    monkeypatch.setattr(sources, "try_one", lambda *arguments: None)


def published(machine, source, who="ada"):
    return publish(machine, MODEL, str(source), who=who)


def promoted(machine, who="ada", **options):
    return machine.change(
        lambda folder: operations.promote(folder, MODEL, who=who, **FORCED, **options)
    )


def rolled_back(machine, who="ada"):
    return machine.change(lambda folder: operations.rollback(folder, MODEL, who=who))


def of(machine):
    return aliases.read(machine.folder).of(MODEL)


def keys(url):
    return {found.key for found in Objects(url).list()}


def named(url):
    """The objects that the repository consists of."""
    found = index.from_bytes(Objects(url).read(KEY).data, url)
    return {KEY, *(file.key for file in found.files.values())}


# Several machines


def test_two_machines_see_what_either_does(machine, url, repository, new):
    one, other = machine("one"), machine("other")
    plain = LocalRepository(repository)
    source = new()
    for act in (
        lambda on: published(on, source),
        promoted,
        rolled_back,
        lambda on: on.change(lambda at: operations.withdraw(at, MODEL, "previous", who="ada")),
        lambda on: on.change(lambda at: operations.retire(at, MODEL, 2, who="ada")),
    ):
        said = act(one)
        assert said == act(plain), "what is said and done is what it is in a folder"
        other.pull()
        assert state_of(one.folder) == state_of(other.folder) == state_of(repository)
        assert broken_versions(other.folder) == []
        assert keys(url) == named(url)
        one, other = other, one
    assert leftovers(one.folder) == leftovers(other.folder) == []


def test_what_did_not_change_is_not_fetched(machine, new, monkeypatch):
    one, other = machine("one"), machine("other")
    published(one, new())
    fetched = []
    download = Objects.download
    monkeypatch.setattr(
        Objects,
        "download",
        lambda self, key, *rest: fetched.append(key) or download(self, key, *rest),
    )
    other.pull()
    assert sorted(key.rpartition("/")[2] for key in fetched) == ["manifest.json", "model.onnx"]
    before = {path: path.stat().st_mtime_ns for path in other.folder.rglob("*")}
    other.pull()
    promoted(one)
    assert len(fetched) == 2
    assert {path: path.stat().st_mtime_ns for path in other.folder.rglob("*")} == before


def test_of_two_operators_one_is_told(machine, new):
    one, other = machine("one"), machine("other")
    published(one, new())

    def slowly(folder):
        promoted(other, "bob")
        return operations.promote(folder, MODEL, who="ada", **FORCED)

    with pytest.raises(Busy, match=f"bob was quicker with promote of {MODEL}, at .* decide anew"):
        one.change(slowly)
    one.pull()
    assert of(one) == Aliases(2, None, 1)
    assert [entry.who for entry in history.read(one.folder)] == ["ada", "bob"]


def test_a_publish_is_done_anew_beside_another(machine, url, new, monkeypatch):
    one, other = machine("one"), machine("other")
    sent = []
    upload = Objects.upload

    def slowly(self, path, key, report):
        if not sent:
            sent.append(key)
            published(other, new(seed=2), "bob")
        else:
            sent.append(key)
        return upload(self, path, key, report)

    monkeypatch.setattr(Objects, "upload", slowly)
    assert published(one, new(seed=1)).version == 3
    assert of(one) == Aliases(1, 3)
    assert [(e.who, e.to_version) for e in history.read(one.folder)] == [("bob", 2), ("ada", 3)]
    assert len(sent) == 4, "what was sent is not sent again"
    assert broken_versions(one.folder) == []
    assert named(url) == keys(url)


def test_an_answer_that_was_lost_is_found_out(machine, new, monkeypatch):
    one = machine("one")
    write = Objects.write

    def lost(self, *arguments, **options):
        write(self, *arguments, **options)
        raise Unavailable("the connection broke")

    monkeypatch.setattr(Objects, "write", lost)
    assert published(one, new()).version == 2
    assert of(one).candidate == 2


def test_what_was_not_written_is_told(machine, new, monkeypatch):
    one, other = machine("one"), machine("other")

    def refused(self, *arguments, **options):
        raise Unavailable("the connection broke")

    with monkeypatch.context() as patched:
        patched.setattr(Objects, "write", refused)
        with pytest.raises(Unavailable, match="the connection broke"):
            published(one, new())
    other.pull()
    assert of(one).candidate is of(other).candidate is None
    assert published(other, new()).version == 2


def test_what_fails_or_is_tried_only_leaves_no_trace(machine, url, new):
    one = machine("one")
    before, there = state_of(one.folder), Objects(url).read(KEY)
    with pytest.raises(Declined, match="no previous version"):
        rolled_back(one)
    assert publish(one, MODEL, str(new()), who="ada", dry_run=True).would_change
    assert state_of(one.folder) == before
    assert Objects(url).read(KEY) == there
    assert keys(url) == named(url)
    assert not any((one.folder / ".store/work").iterdir())


def test_the_address_that_it_came_from_is_kept(machine, url, new):
    one = machine("one")
    source = new()
    for path in source.iterdir():
        Objects(f"{url}-else/roofs").upload(path, path.name)
    publish(one, MODEL, f"{url}-else/roofs", who="ada")
    assert [entry.source for entry in history.read(one.folder)] == [f"{url}-else/roofs"]


def test_what_was_sent_and_never_named_goes_after_a_day(machine, url, new, monkeypatch):
    one = machine("one")
    lost = index.new_key("unet/3/model.onnx")
    mine = "unet/notes.txt"
    for key in (lost, mine):
        Objects(url).write(key, b"x")
    published(one, new())
    assert lost in keys(url), "somebody may be at it"
    monkeypatch.setattr(repositories, "ABANDONED", timedelta(seconds=-1))
    published(one, new(seed=2))
    assert keys(url) == {*named(url), mine}


# What is not as it should be


def test_half_a_version_is_refused_and_the_copy_stays(machine, url, new):
    one, other = machine("one"), machine("other")
    before = state_of(other.folder)
    published(one, new())
    (key,) = [key for key in keys(url) if key.startswith(f"{MODEL}/2.") and "onnx" in key]
    whole = bytes(obstore.get(Objects(url)._store, key).bytes())
    for spoilt in (whole[:-1] + b"!", None):
        if spoilt:
            obstore.put(Objects(url)._store, key, spoilt)
            said = rf"{MODEL}/2/model.onnx as it was published \(sha256 "
        else:
            Objects(url).delete([key])
            said = "is not whole: .* no such object"
        with pytest.raises(Declined, match=said):
            other.pull()
        assert state_of(other.folder) == before
    obstore.put(Objects(url)._store, key, whole)
    other.pull()
    assert of(other).candidate == 2


def test_a_version_that_is_retired_while_it_is_fetched(machine, new, monkeypatch):
    one, other = machine("one"), machine("other")
    published(one, new())
    one.change(lambda at: operations.withdraw(at, MODEL, "candidate", who="ada"))
    download = Objects.download

    def slowly(self, *arguments):
        monkeypatch.setattr(Objects, "download", download)
        one.change(lambda at: operations.retire(at, MODEL, 2, who="ada"))
        return download(self, *arguments)

    monkeypatch.setattr(Objects, "download", slowly)
    other.pull()
    assert state_of(other.folder) == state_of(one.folder)


def test_a_store_that_is_away_is_one_sentence(machine, url, monkeypatch):
    one = machine("one")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    away = ObjectStoreRepository(url, one.folder)
    with pytest.raises(Unavailable) as told:
        away.pull()
    said = str(told.value)
    with pytest.raises(Unavailable, match=f"^{re.escape(said)}$"):
        away.sync_aliases()
    assert "See that it is there, that AWS_ENDPOINT_URL names its server" in said
    assert "\n" not in said
    assert "kept-to-itself" not in said
    assert of(one) == Aliases()


def test_who_may_not_read_it_is_told(machine, url, monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "a guess")
    with pytest.raises(Unavailable, match="that AWS_ACCESS_KEY_ID may read and write it"):
        machine("one")


def test_a_place_without_a_repository(url, tmp_path):
    with pytest.raises(
        NotFound, match=f"holds no repository. `maquette models upload FOLDER .*{url}"
    ):
        ObjectStoreRepository(url, tmp_path / "copy").pull()


@pytest.mark.parametrize(
    "spoilt",
    [
        {"format": 2},
        {"files": {"../../etc/passwd": {}}},
        {"files": {"unet/1/../../x": {}}},
        {"files": {"/unet/1/x": {}}},
        {"files": {"unet/1/.hidden": {}}},
        {"files": {"render/1/model.py": {}}},
        {"files": {"unet/1/a/b": {}}},
        {"files": {"unet/1/model.onnx": {"key": "../secrets"}}},
        {"files": {"unet/1/model.onnx": {"key": "repository.json"}}},
        {"files": {"unet/1/model.onnx": {"size": -1}}},
        {"files": []},
        {"texts": {"unet/config.pbtxt": ""}},
        {"texts": {"canary.json": 1}},
    ],
)
def test_an_index_that_leads_elsewhere_is_refused(spoilt):
    whole = {"key": "unet/1.0123456789abcdef/model.onnx", "sha256": "0" * 64, "size": 1}
    files = spoilt.get("files", {})
    if isinstance(files, dict):
        files = {path: whole | file for path, file in files.items()}
    told = {"format": 1, "files": {}, "texts": {}, "commit": "x"} | spoilt | {"files": files}
    with pytest.raises(Unavailable, match="does not say what is in the repository"):
        index.from_bytes(json.dumps(told).encode(), "s3://bucket/repository.json")


def test_what_is_no_address_of_a_store():
    for wrong in ("s3://", "s3://key:secret@bucket/x", "s3://bucket/x?y", "https://bucket/x"):
        with pytest.raises(InvalidRequest, match="allowed: s3://bucket/prefix"):
            opened(wrong)
    assert isinstance(opened("model_repository"), LocalRepository)


@pytest.mark.parametrize("left", ["", "history.jsonl", MODEL])
def test_a_work_folder_that_vanishes_takes_nothing_from_the_store(machine, url, new, left):
    one = machine("one")
    published(one, new())
    before = Objects(url).read(KEY)

    def vanishing(folder):
        for path in folder.iterdir():
            if path.name != left:
                shutil.rmtree(path) if path.is_dir() else path.unlink()

    with pytest.raises(Unavailable, match="was taken away meanwhile; nothing is changed"):
        one.change(vanishing)
    assert Objects(url).read(KEY) == before
    assert keys(url) == named(url)


def test_no_command_removes_the_work_folder_of_another(machine, monkeypatch):
    one = machine("one")
    alive = copies._alive
    other = threading.Thread(target=one.change, args=(lambda folder: None,), daemon=True)

    def slowly(folder):
        if other.ident is None:
            other.start()
            other.join(0.3)
        return alive(folder)

    monkeypatch.setattr(copies, "_alive", slowly)
    assert one.change(lambda folder: list(folder.iterdir()), dry_run=True)
    other.join(10)
    assert not other.is_alive()


def test_a_work_folder_that_goes_while_it_is_looked_at(tmp_path, monkeypatch):
    (tmp_path / "done").mkdir()
    alive = copies._alive

    def late(folder):
        folder.rmdir()
        return alive(folder)

    monkeypatch.setattr(copies, "_alive", late)
    copies._clear(tmp_path)


def test_a_file_that_changes_while_it_is_sent_is_not_named(machine, url, new, monkeypatch):
    one = machine("one")
    before = Objects(url).read(KEY)
    upload = Objects.upload
    monkeypatch.setattr(Objects, "upload", lambda *given: upload(*given)[:-1] + "!")
    with pytest.raises(Unavailable, match="changed while it was sent"):
        published(one, new())
    assert Objects(url).read(KEY) == before


@pytest.mark.parametrize("line", ["", "{", "[]", '{"action": "gate", "of a newer one": 1}'])
def test_who_was_quicker_is_told_as_far_as_it_is_known(line):
    found = index.Index({}, {history.FILE: line})
    assert repositories._last_change(found) == "Somebody else changed versions meanwhile"


def test_a_disk_that_refuses_what_is_fetched_is_one_sentence(machine, url, monkeypatch):
    one = machine("one")
    Objects(f"{url}-else").write("model.onnx", b"x")

    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Objects, "download", full)
    with pytest.raises(Unavailable, match="No space left on device"):
        publish(one, MODEL, f"{url}-else", who="ada")


@pytest.mark.parametrize("wrong", ["s3://KEY:SECRET@bucket/x", "s3://KEY:SEC/RET@bucket/x"])
def test_how_one_signs_in_is_never_shown(wrong):
    with pytest.raises(InvalidRequest, match="allowed: s3://bucket/prefix") as told:
        opened(wrong)
    assert not any(word in str(told.value) for word in ("KEY", "SEC", "RET"))


# Filling


def test_links_are_refused(url, repository, tmp_path):
    engine = repository / "unet/1/model.onnx"
    engine.rename(tmp_path / "model.onnx")
    engine.symlink_to(tmp_path / "model.onnx")
    with pytest.raises(Declined, match="unet/1/model.onnx is a link"):
        ObjectStoreRepository(url, tmp_path / "copy").fill(repository, "eve")
    assert keys(url) == set()


def test_only_what_an_export_wrote_is_uploaded(url, repository, tmp_path):
    for name in ("config.pbtxt", "1/model.py", "1/README", "configs/served.pbtxt"):
        path = repository / "unet" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("written by hand")
    (repository / "unet/configs/onnxruntime_gpu.pbtxt").write_text("exported")
    ObjectStoreRepository(url, tmp_path / "nobody").fill(repository, "eve")
    one = ObjectStoreRepository(url, tmp_path / "one")
    one.pull()
    (one.folder / "unet/1/model.py").write_text("of this machine")
    one.change(lambda folder: history.append(folder, history.Entry("reembed", "clip", "ada")))
    assert (one.folder / "unet/1/model.py").read_text() == "of this machine"
    there = {path.name for path in one.folder.glob("unet/**/*") if path.is_file()}
    assert there == {"manifest.json", "model.onnx", "onnxruntime_gpu.pbtxt", "model.py"}
    assert (one.folder / "tokenizer/1/tokenizer.json").exists()


def test_a_place_that_holds_something_is_not_filled(machine, url, built, tmp_path):
    with pytest.raises(Declined, match="is not empty"):
        machine("one").fill(built, "eve")
    Objects(f"{url}-other").write("holiday.jpg", b"x")
    with pytest.raises(Declined, match="is not empty"):
        ObjectStoreRepository(f"{url}-other", tmp_path / "copy").fill(built, "eve")
    with pytest.raises(NotFound, match="holds no engines"):
        ObjectStoreRepository(f"{url}-more", tmp_path / "copy").fill(tmp_path, "eve")


def test_half_an_export_is_not_uploaded(url, repository, tmp_path):
    (repository / FINISHED).unlink()
    with pytest.raises(Declined, match=r"did not finish: .* Run the same `maquette export` again"):
        ObjectStoreRepository(url, tmp_path / "copy").fill(repository, "eve")
    assert keys(url) == set()


def test_a_store_that_keeps_no_two_writers_apart_is_refused(url, built, tmp_path, monkeypatch):
    put = obstore.put

    def regardless(*given, mode=None, **options):
        return put(*given, **options)

    monkeypatch.setattr(objects.obstore, "put", regardless)
    with pytest.raises(Unavailable, match="replaces objects unconditionally"):
        ObjectStoreRepository(url, tmp_path / "copy").fill(built, "eve")
    assert keys(url) == set()


def test_whoever_watches_may_end_it_at_any_step(machine, url, new):
    one = machine("one")
    before = state_of(one.folder)

    class Left(Exception):
        pass

    for word in ("copying", "sending"):

        def report(doing, done, total, word=word):
            if doing.startswith(word):
                raise Left

        with pytest.raises(Left):
            publish(one, MODEL, str(new()), who="ada", report=report)
    one.pull()
    assert state_of(one.folder) == before
    assert not any((one.folder / ".store/work").iterdir())


# A copy that is behind


def engine_away(monkeypatch):
    """No engine can be fetched any more; only what is small."""
    download = Objects.download

    def slow(self, key, path, size, *rest):
        if key.endswith(".onnx"):
            raise Unavailable("it takes for ever")
        return download(self, key, path, size, *rest)

    monkeypatch.setattr(Objects, "download", slow)


def test_what_runs_no_engine_waits_for_none(machine, url, new, tmp_path, monkeypatch):
    one = machine("one")
    published(one, new(seed=1))
    promoted(one)
    engine_away(monkeypatch)
    fresh = ObjectStoreRepository(url, tmp_path / "fresh")
    assert rolled_back(fresh).version == 1
    one.pull()
    assert of(one) == Aliases(1, None, 2)
    assert broken_versions(one.folder) == []
    assert fresh.change(
        lambda at: operations.withdraw(at, MODEL, "previous", who="ada"), dry_run=True
    ).changed
    with pytest.raises(Unavailable, match="takes for ever"):
        published(fresh, new(seed=2))


def test_a_roll_back_arrives_while_an_engine_is_fetched(machine, new, monkeypatch):
    one, other = machine("one"), machine("other")
    published(one, new(seed=1))
    promoted(one)
    other.pull()
    published(one, new(seed=2))
    with monkeypatch.context() as patched:
        engine_away(patched)
        with pytest.raises(Unavailable, match="takes for ever"):
            other.pull()
        rolled_back(other)
        assert of(other) == Aliases(1, None, 2), "the candidate is not named before it is here"
        assert broken_versions(other.folder) == []
        assert [entry.action for entry in history.read(other.folder)][-1] == "rollback"
        one.pull()
        promoted(one, version=3)
        other.sync_aliases()
        assert of(other) == Aliases(1, None, 2), "the champion is not here"
    other.pull()
    assert of(other) == of(one) == Aliases(3, None, 1)
    other.sync_aliases()
    assert of(other) == of(one)


def test_a_glance_goes_on_while_files_are_brought(machine, new, monkeypatch):
    one, other = machine("one"), machine("other")
    published(one, new(seed=1))
    promoted(one)
    other.pull()
    published(one, new(seed=2))
    download = Objects.download
    seen, keys = [], []

    def meanwhile(self, key, *arguments):
        if not seen:
            seen.append(rolled_back(one))
            other.sync_aliases()
            seen.append(of(other))
        keys.append(key)
        return download(self, key, *arguments)

    monkeypatch.setattr(Objects, "download", meanwhile)
    other.pull()
    assert seen[1] == Aliases(1, None, 2)
    assert len(keys) == len(set(keys)) == 2, "nothing is fetched twice"
    assert of(other) == of(one) == Aliases(1, 3, 2)


def test_what_a_render_in_flight_needs_stays_until_it_has_ended(machine, new):
    one, other = machine("one"), machine("other")
    published(one, new())
    other.pull()
    held = other.folder / MODEL / "configs/served.pbtxt"
    held.parent.mkdir()
    held.write_text("version_policy { specific { versions: [1, 2] } }")
    with locks.following(other.folder):
        one.change(lambda at: operations.withdraw(at, MODEL, "candidate", who="ada"))
        one.change(lambda at: operations.retire(at, MODEL, 2, who="ada"))
        other.pull()
        assert of(other) == Aliases()
        assert (other.folder / MODEL / "2/model.onnx").exists()
        held.write_text("version_policy { specific { versions: [1] } }")
        other.pull()
        assert not (other.folder / MODEL / "2").exists()
    assert held.exists()
