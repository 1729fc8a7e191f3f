"""Full disks, damaged files and lost databases: what is told, and that nothing else is lost."""

from __future__ import annotations

import pickle
import sqlite3
import stat
from contextlib import closing
from pathlib import Path

import pytest
from typer.testing import CliRunner

from maquette.__main__ import app
from maquette.cli.style_folders import find_pictures
from pipeline.errors import NotFound, StageFailed, Unavailable
from retrieval.library import damaged, open_library
from retrieval.pictures import RESERVE, Unwritable
from retrieval.repair import repair
from retrieval.styles import NewStyle
from retrieval.vectors import name_of
from tests.disks import fill
from tests.retrieval.test_library import direction, embed, filled, picture

NAMES = ["All blue", "All green", "All red"]
DATABASE = "qdrant/collection/styles/storage.sqlite"


async def facts(folder):
    """Name and tags of every style in `folder`, each with its picture."""
    async with open_library(folder) as library:
        styles = (await library.page(100)).styles
        for style in styles:
            assert await library.picture(style)
        return {style.name: style.tags for style in styles}


@pytest.fixture
async def folder(tmp_path):
    """A library of three styles, closed."""
    async with open_library(tmp_path / "library") as library:
        await filled(library)
    return tmp_path / "library"


def added(repaired):
    """What `maquette styles add` takes of it."""
    found = find_pictures([repaired.pictures])
    assert [path.name for path, _ in found.skipped] == [".records"]
    assert not found.refused
    return found.entries


def only_picture(folder):
    (path,) = (folder / "pictures").glob("*.png")
    return path


def cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)


def empty(path):
    path.write_bytes(b"")


@pytest.mark.parametrize("spoil", [cut, flip, empty])
async def test_a_damaged_picture_is_told_and_mended_by_adding_it_again(tmp_path, spoil, caplog):
    async with open_library(tmp_path) as library:
        style, _ = await library.add(NewStyle(picture("red"), "red", ["warm"]), embed)
        path = only_picture(tmp_path)
        whole = path.read_bytes()
        spoil(path)
        with pytest.raises(StageFailed, match=f"{path.name} is damaged.*styles add --replace"):
            await library.picture(style)
        assert str(path) in caplog.text
        assert await library.add(NewStyle(picture("red"), "red", ["warm"]), embed) == (style, False)
        assert path.read_bytes() == await library.picture(style) == whole


async def test_a_picture_that_is_restored_is_read_again(tmp_path):
    async with open_library(tmp_path) as library:
        style, _ = await library.add(NewStyle(picture("red"), "red", []), embed)
        path = only_picture(tmp_path)
        whole = path.read_bytes()
        flip(path)
        with pytest.raises(StageFailed):
            await library.picture(style)
        path.write_bytes(whole)
        assert await library.picture(style) == whole


@pytest.mark.parametrize("left", [0, 8192], ids=["for nothing", "for the picture alone"])
async def test_on_a_full_disk_an_add_is_refused_and_leaves_nothing(small_disk, left, caplog):
    async with open_library(small_disk) as library:
        await library.add(NewStyle(picture("red"), "red", []), embed)
        before = {path.name for path in (small_disk / "pictures").iterdir()}
        filler = fill(small_disk, left)
        with pytest.raises(Unwritable, match="disk is full.*Make room there, or remove styles"):
            await library.add(NewStyle(picture("blue"), "blue", []), embed)
        assert "No space left" in caplog.text or "disk is full" in caplog.text
        assert {path.name for path in (small_disk / "pictures").iterdir()} == before
        with pytest.raises(NotFound):
            await library.get("blue")
        filler.unlink()
        await library.add(NewStyle(picture("blue"), "blue", ["cold"]), embed)
    assert await facts(small_disk) == {"blue": ("cold",), "red": ()}


async def test_on_a_full_disk_styles_can_be_removed(small_disk):
    async with open_library(small_disk) as library:
        await filled(library)
        filler = fill(small_disk, 0)
        for name in ("all-red", "all-blue"):
            await library.remove(name)
        filler.unlink()
        await library.add(NewStyle(picture("red"), "Red again", []), embed)
        assert (small_disk / "pictures" / RESERVE).exists()
    assert list(await facts(small_disk)) == ["All green", "Red again"]


