"""``maquette recall`` against a gateway whose pictures tell whether the same request arrived."""

from __future__ import annotations

import io
import json
import re
from dataclasses import replace

import numpy as np
import pytest
import typer
from PIL import Image
from typer.testing import CliRunner

from maquette.cli.recall import recall
from maquette.client import Client
from pipeline.images import decode, encode_png
from pipeline.provenance import read, stamp
from tests.maquette.little_gateway import LittleGateway, serving
from tests.pictures import encoded

app = typer.Typer()
app.command()(recall)


@pytest.fixture
def gateway():
    return LittleGateway()


@pytest.fixture
def address(gateway):
    with serving(gateway) as address:
        yield address


@pytest.fixture
def client(address, style_image):
    with Client(address) as client:
        client.add_style(style_image, "Cyber Punk", tags=["night"])
        yield client


@pytest.fixture
def made(client, sketch, tmp_path):
    """Renders, and gives the picture's file; keyword arguments change the request."""

    def make(index=0, **changed):
        asked = {"num_inference_steps": 2, "guidance_scale": 3.3, "ip_adapter_scale": 0.7,
                 "canny_low_threshold": 20, "control_guidance_end": 0.8, **changed}  # fmt: skip
        result = client.render(sketch, "a [b]house[/b]", **asked)
        file = tmp_path / "made.png"
        file.write_bytes(result.images[index].png)
        return file

    return make


@pytest.fixture
def run(address):
    def run(*arguments):
        told = [str(argument) for argument in arguments]
        shown = CliRunner().invoke(app, [*told, "--server", address], env={"COLUMNS": "200"})
        assert not shown.exception or isinstance(shown.exception, SystemExit), shown.exception
        return shown

    return run


def rewritten(file, made):
    """`file` with the same pixels, which says that it was `made` so."""
    pixels = np.array(decode(file.read_bytes(), "x"))
    file.write_bytes(stamp(encode_png(pixels), made))
    return file


def words(shown) -> str:
    return " ".join(shown.output.split())


@pytest.mark.parametrize(
    "asked",
    [{}, {"seed": 0}, {"style": "cyber-punk"}, {"width": 192, "negative_prompt": "rain"},
     {"index": 2, "num_images": 3, "seed": 40}],
)  # fmt: skip
def test_the_same_picture_comes_back(made, run, tmp_path, asked):
    picture, again = made(**asked), tmp_path / "again.png"
    shown = run(picture, "--out", again)
    assert shown.exit_code == 0, shown.output
    assert shown.output.splitlines()[-1] == "identical"
    assert decode(again.read_bytes(), "x").tobytes() == decode(picture.read_bytes(), "x").tobytes()


@pytest.mark.parametrize("with_sketch", [True, False])
def test_what_began_with_an_image_comes_back(
    made, client, gateway, run, sketch, style_image, tmp_path, with_sketch
):
    asked = {"image": style_image, "strength": 0.4, "num_inference_steps": 10, "seed": 3,
             "mask": style_image, "pad": (0, 0, 64, 0), "control_in_mask": False,
             "variation_seed": 8, "variation_strength": 0.25}  # fmt: skip
    result = client.render(sketch if with_sketch else None, "a house", **asked)
    picture, file = tmp_path / "refined.png", tmp_path / "image.png"
    picture.write_bytes(result.images[0].png)
    assert run(picture).exit_code == 0
    assert "image" in run(picture, "--show").output
    gateway.embed_sketch = False
    picture.write_bytes(client.render(None, "a house", **asked).images[0].png)
    missing = run(picture)
    assert missing.exit_code == 1
    assert "The picture holds no image. Name its file with --image; the sha256 is" in words(missing)
    file.write_bytes(sketch)
    assert "--image is not the one that made the picture" in words(run(picture, "--image", file))
    file.write_bytes(style_image)
    assert "The picture holds no mask. Name its file with --mask" in words(
        run(picture, "--image", file)
    )
    assert run(picture, "--image", file, "--mask", file).exit_code == 0


def test_what_comes_back_can_be_recalled(made, run, tmp_path):
    again = tmp_path / "again.png"
    run(made(), "--out", again)
    assert run(again).exit_code == 0


def test_it_tells_what_made_the_picture(made, run, gateway):
    picture = made(seed=12, num_images=2, index=1)
    gateway.calls.clear()
    shown = run(picture, "--show")
    assert shown.exit_code == 0
    rows = (re.split("  +", line.strip(), maxsplit=1) for line in shown.output.splitlines())
    lines = dict(row for row in rows if len(row) == 2)
    assert lines["prompt"] == "a [b]house[/b]"
    assert lines["seed"] == "13"
    assert lines["style"] == "cyber-punk"
    assert lines["versions"] == "unet 1"
    assert "guidance scale 3.3" in words(shown)
    assert "ip adapter scale 0.7" in words(shown)
    assert gateway.calls == []


