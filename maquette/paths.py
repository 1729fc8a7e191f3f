"""Where the files lie that come with maquette, and where commands look for what is made of them.

The wheel holds ``maquette/data``; in a checkout it is made of links to the folders at its top.
"""

from __future__ import annotations

from pathlib import Path

PACKAGE = Path(__file__).resolve().parent
DATA = PACKAGE / "data"
BUNDLED_MODELS = (DATA / "model_repository").resolve()
"""The models without engines: configs, and what is written in Python."""
EXAMPLE_STYLES = (DATA / "styles").resolve()
EXAMPLE_SKETCH = (DATA / "sketches").resolve() / "town-house.png"

ROOT = PACKAGE.parent
"""The checkout; where there is none, the folder that maquette is installed in."""
IS_CHECKOUT = (ROOT / "Makefile").exists()
WORK = ROOT if IS_CHECKOUT else Path()
"""Where packs and engines are by default: the checkout, or the current folder."""
MODEL_REPOSITORY = WORK / "model_repository"
PACKS = WORK / "packs"
EXPORTED = WORK / "out" / "exported"
"""Engines that are to be published."""
STATE = Path("var")
"""Logs, API keys and the style library of a stack, in the current folder."""
