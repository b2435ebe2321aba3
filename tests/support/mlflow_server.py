"""A real ``mlflow server`` on loopback, for tests."""

from __future__ import annotations

import atexit
import functools
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

from support.program import plain_environment

_START_SECONDS = 120.0
_STOP_SECONDS = 10.0
_QUICK_START = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}  # 11 CPU-seconds, not 95


class MlflowServer:
    """An ``mlflow server`` process with a database of its own. A context manager.

    Args:
        folder: Where its database, artifacts and log go.
        python: The interpreter whose MLflow is run; this one by default.
        backend: The database; a new SQLite file in ``folder`` by default.
        port: Where it listens; a free port by default.
        options: More command-line options.
        environment: More environment variables, such as an artifact store's credentials.
    """

    def __init__(
        self,
        folder: Path,
        *,
        python: str = sys.executable,
        backend: str | None = None,
        port: int | None = None,
        options: tuple[str, ...] = (),
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._folder = folder
        self._python = python
        self._backend = backend or f"sqlite:///{folder / 'server.db'}"
        self._port = port or free_port()
        self._options = options
        self._environment = {**plain_environment(), **_QUICK_START, **(environment or {})}
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self._port}"

    @property
    def log(self) -> str:
        """What it printed so far."""
        return self._log_path.read_text(errors="replace")

    @property
    def _log_path(self) -> Path:
        return self._folder / "server.log"

    def start(self) -> MlflowServer:
        """Start it and wait until it answers; also after `stop`, with the data it had."""
        command = [
            *(self._python, "-m", "mlflow", "server"),
            *("--host", "127.0.0.1", "--port", str(self._port), "--workers", "1"),
            *("--backend-store-uri", self._backend),
            *("--artifacts-destination", str(self._folder / "artifacts")),
            *self._options,
        ]
        with self._log_path.open("ab") as log:
            self._process = subprocess.Popen(
                command,
                cwd=self._folder,
                env=self._environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._wait()
        return self

    def _wait(self) -> None:
        assert self._process is not None
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                raise RuntimeError(f"mlflow server ended at once:\n{self.log[-3000:]}")
            try:
                with urllib.request.urlopen(f"{self.url}/health", timeout=5):
                    return
            except (urllib.error.URLError, OSError):
                time.sleep(0.2)
        self.stop()
        raise RuntimeError(f"mlflow server did not answer:\n{self.log[-3000:]}")

    def stop(self, *, kill: bool = False) -> None:
        """Stop it and everything it started; its data stays.

        Args:
            kill: Without giving it time to tidy up.
        """
        process, self._process = self._process, None
        if process is None:
            return
        _signal_group(process, 9 if kill else 15)
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            _signal_group(process, 9)
            process.wait(_STOP_SECONDS)

    def __enter__(self) -> MlflowServer:  # Self is of Python 3.11
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop(kill=True)


def _signal_group(process: subprocess.Popen[bytes], number: int) -> None:
    try:
        os.killpg(process.pid, number)
    except ProcessLookupError:
        process.poll()


@functools.lru_cache(maxsize=1)
def shared_server() -> MlflowServer:
    """Return one running server for all tests of this process; starting one takes ten seconds.

    Tests keep apart by using experiments of their own.
    """
    folder = Path(tempfile.mkdtemp(prefix="mlflow-server-"))
    server = MlflowServer(folder).start()
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    atexit.register(server.stop, kill=True)
    return server


@functools.lru_cache(maxsize=1)
def _empty_database() -> Path:
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    folder = Path(tempfile.mkdtemp(prefix="mlflow-database-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    SqlAlchemyStore(f"sqlite:///{folder / 'empty.db'}", str(folder)).engine.dispose()
    return folder / "empty.db"


def database(folder: Path) -> str:
    """Return the URI of a new, empty MLflow database.

    It is copied from one made once, because MLflow takes five seconds to make one.

    Args:
        folder: Where it goes.
    """
    shutil.copy(_empty_database(), folder / "mlflow.db")
    return f"sqlite:///{folder / 'mlflow.db'}"


def free_port() -> int:
    """Return a TCP port nobody listens on right now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port
