"""The command line where no service is needed."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from maquette.__main__ import app
from maquette.cli.styles import find_pictures
from tests.conftest import ROOT

run = CliRunner().invoke


@pytest.mark.parametrize("command", ["up", "render", "export", "demo", "doctor", "styles"])
def test_every_command_explains_itself(command):
    shown = run(app, [command, "--help"])
    assert shown.exit_code == 0
    assert len(shown.output.split()) > 20


def test_render_help_tells_ranges_and_defaults():
    shown = " ".join(run(app, ["render", "--help"], env={"COLUMNS": "200"}).output.split())
    assert "[1 to 150; default: 20]" in shown
    assert "[0 to 2; default: 1.5]" in shown


def test_no_gateway_is_one_sentence_with_the_remedy():
    sketch = str(ROOT / "examples/sketches/villa.png")
    shown = run(app, ["render", sketch, "a house", "--server", "127.0.0.1:9"])
    assert shown.exit_code == 1
    assert "maquette: No gateway at 127.0.0.1:9. Start one with `maquette up`" in shown.output
    assert "Traceback" not in shown.output


def test_a_sketch_that_is_not_there_is_named():
    shown = run(app, ["render", "nowhere.png", "a house"])
    assert shown.exit_code == 1
    assert "nowhere.png cannot be read: No such file" in shown.output


def test_doctor_lists_what_it_looked_at(tmp_path):
    shown = run(app, ["doctor", "--repository", str(tmp_path)])
    assert shown.exit_code == 1
    assert "No engine for" in shown.output
    assert "make export" in " ".join(shown.output.split())


def test_bundled_styles_bring_their_names_and_tags():
    entries = {entry.path.name: entry for entry in find_pictures([ROOT / "examples" / "styles"])}
    assert len(entries) == 12
    assert entries["art-deco.png"].name == "art deco"
    assert "luxury" in entries["art-deco.png"].tags
