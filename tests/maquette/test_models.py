"""``maquette models``: what it prints, and what it ends with."""

from __future__ import annotations

import json
import sys
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from maquette.cli import following
from maquette.cli.common import Gateway
from maquette.cli.models import app, changing
from maquette.cli.up import served_from
from pipeline.errors import Unavailable
from tests.maquette.little_gateway import LittleGateway, serving
from tests.versions.engines import describe, write_repository, write_version
from versions import aliases, canary, changes, history, intent, operations, sources
from versions.gates import MADE, Verdict
from versions.locks import following as following_it
from versions.locks import operating
from versions.objects import Objects
from versions.repositories import LocalRepository, ObjectStoreRepository

NOBODY = "127.0.0.1:9"
NOBODY_HTTP = f"http://{NOBODY}"
MODEL = "vae_decoder"


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """One whose engines are tried in no process; those processes have tests of their own."""
    monkeypatch.setattr(sources, "try_one", lambda *arguments: None)
    return write_repository(tmp_path / "repository")


@pytest.fixture
def source(tmp_path):
    return write_version(tmp_path / "new", MODEL, seed=1)


@pytest.fixture
def run(repository):
    environment = {
        "MAQUETTE_REPOSITORY": str(repository),
        "MAQUETTE_OPERATOR": "ada",
        "MAQUETTE_SERVER": NOBODY,
        "COLUMNS": "200",
    }
    return lambda *words: CliRunner().invoke(app, list(map(str, words)), env=environment)


@pytest.fixture
def published(run, source):
    assert run("publish", MODEL, source).exit_code == 0


def champion(repository):
    return aliases.read(repository).of(MODEL).champion


def force(run, *words):
    return run("promote", MODEL, "--force", "--why", "a test", *words)


@pytest.mark.parametrize(
    "command",
    [
        "list",
        "show",
        "diff",
        "publish",
        "gate",
        "promote",
        "canary",
        "rollback",
        "retire",
        "history",
        "upload",
    ],
)
def test_every_command_explains_itself(run, command):
    shown = run(command, "--help")
    assert shown.exit_code == 0
    assert len(shown.output.split()) > 40
    assert "--json" in shown.output
    assert "--repository" in shown.output


def test_help_tells_the_exit_codes_and_the_way(run):
    words = " ".join(run("--help").output.split())
    assert "3 when it was refused" in words
    assert "4 when somebody else" in words
    assert "maquette models publish unet FOLDER" in words


def test_the_life_of_a_version(run, repository, source):
    shown = run("publish", MODEL, source, "--why", "sharper")
    assert shown.exit_code == 0
    assert shown.stdout.splitlines() == [
        f"{MODEL} 2 is published, and the candidate.",
        f"No gateway answers at {NOBODY}; it takes effect when one starts.",
    ]
    assert "candidate" in run("list", MODEL).stdout
    assert force(run).stdout.startswith(f"{MODEL} 2 is the champion, and 1 the previous one.\n")
    assert champion(repository) == 2
    shown = run("rollback", MODEL, "--why", "too pale")
    assert (shown.exit_code, champion(repository)) == (0, 1)
    shown = run("retire", MODEL, "previous")
    assert shown.stdout.startswith(f"{MODEL} 2 is no longer the previous; its files stay.\n")
    shown = run("retire", MODEL, 2)
    assert shown.stdout == f"{MODEL} 2 is retired, and its files removed.\n"
    shown = run("history", MODEL).stdout
    for words in (
        "publish",
        "sharper",
        "promote (forced)",
        "rollback",
        "too pale",
        "retire",
        "ada",
    ):
        assert words in shown


def test_json_of_a_change(run, published):
    told = json.loads(force(run, "--json", "--dry-run").stdout)
    assert (told["changed"], told["would_change"], told["dry_run"]) == (False, True, True)
    told = json.loads(force(run, "--json").stdout)
    assert (told["changed"], told["would_change"]) == (True, False)
    assert (told["model"], told["version"], told["dry_run"]) == (MODEL, 2, False)
    assert told["served_versions"]["champion"][MODEL] == 2
    assert told["gateway_serves"] is None
    assert told["said"][0].startswith(f"{MODEL} 2 is the champion")


