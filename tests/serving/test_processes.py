from __future__ import annotations

import os
import signal
import socket
import stat
import subprocess
import sys
import time

import psutil
import pytest

from pipeline.addresses import resolve
from pipeline.errors import Unavailable
from serving import processes
from serving.ports import free_port, require_free

SLEEPER = [sys.executable, "-c", "import time; print('up', flush=True); time.sleep(600)"]
STUBBORN = [
    sys.executable,
    "-c",
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
    "print('up', flush=True); time.sleep(600)",
]
PARENT_THAT_IS_KILLED = """
import os, pathlib, sys
from serving import processes
child = processes.start({command!r}, pathlib.Path({log!r}), os.environ)
print(child.pid, flush=True)
sys.stdin.read()
"""


def until(condition, seconds=10):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def started(command, log):
    child = processes.start(command, log, os.environ)
    until(lambda: log.read_text() == "up\n")
    return child


def test_output_goes_to_the_log_and_stop_ends_the_process(tmp_path):
    child = started(SLEEPER, tmp_path / "log")
    processes.stop(child)
    assert child.returncode == -signal.SIGTERM


def test_a_process_that_ignores_the_request_is_ended_all_the_same(tmp_path):
    child = started(STUBBORN, tmp_path / "log")
    processes.stop(child, seconds=0.2)
    assert child.returncode == -signal.SIGKILL


def test_what_a_process_left_in_its_group_is_ended_too(tmp_path):
    script = f"import subprocess; subprocess.Popen({SLEEPER!r}); import time; time.sleep(600)"
    child = started([sys.executable, "-c", script], tmp_path / "log")
    grandchildren = psutil.Process(child.pid).children()
    processes.stop(child)
    gone, alive = psutil.wait_procs(grandchildren, timeout=5)
    assert len(gone) == 1
    assert not alive


def test_a_child_ends_when_its_parent_is_killed(tmp_path):
    script = PARENT_THAT_IS_KILLED.format(command=SLEEPER, log=str(tmp_path / "log"))
    parent = subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    child = psutil.Process(int(parent.stdout.readline()))
    until(lambda: (tmp_path / "log").read_text() == "up\n")
    parent.kill()
    parent.communicate()
    child.wait(timeout=10)


def test_a_taken_port_is_named_with_the_option_that_changes_it():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(Unavailable, match=rf"Port {port} .*--port"):
            require_free("127.0.0.1", port, "--port")
    require_free("127.0.0.1", free_port(), "--port")


def test_the_log_of_the_run_before_is_kept(tmp_path):
    for said in ("first", "second", "third"):
        command = [sys.executable, "-c", f"print('{said}')"]
        processes.start(command, tmp_path / "server.log", os.environ).wait()
    assert (tmp_path / "server.log").read_text() == "third\n"
    assert (tmp_path / "server.previous.log").read_text() == "second\n"


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
def test_a_taken_port_is_seen_at_addresses_of_both_kinds(host):
    port = free_port(host)
    require_free(host, port, "--port")
    family, address = resolve(host, port)
    taken = pytest.raises(Unavailable, match=rf"Port {port} on {host} is taken.*--port")
    with socket.create_server(address, family=family), taken:
        require_free(host, port, "--port")


@pytest.mark.parametrize("host", ["fd00::dead", "nowhere.invalid"])
def test_an_address_that_is_not_here_is_one_sentence(host):
    with pytest.raises(Unavailable, match=rf"Cannot listen on {host}: .*Choose another address"):
        free_port(host)


def test_nobody_else_reads_what_a_process_writes(tmp_path):
    script = f"print('up', flush=True); open({str(tmp_path / 'made')!r}, 'w')"
    started([sys.executable, "-c", script], tmp_path / "log").wait(10)
    for written in ("log", "made"):
        assert stat.S_IMODE((tmp_path / written).stat().st_mode) == 0o600


def test_a_log_that_is_large_begins_anew_and_is_written_on(tmp_path):
    log = tmp_path / "gateway.log"
    script = (
        "import signal, time; signal.signal(signal.SIGUSR1, lambda *_: print('more', flush=True));"
        "print('up', flush=True); [time.sleep(1) for _ in range(600)]"
    )
    child = started([sys.executable, "-c", script], log)
    processes.bound(log, most=3)
    assert log.read_text() == "up\n"
    processes.bound(log, most=2)
    assert (tmp_path / "gateway.previous.log").read_text() == "up\n"
    child.send_signal(signal.SIGUSR1)
    until(lambda: log.read_text() == "more\n")
    processes.stop(child)


def test_a_child_that_stands_still_is_killed_when_patience_is_over(tmp_path):
    script = f"import subprocess; subprocess.Popen({SLEEPER!r}); import time; time.sleep(600)"
    parent = started([sys.executable, "-c", script], tmp_path / "log")
    (child,) = psutil.Process(parent.pid).children()
    now, said = 0.0, []
    watcher = processes.StoppedChildren(10, clock=lambda: now)

    def look(at):
        nonlocal now
        now = at
        watcher.watch(parent, said.append)

    look(0)
    child.suspend()
    until(lambda: child.status() == psutil.STATUS_STOPPED)
    look(5)
    child.resume()
    until(lambda: child.status() != psutil.STATUS_STOPPED)
    look(14)
    child.suspend()
    until(lambda: child.status() == psutil.STATUS_STOPPED)
    look(20)
    look(29)
    assert said == []
    look(31)
    assert said == ["A model's process stood still for 10 s; it is killed"]
    until(lambda: child.status() == psutil.STATUS_ZOMBIE)
    processes.stop(parent)
