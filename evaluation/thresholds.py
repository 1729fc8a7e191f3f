"""What the gate lets pass: thresholds from a file, and measures held against them."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from pipeline.errors import InvalidRequest, NotFound

DEFAULTS = Path(__file__).with_name("thresholds.toml")
"""Says what each threshold means."""

Kind = Literal["paint", "clip"]
Thresholds = Mapping[str, float]


def read(kind: Kind, file: Path | None = None) -> dict[str, float]:
    """The most that is allowed of each measure of `kind`.

    Args:
        file: a TOML file whose thresholds win over the defaults.

    Raises:
        NotFound: there is no such file.
        InvalidRequest: it holds something else than thresholds.
    """
    defaults = _tables(DEFAULTS)
    own = _tables(file) if file else {}
    _check_names("thresholds", own, defaults)
    for name, table in own.items():
        _check_table(name, table, defaults[name])
    return {**defaults[kind], **own.get(kind, {})}


def missed(measures: Mapping[str, float], thresholds: Thresholds) -> Iterator[str]:
    """A sentence for each of `measures` that is above its threshold, or is no number."""
    for name, most in thresholds.items():
        # Written so that NaN, which is not above anything, counts as missed.
        if name in measures and not measures[name] <= most:
            yield f"{name} is {measures[name]:.4g}; allowed: at most {most:g}."


def _tables(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise NotFound(f"The thresholds {file} cannot be read: {error.strerror}.") from error
    except ValueError as error:
        remedy = f"Start from a copy of {DEFAULTS}."
        raise InvalidRequest("thresholds", str(file), f"TOML ({error})", remedy) from error


def _check_table(name: str, table: Any, known: Mapping[str, float]) -> None:
    if not isinstance(table, dict):
        raise InvalidRequest(name, table, f"a table, [{name}]", f"{DEFAULTS} shows one.")
    _check_names(f"[{name}]", table, known)
    for measure, most in table.items():
        # A bool is a number to Python.
        if type(most) not in (int, float) or most != most:  # noqa: PLR0124 - NaN
            raise InvalidRequest(measure, most, "a number", "Write 0.02, say.")


def _check_names(field: str, given: Mapping[str, Any], known: Mapping[str, Any]) -> None:
    unknown = [name for name in given if name not in known]
    if unknown:
        allowed = ", ".join(known)
        raise InvalidRequest(field, unknown[0], allowed, f"{DEFAULTS} says what each means.")
