"""Downloads from a hub on this machine that speaks the real one's protocol over HTTP."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from export.checkpoints import catalog, random
from export.checkpoints.catalog import PUBLISHED
from export.checkpoints.hub import HUB_ID, locate
from export.files import PackError
from tests.conftest import ROOT

COMMIT = "0123456789abcdef0123456789abcdef01234567"
CONTROLNET = "someone/canny"


class Hub:
    """Repositories are folders; a repository that is not there answers 404.

    Args:
        cut: stop the first answer with a large file after so many bytes.
    """

    def __init__(self, folder: Path, cut: int = 0) -> None:
        self.folder, self.cut = folder, cut
        self.requests: list[str] = []
        hub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_HEAD(self):
                hub.answer(self, body=False)

            def do_GET(self):
                hub.answer(self, body=True)

            def log_message(self, *args):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()

    def answer(self, handler, *, body):
        path = unquote(urlsplit(handler.path).path).strip("/")
        span = handler.headers.get("Range")
        self.requests.append(f"{handler.command} {path} {span or ''}".strip())
        parts = path.removeprefix("api/models/").split("/")
        repository = self.folder / parts[0] / parts[1]
        if not repository.is_dir():
            return self.send(handler, 404, b"", {"X-Error-Code": "RepoNotFound"})
        if path.startswith("api/models/"):
            listed = self.tree(repository) if parts[2] == "tree" else self.info(repository)
            return self.send(handler, 200, json.dumps(listed).encode(), {}, body=body)
        file = repository.joinpath(*parts[4:])
        data = file.read_bytes()
        headers = {"ETag": f'"{hashlib.sha256(data).hexdigest()}"', "X-Repo-Commit": COMMIT}
        if span and body:
            first = int(span.removeprefix("bytes=").split("-")[0])
            headers["Content-Range"] = f"bytes {first}-{len(data) - 1}/{len(data)}"
            return self.send(handler, 206, data[first:], headers)
        return self.send(handler, 200, data, headers, body=body)

    def send(self, handler, status, data, headers, *, body=True):
        handler.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(data))}.items():
            handler.send_header(name, value)
        handler.end_headers()
        if body and self.cut and len(data) > self.cut:
            handler.wfile.write(data[: self.cut])
            handler.wfile.flush()
            self.cut = 0
            handler.close_connection = True
            handler.connection.close()
        elif body:
            handler.wfile.write(data)

    def tree(self, repository):
        return [
            {"type": "file", "path": name, "size": size, "oid": digest[:40],
             "lfs": {"oid": digest, "size": size, "pointerSize": 1}}
            for name, size, digest in self.files(repository)
        ]  # fmt: skip

    def info(self, repository):
        name = f"{repository.parent.name}/{repository.name}"
        siblings = [{"rfilename": name, "size": size} for name, size, _ in self.files(repository)]
        return {"id": name, "modelId": name, "sha": COMMIT, "siblings": siblings}

    def files(self, repository):
        for path in sorted(repository.rglob("*")):
            if path.is_file():
                data = path.read_bytes()
                name = path.relative_to(repository).as_posix()
                yield name, len(data), hashlib.sha256(data).hexdigest()


@pytest.fixture
def hub(checkpoints, tmp_path):
    folder = tmp_path / "hub"
    (folder / "someone").mkdir(parents=True)
    (folder / CONTROLNET).symlink_to(checkpoints / random.CONTROLNET)
    (folder / "someone" / "adapters").symlink_to(checkpoints / "IP-Adapter")
    with Hub(folder) as hub:
        yield hub


def fetch(hub, cache, reference, **environment):
    """In a process of its own, since the hub's client reads its settings when it is imported."""
    code = (
        "import collections, os, shutil, sys\n"
        "if free := os.environ.get('MAQUETTE_TEST_FREE'):\n"
        "    usage = collections.namedtuple('usage', 'total used free')(0, 0, int(free))\n"
        "    shutil.disk_usage = lambda path: usage\n"
        "from export.checkpoints import parts\n"
        "from export.checkpoints.hub import locate\n"
        "from export.files import PackError\n"
        "try:\n"
        "    choose = lambda names: parts.choose_all(parts.CONTROLNET, names, True).values()\n"
        "    found = locate(sys.argv[1], choose)\n"
        "except PackError as error:\n"
        "    sys.exit(str(error))\n"
        "print(found.path, found.revision)\n"
    )
    return subprocess.run(
        [sys.executable, "-c", code, reference], check=False,
        cwd=ROOT, capture_output=True, text=True, timeout=60,
        env={**os.environ, "HF_HOME": str(cache), "HF_ENDPOINT": hub.url, "HF_HUB_DISABLE_XET": "1",
             "TQDM_DISABLE": "1",
             **environment},
    )  # fmt: skip


