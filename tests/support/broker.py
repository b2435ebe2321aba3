"""A real NATS server with JetStream, for tests."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType

from support.mlflow_server import free_port

PROGRAM = Path(sys.executable).parent / "nats-server"
_START_SECONDS = 30.0


class Broker:
    """A ``nats-server`` process that keeps its streams in a folder. A context manager.

    Args:
        folder: Where they go.
        *options: More command-line options.
        jetstream: Whether it keeps streams at all.
    """

    def __init__(self, folder: Path, *options: str, jetstream: bool = True) -> None:
        self._folder = folder
        self._options = ("-js", "-sd", str(folder), *options) if jetstream else options
        self._process: subprocess.Popen[bytes] | None = None
        self.port = free_port()

    @property
    def url(self) -> str:
        """Its address."""
        return f"nats://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it and wait until it answers; also after `kill`, with the streams it had."""
        self._folder.mkdir(parents=True, exist_ok=True)
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [PROGRAM, "-a", "127.0.0.1", "-p", str(self.port), *self._options],
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        deadline = time.monotonic() + _START_SECONDS
        while True:
            try:
                with socket.create_connection(("127.0.0.1", self.port), 1) as link:
                    assert link.recv(4) == b"INFO"
                    return
            except OSError:
                assert self._process.poll() is None, (self._folder / "log").read_text()
                assert time.monotonic() < deadline
                time.sleep(0.05)

    def kill(self) -> None:
        """End it at once: ``kill -9``."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def __enter__(self) -> Broker:  # Self is of Python 3.11
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.kill()
