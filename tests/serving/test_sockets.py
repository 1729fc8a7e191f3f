from __future__ import annotations

import os
import stat

import pytest

from pipeline.errors import Unavailable
from serving import sockets


def test_nobody_else_enters_the_folder_whoever_made_it(tmp_path):
    (tmp_path / "sockets").mkdir(mode=0o777)
    (tmp_path / "sockets" / "grpc:1").touch()
    sockets.make_folder(tmp_path)
    assert stat.S_IMODE((tmp_path / "sockets").stat().st_mode) == 0o700
    assert list((tmp_path / "sockets").iterdir()) == []


def test_a_path_that_is_too_long_for_a_socket_is_another_one(tmp_path):
    state = tmp_path / ("long" * 30)
    assert sockets.folder(state) == sockets.folder(state) != sockets.folder(state / "other")
    assert len(os.fsencode(sockets.folder(state))) <= sockets.LONGEST
    assert str(os.getuid()) in sockets.folder(state).name


def test_a_file_in_its_place_is_told(tmp_path):
    (tmp_path / "sockets").touch()
    with pytest.raises(Unavailable, match="belongs to somebody else"):
        sockets.make_folder(tmp_path)


def test_a_folder_that_leads_elsewhere_is_not_used(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "sockets").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(Unavailable, match="belongs to somebody else"):
        sockets.make_folder(tmp_path)


def test_a_path_with_spaces_is_an_address(tmp_path):
    assert sockets.grpc_address(tmp_path / "a b").endswith("/a%20b/sockets/grpc:1")
    assert sockets.metrics_address(tmp_path / "a b").endswith("/a b/sockets/metrics")
