from __future__ import annotations

import pytest
from PIL import Image

from maquette.client import connect
from tests.conftest import ROOT
from tests.integration.stack import MAQUETTE, live_stack
from tests.wheel import build_sdist, build_wheel, environment, run
from training.styles import STYLES

DEVELOPMENT = ROOT / ".venv-dev"


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_the_wheel_exports_serves_and_renders_far_from_the_checkout(tmp_path):
    built, empty = tmp_path / "built", tmp_path / "empty"
    built.mkdir()
    empty.mkdir()
    wheel = build_wheel(build_sdist(built))
    exporting = environment(tmp_path / "exporting", wheel, DEVELOPMENT)
    serving = environment(tmp_path / "serving", wheel, MAQUETTE.parent.parent)
    where = "import gateway, maquette.paths as p; print(gateway.__file__, p.DATA, p.IS_CHECKOUT)"
    for programs in (exporting, serving):
        assert str(ROOT) not in run(programs / "python", "-c", where, cwd=empty)
    run(exporting / "maquette", "export", "--pack", ROOT / "packs" / "tiny", cwd=empty)

    repository = empty / "model_repository"
    with live_stack(empty, "--repository", str(repository), program=(serving / "maquette",)) as up:
        found = run(serving / "python", "-c", "import maquette.paths as p; print(p.EXAMPLE_SKETCH)")
        command = (serving / "maquette", "render", found.strip(), "a house at night")
        run(*command, "--server", up.address, "--steps", "2", cwd=empty)
        with connect(up.address) as client:
            styles = {style.name for style in client.styles()}
    assert Image.open(empty / "render.png").size == (256, 256)
    assert styles == {style.name for style in STYLES}
