"""What the dashboard and the alerts ask Prometheus for."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator

import yaml

from tests.conftest import ROOT

FOLDER = ROOT / "observability"
DASHBOARD = FOLDER / "grafana" / "maquette.json"
ALERTS = FOLDER / "prometheus" / "alerts.yml"

OF_PROMETHEUS = {"job", "instance"}
"""Labels that Prometheus adds to whatever it reads."""
KEYWORDS = {"and", "or", "unless", "bool", "offset"}
GROUPING = r"\b(?:by|without|on|ignoring)\s*\([^)]*\)"
GROUPED = r"\bby\s*\(([^)]*)\)\s*\((?:\w+\()*([a-zA-Z_:][\w:]*)"
SELECTOR = r"([a-zA-Z_:][\w:]*)\s*\{([^}]*)\}"


def dashboard() -> dict:
    return json.loads(DASHBOARD.read_text(encoding="utf-8"))


def panels() -> list[dict]:
    return [panel for panel in dashboard()["panels"] if panel["type"] != "row"]


def rules() -> list[dict]:
    groups = yaml.safe_load(ALERTS.read_text(encoding="utf-8"))["groups"]
    return [rule for group in groups for rule in group["rules"]]


def expressions() -> list[str]:
    shown = [target["expr"] for panel in panels() for target in panel["targets"]]
    return shown + [rule["expr"] for rule in rules()]


def names(expression: str) -> set[str]:
    """The metrics that a PromQL expression reads."""
    for apart in (r'"[^"]*"', r"\{[^}]*\}", r"\[[^\]]*\]", GROUPING):
        expression = re.sub(apart, " ", expression)
    found = re.findall(r"(?<![\w.])[a-zA-Z_:][\w:]*(?!\w|\s*\()", expression)
    # What aggregates (`sum by (le) (…)`) has lost its bracket to the grouping.
    return set(found) - KEYWORDS - {"sum"}


def labels(expression: str) -> Iterator[tuple[str, str]]:
    """Metrics with the labels that they must have."""
    for name, matchers in re.findall(SELECTOR, expression):
        yield from ((name, label) for label in re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", matchers))
    for kept, name in re.findall(GROUPED, expression):
        yield from ((name, label) for label in re.findall(r"\w+", kept))


def all_names(expressions: Iterable[str]) -> set[str]:
    return set().union(*map(names, expressions))
