"""What goes to Databricks goes by MLflow's own client.

There is no Databricks here: these tests run the same code against a real MLflow server, with
MLflow's real client. Not covered is what differs there: logging in, and Databricks' own answers.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from support.mlflow_server import MlflowServer
from support.mlflow_spans import agent_span, chat_span
from trace_core import SinkError
from trace_mlflow_sink import MlflowSink
from trace_mlflow_sink import _destination as destination
from trace_mlflow_sink._databricks import DatabricksWriter


def where_to(server: MlflowServer) -> destination.Destination:
    return destination.Destination(uri=server.url, experiment="managed")


def read(server: MlflowServer, trace_id: str) -> Any:
    from mlflow import MlflowClient

    return MlflowClient(server.url).get_trace(f"tr-{trace_id}")


def test_parts_in_any_order_and_twice_make_one_right_trace(
    server: MlflowServer, monkeypatch: pytest.MonkeyPatch
):
    """Children first, then the root, then all again by another writer."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.url)  # MLflow's reader of artifacts wants it
    root = agent_span()
    calls = [chat_span(parent=root) for _ in range(3)]
    where = where_to(server)
    writer = DatabricksWriter(server.url)
    writer.write(where, calls[:2])
    assert read(server, root.trace_id).info.state == "IN_PROGRESS"
    for one, batch in ((writer, [root, calls[2]]), (DatabricksWriter(server.url), [*calls, root])):
        one.write(where, batch)
    trace = read(server, root.trace_id)
    assert trace.info.state == "OK"
    assert len(trace.data.spans) == 4
    assert trace.info.token_usage["total_tokens"] == 90
    assert json.loads(trace.info.trace_metadata["mlflow.trace.sizeStats"])["num_spans"] == 4
    assert writer.experiment_id("managed") == trace.info.experiment_id


def test_what_cannot_be_reached_is_tried_again(monkeypatch: pytest.MonkeyPatch):
    """The error names where to; what MLflow's client says comes with it."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    where = destination.Destination(uri="http://127.0.0.1:1", experiment="managed")
    with pytest.raises(SinkError, match=r"http://127\.0\.0\.1:1"):
        DatabricksWriter("http://127.0.0.1:1").write(where, [chat_span()])


@pytest.mark.parametrize("uri", ["databricks", "databricks://profile"])
def test_databricks_is_written_by_mlflows_client(uri: str):
    """Chosen by the URI; nothing is asked until the first write."""
    where = destination.Destination(uri, experiment="/Shared/x")
    assert isinstance(MlflowSink(uri, "/Shared/x")._writer(where), DatabricksWriter)
