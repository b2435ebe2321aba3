"""Servers of other MLflow versions and stores: the same trace arrives whole, whatever they speak.

``TRACE_MLFLOW_PYTHONS`` names interpreters, each of an environment with one MLflow version in it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import attrs
import pytest

from support.mlflow_server import MlflowServer
from support.mlflow_spans import agent_span, chat_span
from trace_core import semconv
from trace_mlflow_sink import MlflowSink

PYTHONS = [name for name in os.environ.get("TRACE_MLFLOW_PYTHONS", "").split(os.pathsep) if name]
READ = """
import json, sys, mlflow
mlflow.set_tracking_uri(sys.argv[1])
trace = mlflow.get_trace(sys.argv[2])
print(json.dumps({
    "state": str(getattr(trace.info.state, "value", trace.info.state)),
    "metadata": dict(trace.info.trace_metadata),
    "tags": dict(trace.info.tags),
    "spans": [[s.name, s.span_type, s.inputs, s.outputs, s.attributes] for s in trace.data.spans],
}))
"""


def _read(python: str, url: str, trace_id: str) -> Any:
    """Read a trace with the MLflow client of the server's own version."""
    done = subprocess.run(
        [python, "-c", READ, url, f"tr-{trace_id}"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.skipif(not PYTHONS, reason="TRACE_MLFLOW_PYTHONS names no interpreters")
@pytest.mark.parametrize("python", PYTHONS)
def test_parts_in_any_order_and_twice_make_one_right_trace(python: str, tmp_path: Path):
    """Children first, the root later, everything again, also by another process's sink."""
    with MlflowServer(tmp_path, python=python) as server:
        _check(python, server)


def test_a_server_on_a_file_store_gets_the_same(tmp_path: Path):
    """It takes no spans by themselves (501), so they go where it keeps them: to the artifacts."""
    backend, allowed = str(tmp_path / "mlruns"), {"MLFLOW_ALLOW_FILE_STORE": "true"}
    with MlflowServer(tmp_path, backend=backend, environment=allowed) as server:
        _check(sys.executable, server)


def _check(python: str, server: MlflowServer) -> None:
    """Write a trace in parts and more than once, and read it with a client of its version."""
    root = agent_span(attributes={semconv.TAGS: {"team": "x"}})
    said = {semconv.SESSION_ID: "s1", semconv.USER_ID: "u1"}
    calls = [chat_span(parent=root, attributes=said) for _ in range(3)]
    alone = attrs.evolve(chat_span(), name="alone")
    sink = MlflowSink(server.url, "LiteLLM")
    sink.write(calls[:2])
    running = _read(python, server.url, root.trace_id)
    for batch in (calls[:2], [root, alone], [root], calls):
        sink.write(batch)
    another = MlflowSink(server.url, "LiteLLM")
    another.write(calls)
    another.write([alone, root, *calls])
    found = _read(python, server.url, root.trace_id)
    single = _read(python, server.url, alone.trace_id)
    assert running["state"] == "IN_PROGRESS"
    assert len(running["spans"]) == 2
    assert found["state"] == "OK"
    assert len(found["spans"]) == 4
    usage = json.loads(found["metadata"]["mlflow.trace.tokenUsage"])
    assert (usage["input_tokens"], usage["total_tokens"]) == (60, 90)
    assert found["metadata"]["mlflow.trace.session"] == "s1"
    assert found["metadata"]["mlflow.trace.user"] == "u1"
    assert found["tags"]["team"] == "x"
    assert found["tags"]["mlflow.traceName"] == "agent"
    assert json.loads(single["metadata"]["mlflow.trace.tokenUsage"])["total_tokens"] == 30
    name, kind, inputs, outputs, attributes = single["spans"][0]
    assert (name, kind) == ("alone", "CHAT_MODEL")
    assert inputs["messages"][0]["content"] == "What is the capital of France?"
    assert outputs["choices"][0]["message"]["content"] == "Paris."
    assert attributes["mlflow.llm.cost"]["total_cost"] == pytest.approx(3e-06)
