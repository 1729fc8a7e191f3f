"""Render with maquette's own client, waiting and not: ``python_client.py [OUT.png]``."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from maquette.client import AsyncClient, Client, Progress, Result

SERVER = os.environ.get("MAQUETTE_SERVER", "127.0.0.1:8033")
KEY = os.environ.get("MAQUETTE_API_KEY")
SKETCH = Path(__file__).parent.parent / "sketches" / "town-house.png"


def one(out: Path) -> Result:
    """One render, waited for."""
    with Client(SERVER, api_key=KEY) as client:
        result = client.render(SKETCH, "futuristic neon city at night", num_inference_steps=8)
    result.save(out)
    return result


async def several(out: Path) -> int:
    """Two renders at once, each told step by step; how many steps they took together."""
    async with AsyncClient(SERVER, api_key=KEY) as client:

        async def render(number: int, prompt: str) -> int:
            steps = 0
            async for event in client.stream(SKETCH, prompt, seed=number, num_inference_steps=4):
                match event:
                    case Progress():
                        steps = event.step
                    case Result():
                        event.save(out.with_stem(f"{out.stem}-{number}"))
            return steps

        return sum(await asyncio.gather(render(2, "a villa in winter"), render(3, "red brick")))


def main() -> None:
    """Render the bundled sketch three times."""
    out = Path(sys.argv[1] if len(sys.argv) > 1 else "render.png")
    result, steps = one(out), asyncio.run(several(out))
    style = result.style.id if result.style else "of your own"
    print(f"{out} in the style {style}, and two more in {steps} steps")  # noqa: T201


if __name__ == "__main__":
    main()
