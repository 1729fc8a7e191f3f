"""Pages and modules that are made from the code say what the code says."""

from __future__ import annotations

import re

import pytest

from gateway.settings import Settings
from tests.conftest import ROOT
from tools import field_reference, protocol_reference, settings_reference, sync_client


@pytest.mark.parametrize("reference", [protocol_reference, settings_reference, sync_client])
def test_the_page_is_up_to_date(reference):
    assert reference.PAGE.read_text(encoding="utf-8") == reference.page(), "run `make reference`"


def test_what_follows_from_the_tables_of_fields_is_up_to_date():
    for path, text in field_reference.written().items():
        assert path.read_text(encoding="utf-8") == text, f"{path.name}: run `make reference`"


def test_every_setting_is_told_once():
    told = re.findall(r"^\| `MAQUETTE_(\w+)`", settings_reference.page(), re.MULTILINE)
    assert told == [name.upper() for name in Settings.model_fields]


def test_settings_that_are_named_anywhere_exist():
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    known = {name.upper() for name in Settings.model_fields}
    # Those of the command line and of the containers.
    known |= {"SERVER", "API_KEY", "CA", "TLS", "STATE", "EXPORT_ENGINE", "PACK", "PUBLISH"}
    for page in pages:
        named = set(re.findall(r"\bMAQUETTE_([A-Z_]*[A-Z])\b", page.read_text(encoding="utf-8")))
        assert named <= known, page.name
