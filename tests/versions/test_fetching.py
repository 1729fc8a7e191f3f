"""Engines that are fetched from where they lie."""

from __future__ import annotations

import shutil
from types import SimpleNamespace

import obstore
import pytest

from pipeline.errors import InvalidRequest, NotFound, Unavailable
from tests.versions.registry_server import Registry, serving
from versions import downloads, manifest, objects
from versions.fetching import fetched, resolved
from versions.objects import Objects


@pytest.fixture
def source(new):
    """A version's folder, with a file in a folder of its own."""
    folder = new()
    (folder / "notes").mkdir()
    (folder / "notes/read me+.txt").write_text("roofs")
    (folder / "empty").write_bytes(b"")
    return folder


@pytest.fixture
def registry(source, tmp_path, monkeypatch):
    """An MLflow server that keeps the files of its version itself."""
    shutil.copytree(source, tmp_path / "artifacts/1/run/artifacts/unet")
    found = Registry(tmp_path / "artifacts")
    with serving(found) as address:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
        yield found


def sent(url, folder):
    for path in folder.rglob("*"):
        if path.is_file():
            Objects(url).upload(path, path.relative_to(folder).as_posix())


def contents(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_a_path_is_given_as_it_is(source):
    with fetched(str(source)) as folder:
        assert folder == source
    assert source.exists()


def test_without_credentials_no_metadata_address_is_asked(monkeypatch):
    """An address of any name would have the gateway say who its machine is."""
    for name in objects.CREDENTIALS:
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(Unavailable, match="without credentials. Set AWS_ACCESS_KEY_ID"):
        Objects("s3://of-somebody/engines")
    monkeypatch.setenv("AWS_SKIP_SIGNATURE", "true")
    assert Objects("s3://of-somebody/engines")


def test_from_a_store(url, source):
    sent(f"{url}/roofs", source)
    sent(f"{url}/roofs-too", source)
    told = []
    with fetched(f"{url}/roofs", lambda *words: told.append(words)) as folder:
        assert contents(folder) == contents(source)
        assert manifest.verify(folder)
    assert not folder.exists()
    size = (source / "model.onnx").stat().st_size
    assert ("fetching model.onnx", size, size) in told


def test_folders_that_a_console_made_are_no_files(url, source, monkeypatch):
    sent(url, source)
    there = [found for page in obstore.list(Objects(url)._store) for found in page]
    # As it gives what is called `prefix/` and `prefix/notes/` in the store.
    made = [there[0] | {"path": name, "size": 0} for name in ("", "notes")]
    monkeypatch.setattr(obstore, "list", lambda store: iter([made, there]))
    with fetched(url) as folder:
        assert contents(folder) == contents(source)


@pytest.mark.parametrize("name", ["models:/roofs/3", "models:/roofs@new", "runs:/run/unet"])
def test_from_a_registry(registry, source, name):
    told = []
    with fetched(name, lambda *words: told.append(words)) as folder:
        assert contents(folder) == contents(source)
    assert not folder.exists()
    size = (source / "model.onnx").stat().st_size
    assert ("fetching model.onnx", size, size) in told


def test_from_a_registry_that_keeps_its_files_in_a_store(registry, url, source):
    registry.place = f"{url}/7/artifacts/unet"
    sent(registry.place, source)
    for name in ("models:/roofs@new", "runs:/run/unet"):
        with fetched(name) as folder:
            assert contents(folder) == contents(source)


def test_an_alias_is_written_down_as_the_version_that_it_names(registry):
    assert resolved("models:/roofs@new") == "models:/roofs/3"
    assert resolved("models:/roofs/3") == "models:/roofs/3"
    assert resolved("out/mine") == "out/mine"


def test_what_is_not_there(registry, url):
    for name in (f"{url}/nothing", "models:/roofs/4", "models:/roofs@old", "runs:/walk/unet"):
        with pytest.raises(NotFound), fetched(name):
            pass


@pytest.mark.parametrize("name", ["ftp://x/y", "models:/roofs", "models:/roofs/latest", "runs:/x"])
def test_what_is_no_address(name):
    with pytest.raises(InvalidRequest, match="models:/name/3"), fetched(name):
        pass


@pytest.mark.parametrize("name", ["../x", "a/../../x", "/etc/passwd", "a\\..\\x", "", "a\0b"])
def test_no_name_leads_out_of_the_folder(tmp_path, name):
    with pytest.raises(InvalidRequest, match="a name below its folder"):
        downloads.inside(tmp_path, name)


def test_a_registry_that_lies_about_names_is_refused(registry, tmp_path):
    registry.extra = [{"path": "../../outside", "is_dir": False, "file_size": 1}]
    with (
        pytest.raises(InvalidRequest, match="a name below its folder"),
        fetched("models:/roofs/3"),
    ):
        pass


def test_without_room(registry, url, source, monkeypatch):
    sent(url, source)
    full = SimpleNamespace(free=100)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: full)
    for name in (url, "models:/roofs/3"):
        with pytest.raises(Unavailable, match="Make room there"), fetched(name):
            pass


def test_who_asks(registry, monkeypatch):
    registry.token = "kept-to-itself"
    with (
        pytest.raises(Unavailable, match=r"answered 401: .* MLFLOW_TRACKING_TOKEN"),
        fetched("models:/roofs/3"),
    ):
        pass
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", registry.token)
    with fetched("models:/roofs/3") as folder:
        assert (folder / "model.onnx").exists()


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("", "let it be the http address of an MLflow server"),
        ("sqlite:///mlflow.db", "begins with sqlite://; let it be the http address of an MLflow"),
        ("postgresql://me:SECRET@db/mlflow", "begins with postgresql://; let it be"),
        ("http://me:SEC/RET@db", "is no address; let it be the http address"),
        ("http://127.0.0.1:9", "The MLflow server at 127.0.0.1 does not answer as it should"),
    ],
)
def test_a_registry_that_is_away_is_one_sentence(monkeypatch, address, said):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    with pytest.raises(Unavailable, match=said) as told, fetched("models:/roofs/3"):
        pass
    assert "SEC" not in str(told.value)


def test_files_that_only_mlflow_can_reach(registry):
    registry.place = "file:///srv/mlflow/unet"
    with (
        pytest.raises(Unavailable, match="where only MLflow can reach it"),
        fetched("models:/roofs/3"),
    ):
        pass
