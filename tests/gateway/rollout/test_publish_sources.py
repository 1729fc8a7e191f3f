"""Which engines a caller may have published."""

from __future__ import annotations

import pytest

from gateway.rollout.publish_sources import Sources
from pipeline.errors import InvalidRequest
from versions.errors import Declined


@pytest.fixture
def incoming(tmp_path):
    folder = tmp_path / "incoming"
    (folder / "new" / "unet").mkdir(parents=True)
    (folder / "new" / "unet" / "model.onnx").write_bytes(b"an engine")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "secret").write_bytes(b"a secret")
    return folder


@pytest.mark.parametrize("source", ["new", "new/unet", "./new", "new/../new", "."])
def test_a_path_is_below_the_folder(source, incoming):
    assert Sources(incoming).located(source) == str((incoming / source).resolve())


@pytest.mark.parametrize("source", ["s3://engines/unet", "models:/unet@best", "runs:/1/unet"])
def test_what_is_elsewhere_is_left_to_who_fetches_it(source):
    assert Sources(None, ["s3://engines/", "models:/unet", "runs:/1"]).located(source) == source


@pytest.mark.parametrize(
    "source",
    ["..", "../elsewhere", "new/../../elsewhere", "/etc", "{}/elsewhere", "out", "linked", "around",
     "inner", "x" * 300],
)  # fmt: skip
def test_a_path_that_leads_out_is_refused(source, incoming, tmp_path):
    (incoming / "out").symlink_to(tmp_path / "elsewhere")
    (incoming / "linked").mkdir()
    (incoming / "linked" / "model.onnx").symlink_to(tmp_path / "elsewhere" / "secret")
    (incoming / "inner" / "deep").mkdir(parents=True)
    (incoming / "inner" / "deep" / "1").symlink_to(tmp_path / "elsewhere")
    (incoming / "around").symlink_to("around")
    with pytest.raises(InvalidRequest, match="a folder below MAQUETTE_INCOMING, without links"):
        Sources(incoming).located(source.format(tmp_path))


@pytest.mark.parametrize("source", ["", "a\0b", "a\nb", "x" * 1001])
def test_what_is_no_source_is_told(source, incoming):
    with pytest.raises(InvalidRequest, match="source is .*printable"):
        Sources(incoming).located(source)


@pytest.mark.parametrize("scheme", ["s3", "models", "runs", "https"])
@pytest.mark.parametrize("rest", ["", "\n", "/" + "x" * 1000])
def test_a_secret_in_an_address_is_refused_and_not_repeated(scheme, rest, incoming):
    with pytest.raises(InvalidRequest, match="name or a secret") as refused:
        Sources(incoming).located(f"{scheme}://ada:hush@engines/unet{rest}")
    assert "hush" not in str(refused.value)
    assert "ada" not in str(refused.value)


def test_an_at_sign_further_on_is_no_secret():
    assert Sources(None, ["s3://engines"]).located("s3://engines/unet@2") == "s3://engines/unet@2"


def test_an_address_that_nobody_fetches_from_is_refused(incoming):
    with pytest.raises(InvalidRequest, match="gopher://x"):
        Sources(incoming).located("gopher://x")


def test_without_a_folder_the_remedy_is_told():
    with pytest.raises(Declined, match="Start it with MAQUETTE_INCOMING"):
        Sources().located("new")


@pytest.mark.parametrize(
    "source",
    ["s3://engines2/unet", "s3://other/unet", "models:/unet2/1", "models:/vae/1", "runs:/1/unet",
     "s3://engines/../other/unet", "s3://engines/./unet"],
)  # fmt: skip
def test_an_address_that_the_operator_does_not_allow_is_refused(source):
    allowed = Sources(None, ["s3://engines", "models:/unet"])
    with pytest.raises(Declined, match="s3://engines, models:/unet. .*MAQUETTE_PUBLISH_SOURCES"):
        allowed.located(source)
    with pytest.raises(Declined, match="allowed: none"):
        Sources().located(source)
