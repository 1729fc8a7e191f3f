"""A Dockerfile as its stages, and the build context as .dockerignore leaves it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DOCKERFILES = sorted((ROOT / "docker").glob("*.Dockerfile"))


@dataclass(frozen=True)
class Stage:
    """What stands between one FROM and the next, after what it is built from in the same file."""

    name: str
    base: str
    instructions: list[tuple[str, str]]

    def last(self, keyword: str) -> str | None:
        """The instruction that counts where several of the kind may stand."""
        return next((rest for word, rest in reversed(self.instructions) if word == keyword), None)


def stages(dockerfile: Path) -> list[Stage]:
    arguments: dict[str, str] = {}
    found: list[Stage] = []
    for word, rest in _instructions(dockerfile):
        if word == "ARG":
            name, _, default = rest.partition("=")
            arguments[name] = default
        if word == "FROM":
            image, _, name = rest.partition(" AS ")
            base = re.sub(r"\$\{(\w+)\}", lambda match: arguments[match[1]], image)
            inherited = next((stage.instructions for stage in found if stage.name == base), [])
            found.append(Stage(name, base, list(inherited)))
        elif found:
            found[-1].instructions.append((word, rest))
    return found


def stage(dockerfile: Path, target: str | None) -> Stage:
    """The stage that a build of `target` ends with."""
    return next(s for s in reversed(stages(dockerfile)) if target in {None, s.name})


def environment(stage: Stage) -> dict[str, str]:
    pairs = [pair for word, rest in stage.instructions if word == "ENV" for pair in rest.split()]
    return dict(pair.split("=", 1) for pair in pairs)


def _instructions(dockerfile: Path) -> list[tuple[str, str]]:
    lines = dockerfile.read_text(encoding="utf-8").splitlines()
    text = "\n".join(line for line in lines if not line.lstrip().startswith("#"))
    joined = re.sub(r"\\\n\s*", "", text).splitlines()
    return [(line.split()[0], line.split(maxsplit=1)[1]) for line in joined if line.strip()]


def in_context(path: str) -> bool:
    """Whether a build sees the file at `path`: the last rule of .dockerignore that fits decides."""
    kept = True
    for rule in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines():
        if rule and not rule.startswith("#") and _fits(rule.removeprefix("!"), path):
            kept = rule.startswith("!")
    return kept


def _fits(pattern: str, path: str) -> bool:
    """A pattern fits a path and all that is under it; ``*`` stays in one folder."""
    parts = {"**/": "(.*/)?", "*": "[^/]*"}
    regex = re.sub(r"\*\*/|\*|[^*]+", lambda m: parts.get(m[0]) or re.escape(m[0]), pattern)
    return re.fullmatch(f"{regex}(/.*)?", path) is not None
