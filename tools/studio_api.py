"""``python -m tools.studio_api``: what the studio's typed client and its controls are made of."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel

from gateway.doors.http import openapi, operations, renders, styles, versions
from gateway.doors.http.app import UNTOLD
from pipeline import presets
from pipeline.request import FIELDS, RANGES

STUDIO = Path(__file__).resolve().parent.parent / "studio"
DOCUMENT = STUDIO / "openapi.json"
CONTROLS = STUDIO / "src" / "api" / "fields.json"
PROFILES = STUDIO / "src" / "api" / "profiles.json"


def document() -> dict[str, Any]:
    """The part of /openapi.json that the studio calls."""
    app = FastAPI(title="maquette", version="1", telemetry=UNTOLD)
    for module in (renders, styles, operations, versions):
        app.include_router(module.router)
    bodies: set[type[BaseModel]] = {*openapi.RENDER_EVENTS.values(), *versions.EVENTS}
    found = openapi.complete(app.openapi(), bodies, auth_required=True)
    paths = {path: told for path, told in found["paths"].items() if path.startswith("/v1/")}
    return {**found, "paths": paths}


def fields() -> dict[str, Any]:
    """What the studio makes a control of, for each field that is no picture."""
    return {
        name: {
            "help": known.help,
            "kind": known.kind.__name__,
            "several": known.several,
            "choices": list(known.choices),
            "max_length": known.max_length,
            "default": known.default,
            "min": RANGES[name].low if name in RANGES else None,
            "max": RANGES[name].high if name in RANGES else None,
        }
        for name, known in FIELDS.items()
        if known.kind is not bytes
    }


def fields_text() -> str:
    """The same, as it is written."""
    return json.dumps(fields(), indent=2) + "\n"


def profiles_text() -> str:
    """What each profile stands for, with a pack like the one that ships."""
    return json.dumps(presets.profiles(few_steps=True), indent=2) + "\n"


def main() -> int:
    """Write all of it."""
    DOCUMENT.write_text(json.dumps(document(), indent=1), encoding="utf-8")
    CONTROLS.write_text(fields_text(), encoding="utf-8")
    PROFILES.write_text(profiles_text(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