@pytest.mark.parametrize("command", [("list",), ("show", MODEL), ("history",)])
def test_json_of_what_is_there(run, published, command):
    assert json.loads(run(*command, "--json").stdout)


def test_list_and_show_tell_a_version(run, published):
    found = json.loads(run("list", MODEL, "--json").stdout)
    assert [(one["version"], one["aliases"]) for one in found] == [
        (1, ["champion"]), (2, ["candidate"]),
    ]  # fmt: skip
    shown = run("show", MODEL, "candidate").stdout
    for words in ("build.precision", "fp32", "libraries.torch", "publish"):
        assert words in shown
    assert json.loads(run("show", MODEL, 2, "--json").stdout)["history"][0]["who"] == "ada"


def test_diff_tells_what_differs_and_nothing_else(run, published):
    told = json.loads(run("diff", MODEL, "--json").stdout)
    assert {each["name"] for each in told["differences"]} == {"files.model.onnx", "sha256"}
    assert "files.model.onnx" in run("diff", MODEL, 1, 2).stdout


@pytest.mark.parametrize("command", ["publish", "promote", "rollback", "retire", "canary"])
def test_a_dry_run_ends_well_and_changes_nothing(run, repository, source, command, published):
    force(run)
    operations.publish(repository, MODEL, write_version(source, MODEL, seed=2), who="ada")
    before = (aliases.read(repository), history.read(repository))
    words = {
        "publish": (MODEL, write_version(source, MODEL, seed=3)),
        "promote": (MODEL, "--force", "--why", "a test"),
        "rollback": (MODEL,),
        "retire": (MODEL, "candidate"),
        "canary": (0.5, "--force", "--why", "a test"),
    }[command]
    shown = run(command, *words, "--dry-run")
    assert (shown.exit_code, (aliases.read(repository), history.read(repository))) == (0, before)
    assert "would" in shown.stdout


def test_refused_is_3(run, source):
    describe(source, MODEL, files={"model.onnx": "0" * 64})
    shown = run("publish", MODEL, source)
    assert (shown.exit_code, shown.stdout) == (3, "")
    assert "maquette: " in shown.stderr
    assert "is not the file that its manifest names" in shown.stderr
    shown = run("publish", MODEL, source, "--json")
    assert json.loads(shown.stdout)["exit_code"] == shown.exit_code == 3


def test_without_a_gate_is_3(run, repository, published):
    shown = run("promote", MODEL)
    assert (shown.exit_code, champion(repository)) == (3, 1)
    assert "has not been at its gate" in shown.stderr
    assert shown.stderr.endswith("or do it without, with --force and --why.\n")
    assert run("canary", 0.1).exit_code == 3
    told = json.loads(run("promote", MODEL, "--json").stdout)
    assert "with --force and --why" in told["failed"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("list", "canny"), "allowed: text_encoder"),
        (("promote", MODEL, "--force"), "Say why"),
        (("show", MODEL, "newest"), "allowed: a number, or champion, candidate, previous"),
        (("canary", "1.5"), "share is 1.5; allowed: 0 to 1"),
        (("canary", "1"), "share is 1.0; allowed: 0 to less than 1"),
        (("canary", "0.1", "--force"), "Say why"),
        (("publish", "clip_text", "x"), "change together"),
        (("history", "canny"), "allowed: text_encoder"),
    ],
)
def test_wrong_words_are_2(run, words, said):
    shown = run(*words)
    assert shown.exit_code == 2
    assert said in shown.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("show", MODEL, "candidate"), "has no candidate version"),
        (("show", MODEL, 9), "has no version 9; there: 1."),
        (("publish", MODEL, "nowhere"), "is not a folder"),
        (("promote", MODEL), "has no candidate to promote"),
    ],
)
def test_what_is_not_there_is_1(run, words, said):
    shown = run(*words)
    assert shown.exit_code == 1
    assert said in shown.stderr


def test_somebody_else_at_it_is_4(run, repository, published):
    with operating(repository, "bob", "publish of unet"):
        shown = force(run)
    assert shown.exit_code == 4
    assert "bob is at publish of unet" in shown.stderr
    assert champion(repository) == 1


