"""``python -m tests.versions.killing REPOSITORY SOURCE OPERATION``: kill it at every step it takes.

For every step that an operation takes on the disk, a copy of the repository gets a process that is
killed right before that step; then the next command comes. Prints what each one found as JSON.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from dataclasses import asdict
from pathlib import Path

from versions import aliases, canary, catalogue, history, intent, manifest, operations, trial
from versions.canary import Canary
from versions.errors import Busy

EVENTS = ("open", "os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.truncate")
"""That change the disk; a sync has none, and is counted by a wrapper."""
AFTER_RECOVERY = ("finished now", "is undone")


def publish(repository, source):
    return operations.publish(repository, "vae_decoder", source, who="ada")


def publish_pair(repository, source):
    return operations.publish(repository, "clip", source, who="ada")


def promote(repository, source):
    return operations.promote(repository, "vae_decoder", 2, who="ada", force=True, why="a test")


def promote_pair(repository, source):
    return operations.promote(repository, "clip", 2, who="ada", force=True, why="a test")


def rollback(repository, source):
    return operations.rollback(repository, "vae_decoder", who="ada")


def withdraw(repository, source):
    return operations.withdraw(repository, "vae_decoder", "candidate", who="ada")


def retire(repository, source):
    return operations.retire(repository, "vae_decoder", 2, who="ada")


def set_canary(repository, source):
    wanted = Canary(share=0.5, who="ada", why="a test", since="now")
    return operations.set_canary(repository, wanted, force=True)


OPERATIONS = {
    function.__name__: function
    for function in (
        publish, publish_pair, promote, promote_pair, rollback, withdraw, retire, set_canary,
    )
}  # fmt: skip


def state_of(repository):
    """Everything that an operation may change, but for who was at it last."""
    snapshot = aliases.read(repository)
    return {
        "aliases": {model: asdict(found) for model, found in snapshot.aliases.items()},
        "versions": {
            model: {number: catalogue.digest(repository / model / str(number)) for number in
                    catalogue.on_disk(repository, model)}
            for model in aliases.VERSIONED
        },
        "canary": asdict(canary.read(repository)) | {"since": ""},
        "history": [(entry.action, entry.model) for entry in history.read(repository)],
    }  # fmt: skip


def broken_versions(repository):
    """Versions that an alias names, or that anybody can see, and that are not whole on disk."""
    snapshot = aliases.read(repository)
    broken = []
    for model in aliases.VERSIONED:
        for version in {*snapshot.aliases[model].versions, *catalogue.on_disk(repository, model)}:
            try:
                manifest.verify(repository / model / str(version))
            except manifest.Declined as error:
                broken.append(str(error))
    return broken


def leftovers(repository):
    return [str(path) for path in repository.rglob(".*") if path.suffix in {".partial", ".retired"}
            or path.name in {intent.FILE, intent.COPYING_FILE}]  # fmt: skip


def die_at(step):
    """Be killed right before step number `step`; the steps before it are done."""
    left = step

    def count():
        nonlocal left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def heard(event, arguments):
        writes = event != "open" or (arguments[2] or 0) & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
        if event in EVENTS and writes:
            count()

    os.fsync = lambda descriptor: count()
    sys.addaudithook(heard)


def killed(step, act):
    """Whether a child of this process that does `act` was killed at `step`, or went through."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            die_at(step)
            act()
            code = 0
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return True
    assert os.WEXITSTATUS(status) == 0, "the operation failed"
    return False


def once_more(operate, repository, source, done):
    """The same command again; where it was done already, that must do no harm."""
    if done and operate in {rollback, retire, withdraw}:
        return
    operate(repository, source)


def main(repository, source, name):
    operate = OPERATIONS[name]
    # What is tried changes nothing on the disk; the same engines are tried in other tests.
    trial.try_engine = lambda tried: None
    # A process that is killed loses nothing that it wrote, so the disk need not be waited for.
    os.fsync = lambda descriptor: None
    work = repository.with_name("work")

    def anew():
        shutil.rmtree(work, ignore_errors=True)
        shutil.copytree(repository, work)

    anew()
    before = state_of(work)
    operate(work, source)
    after = state_of(work)
    found, step, again = [], 0, True
    while again:
        step += 1
        anew()
        again = killed(step, lambda: operate(work, source))
        report = {"step": step, "killed": again, "broken": broken_versions(work)}
        # The next command may be killed as well, at a step of its own.
        second = 1 + step % 7
        killed(second, lambda: operations.recover(work, "bob"))
        report["broken"] += broken_versions(work)
        try:
            report["said"] = operations.recover(work, "bob")
        except Busy as error:
            report["said"] = f"busy: {error}"
        now = state_of(work)
        report["state"] = "before" if now == before else "after" if now == after else str(now)
        report["left"] = leftovers(work)
        once_more(operate, work, source, now == after)
        report["again"] = state_of(work)["aliases"] == after["aliases"]
        found.append(report)
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
