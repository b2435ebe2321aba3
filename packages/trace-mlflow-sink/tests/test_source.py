"""Traces say what program made them, as MLflow's own do."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from support.mlflow_spans import agent_span, chat_span
from trace_core import Background, Tracer
from trace_mlflow_sink import MlflowSink
from trace_mlflow_sink._bridge import source as _source
from trace_mlflow_sink._mapping import names

NOTED = ("mlflow.source.", "mlflow.user", "mlflow.trace_schema.version", "mlflow.trace.infoFinal")


def metadata(info: Any) -> dict[str, str]:
    """What a trace's metadata say of the program and of its form."""
    return {k: v for k, v in info.trace_metadata.items() if k.startswith(NOTED)}


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A git repository with one commit, and the program in it."""
    if shutil.which("git") is None:
        pytest.skip("no git here")
    made = tmp_path / "repository"
    made.mkdir()
    monkeypatch.chdir(made)
    for command in (
        "init -q -b topic",
        "remote add origin https://someone:hunter2hunter2@example.org/x.git",
        "-c user.name=x -c user.email=x@example.org commit -q --allow-empty -m x",
    ):
        subprocess.run(["git", *command.split(" ")], check=True)
    return made


def head(repository: Path) -> str:
    """The commit a repository stands at."""
    command = ("git", "rev-parse", "HEAD")
    return subprocess.run(command, cwd=repository, capture_output=True, check=True).stdout.decode()


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch) -> _source.Source:
    """Somebody who has not looked yet."""
    made = _source.Source()
    for module in ("trace_mlflow_sink._sink", "trace_mlflow_sink._bridge.bridge"):
        monkeypatch.setattr(sys.modules[module], "source", made)
    return made


PROGRAM = """
import sys
import mlflow
from trace_core import Background, Tracer
from trace_mlflow_sink import MlflowSink

mlflow.set_tracking_uri(sys.argv[1])
mlflow.set_experiment("both")
with mlflow.start_span("theirs") as span:
    span.set_inputs({"q": 1})
mlflow.flush_trace_async_logging()
tracer = Tracer(Background(MlflowSink()))
with tracer.span("ours", inputs={"q": 1}):
    pass
assert tracer.flush(60)
with tracer.span("later", inputs={"q": 1}):
    pass
assert tracer.flush(60)
"""


def run_program(uri: str, repository: Path) -> dict[str, Any]:
    """The information about the traces of a program that uses MLflow's tracing and ours."""
    path = repository / "program.py"
    path.write_text(PROGRAM)
    subprocess.run([sys.executable, str(path), uri], check=True, cwd=repository)
    from mlflow import MlflowClient

    client = MlflowClient(uri)
    found = client.get_experiment_by_name("both")
    assert found is not None
    traces = client.search_traces(locations=[found.experiment_id])
    return {trace.info.tags["mlflow.traceName"]: trace.info for trace in traces}


@pytest.mark.slow
@pytest.mark.parametrize("store", ["database", "server"])
def test_ours_say_what_mlflows_say(
    store: str, repository: Path, database_uri: str, request: pytest.FixtureRequest
) -> None:
    """In a database and on a server, the first trace of a program and later ones."""
    uri = database_uri if store == "database" else request.getfixturevalue("server").url
    infos = run_program(uri, repository)
    theirs = metadata(infos["theirs"])
    assert "mlflow.user" in theirs
    assert theirs["mlflow.source.type"] == "LOCAL"
    for name in ("ours", "later"):
        ours = metadata(infos[name])
        git = {k: v for k, v in ours.items() if ".git." in k}
        assert {k: v for k, v in ours.items() if k not in git} == {
            k: v for k, v in theirs.items() if ".git." not in k
        }
        assert git.get("mlflow.source.git.commit") == theirs.get("mlflow.source.git.commit")
        assert infos[name].trace_metadata["mlflow.traceInputs"] == '{"q":1}'
        assert json.loads(infos[name].trace_metadata["mlflow.trace.sizeStats"])["num_spans"] == 1