def test_a_champion_that_was_not_expected_is_4(run, published):
    shown = force(run, "--expect", "7")
    assert shown.exit_code == 4
    assert "is 1 by now, not 7" in shown.stderr


def test_the_champion_already_is_0(run, published):
    force(run)
    shown = run("promote", MODEL, 2)
    assert (shown.exit_code, shown.stdout) == (0, f"{MODEL} 2 is the champion already.\n")


def test_what_was_interrupted_is_told(run, repository, source, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr(intent, "_finish", sys.exit)
        assert run("publish", MODEL, source).exit_code != 0
    lines = force(run).stdout.splitlines()
    assert lines[0].startswith(f"The publish of {MODEL} 2 that ada began at ")
    assert lines[0].endswith("it is finished now.")


class Follower(LittleGateway):
    """Serves what the aliases name, from the second question on."""

    def __init__(self, repository):
        super().__init__()
        self.repository = repository
        self.lacking = ""

    def ServerInfo(self, request, context):  # noqa: N802 - as the protocol calls it
        if self.calls:
            served_versions = aliases.read(self.repository).served_versions()
            self.versions = {alias: found.versions for alias, found in served_versions.items()}
            self.versions.pop(self.lacking, None)
        return super().ServerInfo(request, context)


def test_a_gateway_that_follows_is_waited_for(run, repository, source):
    with serving(Follower(repository)) as address:
        shown = run("publish", MODEL, source, "--server", address)
    assert shown.stdout.splitlines()[-1] == f"The gateway at {address} is serving it."


def test_a_gateway_at_another_address_is_told_of(run, repository, source):
    with following_it(repository):
        shown = run("publish", MODEL, source)
    told = shown.stdout.splitlines()[-1]
    assert told.startswith(f"No gateway answers at {NOBODY}; but one follows {repository}, and ")
    assert "when one starts" not in told


@pytest.mark.parametrize("broken", ["champion", "candidate"])
def test_what_the_gateway_cannot_serve_is_a_failure(run, repository, published, source, broken):
    """Of what the command was about; anything else is told, and no failure."""
    aliases.write(repository, "unet", aliases.Aliases(candidate=9))
    gateway = Follower(repository)
    gateway.problem, gateway.lacking, gateway.calls = "unet 9 does not load.", broken, [None]
    with serving(gateway) as address:
        shown = force(run, "--server", address)
        told = json.loads(run("rollback", MODEL, "--server", address, "--json").stdout)
    assert champion(repository) == 1
    assert shown.exit_code == (broken == "champion")
    assert told["gateway_serves"] == (broken != "champion")
    assert shown.stdout.rstrip().endswith(gateway.problem)


@pytest.mark.parametrize("searched", [1, 2])
def test_a_new_pair_is_served_when_it_is_searched_with(repository, monkeypatch, searched):
    monkeypatch.setattr(following, "SECONDS", 1.0)
    aliases.write(repository, aliases.CLIP[0], aliases.Aliases(champion=2, previous=1))
    gateway = Follower(repository)
    gateway.clip = searched
    with serving(gateway) as address:
        serves, _ = following.follows(
            changes.outcome(repository, [], True),
            "champion",
            LocalRepository(repository),
            Gateway(address),
        )
    assert serves == (True if searched == 2 else None)


def test_a_gateway_that_does_not_follow_is_no_failure(run, source, monkeypatch):
    monkeypatch.setattr(following, "SECONDS", 0.0)
    with serving(LittleGateway()) as address:
        shown = run("publish", MODEL, source, "--server", address)
    assert shown.exit_code == 0
    assert "it may still be loading, or serve another repository" in shown.stdout


def test_a_gateway_that_wants_a_key_says_so(run, source):
    gateway = LittleGateway()
    gateway.api_key = "secret"
    with serving(gateway) as address:
        shown = run("publish", MODEL, source, "--server", address)
    assert shown.exit_code == 0
    assert f"The gateway at {address} does not say whether it serves that" in shown.stdout


@pytest.fixture
def judged(monkeypatch, repository):
    """Puts a gate in place of the one that paints; gives what it was called with."""
    calls = []

    def judge(passed):
        def main(repository, server, api_key, ca, tls, model, version, *others):
            calls.append((model, version, server, *others))
            tried = aliases.read(repository)
            served_versions = [tried.pinned(alias).versions for alias in ("candidate", "champion")]
            missed = () if passed else ("structure_f1 is 0.1; at least 0.7.",)
            measures = {MADE: float(others[-1]), "structure_f1": 0.1}
            return Verdict(passed, *served_versions, measures, missed, "out/report.html")

        module = SimpleNamespace(main=main, RENDERS=8)
        monkeypatch.setitem(sys.modules, "evaluation.gate", module)
        return calls

    return judge


def test_a_gate_that_is_passed_opens_the_way(run, repository, published, judged):
    calls = judged(passed=True)
    shown = run("gate", MODEL, "--renders", 1)
    assert shown.exit_code == 0
    assert f"{MODEL} 2 passed its gate.\n" in shown.stdout
    assert "Its gate compared 1 render; promote and canary ask for 8 at least.\n" in shown.stdout
    assert calls[0][:3] == (MODEL, 2, NOBODY)
    assert calls[0][-1] == 1
    assert run("promote", MODEL).exit_code == 3
    assert run("gate", MODEL).exit_code == 0
    assert run("promote", MODEL).exit_code == 0
    assert champion(repository) == 2
    assert not history.read(repository)[-1].forced


def test_a_gate_that_is_not_passed_is_3_and_stays_closed(run, repository, published, judged):
    judged(passed=False)
    shown = run("gate", MODEL)
    assert shown.exit_code == 3
    assert "structure_f1 is 0.1; at least 0.7." in shown.stdout
    assert run("promote", MODEL).exit_code == 3
    told = json.loads(run("gate", MODEL, "--json").stdout)
    assert (told["passed"], told["report"]) == (False, "out/report.html")


def test_two_gates_at_once_are_one(run, repository, published, judged):
    calls = judged(passed=True)
    with operations.gating(repository, "unet", "bob"):
        shown = run("gate", MODEL)
    assert (shown.exit_code, calls) == (4, [])
    assert "bob is at gate of unet since" in shown.stderr


def test_a_gate_can_be_tried_without_a_verdict(run, repository, published, judged):
    judged(passed=True)
    assert run("gate", MODEL, "--dry-run").exit_code == 0
    assert [entry.action for entry in history.read(repository)] == ["publish"]


def test_without_what_measures_a_gate_is_one_sentence(run, published, monkeypatch):
    monkeypatch.setitem(sys.modules, "evaluation.gate", None)
    shown = run("gate", MODEL)
    assert shown.exit_code == 1
    assert "A gate measures pictures, which cannot be done here" in shown.stderr


def test_canary_says_how_the_candidate_is_tried(run, repository, published, judged):
    judged(passed=True)
    run("gate", MODEL)
    assert run("canary").stdout == "No canary is on.\n"
    shown = run("canary", 0.1, "--shadow", 0.2, "--max-latency-ratio", 2, "--why", "careful")
    assert shown.exit_code == 0
    assert "makes 10% of the renders, and makes 20% of the renders once more" in shown.stdout
    assert run("canary").stdout == "The canary is on: share 10%, shadow 20%.\n"
    assert "A canary is on" in run("list").stdout
    told = json.loads(run("canary", "--json").stdout)
    assert (told["share"], told["bounds"]["max_latency_ratio"]) == (0.1, 2)
    assert run("canary", 0).stdout == "The canary is over.\n"
    assert "canary 10%, shadow 20%" in run("history").stdout
    assert "canary over" in run("history").stdout


def test_history_says_what_a_canary_came_to(run, repository, published):
    found = canary.Canary(share=0.25, who="the gateway")
    entry = canary.entry(found, {MODEL: 2}, canary.Counts(57, 1, 512))
    operations.record(repository, entry)
    assert "canary 25%: 57 renders, 1 failed" in run("history").stdout


def test_who_does_it_is_the_login_name_otherwise(run, repository, source, monkeypatch):
    monkeypatch.setenv("LOGNAME", "grace")
    environment = {"MAQUETTE_REPOSITORY": str(repository), "MAQUETTE_SERVER": NOBODY}
    CliRunner().invoke(app, ["publish", MODEL, str(source)], env=environment)
    assert history.read(repository)[0].who == "grace"


# In an object store


@pytest.fixture
def stored(run, url, repository, monkeypatch, tmp_path):
    """Runs commands over a repository in a store, each time on the machine that is named."""
    shown = run("upload", repository, "--repository", url, "--json")
    assert json.loads(shown.stdout)["bytes"] > 1000

    def on(name, *words):
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / name))
        return run(*words, "--repository", url)

    return on


