"""A real S3 server for the tests: SeaweedFS, on free ports, in a folder of its own."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sysconfig
import time
from contextlib import contextmanager
from dataclasses import dataclass

import httpx
import obstore

from serving import processes
from serving.ports import free_port
from versions.objects import CLIENT

PORTS = ("master", "volume", "filer", "s3")
ACCESS = {"AWS_ACCESS_KEY_ID": "tester", "AWS_SECRET_ACCESS_KEY": "kept-to-itself"}
SECONDS = 60
BUCKET = "bucket"


@dataclass
class Server:
    """A running server that has the bucket ``bucket``."""

    process: subprocess.Popen
    environment: dict
    """What leads to it."""

    def stop(self):
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


@contextmanager
def running(folder):
    """A server with its files in `folder`, for the block."""
    (folder / "data").mkdir(parents=True)
    who = {"accessKey": ACCESS["AWS_ACCESS_KEY_ID"], "secretKey": ACCESS["AWS_SECRET_ACCESS_KEY"]}
    identity = {"name": "tests", "credentials": [who], "actions": ["Admin", "Read", "Write"]}
    config = folder / "s3.json"
    config.write_text(json.dumps({"identities": [identity]}))
    weed = shutil.which("weed", path=sysconfig.get_path("scripts"))
    ports = {f"{name}{kind}": free_port() for name in PORTS for kind in (".port", ".port.grpc")}
    address = f"http://127.0.0.1:{ports['s3.port']}"
    command = [
        *(weed, "server", "-s3", "-ip=127.0.0.1", "-ip.bind=127.0.0.1"),
        *(f"-dir={folder / 'data'}", f"-s3.config={config}", "-s3.iam=false"),
        # A volume is laid out when it is first written to.
        *("-master.volumeSizeLimitMB=64", "-volume.max=20"),
        # Else they listen on ports that are always the same.
        *("-s3.port.iceberg=0", "-s3.port.lance=0"),
        *(f"-{name}={port}" for name, port in ports.items()),
    ]
    process = processes.start(command, folder / "log", os.environ)
    try:
        environment = {**ACCESS, "AWS_ENDPOINT_URL": address, "AWS_REGION": "us-east-1"}
        _wait(process, address, environment)
        yield Server(process, environment)
    finally:
        Server(process, {}).stop()


def _wait(process, address, environment):
    """Until a bucket can be made, which also lays out the first volume."""
    deadline = time.monotonic() + SECONDS
    store = obstore.store.S3Store(
        BUCKET,
        endpoint=address,
        access_key_id=environment["AWS_ACCESS_KEY_ID"],
        secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
        client_options=CLIENT,
    )
    while True:
        assert process.poll() is None, "the server ended; its log tells why"
        try:
            httpx.get(f"{address}/healthz", timeout=1).raise_for_status()
            obstore.put(store, "first", b"")
        except (httpx.HTTPError, obstore.exceptions.BaseError):
            assert time.monotonic() < deadline, "the server does not answer"
            time.sleep(0.05)
        else:
            return
