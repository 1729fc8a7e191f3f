"""What an export does where versions are managed: it replaces none of them."""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
from dataclasses import asdict

import pytest
from typer.testing import CliRunner

from export import command, engines
from export.asked import Build, Candidates, Target, Wanted
from export.checkpoints.architectures import SMALL
from export.checkpoints.assemble import assemble
from export.files import PackError
from maquette.__main__ import app
from pipeline import contract
from tests import exported
from tests.conftest import ROOT
from tests.export.checkpoints.test_assemble import with_text_half
from tests.versions.engines import describe, write_repository, write_version
from versions import aliases, history, locks, manifest, operations
from versions.aliases import Aliases
from versions.catalogue import FINISHED, is_managed
from versions.changes import holding
from versions.errors import Busy, Declined

QUICK = "text_encoder"
"""The quickest to export that has versions."""


def files(folder):
    """All that lies there, but for locks."""
    return {
        path.relative_to(folder): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and not path.name.endswith(".lock")
    }


def publish(repository, folder, **options):
    return operations.publish(repository, "unet", folder, who="me", **options)


@pytest.fixture
def repository(tmp_path):
    """Version 3 of the UNet is the champion, and version 1 the one before."""
    repository = write_repository(tmp_path / "repository")
    publish(repository, write_version(tmp_path / "new", "unet", seed=1))
    operations.promote(repository, "unet", 3, who="me", why="a test", force=True)
    assert aliases.read(repository).of("unet") == Aliases(3, None, 1)
    return repository


class TestWhatIsManaged:
    @pytest.fixture
    def unmanaged(self, tmp_path):
        """What an export leaves, and Triton after it."""
        write_version(tmp_path / "unet/2", "unet")
        (tmp_path / "unet/configs").mkdir()
        (tmp_path / ".publishing.lock").touch()
        return write_repository(tmp_path)

    def test_what_an_export_wrote_is_not(self, unmanaged):
        assert not is_managed(unmanaged)
        assert not is_managed(unmanaged / "nowhere")

    @pytest.mark.parametrize(
        "name", ["history.jsonl", "canary.json", "unet/aliases.json", ".store", "unet/3",
                 "controlnet/2", "clip_image/2"]
    )  # fmt: skip
    def test_what_anybody_did_since_is(self, unmanaged, name):
        (unmanaged / name).mkdir()
        assert is_managed(unmanaged)


def test_no_export_writes_where_versions_are_managed(assembled, repository):
    before = files(repository)
    with pytest.raises(
        Declined, match=r"managed \(champion: unet 3\), and an export would"
    ) as said:
        list(engines.export_pack(assembled(), repository, Build(), report=lambda _doing: None))
    assert "Add --publish" in str(said.value)
    assert "--repository" in str(said.value)
    assert files(repository) == before