def test_a_picture_does_not_steer_the_terminal(made, run, gateway):
    steering = "\x1b]0;owned\x07\x1b[2J\x9b1m\u202e\n"
    gateway.engines = {f"unet{steering}": f"aaaa{steering}"}
    picture = made()
    gateway.engines = {f"unet{steering}": "bbbb"}
    png = picture.read_bytes()
    written = read(png)
    pack = replace(written.pack, name=f"pack{steering}", engine=steering)
    parameters = {**written.parameters, "prompt": f"a house{steering}"}
    styles = tuple(replace(image, style=f"s{steering}") for image in written.style_images)
    forged = replace(written, parameters=parameters, pack=pack, style_images=styles)
    for shown in (run(picture), run(rewritten(picture, forged), "--show"), run(picture)):
        assert "guidance scale" in shown.output
        assert all(letter.isprintable() for letter in shown.output.replace("\n", ""))


def test_it_tells_it_as_json(made, run):
    picture = made(seed=12)
    shown = json.loads(run(picture, "--show", "--json").output)
    assert shown["parameters"]["guidance_scale"] == 3.3
    assert shown["pack"]["engines"] == {"unet": "aaaa"}
    assert shown["sources"]["sketch"]["held"] is True
    assert "sketch" not in shown
    compared = json.loads(run(picture, "--json").output)
    assert compared["comparison"]["identical"] is True
    assert compared["changes"] == []


def test_other_engines_are_told(made, run, gateway):
    picture = made()
    gateway.engines = {"unet": "bbbb", "extra": "cccc"}
    shown = run(picture)
    assert shown.exit_code == 1
    assert "The engine of unet is bbbb; it was aaaa." in words(shown)
    assert "The engine of extra is cccc; it was none." in words(shown)
    assert "not identical: 100.0% of the pixels differ, by 25" in words(shown)


def test_what_took_no_part_in_an_older_picture_is_not_missed(made, run, gateway):
    gateway.engines = {"unet": "aaaa", "clip_text": "dddd"}
    picture = made()
    gateway.engines = {"unet": "aaaa"}
    assert "clip_text" not in run(picture).output


def test_other_files_of_the_same_version_are_told(made, run, gateway):
    picture = made()
    gateway.sha256 = {"unet": "1" * 64, "controlnet": "2" * 64}
    told = "The files of unet 1 are not those that made the picture."
    shown = run(picture)
    assert told in words(shown)
    assert "files of controlnet" not in words(shown)
    # That other versions have other files goes without saying.
    gateway.versions = {"champion": {"unet": 2}}
    shown = run(picture)
    assert "The version of unet is 2; it was 1." in words(shown)
    assert told not in words(shown)


def test_a_changed_pixel_is_noticed(made, run):
    picture = made()
    png = picture.read_bytes()
    pixels = np.array(decode(png, "x"))
    pixels[3, 4, 1] ^= 1
    picture.write_bytes(stamp(encode_png(pixels), read(png)))
    shown = run(picture)
    assert shown.exit_code == 1
    assert "not identical: 0.0% of the pixels differ, by 1 of 255" in words(shown)


def test_a_scaled_picture_is_told(made, run):
    picture = made()
    png = picture.read_bytes()
    smaller = np.array(decode(png, "x"))[:64]
    picture.write_bytes(stamp(encode_png(smaller), read(png)))
    shown = run(picture)
    assert shown.exit_code == 1
    assert "was scaled or cropped: it has 128 x 64 pixels" in words(shown)


def test_the_sketch_is_asked_for_and_checked(made, run, gateway, sketch, style_image, tmp_path):
    gateway.embed_sketch = False
    picture, right, wrong = made(), tmp_path / "right.png", tmp_path / "wrong.png"
    right.write_bytes(sketch)
    wrong.write_bytes(style_image)
    missing = run(picture)
    assert missing.exit_code == 1
    assert "holds no sketch. Name its file with --sketch" in words(missing)
    assert "--sketch is not the one" in words(run(picture, "--sketch", wrong))
    assert run(picture, "--sketch", right).exit_code == 0


