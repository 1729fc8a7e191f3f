"""``maquette render`` against a gateway in small: what it writes, and what it says."""

from __future__ import annotations

import io
import itertools
import json
import resource
from contextlib import contextmanager
from pathlib import Path

import pytest
import typer
from PIL import Image
from typer.testing import CliRunner

from maquette.board import MARGIN, PANEL
from maquette.cli.common import in_options
from maquette.cli.render import made_by, render
from maquette.client import Client
from pipeline.png import size_of
from pipeline.provenance import read
from pipeline.request import FIELDS
from tests.maquette.little_gateway import LittleGateway, serving

app = typer.Typer()
app.command()(render)


@pytest.fixture
def run(tmp_path, monkeypatch, sketch, style_image):
    """Runs ``maquette render house.png`` in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "house.png").write_bytes(sketch)
    with serving(LittleGateway()) as address:
        with Client(address) as client:
            client.add_style(style_image, "Cyber Punk")
            client.add_style(sketch, "Ink")

        def run(*options):
            told = ["house.png", "a house", "--steps", "1", *options]
            return run.alone(*told)

        def alone(*words):
            return CliRunner().invoke(app, [*words, "--server", address], env={"COLUMNS": "200"})

        run.alone = alone
        yield run


@contextmanager
def at_most(size):
    """The kernel lets no file grow beyond `size` bytes, as if the disk were full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def files(folder):
    return sorted(path.name for path in folder.iterdir())


def test_every_field_can_be_asked_for_and_says_what_is_allowed(run):
    told = " ".join(run("--help").output.replace("│", " ").split())
    for name, field in FIELDS.items():
        is_argument = name in ("sketch", "prompt")
        assert name if is_argument else f"--{field.option}".partition(" ")[0] in told
        # Previews are asked for by naming a file.
        assert name == "preview_interval" or in_options(field.help) in told
        assert name == "preview_interval" or in_options(field.described) in told


def test_versions_are_told_in_one_order():
    """They come from a map, whose order the wire does not keep."""
    told = {
        made_by(dict(order))
        for order in itertools.permutations({"unet": 2, "clip": 1, "vae": 3}.items())
    }
    assert told == {"clip 1, unet 2, vae 3"}


def test_an_image_can_stand_in_for_the_sketch(run, tmp_path, style_image):
    Path("photo.png").write_bytes(style_image)
    Path("mask.png").write_bytes(style_image)
    begun = ["--image", "photo.png", "--strength", "0.5", "--steps", "4", "--out", "one.png"]
    told = run(*begun, "--mask", "mask.png", "--no-control-in-mask")
    assert told.exit_code == 0, told.stderr
    made = read(Path("one.png").read_bytes())
    assert set(made.sources) == {"sketch", "image", "mask"}
    assert not made.parameters["control_in_mask"]
    again = run.alone("a house", "--image", "photo.png", "--steps", "4", "--out", "two.png")
    assert again.exit_code == 0, again.stderr
    assert set(read(Path("two.png").read_bytes()).sources) == {"image"}
    refused = run.alone("photo.png")
    assert "The arguments are 'photo.png'; allowed: SKETCH PROMPT, or PROMPT with --image." in (
        refused.stderr
    )


def test_the_options_are_sent_as_the_fields_they_stand_for(run):
    assert "--steps is 0; allowed: 1 to 150. Try 1." in run("--steps", "0").stderr
    several = run("--style-scale", "1", "--style-scale", "3").stderr
    assert "--style-scale is 3.0; allowed: 0 to 2. Try 2." in several


def test_without_a_name_no_picture_replaces_another(run, tmp_path):
    first = run("--seed", "1")
    kept = (tmp_path / "render.png").read_bytes()
    second = run("--seed", "2")
    assert (first.exit_code, second.exit_code) == (0, 0)
    assert "note" not in first.stderr.replace("note: the prompt", "")
    assert "note: render.png is taken, so this is render-2.png" in second.stderr
    assert (tmp_path / "render.png").read_bytes() == kept
    assert (tmp_path / "render-2.png").read_bytes() != kept
    several = run("--count", "2")
    assert "render-3.png, render-4.png" in several.stdout
    assert files(tmp_path) == ["house.png", *(f"render{n}.png" for n in ("-2", "-3", "-4", ""))]