class TestCommand:
    def run(self, repository, tmp_path, monkeypatch, **options):
        """Whatever it does, it must do before it downloads something."""
        monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
        wanted = Wanted("someone/something", tmp_path / "packs")
        return command.run(wanted, Target(repository), Build(), **options)

    def test_it_is_refused_at_once(self, repository, tmp_path, monkeypatch, capsys):
        before = files(repository)
        assert self.run(repository, tmp_path, monkeypatch, force=True) == 1
        told = capsys.readouterr().err
        assert told.startswith(f"export: The versions in {repository} are managed")
        assert told.count("\n") == 1
        assert files(repository) == before

    def test_what_serves_may_be_kept(self, repository, tmp_path, monkeypatch, capsys):
        before = files(repository)
        assert self.run(repository, tmp_path, monkeypatch, keep=True) == 0
        told = capsys.readouterr().out
        assert told == (
            f"export: The versions in {repository} are managed (champion: unet 3), and stay as "
            "they are.\n"
        )
        assert files(repository) == before

    def test_aliases_that_cannot_be_read_are_one_sentence(
        self, repository, tmp_path, monkeypatch, capsys
    ):
        (repository / "unet/aliases.json").write_text("{")
        assert self.run(repository, tmp_path, monkeypatch) == 1
        assert "does not say which versions serve" in capsys.readouterr().err

    def test_what_is_kept_is_not_published_to(self):
        done = CliRunner().invoke(app, ["export", "--pack", "x", "--publish", "--keep"])
        assert done.exit_code == 2
        assert "give one of them" in " ".join(done.output.replace("│", " ").split())

    def test_every_target_that_serves_keeps_them(self):
        """And only `make export` itself is refused."""
        for target in ("demo", "eval", "bench", "drill", "perf", "up"):
            shown = subprocess.run(
                ["make", "--dry-run", "--always-make", target],
                cwd=ROOT, capture_output=True, text=True, check=True, timeout=60,
            ).stdout  # fmt: skip
            lines = [shlex.split(line) for line in shown.splitlines() if "-m export" in line]
            assert lines, target
            assert all("--keep" in line for line in lines), target

    def test_the_serving_environment_says_what_runs(self, tmp_path):
        """Word for word: the command that it names exports."""
        maquette = ROOT / ".venv/bin/maquette"
        pack = tmp_path / "no pack"
        refused = subprocess.run(
            [maquette, "export", "--pack", pack, "--repository", tmp_path / "r"],
            capture_output=True, text=True, check=False, timeout=100,
        )  # fmt: skip
        assert refused.returncode == 1
        assert f"the environment {ROOT / '.venv'} serves, and has no torch." in refused.stderr
        assert refused.stderr.count("\n") == 1
        line = refused.stderr.split("`")[1]
        assert line == shlex.join(
            [f"{ROOT}/.venv-dev/bin/maquette", "export", "--pack", str(pack), "--repository",
             str(tmp_path / "r")]
        )  # fmt: skip
        done = subprocess.run(
            ["bash", "-c", line], capture_output=True, text=True, check=False, timeout=100
        )
        assert "is neither here nor the id of a hub repository" in done.stderr


def test_tests_have_engines_of_their_own_there(repository, tmp_path):
    assert exported.repository(tmp_path / "fresh") == tmp_path / "fresh"
    assert exported.repository(repository) == ROOT / "out/tests/repository"


def export_only(pack, repository, *only):
    told = engines.export_pack(pack, repository, Build(), only=only, report=lambda _doing: None)
    return [(outcome.network, outcome.built) for outcome in told]


@pytest.fixture(scope="module")
def alone(assembled, tmp_path_factory):
    """A repository in which `QUICK` is the only engine."""
    repository = tmp_path_factory.mktemp("alone")
    assert export_only(assembled(), repository, QUICK) == [(QUICK, True)]
    return repository


class TestOne:
    """``--only``."""

    def test_network_is_exported_and_can_be_published(self, alone):
        assert manifest.verify(alone / QUICK / "1").network == QUICK
        assert not [*alone.glob("*/1/model.onnx")][1:]
        assert not (alone / FINISHED).exists()

    def test_network_that_the_pack_has_not(self, assembled, tmp_path):
        with pytest.raises(PackError, match="--only unet/2: .* no such network. It has text_enc"):
            export_only(assembled(), tmp_path, "unet/2")

    def test_network_does_not_stand_among_those_of_another_pack(self, assembled, tmp_path):
        repository = write_repository(tmp_path)
        before = files(repository)
        with pytest.raises(PackError, match=r"its .*unet.* would not be of .*leave --only out"):
            export_only(assembled(), repository, QUICK)
        assert {path: text for path, text in files(repository).items() if path in before} == before

    def test_network_completes_what_is_there(self, assembled, quick, tmp_path):
        """Once all engines are the pack's, the rest is written as after an export of all."""
        pack = assembled()
        for network in engines.names_of(pack):
            if network != QUICK:
                describe_as_exported(write_version(tmp_path / network / "1", "unet"), network, pack)
        assert export_only(pack, tmp_path, QUICK) == [(QUICK, True)]
        facts = json.loads((tmp_path / FINISHED).read_text())
        assert set(facts["engines"]) == set(engines.names_of(pack))


def describe_as_exported(folder, network, pack):
    """Say of the engine in `folder` that an export of `pack` wrote it."""
    fingerprint = engines.fingerprint_of(network, pack, Build())
    describe(folder, network, fingerprint=fingerprint, build=asdict(Build()))


