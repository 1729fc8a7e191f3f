"""The command line where no service is needed."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from maquette.__main__ import app
from maquette.cli.common import plain
from maquette.cli.style_folders import find_pictures
from tests.conftest import ROOT

run = CliRunner().invoke


@pytest.mark.parametrize(
    "command", ["up", "render", "recall", "export", "demo", "doctor", "styles", "keys"]
)
def test_every_command_explains_itself(command):
    shown = run(app, [command, "--help"])
    assert shown.exit_code == 0
    assert len(shown.output.split()) > 20


def test_render_help_tells_ranges_and_defaults():
    shown = " ".join(run(app, ["render", "--help"], env={"COLUMNS": "200"}).output.split())
    assert "(1 to 150; default: 20)" in shown
    assert "(0 to 2; default: 1.5)" in shown


def test_no_gateway_is_one_sentence_with_the_remedy():
    sketch = str(ROOT / "examples/sketches/villa.png")
    shown = run(app, ["render", sketch, "a house", "--server", "127.0.0.1:9"])
    assert shown.exit_code == 1
    assert "maquette: No gateway at 127.0.0.1:9. Start one with `maquette up`" in shown.output
    assert "Traceback" not in shown.output


@pytest.mark.parametrize(
    ("out", "words"),
    [
        ("x.jpg", "--out is x.jpg; allowed: a name ending in .png"),
        ("folder.png", "which is a folder"),
        ("mine.png", "a picture to render from"),
        ("mine.png/x.png", "its folder cannot be made"),
    ],
)
def test_an_output_that_cannot_be_kept_is_refused_before_the_render(
    tmp_path, monkeypatch, out, words
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder.png").mkdir()
    drawing = (ROOT / "examples/sketches/villa.png").read_bytes()
    (tmp_path / "mine.png").write_bytes(drawing)
    shown = run(app, ["render", "mine.png", "a house", "-o", out, "--server", "127.0.0.1:9"])
    assert shown.exit_code == 1
    assert words in " ".join(shown.output.split())
    assert (tmp_path / "mine.png").read_bytes() == drawing


@pytest.mark.parametrize("server", ["localhost", "http://127.0.0.1:8033", ""])
def test_a_server_of_another_form_is_refused(server):
    sketch = str(ROOT / "examples/sketches/villa.png")
    shown = run(app, ["render", sketch, "a house", "--server", server])
    assert shown.exit_code == 1
    assert "allowed: host:port" in shown.output


@pytest.mark.parametrize(
    ("names", "words"),
    [
        ("[1]", "must look like"),
        ("{not json", "is not JSON"),
        ('{"a.png": {"name": 5}}', "the entry of a.png must look like"),
        ('{"a.png": {"nam": "x"}}', "the entry of a.png must look like"),
        ('{"b.png": {"name": "x"}}', "names b.png, which is not in the folder"),
    ],
)
def test_a_names_file_of_another_form_is_refused(tmp_path, names, words):
    (tmp_path / "a.png").write_bytes(b"x")
    (tmp_path / "styles.json").write_text(names)
    shown = run(app, ["styles", "add", str(tmp_path), "--server", "127.0.0.1:9"])
    assert shown.exit_code == 1
    assert words in " ".join(shown.output.split())


KEY = ["--api-key", "mq_secret"]


@pytest.mark.parametrize(
    ("told", "warns"),
    [
        (["--server", "0.0.0.0:9", *KEY], True),
        (["--server", "gateway.invalid:9", *KEY], True),
        (["--server", "0.0.0.0:9", "--tls", *KEY], False),
        (["--server", "0.0.0.0:9"], False),
        (["--server", "localhost:9", *KEY], False),
        (["--server", "127.0.0.1:9", *KEY], False),
        (["--server", "[::1]:9", *KEY], False),
    ],
)
def test_a_key_that_leaves_the_machine_in_clear_is_told(told, warns):
    shown = run(app, ["styles", "list", *told])
    assert ("note: the API key goes to" in shown.stderr) is warns
    assert "mq_secret" not in shown.output
    assert "No gateway at" in shown.stderr


def test_tls_can_be_asked_for_in_the_environment():
    told = ["styles", "list", "--server", "0.0.0.0:9", *KEY]
    assert "in clear" not in run(app, told, env={"MAQUETTE_TLS": "true"}).output


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a \x1b]0;title\x07\x1b[2Jhouse", "a ?]0;title??[2Jhouse"),
        ("two\nlines\r\tand\x85more", "two lines  and more"),
        ("\x9b31mred \u202eback\u2066 \x7f\ud800", "?31mred ?back? ??"),
        ("maison à côté – 家", "maison à côté – 家"),
    ],
)
def test_a_terminal_is_not_steered(text, shown):
    assert plain(text) == shown


def test_the_version():
    assert run(app, ["--version"]).output.startswith("maquette 0.")


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
    bundled = find_pictures([ROOT / "examples" / "styles"])
    entries = {entry.path.name: entry for entry in bundled.entries}
    assert len(entries) == 12
    assert entries["art-deco.png"].name == "art deco"
    assert "luxury" in entries["art-deco.png"].options["tags"]
