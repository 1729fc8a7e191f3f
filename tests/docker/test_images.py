"""The Dockerfiles, read and linted: nothing here builds an image."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from evaluation import thresholds
from export.configs import KINDS
from gateway.settings import Settings
from pipeline import contract
from serving import launcher
from serving.installation import Installation
from tests.docker.dockerfiles import DOCKERFILES, ROOT, environment, in_context, stage, stages
from versions import aliases, served
from versions.aliases import Aliases

TRITON, GATEWAY = ROOT / "docker/triton.Dockerfile", ROOT / "docker/gateway.Dockerfile"
TARGETS = [(TRITON, "triton"), (TRITON, "export"), (GATEWAY, None)]
PACKAGES = [
    "evaluation", "export", "gateway", "maquette", "pipeline", "retrieval", "serving", "training",
    "versions",
]  # fmt: skip
SECRET = re.compile("key|token|secret|password", re.IGNORECASE)
PLACES = re.compile(
    "--(allow-http|allow-metrics|(grpc|http|metrics)-(address|port)|backend-(directory|config)|"
    "model-repository|exit-timeout-secs)="
)
"""Options of Triton that say where, not what."""

each_file = pytest.mark.parametrize("dockerfile", DOCKERFILES, ids=lambda path: path.stem)
each_target = pytest.mark.parametrize(("dockerfile", "target"), TARGETS)


def instructions(dockerfile):
    return [pair for built in stages(dockerfile) for pair in built.instructions]


def sources(package):
    return [path.relative_to(ROOT).as_posix() for path in (ROOT / package).rglob("*.py")]


@each_file
def test_hadolint_finds_nothing(dockerfile):
    hadolint = Path(sys.executable).with_name("hadolint")
    done = subprocess.run([hadolint, dockerfile], check=False, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")


@each_file
def test_every_image_is_named_with_its_version(dockerfile):
    names = {built.name for built in stages(dockerfile)}
    for base in {built.base for built in stages(dockerfile)} - names:
        assert re.search(r":\d+\.\d+", base), base


@each_target
def test_an_image_does_not_run_as_root(dockerfile, target):
    user = stage(dockerfile, target).last("USER")
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", user or "root")


@each_target
def test_what_an_image_starts_gets_its_signals(dockerfile, target):
    built = stage(dockerfile, target)
    started = [built.last("ENTRYPOINT"), built.last("CMD")]
    assert any(started)
    assert all(command.startswith("[") for command in started if command)


@pytest.mark.parametrize(("dockerfile", "target"), [(TRITON, "triton"), (GATEWAY, None)])
def test_a_server_says_whether_it_is_healthy(dockerfile, target):
    assert 'CMD ["' in stage(dockerfile, target).last("HEALTHCHECK")


@each_file
def test_no_secret_is_baked_in(dockerfile):
    kinds = ("ARG", "ENV")
    # Where keys are kept is no secret.
    set_there = [
        rest.replace("MAQUETTE_KEYS=/var/lib/maquette/keys.json", "")
        for word, rest in instructions(dockerfile)
        if word in kinds
    ]
    assert not [rest for rest in set_there if SECRET.search(rest)]


@each_file
def test_pip_keeps_no_cache_and_to_the_lock_file(dockerfile):
    installs = [rest for word, rest in instructions(dockerfile) if "pip install" in rest]
    assert installs
    for command in installs:
        assert "--no-cache-dir --constraint /src/requirements.lock" in command


@each_file
def test_every_extra_that_is_installed_exists(dockerfile):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = {
        extra
        for _, rest in instructions(dockerfile)
        for extras in re.findall(r"'/src\[(.+?)\]'", rest)
        for extra in extras.split(",")
    }
    assert wanted
    assert wanted <= set(project["optional-dependencies"])


@each_file
def test_what_is_copied_is_in_the_build_context(dockerfile):
    copied = [rest.split() for word, rest in instructions(dockerfile) if word == "COPY"]
    assert copied
    for source in (words[0] for words in copied if not words[0].startswith("--from")):
        path = ROOT / source
        files = [path] if path.is_file() else list(path.rglob("*"))
        assert any(in_context(file.relative_to(ROOT).as_posix()) for file in files), source


@pytest.mark.parametrize("package", PACKAGES)
def test_the_context_has_the_whole_package_and_what_it_imports(package):
    assert sources(package)
    for source in sources(package):
        assert in_context(source)
        for node in ast.walk(ast.parse((ROOT / source).read_text(encoding="utf-8"))):
            names = [node.module] if isinstance(node, ast.ImportFrom) and node.module else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            for top in {name.split(".")[0] for name in names}:
                assert top in PACKAGES or not (ROOT / top / "__init__.py").exists(), source


def test_the_context_has_what_is_written_by_hand_in_the_model_repository():
    written = [
        *ROOT.glob("model_repository/*/config.pbtxt"),
        *ROOT.glob("model_repository/*/1/*.py"),
    ]
    assert written
    assert all(in_context(path.relative_to(ROOT).as_posix()) for path in written)


def test_the_context_has_the_limits_of_a_gate():
    assert in_context(thresholds.DEFAULTS.relative_to(ROOT).as_posix())


@pytest.mark.parametrize("name", ["LICENSE", "README.md", "pyproject.toml", "requirements.lock"])
def test_the_context_has_what_an_installation_reads(name):
    assert (ROOT / name).is_file()
    assert in_context(name)


@pytest.mark.parametrize(
    "path",
    [
        ".git/config",
        ".venv/bin/python",
        "docker/.env",
        "gateway/__pycache__/rpc.cpython-312.pyc",
        "maquette/cli/__pycache__/up.cpython-312.pyc",
        "model_repository/unet/1/manifest.json",
        "model_repository/unet/1/model.onnx",
        "model_repository/unet/1/model.onnx.data",
        "model_repository/unet/1/model.plan",
        "model_repository/unet/3/model.onnx",
        "model_repository/unet/configs/onnxruntime_gpu.pbtxt",
        # Each start copies the image's files over the volume's.
        "model_repository/unet/configs/served.pbtxt",
        "model_repository/unet/aliases.json",
        "model_repository/history.jsonl",
        "model_repository/canary.json",
        "model_repository/.intent.json",
        "model_repository/.lock",
        "out/demo/board.png",
        "packs/tiny/unet/diffusion_pytorch_model.safetensors",
        "var/library/pictures/0.png",
    ],
)
def test_the_context_has_nothing_that_was_built_or_is_private(path):
    assert not in_context(path)


def test_the_gateways_image_sets_only_settings_that_there_are():
    names = {name for name in environment(stage(GATEWAY, None)) if name.startswith("MAQUETTE_")}
    assert names
    assert names <= {f"MAQUETTE_{field.upper()}" for field in Settings.model_fields}


@pytest.fixture
def started(tmp_path):
    """Runs a start script on folders of its own, where each program prints how it was called."""
    image, repository = tmp_path / "image", tmp_path / "volume"
    for model in contract.MODELS:
        (image / model).mkdir(parents=True)
        (image / model / "config.pbtxt").write_text("new")
    (repository / "unet").mkdir(parents=True)
    (repository / "unet/config.pbtxt").write_text("old")
    # The exporter's, which say what a network is served with.
    for network in contract.NETWORKS:
        configs = repository / network.name / "configs"
        configs.mkdir(parents=True)
        for kind in KINDS.values():
            (configs / f"{kind}.pbtxt").write_text(f'name: "{network.name}" # {kind}\n')
    for name in ("tritonserver", "maquette"):
        program = tmp_path / name
        program.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
        program.chmod(0o755)

    def run(name, *arguments, **variables):
        script = (ROOT / "docker" / name).read_text(encoding="utf-8")
        script = script.replace("/opt/model_repository", str(image))
        script = script.replace("/repository", str(repository))
        return subprocess.run(
            ["sh", "-c", script, name, *arguments],
            env={
                "PATH": f"{tmp_path}:{Path(sys.executable).parent}:{os.environ['PATH']}",
                "PYTHONPATH": str(ROOT),
                "HF_HOME": "/cache",
                **variables,
            },
            check=False,
            capture_output=True,
            text=True,
        )

    return run, repository


def finish(repository, kind="onnxruntime_gpu"):
    """Leave what an export writes last."""
    (repository / "render/1").mkdir(parents=True)
    (repository / "render/1/pack.json").write_text(json.dumps({"model_config": kind}))


def test_triton_starts_with_the_configs_of_the_engines_and_the_images_own_files(started):
    run, repository = started
    finish(repository, "tensorrt")
    done = run("serve.sh")
    assert done.returncode == 0
    assert {"--load-model=unet", "--model-config-name=served"} <= set(done.stdout.splitlines())
    assert "# tensorrt" in (repository / "unet/configs/served.pbtxt").read_text()
    assert (repository / "unet/config.pbtxt").read_text() == "new"


@pytest.mark.parametrize("engine", ["", "model.onnx", "model.plan"])
@pytest.mark.parametrize("needs", sorted({model.needs for model in contract.MODELS.values()}))
def test_triton_loads_what_not_every_pack_has_where_it_is(started, needs, engine):
    """By the rule of `maquette up`."""
    run, repository = started
    finish(repository)
    if needs:
        (repository / needs).mkdir(parents=True)
        if engine:
            (repository / needs / engine).touch()
    arguments = run("serve.sh").stdout.splitlines()
    loaded = {text.split("=")[1] for text in arguments if text.startswith("--load-model=")}
    there = {"", needs} if engine else {""}
    assert loaded == {model.name for model in contract.MODELS.values() if model.needs in there}
    assert loaded == set(served.models_of(repository))


def test_triton_starts_with_the_champions_and_those_before_them(started):
    run, repository = started
    finish(repository)
    for version in (1, 2, 3, 4, 5):
        (repository / f"unet/{version}").mkdir()
        (repository / f"unet/{version}/model.onnx").touch()
    aliases.write(repository, "unet", Aliases(champion=4, candidate=5, previous=3))
    before = (repository / "unet/aliases.json").read_text()
    arguments = run("serve.sh").stdout.splitlines()
    # The gateway has the champion's ensembles loaded, and the candidate.
    assert not {"--load-model=denoiser", "--load-model=condition"} & set(arguments)
    config = (repository / "unet/configs/served.pbtxt").read_text()
    # 2 is the one for few steps.
    assert "versions: [2, 3, 4]" in config
    assert (repository / "unet/aliases.json").read_text() == before


def test_a_start_does_not_touch_a_config_that_says_already_what_it_should(started):
    """Triton takes a file that was touched for one that was changed."""
    run, repository = started
    finish(repository)
    (repository / "unet/1").mkdir()
    (repository / "unet/1/model.onnx").touch()
    run("serve.sh")
    config = repository / "unet/configs/served.pbtxt"
    before = config.stat().st_mtime_ns
    assert run("serve.sh").returncode == 0
    assert config.stat().st_mtime_ns == before


def test_triton_is_told_what_it_is_told_on_one_machine(started, tmp_path, monkeypatch):
    """But for where it listens, and where this machine keeps what a container has in its place."""
    run, repository = started
    finish(repository)
    there = set(run("serve.sh").stdout.splitlines())
    command = []
    monkeypatch.setattr(launcher, "require_engines", lambda _: None)
    monkeypatch.setattr(launcher.processes, "start", lambda *told: command.extend(told[0]))
    monkeypatch.setattr(
        launcher, "find", lambda: Installation(Path("tritonserver"), None, None, ())
    )
    launcher.spawn(repository, tmp_path)
    here = {str(word) for word in command[1:]}

    def named(arguments):
        return {word for word in arguments if not PLACES.match(word)}

    assert named(here) == named(there)
    assert "--model-control-mode=explicit" in named(there)


def test_triton_does_not_start_over_aliases_that_cannot_be_read(started):
    run, repository = started
    finish(repository)
    (repository / "unet/aliases.json").write_text("{")
    done = run("serve.sh")
    assert (done.returncode, done.stdout) == (1, "")
    assert "does not say which versions serve" in done.stderr
    assert "Traceback" not in done.stderr


def test_triton_does_not_start_over_an_export_that_did_not_finish(started):
    run, repository = started
    done = run("serve.sh")
    assert (done.returncode, done.stdout) == (1, "")
    assert "Run the export service first" in done.stderr
    assert (repository / "unet/config.pbtxt").read_text() == "old"


def test_the_exporter_writes_into_another_folder_without_touching_what_serves(started, tmp_path):
    run, repository = started
    other = tmp_path / "exported/mine"
    done = run("export.sh", "--pack", "a pack", MAQUETTE_REPOSITORY=str(other))
    assert f"--repository={other}" in done.stdout.splitlines()
    assert (other / "unet/config.pbtxt").read_text() == "new"
    assert (repository / "unet/config.pbtxt").read_text() == "old"


def test_the_exporter_writes_beside_the_images_own_files(started):
    run, repository = started
    done = run("export.sh", "--pack", "a pack")
    assert done.stdout.splitlines() == [
        "export", f"--repository={repository}", "--packs=/cache/packs", "--pack", "a pack",
    ]  # fmt: skip
    assert (repository / "unet/config.pbtxt").read_text() == "new"


@pytest.mark.parametrize("name", ["serve.sh", "export.sh"])
def test_a_start_script_can_be_executed(name):
    assert os.access(ROOT / "docker" / name, os.X_OK)