def test_without_mlflow_git_is_asked(repository: Path, fresh: _source.Source) -> None:
    """A program that has not imported MLflow says the same, without the password in the URL."""
    assert _source._of_program() == {
        "mlflow.source.name": sys.argv[0],
        "mlflow.source.type": "LOCAL",
        "mlflow.user": _source._user(),
        "mlflow.source.git.commit": head(repository).strip(),
        "mlflow.source.git.branch": "topic",
        "mlflow.source.git.repoURL": "https://example.org/x.git",
    }


def test_no_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Outside of a repository, and where git is missing, the rest is said."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))  # it may lie in ours
    assert not [name for name in _source._of_program() if ".git." in name]
    monkeypatch.setenv("PATH", "")
    assert _source._of_program()["mlflow.source.type"] == "LOCAL"


def test_the_caller_does_not_wait(
    fresh: _source.Source, monkeypatch: pytest.MonkeyPatch, database_uri: str
) -> None:
    """Git is asked while the first calls go on; their traces wait for the answer, nobody else."""
    asked, answer = threading.Event(), threading.Event()

    def slow() -> dict[str, str]:
        asked.set()
        assert answer.wait(30)
        return {"mlflow.source.name": "found.py"}

    monkeypatch.setattr(_source, "_of_mlflow", slow)
    tracer = Tracer(Background(MlflowSink(database_uri)))
    with tracer.span("first"):
        pass
    assert asked.wait(30)
    with tracer.span("second"):
        pass
    answer.set()
    assert tracer.flush(60)
    with tracer.span("third"):
        pass
    tracer.close(60)
    from mlflow import MlflowClient

    traces = MlflowClient(database_uri).search_traces(locations=["0"])
    assert [metadata(trace.info)["mlflow.source.name"] for trace in traces] == ["found.py"] * 3


def test_spans_of_other_programs_say_nothing_of_this_one(fresh: _source.Source) -> None:
    """What another process left behind is not this one's."""
    fresh.known = {"mlflow.source.name": "this.py"}
    assert fresh.of(chat_span(resource={"process.pid": os.getpid()})) == fresh.known
    assert fresh.of(chat_span(resource={"process.pid": 1})) == {}
    assert fresh.of(chat_span()) == {}


def test_it_can_be_switched_off(monkeypatch: pytest.MonkeyPatch, fresh: _source.Source) -> None:
    """Then no trace says it, and nobody looks."""
    monkeypatch.setenv("TRACE_MLFLOW_SOURCE", "no")
    sink = MlflowSink("sqlite:///nowhere.db")
    assert names.SOURCE not in sink.bridges[0].attributes()
    assert fresh._thread is None


def test_many_traces_at_once_are_not_described(server: Any) -> None:
    """A server takes longer for a description than for the spans, so a crowd gets none."""
    experiment = "a crowd"
    said = {names.SOURCE: {"mlflow.source.name": "p.py"}}
    sink = MlflowSink(server.url, experiment)
    sink.write([chat_span(attributes=said) for _ in range(11)])
    root = agent_span(attributes=said)
    child = chat_span(parent=root)
    sink.write([child])
    sink.write([root])
    sink.close()
    from mlflow import MlflowClient

    client = MlflowClient(server.url)
    found = client.get_experiment_by_name(experiment)
    assert found is not None
    traces = client.search_traces(locations=[found.experiment_id])
    assert len(traces) == 12
    described = [trace for trace in traces if "mlflow.source.name" in trace.info.trace_metadata]
    (one,) = described
    assert one.info.trace_id == f"tr-{root.trace_id}"
    stats = json.loads(one.info.trace_metadata["mlflow.trace.sizeStats"])
    assert stats["num_spans"] == 2
    assert stats["total_size_bytes"] == int(one.info.trace_metadata["mlflow.trace.sizeBytes"])
    assert stats["p25"] <= stats["p50"] <= stats["p75"] <= stats["max"]
    assert client.get_trace(one.info.trace_id).info.token_usage["total_tokens"] == 30
