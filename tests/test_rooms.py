"""The order of the rooms: an import leads to a lower room, or stays in its own."""

import ast
from collections import defaultdict
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ORDER = (
    ("pipeline",),
    ("versions",),
    ("retrieval", "serving"),
    ("gateway.version", "gateway.settings", "gateway.errors", "gateway.background"),
    ("gateway.telemetry",),
    ("gateway.triton",),
    ("gateway.auth", "gateway.information"),
    ("gateway.worker",),
    ("gateway.renders",),
    ("gateway.rollout",),
    ("gateway.doors",),
    ("gateway.doors.grpc", "gateway.doors.http", "gateway.doors.openinference"),
    ("gateway.wiring",),
    ("gateway.process", "gateway.healthcheck"),
    ("gateway.__main__",),
)
"""From the lowest; rooms of one line do not know one another."""
FLOORS = {room: floor for floor, rooms in enumerate(ORDER) for room in rooms}
SERVE = ("pipeline", "versions", "retrieval", "serving", "gateway")
"""Packages that serve; what measures and makes them stands above, and none of them needs it."""
ABOVE = ("bench", "drill", "evaluation", "export", "tests", "tools", "training")


def imports(path):
    """Dotted names of the modules that `path` imports from this project."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                name = f"{node.module}.{alias.name}"
                yield name if is_module(name) else node.module
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def is_module(name):
    path = ROOT / name.replace(".", "/")
    return path.is_dir() or path.with_suffix(".py").is_file()


def room_of(module):
    """The longest name in the order that `module` lies in; the package's where none does."""
    parts = module.split(".")
    names = (".".join(parts[:length]) for length in range(len(parts), 0, -1))
    return next((name for name in names if name in FLOORS), parts[0])


def modules_of(package):
    for path in sorted((ROOT / package).rglob("*.py")):
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        if "backends" not in path.parts:
            yield name.removesuffix(".__init__"), path


@pytest.mark.parametrize("package", SERVE)
def test_imports_lead_downwards(package):
    wrong = [
        f"{module} imports {imported}"
        for module, path in modules_of(package)
        for imported in imports(path)
        if (theirs := room_of(imported)) != (ours := room_of(module))
        and (theirs in ABOVE or (theirs in FLOORS and FLOORS[theirs] >= FLOORS.get(ours, -1)))
    ]
    assert not wrong


@pytest.mark.parametrize("package", [*SERVE, "maquette", "evaluation", "export"])
def test_no_modules_import_one_another_in_a_circle(package):
    graph = defaultdict(set)
    for module, path in modules_of(package):
        graph[module] |= {name for name in imports(path) if name.startswith(f"{package}.")}
    assert not circle_in(graph)


def circle_in(graph):
    """One circle in `graph`, as the path that leads around; empty where there is none."""
    done = set()

    def visit(module, path):
        if module in path:
            return [*path[path.index(module) :], module]
        if module in done:
            return []
        found = next(filter(None, (visit(n, [*path, module]) for n in graph.get(module, ()))), [])
        done.add(module)
        return found

    return next(filter(None, (visit(module, []) for module in list(graph))), [])


def test_the_gateways_root_stays_small():
    assert len([path for path in (ROOT / "gateway").glob("*.py") if path.stem != "__init__"]) <= 8
