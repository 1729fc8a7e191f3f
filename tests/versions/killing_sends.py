"""``python -m tests.versions.killing_sends FOLDER URL SOURCE OPERATION``: kill it on its way.

For every request that a change makes of a store, a place in that store gets a machine that is
killed right before that request; then another machine comes. The operation ``pull`` is killed at
every step that it takes on the disk. Prints what was found as JSON.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

from tests.versions import killing
from tests.versions.killing import OPERATIONS, broken_versions, leftovers, state_of
from versions import index, operations, trial
from versions.history import Entry
from versions.objects import Objects
from versions.repositories import ObjectStoreRepository

FORCED = {"force": True, "why": "a test"}
REQUESTS = ("read", "write", "upload", "download", "list", "delete")


def die_at(step):
    """Be killed right before request number `step`; those before it are done."""
    left = step

    def counted(method):
        def counting(self, *arguments, **options):
            nonlocal left
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return method(self, *arguments, **options)

        return counting

    for name in REQUESTS:
        setattr(Objects, name, counted(getattr(Objects, name)))


def in_a_child(act):
    """What `act` gives, done in a process of its own; None when that was killed.

    The store's library has threads, which a fork would not take along: this process never uses it.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.write(writing, json.dumps(act()).encode())
            code = 0
        finally:
            os._exit(code)
    os.close(writing)
    with os.fdopen(reading) as told:
        found = told.read()
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0, "it failed"
    return None if os.WIFSIGNALED(status) else json.loads(found)


def tried(repository, folder, url, source, operate, step):
    """One machine is killed at `step`, and another comes; None where it was not killed."""
    one, other = folder / "one", folder / "other"
    how = {"whole": True, "patient": True} if operate is OPERATIONS["publish"] else {}

    def prepare():
        ObjectStoreRepository(url, one).fill(repository, "eve")
        ObjectStoreRepository(url, one).pull()
        return state_of(one)

    def killed():
        die_at(step)
        ObjectStoreRepository(url, one).change(lambda at: operate(at, source), **how)

    def look():
        ObjectStoreRepository(url, other).pull()
        said = {"now": state_of(other), "broken": broken_versions(other)}
        ObjectStoreRepository(url, one).pull()
        said["same"] = state_of(one) == said["now"]
        if said["now"]["history"] == before["history"]:
            ObjectStoreRepository(url, one).change(lambda at: operate(at, source), **how)
        else:
            ObjectStoreRepository(url, one).change(
                lambda at: operations.record(at, Entry("reembed", "clip", "bob"))
            )
        said["broken"] += broken_versions(one)
        found = index.from_bytes(Objects(url).read(index.KEY).data, url)
        there = {listed.key for listed in Objects(url).list()}
        said["lost"] = len({file.key for file in found.files.values()} - there)
        said["left"] = [*leftovers(one), *map(str, (folder / "one/.store/work").iterdir())]
        return said

    before = in_a_child(prepare)
    went_through = in_a_child(lambda: killed() or "through") is not None
    found = in_a_child(look)
    found["state"] = "before" if found.pop("now") == before else "after"
    return found | {"killed": not went_through}


def sent(folder, url, source, operate):
    """What is found after a change was killed at each request."""
    found = []
    while not found or found[-1]["killed"]:
        step = len(found) + 1
        work = folder / f"step-{step}"
        found.append(tried(folder / "repository", work, f"{url}/{step}", source, operate, step))
    return found


def pulled(folder, url, source):
    """What is found after a look was killed at each step that it takes on the disk."""
    one, other = folder / "one", folder / "other"

    def prepare():
        first = ObjectStoreRepository(url, one)
        first.fill(folder / "repository", "eve")
        first.change(lambda at: OPERATIONS["publish"](at, source), whole=True)
        ObjectStoreRepository(url, other).pull()
        for name in ("withdraw", "retire", "publish"):
            first.change(lambda at, name=name: OPERATIONS[name](at, source), whole=True)
        first.change(lambda at: operations.promote(at, "vae_decoder", who="ada", **FORCED))
        return state_of(one)

    def killed(step):
        killing.die_at(step)
        ObjectStoreRepository(url, other).pull()
        return "through"

    after = in_a_child(prepare)
    found = []
    while not found or found[-1]["killed"]:
        through = in_a_child(lambda: killed(len(found) + 1))
        now = state_of(other)
        changed = now["aliases"] == after["aliases"]
        state = "after" if changed else "before"
        found.append({"killed": not through, "broken": broken_versions(other), "state": state})
    # As it came from the child.
    found[-1]["same"] = json.loads(json.dumps(now)) == after
    return found


def main(folder, url, source, name):
    """Kill the operation called `name`, or a look for ``pull``."""
    trial.try_engine = lambda tried: None
    os.fsync = lambda descriptor: None
    found = (
        pulled(folder, url, source)
        if name == "pull"
        else sent(folder, url, source, OPERATIONS[name])
    )
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]), sys.argv[4])
