"""``maquette keys``."""

from __future__ import annotations

from datetime import timedelta

import pytest
from typer.testing import CliRunner

from gateway.auth.caller import Scope
from gateway.auth.keys import KeyStore
from maquette.cli.keys import app


@pytest.fixture
def path(tmp_path):
    return tmp_path / "keys.json"


@pytest.fixture
def run(path):
    """Runs a subcommand; the file comes by the environment, as the gateway's does."""
    environment = {"MAQUETTE_KEYS": str(path), "COLUMNS": "200"}
    return lambda *arguments: CliRunner().invoke(app, arguments, env=environment)


def test_create_shows_the_key_alone_on_standard_output(run, path):
    shown = run("create", "studio")
    assert shown.exit_code == 0
    secret = shown.stdout.removesuffix("\n")
    key = KeyStore(path).find(secret)
    assert (key.name, key.scopes, key.expires) == ("studio", {Scope.RENDER}, None)
    said = f"key {key.id} for studio: render; expires never. It is not shown again.\n"
    said += f"the file is {path}\n"
    assert shown.stderr == said


def test_create_takes_scopes_a_lifetime_and_limits(run, path):
    options = [
        "--scope",
        "render",
        "--scope",
        "styles",
        "--expires",
        "30d",
        "--renders-per-minute",
        "2",
    ]
    key = KeyStore(path).find(run("create", "studio", *options).stdout.strip())
    assert key.scopes == {Scope.RENDER, Scope.STYLES}
    assert key.expires - key.created == timedelta(days=30)
    assert key.limits == {"renders_per_minute": 2}


@pytest.mark.parametrize(
    "limit", ["calls_per_minute", "renders_per_minute", "renders_at_once", "renders_per_day"]
)
def test_each_limit_has_an_option(run, path, limit):
    run("create", "studio", f"--{limit.replace('_', '-')}", "7")
    assert KeyStore(path).all()[0].limits == {limit: 7}


@pytest.mark.parametrize(
    ("text", "lifetime"),
    [("12h", timedelta(hours=12)), ("1d", timedelta(days=1)), ("8w", timedelta(weeks=8))],
)
def test_lifetimes_are_hours_days_or_weeks(run, path, text, lifetime):
    run("create", "studio", "--expires", text)
    (key,) = KeyStore(path).all()
    assert key.expires - key.created == lifetime


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--expires", "soon"], "must be a number of hours, days or weeks: 12h, 30d, 8w"),
        (["--expires", "0d"], "must be a number of hours, days or weeks"),
        (["--scope", "everything"], "'render', 'styles', 'admin'"),
        (["--renders-per-day", "0"], "--renders-per-day"),
    ],
)
def test_wrong_options_make_no_key(run, path, options, words):
    shown = run("create", "studio", *options)
    assert shown.exit_code == 2
    assert words in shown.stderr
    assert not path.exists()


def test_a_wrong_name_is_one_sentence(run):
    shown = run("create", " ")
    assert (shown.exit_code, shown.stdout) == (1, "")
    assert shown.stderr.startswith("maquette: NAME is ' '; allowed: 1 to 64 printable characters.")


def test_list_shows_keys_without_what_would_let_anybody_in(run, path):
    secret = run("create", "[bold]studio", "--expires", "1d", "--renders-per-day", "5").stdout
    KeyStore(path).create("past", [Scope.ADMIN], timedelta(days=-1))
    first, second = KeyStore(path).all()
    shown = run("list")
    assert shown.exit_code == 0
    for words in (first.id, "[bold]studio", "renders_per_day 5", second.id, "past", "admin"):
        assert words in shown.stdout
    assert shown.stdout.count("(over)") == 1
    assert first.sha256[:12] not in shown.stdout
    assert secret.strip().split("_", 2)[2][:12] not in shown.stdout


def test_list_of_nothing_is_an_empty_table(run, path):
    assert run("list").exit_code == 0
    assert not path.exists()


def test_revoke_removes_a_key(run, path):
    secret = run("create", "studio").stdout.strip()
    key = KeyStore(path).find(secret)
    shown = run("revoke", key.id)
    assert (shown.exit_code, shown.stdout) == (0, f"key {key.id} for studio is revoked\n")
    assert KeyStore(path).find(secret) is None
    again = run("revoke", key.id)
    assert again.exit_code == 1
    assert f"maquette: There is no key '{key.id}'" in again.stderr


def test_the_file_can_be_named(run, path, tmp_path):
    run("create", "studio", "--file", str(tmp_path / "other" / "keys.json"))
    assert not path.exists()
    assert len(KeyStore(tmp_path / "other" / "keys.json").all()) == 1


@pytest.mark.parametrize("command", [["create", "studio"], ["list"], ["revoke", "abcdefgh"]])
def test_a_damaged_file_is_one_sentence(run, path, command):
    path.write_text("{")
    shown = run(*command)
    assert (shown.exit_code, shown.stdout) == (1, "")
    assert shown.stderr.startswith(f"maquette: {path} cannot be read as a file of API keys")
    assert path.read_text() == "{"
