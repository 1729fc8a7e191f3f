"""The compose file against its schema, the images and the gateway's settings.

The schema is schema/compose-spec.json of github.com/compose-spec/compose-spec (Apache-2.0), in the
copy that check-jsonschema brings.
"""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
import threading
import tomllib
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
import yaml

from export.__main__ import main as export
from export.configs import CACHE_FOLDER
from gateway.settings import Settings
from tests.docker.dockerfiles import ROOT, environment, stage, stages

FILE = ROOT / "docker/compose.yaml"
COMPOSE = yaml.safe_load(FILE.read_text(encoding="utf-8"))
SERVICES = COMPOSE["services"]
SECRET = re.compile("KEY|TOKEN|SECRET|PASSWORD")


def image_of(name):
    """The stage that the service's image ends with; None when it is not built here."""
    build = SERVICES[name].get("build")
    return build and stage(
        FILE.parent / build["context"] / build["dockerfile"], build.get("target")
    )


def mounts(name):
    """Volume by folder."""
    pairs = [volume.split(":") for volume in SERVICES[name].get("volumes", [])]
    return {folder: volume for volume, folder in pairs}


def test_it_is_a_compose_file():
    validator = Path(sys.executable).with_name("check-jsonschema")
    done = subprocess.run(
        [validator, "--builtin-schema", "vendor.compose-spec", FILE],
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout


def test_only_the_gateway_publishes_a_port_and_to_this_machine_unless_told_otherwise():
    published = {name: s["ports"] for name, s in SERVICES.items() if "ports" in s}
    here = "${MAQUETTE_PUBLISH:-127.0.0.1}"
    doors = [f"{here}:${{MAQUETTE_PORT:-8033}}:8033", f"{here}:${{MAQUETTE_HTTP_PORT:-8034}}:8034"]
    assert published == {"gateway": doors}
    assert Settings.model_fields["port"].default == 8033


def test_triton_and_qdrant_reach_and_are_reached_by_their_network_alone():
    assert COMPOSE["networks"]["back"]["internal"] is True
    assert SERVICES["triton"]["networks"] == SERVICES["qdrant"]["networks"] == ["back"]
    assert "network_mode" not in FILE.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_runs_without_privileges(name):
    assert SERVICES[name]["cap_drop"] == ["ALL"]
    assert SERVICES[name]["security_opt"] == ["no-new-privileges:true"]


def test_every_variable_has_a_default_or_says_that_it_is_needed():
    variables = re.findall(r"(?<!\$)\$(?!\$)\{?([^}\s]+)", FILE.read_text(encoding="utf-8"))
    assert variables
    assert all(re.match(r"\w+:[-?].", variable) for variable in variables), variables


def test_no_secret_is_in_the_file():
    values = [
        value
        for service in SERVICES.values()
        for variable, value in service.get("environment", {}).items()
        if SECRET.search(variable)
    ]
    assert len(values) == 3
    assert all(value is None or value.startswith("${MAQUETTE_QDRANT_API_KEY:?") for value in values)


def test_gateway_and_qdrant_share_the_key():
    gateway, qdrant = SERVICES["gateway"]["environment"], SERVICES["qdrant"]["environment"]
    assert gateway["MAQUETTE_QDRANT_API_KEY"] == qdrant["QDRANT__SERVICE__API_KEY"]


def test_the_gateway_is_told_only_settings_that_there_are():
    known = {f"MAQUETTE_{field.upper()}" for field in Settings.model_fields}
    assert set(SERVICES["gateway"]["environment"]) <= known


def test_what_a_service_waits_for_says_whether_it_is_healthy():
    awaited = {
        name: condition["condition"]
        for service in SERVICES.values()
        for name, condition in service.get("depends_on", {}).items()
    }
    assert awaited == {"triton": "service_healthy", "qdrant": "service_healthy"}
    for name in awaited:
        image = image_of(name)
        assert "healthcheck" in SERVICES[name] or (image and image.last("HEALTHCHECK"))


def test_volumes_are_named_and_lie_where_the_images_look():
    gateway, export_image = environment(image_of("gateway")), environment(image_of("export"))
    engines, exported = {"/repository": "engines"}, {"/exported": "exported"}
    assert mounts("gateway") == engines | exported | {gateway["MAQUETTE_LIBRARY"]: "styles"}
    assert mounts("triton") == engines | {CACHE_FOLDER: "compiled"}
    assert mounts("export") == engines | exported | {export_image["HF_HOME"]: "hub"}
    assert set(COMPOSE["volumes"]) == {v for name in SERVICES for v in mounts(name).values()}


def test_the_gateway_follows_the_versions_of_what_triton_serves():
    told, places = SERVICES["gateway"]["environment"], mounts("gateway")
    assert places[told["MAQUETTE_REPOSITORY"]] == mounts("triton")["/repository"]
    assert places[told["MAQUETTE_INCOMING"]] == mounts("export")["/exported"]


def test_what_the_gateway_writes_lies_in_a_volume():
    """Its image is read-only."""
    image, places = environment(image_of("gateway")), mounts("gateway")
    written = [image[f"MAQUETTE_{name}"] for name in ("KEYS", "LIBRARY")]
    assert all(any(path.startswith(folder) for folder in places) for path in written)


def test_who_shares_a_volume_is_one_user():
    """Otherwise one could not replace what another wrote."""
    users = {}
    for name in filter(image_of, SERVICES):
        for volume in mounts(name).values():
            users.setdefault(volume, set()).add(image_of(name).last("USER"))
    assert len(users["engines"]) == 1
    assert all(len(found) == 1 for found in users.values()), users


def test_an_engine_can_be_tried_where_versions_are_published():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert "onnxruntime" in project["optional-dependencies"]["serving"]
    built = stages(ROOT / "docker/gateway.Dockerfile")[0]
    assert any("'/src[gateway,serving]'" in rest for _, rest in built.instructions)


@pytest.mark.parametrize("name", ["gateway", "triton", "export"])
def test_a_volumes_folder_belongs_to_the_user_of_the_image(name):
    image = image_of(name)
    owner, group = image.last("USER").split(":")
    made = [rest for word, rest in image.instructions if word == "RUN"]
    for folder in mounts(name):
        made_here = rf"--owner={owner} --group={group} (\S+ )*{re.escape(folder)}(\s|$)"
        assert any(re.search(made_here, command) for command in made)


def test_images_that_are_built_have_the_projects_version():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    built = {s["image"] for s in SERVICES.values() if "build" in s}
    assert built == {f"maquette/{n}:{project['version']}" for n in ("gateway", "triton", "export")}


def test_qdrant_has_the_version_of_its_client():
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    client = re.search(r"^qdrant-client==(\d+\.\d+)\.", lock, re.MULTILINE)
    assert SERVICES["qdrant"]["image"].startswith(f"qdrant/qdrant:v{client[1]}.")


def test_export_is_asked_for_with_options_that_it_has():
    options = {option.split("=")[0].removeprefix("--") for option in SERVICES["export"]["command"]}
    assert options <= set(inspect.signature(export).parameters)


@contextmanager
def qdrant_that_answers(status):
    """The port of a server whose /readyz answers `status`."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_error(status if self.path == "/readyz" else 404)

        def log_message(self, *args):
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


def qdrant_is_healthy(port):
    kind, *command = SERVICES["qdrant"]["healthcheck"]["test"]
    assert kind == "CMD"
    assert "$" not in command[-1].replace("$$", "")
    command[-1] = command[-1].replace("$$", "$").replace("/6333", f"/{port}")
    return subprocess.run(command, check=False, capture_output=True).returncode == 0


@pytest.mark.parametrize(("status", "healthy"), [(200, True), (503, False)])
def test_qdrant_is_healthy_when_it_says_that_it_is_ready(status, healthy):
    with qdrant_that_answers(status) as port:
        assert qdrant_is_healthy(port) is healthy


def test_qdrant_is_not_healthy_when_nobody_answers():
    with qdrant_that_answers(200) as port:
        pass
    assert not qdrant_is_healthy(port)
