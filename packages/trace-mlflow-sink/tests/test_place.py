"""What people are told of where spans go: place, page of a trace, whether it can be reached."""

from __future__ import annotations

import secrets
from importlib.metadata import version
from pathlib import Path

import pytest

from support.mlflow_server import MlflowServer, database, free_port
from support.mlflow_spans import agent_span, chat_span
from trace_core import SinkError, durable
from trace_mlflow_sink import MlflowSink


def test_a_server(server: MlflowServer, tmp_path: Path) -> None:
    """Its address, the experiment, and the page of each trace once it is delivered."""
    name = f"place {secrets.token_hex(4)}"
    sink = MlflowSink(server.url.replace("//", "//ada:secret@"), name)
    assert sink.place == f"MLflow at {server.url}, experiment {name}"
    assert sink.viewing == server.url
    running = f"MLflow {version('mlflow')} answers"
    assert sink.check() == f"{running}; the experiment will be made by the first span"
    whole = durable(sink, spool_dir=tmp_path)
    first, agent = chat_span(), agent_span()
    assert whole.trace_url(first.trace_id) is None
    whole.write([first, chat_span(parent=agent), agent])
    assert whole.flush(60)
    url = whole.trace_url(first.trace_id)
    assert url is not None
    page, _, trace = url.partition("?selectedEvaluationId=tr-")
    assert page.startswith(f"{server.url}/#/experiments/")
    assert page.endswith("/traces")
    assert trace == first.trace_id
    assert str(whole.trace_url()).endswith(agent.trace_id)
    assert str(sink.check()).endswith("the experiment is there")
    whole.close()


def test_a_server_that_is_away() -> None:
    """Checking says so."""
    with pytest.raises(SinkError, match="cannot reach"):
        MlflowSink(f"http://127.0.0.1:{free_port()}").check()


def test_a_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its file, and the command that shows it; no page without a server."""
    monkeypatch.chdir(tmp_path)
    sink = MlflowSink()
    assert sink.place == "MLflow at mlflow.db, experiment Default"
    assert sink.viewing == f"mlflow server --backend-store-uri sqlite:///{tmp_path}/mlflow.db"
    assert sink.check() == "the database will be made by the first span"
    assert not (tmp_path / "mlflow.db").exists()
    database(tmp_path)
    assert sink.check() == "the experiment is there"
    sink.write([chat_span()])
    assert sink.trace_url() is None
    monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", "0")  # as mlflow.set_experiment() does
    assert sink.place == "MLflow at mlflow.db, experiment Default"
    monkeypatch.delenv("MLFLOW_EXPERIMENT_ID")
    (tmp_path / "mlflow.db").write_bytes(b"something else" * 1000)
    with pytest.raises(SinkError, match="not a database"):
        sink.check()
    monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", "77")
    assert sink.place == "MLflow at mlflow.db, experiment with id 77"
    sink.close()
