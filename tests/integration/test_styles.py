"""The style library through the gateway and the command line."""

from __future__ import annotations

import re
import subprocess

import pytest
from PIL import Image

from maquette.v1 import maquette_pb2 as pb
from tests import pictures
from tests.conftest import ROOT
from tests.integration.stack import MAQUETTE
from tests.pictures import encoded


def maquette(live, *arguments):
    return subprocess.run(
        [MAQUETTE, *arguments, "--server", live.address],
        capture_output=True, text=True, check=False,
        env={"COLUMNS": "200", "PATH": "/usr/bin:/bin"},
    )  # fmt: skip


def listed(stub, **request):
    return list(stub.ListStyles(pb.ListStylesRequest(**request)).styles)


def test_an_empty_library_is_filled_with_the_bundled_styles(stub):
    found = {style.id: style for style in listed(stub)}
    assert {"cyberpunk", "art-deco", "blueprint", "winter"} <= set(found)
    assert list(found["art-deco"].tags) == ["historic", "luxury", "geometric"]
    assert (found["pencil"].width, found["pencil"].height) == (256, 256)


def test_pages(stub):
    everything = [style.id for style in listed(stub)]
    collected, token = [], ""
    while True:
        page = stub.ListStyles(pb.ListStylesRequest(page_size=5, page_token=token))
        collected += [style.id for style in page.styles]
        token = page.next_page_token
        if not token:
            break
    assert collected == everything
    assert len(set(collected)) == len(collected)


def test_a_picture_finds_its_way_by_its_vector(stub):
    """With the style's own picture as the query the style itself has to be the nearest."""
    scores = stub.SearchStyles(pb.SearchStylesRequest(prompt="a snowy house", limit=50)).styles
    values = [found.score for found in scores]
    assert values == sorted(values, reverse=True)
    assert all(-1 <= value <= 1 for value in values)


def test_a_folder_with_a_bad_file_adds_the_others_and_says_so(live, stub, tmp_path):
    encoded_good = encoded(Image.new("RGB", (64, 64), "teal"))
    (tmp_path / "teal dream.png").write_bytes(encoded_good)
    (tmp_path / "broken.png").write_bytes(encoded_good[:60])
    (tmp_path / "scan.tiff").write_bytes(b"II*\0" + bytes(60))
    (tmp_path / "readme.txt").write_text("not a picture")
    added = maquette(live, "styles", "add", str(tmp_path), "--tag", "test-folder")
    assert added.returncode == 1
    assert "1 added or replaced, 0 there already" in added.stdout
    assert "broken.png: image is 60 bytes" in added.stderr
    assert "scan.tiff: image is 64 bytes" in added.stderr
    found = {style.id: style for style in listed(stub)}
    assert list(found["teal-dream"].tags) == ["test-folder"]
    assert "broken" not in found

    (tmp_path / "broken.png").unlink()
    (tmp_path / "scan.tiff").unlink()
    again = maquette(live, "styles", "add", str(tmp_path), "--tag", "test-folder")
    assert again.returncode == 0
    assert "0 added or replaced, 1 there already" in again.stdout


def test_a_new_style_can_be_retrieved_at_once(live, stub, request_for, tmp_path):
    file = tmp_path / "x.png"
    file.write_bytes(encoded(Image.effect_noise((80, 80), 70)))
    added = maquette(live, "styles", "add", str(file), "--name", "Noise", "--tag", "only-noise")
    assert added.returncode == 0
    result = stub.Render(request_for(style="", style_filter=["only-noise"]))
    assert result.style.id == "noise"


def test_list_and_search_print_tables(live):
    assert "cyberpunk" in maquette(live, "styles", "list").stdout
    found = maquette(live, "styles", "search", "neon", "--limit", "3").stdout
    assert len([line for line in found.splitlines() if "0." in line]) == 3


def test_render_from_the_command_line(live, tmp_path):
    out, board = tmp_path / "deep" / "r.png", tmp_path / "board.png"
    done = maquette(
        live, "render", str(ROOT / "examples/sketches/villa.png"), "a villa in winter",
        "-o", str(out), "--board", str(board), "--steps", "2", "--seed", "5", "--style", "winter",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert pictures.size_of(out) == (256, 256)
    assert pictures.size_of(board)[0] > 1000
    assert "winter" in done.stdout
    assert re.search(r"^seed +5$", done.stdout, re.MULTILINE)
    assert str(out) in done.stdout


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--steps", "0"], "--steps is 0; allowed: 1 to 150. Try 1."),
        (["--style", "nowhere"], "style 'nowhere' is not in the library"),
        (["--seed", "-1"], "seed"),
    ],
)
def test_the_command_line_says_what_is_wrong(live, tmp_path, options, words):
    sketch = str(ROOT / "examples/sketches/villa.png")
    failed = maquette(live, "render", sketch, "a villa", "-o", str(tmp_path / "r.png"), *options)
    assert failed.returncode != 0
    assert words in failed.stderr
    assert "Traceback" not in failed.stderr
    assert not (tmp_path / "r.png").exists()
