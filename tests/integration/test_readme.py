"""The README's commands and its Python, run as they stand."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys

import pytest
import typer
from typer.main import get_command

from export.__main__ import main as export
from tests.conftest import ROOT
from tests.integration.stack import MAQUETTE, live_stack

exporter = typer.Typer()
exporter.command()(export)

README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


LINES = [line.split("  #")[0] for block in blocks("bash") for line in block.splitlines()]
EXPORTS = [line for line in LINES if line.startswith("maquette export ")]
COMMANDS = [line for line in LINES if line.startswith("maquette ") and line not in EXPORTS]


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    """A stack of its own, because the README's commands change the library."""
    with pytest.MonkeyPatch.context() as patch:
        # A reader has one gateway, which every command finds; the tests may have others.
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("home")))
        with live_stack(tmp_path_factory.mktemp("readme")) as stack:
            yield stack


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """What a reader has: the examples, from the repository's root, and what they made so far."""
    folder = tmp_path_factory.mktemp("checkout")
    shutil.copytree(ROOT / "examples", folder / "examples")
    return folder


def run(command, stack, folder):
    path = f"{MAQUETTE.parent}:{os.environ['PATH']}"
    return subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=folder,
        env={**os.environ, "PATH": path, "MAQUETTE_SERVER": stack.address, "COLUMNS": "200"},
    )  # fmt: skip


def test_there_are_commands_to_run():
    assert len(COMMANDS) >= 5


@pytest.mark.parametrize("command", COMMANDS)
def test_command(own, checkout, command):
    done = run(shlex.split(command), own, checkout)
    assert done.returncode == 0, done.stderr
    for written in re.findall(r"(?:-o|--board) (\S+)", command):
        assert (checkout / written).stat().st_size > 1000


@pytest.mark.parametrize("command", EXPORTS)
def test_export_is_named_with_options_that_it_has(command):
    """They would download; here they are parsed as the command line parses them."""
    options = get_command(exporter).make_context("export", shlex.split(command)[2:]).params
    assert options["pack"]


def test_python(own, checkout):
    (code,) = blocks("python")
    code = code.replace("127.0.0.1:8033", own.address)
    done = run([MAQUETTE.parent / "python", "-c", code], own, checkout)
    assert done.returncode == 0, done.stderr
    assert "step 8 of 8" in done.stdout
    assert (checkout / "render.png").read_bytes().startswith(b"\x89PNG")


def run_block(language, block, stack, folder):
    """Run one block of a page, with the stack's addresses in the place of the usual ones."""
    code = block.replace("127.0.0.1:8034", stack.http_address)
    code = code.replace("127.0.0.1:8033", stack.address)
    shell = ["bash", "-euo", "pipefail", "-c"]
    command = shell if language == "bash" else [sys.executable, "-c"]
    return subprocess.run(
        [*command, code], capture_output=True, text=True, check=False, cwd=folder,
        env={**os.environ, "HOST": stack.http_address},
    )  # fmt: skip


@pytest.mark.parametrize("line", [line for line in LINES if line.startswith("curl ")])
def test_curl(own, checkout, line):
    done = run_block("bash", line, own, checkout)
    assert done.returncode == 0, done.stderr
    assert "x-retrieved-style: " in done.stdout


def test_every_example_of_the_page_about_http(own, checkout):
    page = (ROOT / "docs" / "http.md").read_text(encoding="utf-8")
    examples = re.findall(r"```(bash|python)\n(.*?)```", page, re.DOTALL)
    assert len(examples) > 10
    for language, block in examples:
        done = run_block(language, block, own, checkout)
        assert done.returncode == 0, f"{block}\n{done.stdout}\n{done.stderr}"


def test_every_make_target_that_is_named_exists():
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), ROOT / "docker" / "README.md"]
    text = "\n".join(page.read_text() for page in pages)
    named = set(re.findall(r"(?:^|`)make ([a-z-]+)", text, re.MULTILINE))
    assert named <= set(targets)
    assert {"demo", "test", "setup", "check"} <= named


def test_every_file_that_a_page_links_to_exists():
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), ROOT / "docker" / "README.md"]
    for page in pages:
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"
