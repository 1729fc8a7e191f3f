"""How the other commands find what `maquette up` runs."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from gateway.auth.keys import KeyStore
from maquette import running
from maquette.__main__ import app
from maquette.running import Running, recorded

HOLDER = """
import sys
from maquette.running import Running, recorded
with recorded(Running("127.0.0.1:9", "keys.json", "logs")) as found:
    print(found, flush=True)
    sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "home"))
    for name in ("MAQUETTE_SERVER", "MAQUETTE_KEYS", "MAQUETTE_STATE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path / "home"


def at(server, folder):
    return Running(server, str((folder / "keys.json").resolve()), f"{folder}/gateway.log")


def run(*arguments):
    return CliRunner().invoke(app, arguments, env={"COLUMNS": "400"})


def test_a_key_goes_where_the_running_gateway_reads_it(tmp_path):
    with recorded(at("127.0.0.1:9033", tmp_path / "S")) as is_found:
        assert is_found
        made = run("keys", "create", "studio")
    assert KeyStore(tmp_path / "S/keys.json").find(made.stdout.strip())
    said = f"the file is {tmp_path}/S/keys.json; the gateway at 127.0.0.1:9033 reads it"
    assert said in made.stderr
    assert not (tmp_path / "var").exists()


def test_without_a_gateway_it_goes_where_one_would_read_it(tmp_path):
    assert "the file is var/keys.json\n" in run("keys", "create", "studio").stderr
    run("keys", "create", "studio", "--state", "S")
    assert len(KeyStore(tmp_path / "S/keys.json").all()) == 1


def test_the_running_gateway_is_the_server(tmp_path):
    with recorded(at("127.0.0.1:9", tmp_path)):
        assert "No gateway at 127.0.0.1:9." in run("styles", "list").stderr
        told = run("styles", "list", "--server", "127.0.0.1:1")
        assert "No gateway at 127.0.0.1:1." in told.stderr
        shown = run("doctor").stdout
    assert f"127.0.0.1:9; keys in {tmp_path}/keys.json; logs {tmp_path}/gateway.log" in shown


def test_keys_of_a_gateway_elsewhere_are_not_made_here(tmp_path, monkeypatch):
    monkeypatch.setenv("MAQUETTE_SERVER", "192.0.2.1:8033")
    with recorded(at(running.USUAL, tmp_path / "S")):
        for command in (["create", "studio"], ["list"], ["revoke", "AAAA"]):
            refused = run("keys", *command)
            assert refused.exit_code == 1
            assert "No `maquette up` of this user here serves at 192.0.2.1:8033" in refused.stderr
        assert run("keys", "create", "studio", "--file", "mine.json").exit_code == 0
    assert not (tmp_path / "S").exists()
    assert not (tmp_path / "var").exists()


def holder():
    return subprocess.Popen(
        [sys.executable, "-c", HOLDER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def test_one_that_was_killed_is_not_found(home):
    with holder() as process:
        assert process.stdout.readline() == "True\n"
        assert [one.server for one in running.found()] == ["127.0.0.1:9"]
        process.kill()
    assert running.found() == []
    assert list(home.rglob("*.json")) == []


def test_of_several_the_usual_one_is_meant_or_else_none(tmp_path):
    with holder() as process:
        assert process.stdout.readline() == "True\n"
        with recorded(at("127.0.0.1:9033", tmp_path / "S")):
            refused = run("keys", "create", "studio")
            assert refused.exit_code == 1
            assert "Several gateways run here. Name one with --server" in refused.stderr
            assert "127.0.0.1:9033 reads" in refused.stderr
            named = run("keys", "list", "--server", "127.0.0.1:9033")
            assert f"the file is {tmp_path}/S/keys.json" in named.stderr
        with recorded(at(running.USUAL, tmp_path / "S")):
            assert f"{tmp_path}/S/keys.json" in run("keys", "create", "studio").stderr
        process.stdin.close()


def test_a_record_that_is_damaged_is_passed_over(home, tmp_path):
    with recorded(at("127.0.0.1:9", tmp_path)):
        (record,) = home.rglob("*.json")
        record.write_text(json.dumps({"server": 1, "more": 2}))
        assert running.found() == []


def test_without_a_home_it_runs_as_well(home, tmp_path):
    home.write_text("a file")
    with recorded(at("127.0.0.1:9", tmp_path)) as is_found:
        assert not is_found
        assert running.found() == []