class TestBesidesOthers:
    def test_nobody_publishes_while_engines_are_replaced(self, assembled, quick, tmp_path):
        repository = write_repository(tmp_path / "repository")
        new = write_version(tmp_path / "new", "unet", seed=1)
        # One that is exported whole is not mixed with another pack's.
        (repository / FINISHED).unlink()
        export = engines.export_pack(
            assembled(), repository, Build(), only=[QUICK], report=lambda _doing: None
        )
        next(export)
        with pytest.raises(Busy, match="maquette export is at the engines of pack-"):
            publish(repository, new)
        export.close()
        with holding(repository, "you", "publish of unet", locks.PUBLISHING):
            pass

    def test_nothing_is_exported_while_somebody_publishes(self, assembled, tmp_path):
        repository = write_repository(tmp_path / "repository")
        with (
            holding(repository, "you", "publish of unet", locks.PUBLISHING),
            pytest.raises(Busy, match="you is at publish of unet"),
        ):
            list(engines.export_pack(assembled(), repository, Build(), report=lambda _doing: None))


class TestCandidates:
    """``--publish``."""

    @pytest.fixture
    def managed(self, repository, assembled, alone):
        """Its text encoder is the pack's; of the others it says so."""
        pack = assembled()
        shutil.rmtree(repository / QUICK)
        for model in contract.NETWORKS:
            folder = repository / model.name / "1"
            if folder.exists():
                describe_as_exported(folder, model.name, pack)
        shutil.copytree(alone / QUICK, repository / QUICK)
        (repository / "tokenizer/1/tokenizer.json").write_text(pack.tokenizer_json())
        return repository

    def run(self, pack, repository, tmp_path, *only):
        candidates = Candidates(tmp_path / "exported", "me", "another text encoder")
        wanted = Wanted(str(pack.folder), tmp_path / "packs")
        return command.run(wanted, Target(repository, only, candidates), Build())

    def test_an_engine_that_is_another_becomes_the_candidate(
        self, made_of, checkpoints, managed, tmp_path, capsys
    ):
        layer = "text_encoder.text_model.encoder.layers.1.self_attn.q_proj"
        with_text_half(
            checkpoints,
            tmp_path / "lora.safetensors",
            lambda down, up: {f"{layer}.lora_A.weight": down, f"{layer}.lora_B.weight": up},
        )
        made = made_of(lora=tmp_path / "lora.safetensors")
        pack = assemble(made, tmp_path / "packs/other", lambda _doing: None, SMALL)
        before = files(managed / QUICK / "1")
        assert self.run(pack, managed, tmp_path, QUICK) == 0
        told = capsys.readouterr()
        assert "text_encoder 2 is published, and the candidate." in told.out, told
        assert aliases.read(managed).of(QUICK) == Aliases(1, 2, None)
        assert files(managed / QUICK / "1") == before
        assert manifest.verify(managed / QUICK / "2").pack == "other"
        entry = history.read(managed)[-1]
        assert (entry.action, entry.who, entry.why) == ("publish", "me", "another text encoder")

    def test_what_serves_already_is_left_alone(self, assembled, managed, tmp_path, capsys):
        before = files(managed)
        assert self.run(assembled(), managed, tmp_path, QUICK, "controlnet") == 0
        assert "is the champion in" in capsys.readouterr().out
        assert files(managed) == before
        assert not (tmp_path / "exported").exists()

    def test_what_has_no_versions(self, assembled, managed, tmp_path, capsys):
        assert self.run(assembled(), managed, tmp_path, "vae_encoder") == 1
        assert "--only vae_encoder: it has no versions that are publ" in capsys.readouterr().err

    def test_engines_of_another_kind_are_told_before_they_are_made(
        self, assembled, managed, tmp_path, capsys
    ):
        folder = managed / "controlnet/1"
        describe(folder, "controlnet", build={"engine": "onnx", "precision": "fp16"})
        assert self.run(assembled(), managed, tmp_path, "controlnet") == 1
        assert "Add --engine onnx --precision fp16." in capsys.readouterr().err
