"""A real Redis for a test, on a socket of its own."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from pathlib import Path

SERVER = Path(sys.executable).with_name("redis-server")


class RedisServer:
    """Runs from the constructor on until `stop`; nothing is kept on disk."""

    def __init__(self, folder: Path) -> None:
        self._socket = folder / "redis.sock"
        self.url = f"unix://{self._socket}"
        command = [SERVER, "--port", "0", "--unixsocket", self._socket, "--dir", folder]
        command += ["--save", "", "--appendonly", "no"]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + 20
        while not self._listens():
            assert self.process.poll() is None, "redis-server did not start"
            assert time.monotonic() < deadline, "redis-server does not listen"
            time.sleep(0.01)

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()
        self._socket.unlink(missing_ok=True)

    def _listens(self) -> bool:
        # The file is there some time before anything listens to it.
        with socket.socket(socket.AF_UNIX) as client:
            return client.connect_ex(str(self._socket)) == 0