def test_another_style_of_that_name_is_not_used(made, run, client, style_image, sketch, tmp_path):
    picture, stored = made(style="cyber-punk"), tmp_path / "stored.png"
    stored.write_bytes(client.get_style("cyber-punk")[1])
    client.add_style(sketch, "Cyber Punk", replace=True)
    shown = run(picture)
    assert shown.exit_code == 1
    assert "The library's style cyber-punk is another picture now" in words(shown)
    assert run(picture, "--style-image", stored).exit_code == 0


def test_the_file_that_a_replaced_style_was_made_of_is_known(
    made, run, client, style_image, sketch, tmp_path
):
    """The library keeps pixels, so its checksum is not that of the file that was added."""
    file = tmp_path / "old.jpg"
    Image.open(io.BytesIO(style_image)).convert("RGB").save(file)
    client.add_style(file, "Cyber Punk", replace=True)
    picture = made(style="cyber-punk")
    client.add_style(sketch, "Cyber Punk", replace=True)
    assert run(picture, "--style-image", file).exit_code == 0


def test_a_blend_of_the_library_is_recalled_by_names_and_weights(
    made, run, gateway, client, sketch, style_image, tmp_path
):
    client.add_style(sketch, "Ink")
    found = made(style_count=2).rename(tmp_path / "found.png")
    picture = made(styles=["ink", "cyber-punk"], style_weights=[0.1, 0.7])
    for each in (picture, found):
        assert run(each).exit_code == 0, words(run(each))
    told = json.loads(run(picture, "--show", "--json").output)
    assert [(each["style"], each["weight"]) for each in told["style_images"]] == [
        ("ink", 0.1), ("cyber-punk", 0.7),
    ]  # fmt: skip
    assert "style ink, cyber-punk" in words(run(picture, "--show"))
    # What is retrieved now is another thing.
    client.remove_style("cyber-punk")
    client.add_style(style_image, "Another")
    client.add_style(style_image, "Cyber Punk")
    assert run(found).exit_code == 0
    stored = tmp_path / "old.png"
    stored.write_bytes(client.get_style("ink")[1])
    client.add_style(style_image, "Ink", replace=True)
    assert "The library's style ink is another picture now" in words(run(picture))
    assert run(picture, "--style-image", stored).exit_code == 0


def test_photos_and_blends_are_recalled_from_what_the_picture_holds(made, run, client, style_image):
    drawn = np.random.default_rng(0)
    photos = [
        encoded(Image.fromarray(drawn.integers(0, 256, (100, 100, 3), dtype=np.uint8)), "JPEG")
        for _ in range(2)
    ]
    blend = made(style_images=[*photos, style_image], style_weights=[0.2, 0.3, 0.5])
    client.remove_style("cyber-punk")
    shown = run(blend)
    assert shown.exit_code == 0, shown.output
    assert "held in the picture" in words(shown)
    told = json.loads(run(blend, "--show", "--json").output)
    assert [image["held"] for image in told["style_images"]] == [True] * 3


def test_own_references_that_are_not_held_are_named_or_found_in_the_library(
    made, run, gateway, client, sketch, style_image, tmp_path
):
    gateway.embed_sketch = False
    weights = [0.25, 0.75]
    picture = made(style_images=[sketch, style_image], style_weights=weights)
    files = [tmp_path / "a.png", tmp_path / "b.png"]
    files[0].write_bytes(sketch)
    files[1].write_bytes(style_image)
    drawing = ("--sketch", files[0])
    missing = run(picture, *drawing, "--style-image", files[0])
    assert missing.exit_code == 1
    assert "No --style-image and no style of the library has the sha256" in words(missing)
    # The order of the options does not matter: the checksums say which is which.
    named = run(picture, *drawing, "--style-image", files[1], "--style-image", files[0])
    assert named.exit_code == 0, named.output
    stored = client.get_style("cyber-punk")[1]
    by_library = made(style_images=[stored])
    assert run(by_library, *drawing).exit_code == 0


def test_a_picture_of_another_program_is_told(run, tmp_path, sketch):
    (tmp_path / "x.png").write_bytes(sketch)
    shown = run(tmp_path / "x.png")
    assert shown.exit_code == 1
    assert "does not say what made it" in words(shown)


def test_a_damaged_picture_is_told(made, run):
    picture = made()
    picture.write_bytes(picture.read_bytes()[:200])
    shown = run(picture)
    assert shown.exit_code == 1
    assert "The picture is damaged" in words(shown)


def test_a_picture_that_is_not_there_is_told(run):
    shown = run("nowhere.png")
    assert shown.exit_code == 1
    assert "nowhere.png cannot be read" in words(shown)