def test_only_what_is_needed_is_fetched_and_the_commit_is_told(hub, tmp_path, checkpoints):
    (checkpoints / random.CONTROLNET / "diffusion_pytorch_model.bin").touch()
    done = fetch(hub, tmp_path / "cache", CONTROLNET)
    assert done.returncode == 0, done.stderr
    path, revision = done.stdout.split()
    assert revision == COMMIT
    assert sorted(file.name for file in Path(path).iterdir()) == [
        "config.json",
        "diffusion_pytorch_model.safetensors",
    ]
    assert "Fetching 2 files" in done.stderr, "a download shows how far it is"
    assert "dry-run" not in done.stderr


def test_what_is_here_needs_no_hub(hub, tmp_path):
    first = fetch(hub, tmp_path / "cache", f"{CONTROLNET}@{COMMIT}")
    assert first.returncode == 0, first.stderr
    asked = len(hub.requests)
    again = fetch(hub, tmp_path / "cache", f"{CONTROLNET}@{COMMIT}", HF_HUB_OFFLINE="1")
    assert again.stdout == first.stdout
    assert len(hub.requests) == asked


def test_a_branch_that_was_resolved_before_needs_no_hub(hub, tmp_path):
    first = fetch(hub, tmp_path / "cache", CONTROLNET)
    again = fetch(hub, tmp_path / "cache", CONTROLNET, HF_HUB_OFFLINE="1")
    assert again.stdout == first.stdout
    assert COMMIT in again.stdout


def test_what_the_hub_would_not_take_for_an_id(hub, tmp_path):
    done = fetch(hub, tmp_path / "cache", "packs/a--b")
    assert "there is no file or folder packs/a--b here" in done.stderr
    assert "Traceback" not in done.stderr


def test_one_file_of_a_repository(hub, tmp_path):
    done = fetch(hub, tmp_path / "cache", "someone/adapters/models/ip-adapter_sd15.bin")
    assert done.stdout.split()[0].endswith("models/ip-adapter_sd15.bin"), done.stderr
    gone = fetch(hub, tmp_path / "cache", "someone/adapters/models/other.bin")
    assert "someone/adapters@main: the repository has no models/other.bin" in gone.stderr


def test_a_download_that_broke_goes_on_where_it_was(hub, tmp_path):
    """The client keeps what it has in pieces of 10 MB."""
    large = hub.folder / "someone" / "large"
    large.mkdir()
    (large / "config.json").write_text("{}")
    weights = large / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(os.urandom(25_000_000))
    hub.cut = 15_000_000
    done = fetch(hub, tmp_path / "cache", "someone/large")
    assert done.returncode == 0, done.stderr
    assert (Path(done.stdout.split()[0]) / weights.name).read_bytes() == weights.read_bytes()
    spans = [line.split("bytes=")[1] for line in hub.requests if "bytes=" in line]
    assert [int(span.split("-")[0]) for span in spans] == [10_485_760], hub.requests


def test_no_hub_no_cache(hub, tmp_path):
    hub.server.shutdown()
    hub.server.server_close()
    done = fetch(hub, tmp_path / "cache", CONTROLNET)
    assert f"{CONTROLNET}@main is not in " in done.stderr
    assert "give a folder instead" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_repository_that_does_not_exist(hub, tmp_path):
    done = fetch(hub, tmp_path / "cache", "someone/else")
    assert "there is no file or folder someone/else here, and someone/else@main" in done.stderr
    assert "HF_TOKEN" in done.stderr


def test_no_room_is_told_before_anything_is_fetched(hub, tmp_path):
    done = fetch(hub, tmp_path / "cache", CONTROLNET, MAQUETTE_TEST_FREE="1000")
    assert "someone/canny needs 0.0 GB in " in done.stderr
    assert "choose another folder with HF_HOME" in done.stderr
    assert not [line for line in hub.requests if line.startswith("GET someone")]


@pytest.mark.parametrize("reference", ["/nowhere/pack", "./nowhere", "nowhere", "a b/c"])
def test_what_is_neither_a_path_nor_an_id(reference):
    with pytest.raises(PackError, match=r"neither here nor the id"):
        locate(reference, lambda names: names)


@pytest.mark.parametrize(
    "reference",
    [catalog.BASE, catalog.CONTROLNET, catalog.IP_ADAPTER, catalog.IMAGE_ENCODER, catalog.CLIP,
     catalog.LCM_LORA, "lllyasviel/sd-controlnet-canny"],
)  # fmt: skip
def test_what_maquette_takes_by_itself_is_pinned(reference):
    known = PUBLISHED[HUB_ID.fullmatch(reference)["repository"]]
    assert len(known.revision) == 40
    assert int(known.revision, 16)
    assert known.licence