def test_a_picture_that_is_named_is_replaced(run, tmp_path):
    (tmp_path / "night.png").write_bytes(b"old")
    assert run("-o", "night.png").exit_code == 0
    assert (tmp_path / "night.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("options", [["-o", "night.png"], ["-o", "new.png"], []])
def test_a_full_disk_leaves_the_old_picture_and_nothing_else(run, tmp_path, options):
    (tmp_path / "night.png").write_bytes(b"old")
    with at_most(1000):
        failed = run(*options)
    assert failed.exit_code == 1
    assert ".png cannot be written: File too large. What was there before is as it was. Make" in (
        failed.stderr
    )
    assert (tmp_path / "night.png").read_bytes() == b"old"
    assert files(tmp_path) == ["house.png", "night.png"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (
            ["-o", "style.png", "--style-image", "style.png"],
            "--out is style.png, a picture to",
        ),
        (["-o", "a.png", "--count", "2", "--board", "a-2.png"], "--board is a-2.png, and so is"),
        (
            ["--style", "a:0.5", "--style", "b", "--style-weight", "1"],
            "--style says weights, and so does --style-weight.",
        ),
    ],
)
def test_what_cannot_be_meant_is_refused_before_the_render(run, tmp_path, options, words, sketch):
    (tmp_path / "style.png").write_bytes(sketch)
    refused = run(*options)
    assert refused.exit_code == 1
    assert words in refused.stderr
    assert files(tmp_path) == ["house.png", "style.png"]


def test_every_picture_of_several_is_told_and_pinned_up(run, tmp_path):
    shown = run("--count", "4", "--seed", "7", "--board", "board.png")
    assert shown.exit_code == 0, shown.stderr
    told = " ".join(shown.stdout.split())
    assert "seed 7, 8, 9, 10" in told
    assert "structure 0.50, 0.50, 0.50, 0.50 of 1" in told
    board = Image.open(tmp_path / "board.png")
    # Sketch, edges, style and four renders: four in a row.
    assert board.width == 4 * PANEL + 5 * MARGIN
    assert board.height > 2 * PANEL
    below = [panel_of(board, column, 1) for column in range(4)]
    assert [is_drawn(panel) for panel in below] == [True, True, True, False]


def panel_of(board, column, row):
    """The panel without its caption and frame."""
    left = MARGIN + column * (PANEL + MARGIN)
    top = MARGIN + row * (board.height - MARGIN) // 2
    return board.crop((left + 2, top + 2, left + PANEL - 2, top + PANEL - 2))


def is_drawn(panel):
    return panel.getcolors(4) is None


def test_a_board_does_not_replace_the_picture_without_a_name(run, tmp_path):
    done = run("--board", "render.png")
    assert "note: render.png is taken, so this is render-2.png" in done.stderr
    board, picture = ((tmp_path / file).read_bytes() for file in ("render.png", "render-2.png"))
    assert size_of(board)[0] > 3 * PANEL > size_of(picture)[0]


def test_every_reference_is_pinned_up(run, tmp_path, style_image):
    (tmp_path / "one.png").write_bytes(style_image)
    Image.new("RGB", (64, 64), "red").save(tmp_path / "two.png")
    own = ["--style-image", "one.png", "--style-image", "two.png"]
    assert run(*own, "--board", "board.png").exit_code == 0
    board = Image.open(io.BytesIO((tmp_path / "board.png").read_bytes()))
    second = MARGIN + 3 * (PANEL + MARGIN) + PANEL // 2
    assert board.getpixel((second, MARGIN + PANEL // 2)) == (255, 0, 0)


@pytest.mark.parametrize(
    ("named", "weights"),
    [(["ink:0.7", "cyber-punk:.3"], [0.7, 0.3]), (["ink", "cyber-punk"], [1, 1]),
     (["ink:0.5", "cyber-punk"], [0.5, 1])],
)  # fmt: skip
def test_styles_are_blended_as_they_are_named(run, style_image, named, weights):
    options = [word for each in named for word in ("--style", each)]
    told = json.loads(run(*options, "--json").stdout)
    assert told["styles"] == dict(zip(("ink", "cyber-punk"), weights, strict=True))
    made = read(Path("render.png").read_bytes())
    assert made.styles == ("ink", "cyber-punk")
    shown = " ".join(run(*options).stdout.split())
    assert f"style ink {weights[0]:g}, cyber-punk {weights[1]:g} structure" in shown
    alone = json.loads(run("--style", "ink:0.7", "--json").stdout)
    assert alone["styles"] == {"ink": 1}


def test_a_script_is_told_every_picture(run):
    told = json.loads(run("--count", "2", "--seed", "3", "--json").stdout)
    assert [image["seed"] for image in told["images"]] == [3, 4]
    assert [image["file"] for image in told["images"]] == ["render.png", "render-2.png"]
