from __future__ import annotations

import tarfile
import zipfile
from fnmatch import fnmatch

import pytest

from serving.installation import REQUIREMENT
from tests.conftest import ROOT
from tests.wheel import build_sdist, build_wheel

BUNDLED = {
    "maquette/data/model_repository": ("*/config.pbtxt", "*/1/model.py", "*/1/README"),
    "maquette/data/styles": ("*",),
    "maquette/data/sketches": ("*.png",),
    "maquette/v1": ("*.proto", "*.pyi"),
    "serving/backends": ("*/model.py",),
    "evaluation": ("*.toml",),
    "training": ("*.toml",),
}
"""Files that are no modules, and are read where maquette is installed."""
PRODUCT = {
    "evaluation", "export", "gateway", "maquette", "pipeline", "retrieval", "serving", "training",
    "versions",
}  # fmt: skip
"""What serves and exports, and what its gate measures with."""


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Names of the files in the sdist and in the wheel."""
    sdist = build_sdist(tmp_path_factory.mktemp("built"))
    with tarfile.open(sdist) as archive:
        inside = {name.partition("/")[2] for name in archive.getnames()}
    with zipfile.ZipFile(build_wheel(sdist)) as archive:
        return inside, set(archive.namelist())


@pytest.mark.parametrize("folder", BUNDLED)
def test_the_wheel_holds_the_files_that_are_read_where_it_is_installed(built, folder):
    patterns = BUNDLED[folder]
    wanted = {
        path.relative_to(ROOT).as_posix()
        for pattern in patterns
        for path in (ROOT / folder).glob(pattern)
    }
    assert wanted
    assert wanted <= built[1]


def test_no_test_no_pack_and_no_engine_is_in_the_sdist_or_in_the_wheel(built):
    """The folder that models are bundled from has engines, where it was exported into."""
    assert list((ROOT / "model_repository").rglob("*.onnx"))
    unwanted = ("tests/*", "packs/*", "out/*", "*.onnx", "*.data", "*.json", "*.safetensors")
    named = "maquette/data/styles/styles.json"
    for names in built:
        found = {name for name in names for pattern in unwanted if fnmatch(name, pattern)}
        assert found <= {named}


def test_the_wheel_holds_the_product_and_nothing_else(built):
    _, names = built
    tops = {name.partition("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == PRODUCT


def test_tritons_wheel_is_the_one_that_the_environments_are_made_with():
    assert f"TRITON_WHEEL := {REQUIREMENT}\n" in (ROOT / "Makefile").read_text()
