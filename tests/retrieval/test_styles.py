from __future__ import annotations

from dataclasses import fields

import pytest

from pipeline.errors import InvalidRequest
from retrieval.styles import (
    ENTRY_FIELDS,
    MAX_NAME,
    MAX_SLUG,
    NewStyle,
    Style,
    point_id,
    slug,
    style_id,
)


@pytest.mark.parametrize(
    ("name", "identity"),
    [("Art Déco", "art-deco"), ("  cyberpunk ", "cyberpunk"), ("1920s / Berlin", "1920s-berlin")],
)
def test_an_id_is_made_of_the_name(name, identity):
    assert style_id(name) == identity


@pytest.mark.parametrize("name", ["", "  ", "日本", "../..", "x" * 81, "a\x1b[31m", "Search!"])
def test_a_name_without_an_id_is_refused(name):
    with pytest.raises(InvalidRequest, match="^name is"):
        style_id(name)


def test_tags_are_cleaned():
    assert NewStyle(b"", " Neon", (" Neon", "night", "NEON ")).tags == ("neon", "night")


@pytest.mark.parametrize("tags", [[str(i) for i in range(17)], [" "], ["x" * 41]])
def test_bad_tags_are_refused(tags):
    with pytest.raises(InvalidRequest, match="^tags is"):
        NewStyle(b"", "neon", tags)


def test_a_style_survives_its_payload():
    style = Style("art-deco", "Art Deco", ("historic",), "ab" * 32, 256, 128)
    assert Style.from_payload(style.payload()) == style


def test_points_are_told_apart_and_stay_the_same():
    assert point_id("a") != point_id("b")
    assert point_id("art-deco") == "c6f7e73c-a4d8-5223-8b52-f00ff7de0b52"


def test_no_more_of_a_name_is_read_than_an_id_can_have():
    assert len(slug("a" * 1_000_000)) == 2 * MAX_SLUG
    # The longest id that a name can have is found as it is.
    longest = style_id("\u33af" * MAX_NAME)
    assert slug(longest) == longest


def test_a_style_keeps_what_an_entry_says():
    assert set(ENTRY_FIELDS) <= {field.name for field in fields(Style)}
