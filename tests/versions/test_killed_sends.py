"""Changes and copies of a repository in a store that are killed on their way."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.amounts import sample
from tests.conftest import ROOT
from tests.versions.test_interrupted import prepare


def kill(folder, url, source, operation):
    """What was found after `operation` was killed at each of its steps, and then went through."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.versions.killing_sends", folder, url, source, operation],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert [report["killed"] for report in found] == [True] * (len(found) - 1) + [False]
    for report in found:
        assert report["broken"] == [], report
    states = [report["state"] for report in found]
    assert states == sorted(states, reverse=True), "it happens at one moment"
    assert set(states) == {"before", "after"}
    return found


@pytest.mark.parametrize("operation", sample(["publish", "promote", "retire"], {"promote"}))
def test_killed_at_any_request_it_is_done_or_not_begun(url, repository, new, tmp_path, operation):
    found = kill(tmp_path, url, prepare(repository, new, operation), operation)
    assert len(found) > 3, "its requests were not seen"
    for report in found:
        assert report["lost"] == 0, report
        assert report["left"] == [], report
        assert report["same"], report


def test_a_copy_is_never_seen_half_brought(url, repository, new, tmp_path):
    found = kill(tmp_path, url, new(), "pull")
    assert len(found) > 15, "its steps were not seen"
    assert found[-1]["same"]
