"""Programs, a broker, a forwarder, MLflow: each but the first killed in turn, nothing lost."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytest.importorskip("nats", reason="nox -s scale installs it")

from scale import worker as program
from support.broker import PROGRAM, Broker
from support.mlflow_server import MlflowServer

pytestmark = pytest.mark.skipif(not PROGRAM.exists(), reason="nox -s scale installs it")
WORKERS, TRACES = 4, int(os.environ.get("TRACE_FORWARD_TRACES", "40"))
TOTAL = WORKERS * TRACES * program.SPANS
PATIENCE = 180.0


def _worker(broker: Broker, folder: Path, number: int) -> subprocess.Popen[bytes]:
    options = [f"nats:{broker.url}", str(folder / str(number)), str(number), str(TRACES)]
    return subprocess.Popen([sys.executable, program.__file__, *options])


def _forwarder(broker: Broker, server: MlflowServer) -> subprocess.Popen[bytes]:
    code = "import sys; from trace_nats._command import main; sys.exit(main(sys.argv[1:]))"
    to = f"mlflow:{server.url}?experiment=forwarded"
    options = ["forward", f"nats:{broker.url}", "--to", to, "--patience", "3", "--batch", "50"]
    return subprocess.Popen([sys.executable, "-c", code, *options])


def _ask(folder: Path, query: str) -> list[tuple[object, ...]]:
    with sqlite3.connect(f"file:{folder / 'server.db'}?mode=ro", uri=True, timeout=30) as database:
        return database.execute(query).fetchall()


def _count(folder: Path) -> int:
    (row,) = _ask(folder, "select count(*) from spans")
    return int(str(row[0]))


def _wait_for(folder: Path, wanted: int) -> None:
    deadline = time.monotonic() + PATIENCE
    while _count(folder) < wanted:
        assert time.monotonic() < deadline, f"{_count(folder)} of {wanted} spans arrived"
        time.sleep(0.05)


def test_broker_forwarder_and_server_are_killed_in_turn(tmp_path: Path) -> None:
    """By ``kill -9``, each with spans on their way through it; all arrive, none twice."""
    with Broker(tmp_path / "broker") as broker, MlflowServer(tmp_path) as server:
        forwarder = _forwarder(broker, server)
        workers = [_worker(broker, tmp_path / "spools", number) for number in range(WORKERS)]
        try:
            _wait_for(tmp_path, TOTAL // 30)
            broker.kill()
            broker.start()
            _wait_for(tmp_path, 3 * TOTAL // 10)
            forwarder.kill()
            forwarder.wait()
            forwarder = _forwarder(broker, server)
            _wait_for(tmp_path, TOTAL // 2)
            server.stop(kill=True)
            at_kill = _count(tmp_path)
            assert at_kill < TOTAL, "it was all over before the last kill"
            server.start()
            assert [process.wait(PATIENCE) for process in workers] == [0] * WORKERS
            _wait_for(tmp_path, TOTAL)
            forwarder.terminate()
            assert forwarder.wait(PATIENCE) == 0
        finally:
            for process in (*workers, forwarder):
                process.kill()
                process.wait()
        stored = [str(row[0]) for row in _ask(tmp_path, "select span_id from spans")]
        assert len(stored) == len(set(stored)) == TOTAL
        assert set(stored) == program.expected_spans(WORKERS, TRACES)
        used = _ask(tmp_path, "select request_id, total_tokens from trace_info")
        assert dict(used) == program.expected_tokens(WORKERS, TRACES)
