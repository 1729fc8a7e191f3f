"""What `maquette up` makes of the gateway's heartbeat."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys

import pytest

from gateway.process import beat
from serving.stack import Gateway, Options


@pytest.fixture
def gateway(small_disk):
    """One whose heartbeat was touched when time began."""
    heartbeat = small_disk / "heartbeat"
    heartbeat.touch()
    os.utime(heartbeat, (0, 0))
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return Gateway(process, Options(small_disk, small_disk), small_disk / "log", heartbeat)


@pytest.fixture
def frozen(gateway, small_disk):
    """The same, on a disk that takes nothing any more."""
    remount(small_disk, "ro")
    yield gateway
    remount(small_disk, "rw")


def remount(disk, how):
    subprocess.run(["mount", "-o", f"remount,{how}", disk], check=True)


def test_a_heart_that_stands_still_is_seen_and_one_that_beats_too(gateway):
    for _ in range(2):
        assert not gateway.is_alive(), "looking is not touching"
    gateway.heartbeat.touch()
    assert gateway.is_alive()


def test_a_gateway_is_not_ended_because_its_file_cannot_be_touched(frozen):
    assert frozen.is_alive()


def test_nor_because_its_file_is_gone(gateway):
    gateway.heartbeat.unlink()
    assert gateway.is_alive()


async def test_the_gateway_says_once_that_it_cannot_and_goes_on(frozen, small_disk, caplog):
    monitor = asyncio.create_task(beat(frozen.heartbeat, seconds=0.01))
    while not caplog.records:
        assert not monitor.done()
        await asyncio.sleep(0.01)
    remount(small_disk, "rw")
    while not frozen.heartbeat.stat().st_mtime:
        assert not monitor.done()
        await asyncio.sleep(0.01)
    monitor.cancel()
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    assert "heartbeat cannot be touched" in caplog.text
