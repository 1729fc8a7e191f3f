"""Who installs the wheel has the page as well."""

import zipfile

from gateway.doors.http.studio import PAGE
from tests.conftest import ROOT
from tests.wheel import build_sdist, build_wheel


def test_the_wheel_holds_the_page(tmp_path):
    built = {path.relative_to(ROOT).as_posix() for path in PAGE.rglob("*") if path.is_file()}
    assert any(name.endswith("/index.html") for name in built)
    with zipfile.ZipFile(build_wheel(build_sdist(tmp_path))) as archive:
        assert built <= set(archive.namelist())
