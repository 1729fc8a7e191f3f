"""What the pages link to and the commands that they give exist."""

from __future__ import annotations

import re
import shlex
import subprocess

import pytest
import typer

from maquette.__main__ import app
from tests.conftest import ROOT

PAGES = subprocess.run(
    ["git", "ls-files", "*.md"], cwd=ROOT, capture_output=True, text=True, check=True
).stdout.split()
TARGETS = set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))
BLOCK = re.compile(r"^```\w*\n(.*?)^```", re.MULTILINE | re.DOTALL)
OPTION = re.compile(r"--[a-z][a-z-]*")


def text_of(page):
    return (ROOT / page).read_text(encoding="utf-8")


def anchors(page):
    """The headings' anchors, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", BLOCK.sub("", text_of(page)), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def code_of(page):
    """The lines of the page's blocks, and what stands between backticks."""
    text = text_of(page)
    blocks = "".join(BLOCK.findall(text)).replace("\\\n", " ")
    return [*blocks.splitlines(), *re.findall(r"`([^`\n]+)`", BLOCK.sub("", text))]


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page):
    for link in re.findall(r"\]\(([^)\s]+)\)", BLOCK.sub("", text_of(page))):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (ROOT / page).parent / path if path else ROOT / page
        assert target.exists(), link
        if anchor:
            assert anchor in anchors(target), link


@pytest.mark.parametrize("page", PAGES)
def test_make_has_the_targets(page):
    for line in code_of(page):
        command = re.match(r"(?:[A-Z_]+=\S+ )*make ((?:[a-z-]+ ?)+)", line)
        named = set(command[1].split()) if command else set()
        assert named <= TARGETS, line


@pytest.mark.parametrize("page", PAGES)
def test_the_command_line_has_the_commands_and_their_options(page):
    for line in code_of(page):
        called = re.match(r"(?:\$ |[A-Z_]+=\S+ )*(?:\S*/)?maquette ([^|;&<>]*)", line)
        if called:
            words = shlex.split(called[1], comments=True)
            command = typer.main.get_command(app)
            while words and words[0] in getattr(command, "commands", ()):
                command = command.commands[words.pop(0)]
            assert not hasattr(command, "commands") or not words, line
            known = {option for parameter in command.params for option in parameter.opts}
            known |= {o for parameter in command.params for o in parameter.secondary_opts}
            given = {word.partition("=")[0] for word in words if OPTION.match(word)}
            assert given <= known | {"--help"}, line