def half_a_pickle(folder):
    change_points(folder, lambda blob: blob[: len(blob) // 2])


def other_types(folder):
    def spoil(blob):
        point = pickle.loads(blob)
        point.payload["tags"] = 5
        return pickle.dumps(point)

    change_points(folder, spoil)


def change_points(folder, change):
    with closing(sqlite3.connect(folder / DATABASE)) as database, database:
        rows = database.execute("SELECT id, point FROM points").fetchall()
        database.executemany(
            "UPDATE points SET point = ? WHERE id = ?", [(change(blob), key) for key, blob in rows]
        )


DAMAGES = {
    "cut": lambda folder: cut(folder / DATABASE),
    "emptied": lambda folder: empty(folder / DATABASE),
    "overwritten": lambda folder: (folder / DATABASE).write_bytes(bytes(range(256)) * 100),
    "pickles cut": half_a_pickle,
    "other types": other_types,
    "meta cut": lambda folder: cut(folder / "qdrant/meta.json"),
    "meta emptied": lambda folder: empty(folder / "qdrant/meta.json"),
    "meta of others": lambda folder: (folder / "qdrant/meta.json").write_text("[]"),
}


@pytest.mark.parametrize("damage", DAMAGES)
async def test_a_damaged_database_is_told_and_names_and_tags_are_recovered(folder, damage):
    before = await facts(folder)
    DAMAGES[damage](folder)
    with pytest.raises(Unavailable, match=f"maquette styles repair {folder}`") as refused:
        await facts(folder)
    assert "\n" not in str(refused.value)
    done = repair(folder)
    assert done.named == len(before)
    assert done.database.is_dir()
    async with open_library(folder) as library:
        for entry in added(done):
            await library.add(
                NewStyle(entry.path.read_bytes(), entry.name, entry.options["tags"]), embed
            )
        assert (await library.search(direction("blue"), (), 1))[0].style.id == "all-blue"
    assert await facts(folder) == before


async def test_a_database_that_lost_its_list_of_collections_is_read_all_the_same(folder):
    (folder / "qdrant/meta.json").unlink()
    assert list(await facts(folder)) == NAMES


async def test_pictures_without_names_are_not_forgotten_either(folder):
    """Of a library from before names and tags were written beside them."""
    for path in (folder / "pictures").glob("*.json"):
        path.unlink()
    empty(folder / DATABASE)
    with pytest.raises(Unavailable, match="names no styles, and 3 pictures lie in"):
        await facts(folder)
    assert len(added(repair(folder))) == 3


async def test_names_are_written_beside_the_pictures_of_an_older_library(folder):
    records = list((folder / "pictures").glob("*.json"))
    records[0].unlink()
    empty(records[1])
    await facts(folder)
    empty(folder / DATABASE)
    assert repair(folder).named == 3


async def test_a_picture_of_two_styles_is_recovered_for_both(tmp_path):
    async with open_library(tmp_path) as library:
        await library.add(NewStyle(picture("red"), "one", ["a"]), embed)
        await library.add(NewStyle(picture("red"), "two", ["b"]), embed)
    empty(tmp_path / DATABASE)
    found = added(repair(tmp_path))
    assert sorted((entry.name, entry.options["tags"]) for entry in found) == [
        ("one", ["a"]),
        ("two", ["b"]),
    ]


async def test_a_removed_style_is_not_recovered(folder):
    async with open_library(folder) as library:
        await library.remove("all-red")
    empty(folder / DATABASE)
    assert sorted(entry.name for entry in added(repair(folder))) == NAMES[:2]


async def test_a_crash_at_the_very_first_style_keeps_nothing_from_starting(tmp_path):
    async with open_library(tmp_path):
        (tmp_path / "pictures" / f"{'0' * 64}.png").write_bytes(b"")
    assert await facts(tmp_path) == {}


async def test_a_collection_that_lost_its_styles_does_not_serve(folder):
    async with open_library(folder) as library:
        async for _ in library.reembed(2, embed):
            pass
        await library.use(2)
    empty(folder / DATABASE.replace("styles", name_of(2)))
    async with open_library(folder, clip=2) as library:
        assert library.clip == 1
        assert len((await library.page(10)).styles) == 3


# qdrant-client leaves its lock file to the garbage collector when the lock is taken.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
async def test_a_library_that_is_open_is_not_repaired(folder):
    async with open_library(folder):
        with pytest.raises(Unavailable, match="open in another process. Stop the gateway first"):
            repair(folder)
    assert list(await facts(folder)) == NAMES


async def test_the_command_says_what_comes_next(folder):
    empty(folder / DATABASE)
    shown = CliRunner().invoke(app, ["styles", "repair", str(folder)])
    assert shown.exit_code == 0
    (recovered,) = folder.glob("recovered-*")
    assert f"maquette styles add {recovered}" in shown.stdout.replace("\n", "")
    again = CliRunner().invoke(app, ["styles", "repair", str(folder)])
    assert again.exit_code == 1
    assert "is no style library" in again.stderr.replace("\n", " ")


async def test_nobody_else_on_the_machine_reads_the_library(folder):
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_the_advised_command_works_for_a_folder_with_a_space():
    told = str(damaged(Path("Büro 2/library"), ValueError("x")))
    assert "`maquette styles repair 'Büro 2/library'`" in told