def test_the_life_of_a_version_in_a_store(stored, source):
    said = f"{MODEL} 2 is published, and the candidate."
    assert stored("one", "publish", MODEL, source).stdout.splitlines()[0] == said
    assert "candidate" in stored("other", "list", MODEL).stdout
    assert "is the champion" in force(lambda *words: stored("other", *words)).stdout
    assert "champion again" in stored("one", "rollback", MODEL, "--dry-run").stdout
    assert "champion again" in stored("one", "rollback", MODEL).stdout
    assert stored("other", "retire", MODEL, "previous").exit_code == 0
    assert stored("one", "canary").stdout == "No canary is on.\n"
    assert stored("one", "retire", MODEL, 2).exit_code == 0
    told = json.loads(stored("other", "history", "--json").stdout)
    assert [entry["action"] for entry in told] == [
        "publish", "promote", "rollback", "withdraw", "retire",
    ]  # fmt: skip
    assert stored("other", "promote", MODEL).exit_code == 1
    assert stored("other", "rollback", MODEL).exit_code == 3


def test_who_only_looks_fetches_no_engine(stored, source, monkeypatch):
    assert stored("one", "publish", MODEL, source).exit_code == 0
    download = Objects.download

    def small(self, key, *given):
        assert not key.endswith(".onnx")
        return download(self, key, *given)

    monkeypatch.setattr(Objects, "download", small)
    for words in (("list",), ("show", MODEL), ("diff", MODEL), ("history",), ("canary",)):
        assert stored("other", *words).exit_code == 0, words
    assert "is not whole" not in stored("other", "list").stdout


