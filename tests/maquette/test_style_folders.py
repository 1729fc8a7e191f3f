"""What `maquette styles add` finds in folders, and what it says of the rest."""

from __future__ import annotations

import os

import pytest
import typer
from typer.testing import CliRunner

from maquette.cli.style_folders import find_pictures
from maquette.cli.styles import app
from maquette.client import Client
from tests.maquette.little_gateway import LittleGateway, serving


@pytest.fixture
def folder(tmp_path, style_image):
    """Makes a folder with these pictures, and gives it."""

    def make(*names):
        for name in names:
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_bytes(style_image)
        return tmp_path

    return make


@pytest.fixture
def run():
    with serving(LittleGateway()) as address, Client(address) as client:

        def run(*arguments):
            told = [str(argument) for argument in arguments]
            shown = CliRunner().invoke(app, ["add", *told, "--server", address])
            shown.ids = [style.id for style in client.styles()]
            return shown

        yield run


def test_what_is_no_style_is_skipped_and_told(folder, run):
    made = folder(
        "a.png", "deep/b.jfif", "__MACOSX/._a.png", ".thumbnails/c.png", "._a.png", "notes.txt"
    )
    (made / "gone.png").symlink_to("nowhere")
    (made / "round").symlink_to(made)
    os.mkfifo(made / "pipe.png")
    shown = run(made)
    assert shown.exit_code == 0, shown.output
    assert shown.ids == ["a", "b"]
    assert "2 added or replaced, 0 there already" in shown.stdout
    told = {
        "__MACOSX": "macOS's own",
        ".thumbnails": "hidden",
        "._a.png": "hidden",
        "gone.png": "not a file",
        "notes.txt": "not a picture, by its name",
        "pipe.png": "not a file",
        "round": "a link to a folder",
    }
    assert shown.stderr.strip().splitlines() == [
        f"note: skipped: {made / name}: {told[name]}" for name in sorted(told, key=str)
    ]


def test_the_names_file_is_neither_a_style_nor_left_out(folder):
    made = folder("a.png")
    # As Windows writes it, with a byte order mark.
    (made / "styles.json").write_text('\ufeff{"a.png": {"name": "Art Deco"}}', encoding="utf-8")
    found = find_pictures([made])
    assert [entry.name for entry in found.entries] == ["Art Deco"]
    assert found.skipped == []


def test_a_second_picture_of_one_id_is_refused_and_not_counted(folder, run):
    made = folder("C#.png", "C++.png", "other.png")
    shown = run(made, "--replace")
    assert shown.exit_code == 1
    assert shown.ids == ["c", "other"]
    assert "2 added or replaced, 0 there already" in shown.stdout
    assert (
        f"not added: {made / 'C++.png'}: its name 'C++' makes the id 'c', as 'C#' of "
        f"{made / 'C#.png'} does. Give one of them another name, with --name or in styles.json."
    ) in shown.stderr


def test_a_picture_that_is_named_twice_is_one(folder, run):
    made = folder("a.png")
    shown = run(made / "a.png", made)
    assert (shown.exit_code, shown.ids) == (0, ["a"])


def test_one_name_for_two_pictures_is_refused_whatever_their_own(folder, run):
    shown = run(folder("C#.png", "C++.png"), "--name", "sharp")
    assert "--name is for one picture, and there are 2" in shown.stderr


def test_a_names_file_that_cannot_be_read_is_one_sentence(folder):
    made = folder("a.png")
    (made / "styles.json").mkdir()
    with pytest.raises(typer.Exit):
        find_pictures([made])
