"""The part of MLflow's REST API that hands out versions, answering as MLflow 3.17 did."""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

API = "/api/2.0/mlflow"
ARTIFACTS = "/api/2.0/mlflow-artifacts/artifacts"


class Registry:
    """One registered model, ``roofs``, whose only version lies at `place`.

    Args:
        artifacts: the folder that the server itself hands out files from.
        place: the version's files, as the server names them.
        token: who asks without it is refused; None asks for none.
    """

    def __init__(self, artifacts, place="mlflow-artifacts:/1/run/artifacts/unet", token=None):
        self.artifacts = artifacts
        self.place = place
        self.token = token
        self.extra = []
        """Told among the files of every folder, whether there or not."""

    def answer(self, path, asked):
        if path == f"{API}/registered-models/alias" and asked == {"name": "roofs", "alias": "new"}:
            return {"model_version": {"name": "roofs", "version": "3", "run_id": "run"}}
        if path == f"{API}/model-versions/get-download-uri" and asked["version"] == "3":
            return {"artifact_uri": self.place}
        if path == f"{API}/runs/get" and asked == {"run_id": "run"}:
            return {"run": {"info": {"artifact_uri": self.place.rpartition("/")[0]}}}
        if path == ARTIFACTS:
            return {"files": [*map(self.told, self.listed(asked["path"])), *self.extra]}
        return None

    def listed(self, name):
        return sorted((self.artifacts / name).iterdir())

    @staticmethod
    def told(path):
        size = {} if path.is_dir() else {"file_size": path.stat().st_size}
        return {"path": path.name, "is_dir": path.is_dir(), **size}


@contextmanager
def serving(registry):
    """Its address, for the block."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            url = urlsplit(self.path)
            asked = {name: values[0] for name, values in parse_qs(url.query).items()}
            wanted = f"Bearer {registry.token}"
            if registry.token and self.headers.get("Authorization") != wanted:
                self.send(401, b"You are not authenticated.")
            elif url.path.startswith(f"{ARTIFACTS}/"):
                name = unquote(url.path.removeprefix(f"{ARTIFACTS}/"))
                self.send(200, (registry.artifacts / name).read_bytes())
            elif found := registry.answer(url.path, asked):
                self.send(200, json.dumps(found).encode())
            else:
                told = {"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "not found"}
                self.send(404, json.dumps(told).encode())

        def send(self, status, body):
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_words):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()