def test_what_is_waited_for_is_what_the_command_left(stored, source, url, monkeypatch):
    stored("one", "publish", MODEL, source)
    waited = []
    monkeypatch.setattr(changing, "follows", lambda wanted, *_: waited.append(wanted) or (True, ""))
    tidy = ObjectStoreRepository._tidy

    def overtaken(self, *given):
        tidy(self, *given)
        monkeypatch.setattr(ObjectStoreRepository, "_tidy", tidy)
        self.change(lambda at: operations.withdraw(at, MODEL, "candidate", who="bob"))

    monkeypatch.setattr(ObjectStoreRepository, "_tidy", overtaken)
    shown = stored("one", "publish", MODEL, write_version(source, MODEL, seed=2))
    assert shown.exit_code == 0
    assert [found.served_versions["candidate"][MODEL] for found in waited] == [3]


def test_a_whole_copy_serves_while_the_store_is_away(stored, url, tmp_path, monkeypatch, capsys):
    folder, settings = served_from(url, tmp_path / "state")
    monkeypatch.setenv("AWS_ENDPOINT_URL", NOBODY_HTTP)
    assert served_from(url, tmp_path / "state") == (folder, settings)
    assert "It starts with the copy in" in " ".join(capsys.readouterr().err.split())
    with pytest.raises(Unavailable, match="cannot be used"):
        served_from(url, tmp_path / "other")


def test_publish_from_a_store(stored, source, url):
    for path in source.iterdir():
        Objects(f"{url}-elsewhere").upload(path, path.name)
    assert stored("one", "publish", MODEL, f"{url}-elsewhere").exit_code == 0
    (entry,) = json.loads(stored("other", "history", "--json").stdout)
    assert entry["source"] == f"{url}-elsewhere"


def test_where_nothing_can_be_uploaded_to(run, stored, url, repository):
    assert stored("one", "upload", repository).exit_code == 3
    shown = run("upload", repository)
    assert shown.exit_code == 2
    assert "allowed: s3://bucket/prefix" in shown.stderr


def test_a_store_that_holds_no_repository_is_1(run, url):
    shown = run("list", "--repository", url)
    assert shown.exit_code == 1
    assert "`maquette models upload FOLDER" in shown.stderr
