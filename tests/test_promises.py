"""The tests that the page about the architecture names are there, and `make test` runs them."""

from __future__ import annotations

import re

import pytest

from tests.conftest import ROOT

PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
TABLE = PAGE.split("## What keeps it honest")[1]
ROWS = re.findall(r"^\| (.+) \| (.+) \|$", TABLE, re.MULTILINE)[1:]
OF_THEIR_OWN = {"tests/full", "tests/studio"}
"""Run by a target of their own."""


def test_there_are_promises():
    assert len(ROWS) > 20


@pytest.mark.parametrize(("promise", "held_by"), ROWS)
def test_what_holds_a_promise_is_there(promise, held_by):
    named = [path for path in re.findall(r"`([^`]+)`", held_by) if not path.startswith("make ")]
    assert named, promise
    for path in named:
        assert (ROOT / path).exists(), path
        files = [ROOT / path] if path.endswith(".py") else [*(ROOT / path).rglob("test_*.py")]
        assert any("def test_" in file.read_text(encoding="utf-8") for file in files), path


@pytest.mark.parametrize(("promise", "held_by"), ROWS)
def test_make_test_runs_one_of_them(promise, held_by):
    """A file of which all is for a long run does not hold a promise alone."""
    named = set(re.findall(r"`(tests[^`]+)`", held_by))
    whole = re.compile(r"^pytestmark = .*\blong\b", re.MULTILINE)
    assert named & OF_THEIR_OWN or any(
        not (ROOT / path).is_file() or not whole.search((ROOT / path).read_text(encoding="utf-8"))
        for path in named
    )
