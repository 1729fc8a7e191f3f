from __future__ import annotations

import pytest
from PIL import Image

from tests.gateway.doors.openinference.serving import serving
from tests.pictures import encoded


@pytest.fixture(scope="session")
def open_inference(tmp_path_factory):
    """Both faces, for anybody."""
    with serving(tmp_path_factory.mktemp("served")) as served:
        yield served


@pytest.fixture(scope="session")
def guarded(tmp_path_factory):
    """Both faces, for callers with a key; the key there is opens the styles alone."""
    with serving(tmp_path_factory.mktemp("guarded"), required=True) as served:
        yield served


@pytest.fixture(scope="session")
def tiny_sketch():
    return encoded(Image.new("RGB", (32, 32), "white"))
