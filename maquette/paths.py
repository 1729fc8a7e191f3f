"""Where the parts of a checkout are."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MODEL_REPOSITORY = ROOT / "model_repository"
EXAMPLE_STYLES = ROOT / "examples" / "styles"
EXAMPLE_SKETCH = ROOT / "examples" / "sketches" / "town-house.png"
