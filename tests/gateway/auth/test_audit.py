"""The audit log."""

from __future__ import annotations

import hashlib
import json
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from gateway.auth.audit import Audit
from gateway.auth.caller import Caller, Scope
from pipeline.errors import Unavailable
from tests.disks import fill

STUDIO = Caller("key:abcdefgh", frozenset({Scope.RENDER}))
OPEN_FILES = Path("/proc/self/fd")
PROMPT = "a very secret house"


@pytest.fixture
def path(tmp_path):
    return tmp_path / "var" / "audit.jsonl"


@pytest.fixture
def audit(path):
    made = Audit(path, lambda: "request-1")
    yield made
    made.close()


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def record(audit, outcome="done", **more):
    audit.record(STUDIO, "render", ids={"render": "r1"}, outcome=outcome, **more)


def test_a_line_says_who_did_what_when(audit, path):
    record(audit, prompt=PROMPT)
    (line,) = lines(path)
    written = datetime.fromisoformat(line.pop("time"))
    assert written.utcoffset() == timedelta(0)
    assert abs(datetime.now(UTC) - written) < timedelta(minutes=5)
    assert line == {
        "caller": "key:abcdefgh",
        "action": "render",
        "ids": {"render": "r1"},
        "outcome": "done",
        "request_id": "request-1",
        "prompt_sha256": hashlib.sha256(PROMPT.encode()).hexdigest(),
    }


def test_prompts_are_written_only_when_that_is_asked_for(audit, path):
    record(audit, prompt=PROMPT)
    assert "secret" not in path.read_text()
    telling = Audit(path, prompts=True)
    record(telling, prompt=PROMPT)
    telling.close()
    assert lines(path)[1]["prompt"] == PROMPT
    assert "prompt_sha256" not in lines(path)[1]


def test_what_has_no_prompt_has_none(audit, path):
    record(audit)
    assert not [name for name in lines(path)[0] if name.startswith("prompt")]


def test_a_caller_cannot_write_lines_of_their_own(path):
    audit = Audit(path, lambda: 'x"}\n{"caller": "key:somebody"', prompts=True)
    record(audit, prompt='a\nb\u2028"}\ud800')
    audit.close()
    assert [line["caller"] for line in lines(path)] == ["key:abcdefgh"]


def test_the_file_is_the_owners_alone_and_goes_on(audit, path):
    record(audit)
    again = Audit(path)
    record(again)
    again.close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert len(lines(path)) == 2


def test_a_log_that_was_rotated_is_begun_anew(audit, path):
    record(audit, "one")
    old = path.rename(path.with_suffix(".1"))
    record(audit, "two")
    record(audit, "three")
    assert [line["outcome"] for line in lines(old)] == ["one"]
    assert [line["outcome"] for line in lines(path)] == ["two", "three"]
    path.unlink()
    path.touch()
    record(audit, "four")
    assert [line["outcome"] for line in lines(path)] == ["four"]


def test_files_of_logs_that_were_rotated_are_closed(audit, path):
    record(audit)
    before = len(list(OPEN_FILES.iterdir()))
    for _ in range(20):
        path.unlink()
        record(audit)
    assert len(list(OPEN_FILES.iterdir())) == before


def test_a_log_that_cannot_be_opened_stops_the_start(tmp_path):
    (tmp_path / "file").touch()
    for path in (tmp_path, tmp_path / "file" / "audit.jsonl"):
        with pytest.raises(Unavailable, match=f"The audit log {path} cannot be opened"):
            Audit(path)


def test_a_line_that_cannot_be_written_is_an_error_and_counted(caplog):
    full = Audit(Path("/dev/full"))
    record(full)
    record(full)
    full.close()
    assert full.lost == 2
    assert [entry.levelname for entry in caplog.records] == ["ERROR"]
    assert "No space left" in caplog.text


def test_a_line_that_was_cut_short_takes_no_other_along(audit, path):
    """A full disk takes a part of a line, and the next one when there is room again."""
    record(audit, "one")
    with path.open("ab") as file:
        file.write(b'{"time": "2026-')
    record(audit, "two")
    again = Audit(path)
    record(again, "three")
    again.close()
    one, torn, *others = path.read_text().splitlines()
    assert torn == '{"time": "2026-'
    assert [json.loads(line)["outcome"] for line in (one, *others)] == ["one", "two", "three"]


def test_a_full_disk_loses_only_what_did_not_fit(small_disk):
    path = small_disk / "audit.log"
    audit = Audit(path)
    record(audit, "kept")
    filler = fill(small_disk)
    written = 1
    while not audit.lost:
        record(audit, "kept")
        written += 1
    filler.unlink()
    record(audit, "last")
    audit.close()
    lines = path.read_text().splitlines()
    outcomes = [json.loads(line)["outcome"] for line in lines if line.endswith("}")]
    assert outcomes == ["kept"] * (written - 1) + ["last"]
    assert len(lines) - len(outcomes) <= 1


def test_writing_goes_on_when_it_is_possible_again(audit, path, caplog):
    path.unlink()
    path.mkdir()
    record(audit, "lost")
    path.rmdir()
    record(audit, "kept")
    path.unlink()
    path.mkdir()
    record(audit, "lost")
    assert audit.lost == 2
    assert len(caplog.records) == 2
    path.rmdir()


def test_nothing_is_written_after_the_end(path, tmp_path):
    audit = Audit(path)
    audit.close()
    with (tmp_path / "other").open("w"):
        record(audit)
    assert audit.lost == 1
    assert not (tmp_path / "other").read_text()
    assert not path.read_text()
