"""MLflow and OpenTelemetry in one program: two bridges, and each store has whole traces."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from trace_core import Background, MemorySink, OpenTelemetryBridge, SpanKind, Tracer, tee
from trace_mlflow_sink import MlflowSink

sdk = pytest.importorskip("opentelemetry.sdk.trace")


@pytest.fixture
def mlflow(database_uri: str, hasty_mlflow: Any) -> Iterator[Any]:
    """MLflow as a user has set it up, with a provider of its own, which is its default."""
    mlflow = hasty_mlflow
    mlflow.set_tracking_uri(database_uri)
    mlflow.set_experiment("mine")
    yield mlflow
    mlflow.tracking.fluent._active_experiment_id = None
    mlflow.set_tracking_uri(None)
    for name in ("MLFLOW_EXPERIMENT_ID", "MLFLOW_TRACKING_URI"):
        os.environ.pop(name, None)


@pytest.fixture
def theirs() -> Any:
    """A tracer of the program's own OpenTelemetry."""
    return sdk.TracerProvider().get_tracer("their program")


@pytest.fixture
def memory() -> MemorySink:
    """What another sink beside MLflow's gets."""
    return MemorySink()


def made(memory: MemorySink) -> Tracer:
    """Return a tracer with both bridges, as ``autolog`` makes it."""
    sink = Background(tee(MlflowSink(), memory))
    return Tracer(sink, bridges=[*sink.bridges, OpenTelemetryBridge()])


@pytest.fixture
def tracer(mlflow: Any, memory: MemorySink) -> Iterator[Tracer]:
    """A tracer with both bridges."""
    tracer = made(memory)
    yield tracer
    tracer.close(30)


@pytest.fixture
def traces(mlflow: Any, tracer: Tracer) -> Callable[[], list[Any]]:
    """Deliver everything and read it back, oldest first."""

    def read() -> list[Any]:
        mlflow.flush_trace_async_logging()
        assert tracer.flush(60)
        return list(mlflow.search_traces(return_type="list", order_by=["timestamp_ms ASC"]))

    return read


def call(tracer: Tracer, name: str = "chat") -> None:
    """Make a span of a call."""
    with tracer.span(name, kind=SpanKind.LLM, inputs={"q": name}) as span:
        span.set(outputs="a")


def shape(trace: Any) -> set[tuple[str, str | None]]:
    """Return the names of a trace's spans, each with its parent's; ``?`` if that is not there."""
    names = {span.span_id: span.name for span in trace.data.spans}
    return {
        (span.name, names.get(span.parent_id, "?") if span.parent_id else None)
        for span in trace.data.spans
    }


def test_each_call_below_their_span_is_a_whole_trace_in_mlflow(tracer, traces, memory, theirs):
    """It has a root there, a preview, a state; in other sinks all are one trace, below theirs."""
    with theirs.start_as_current_span("request") as request:
        call(tracer, "first")
        with tracer.span("run", inputs="go"), theirs.start_as_current_span("step"):
            call(tracer, "second")
    first, second = traces()
    assert shape(first) == {("first", None)}
    assert shape(second) == {("run", None), ("second", "run")}
    for trace in (first, second):
        assert trace.info.state == "OK"
        assert trace.info.request_preview
        root = next(span for span in trace.data.spans if span.parent_id is None)
        theirs_id = f"{request.get_span_context().trace_id:032x}"
        assert root.attributes["otel.trace_id"] == theirs_id
    found = {span.name: span for span in memory.spans}
    assert {span.trace_id for span in memory.spans} == {theirs_id}
    assert found["first"].parent_id == f"{request.get_span_context().span_id:016x}"
    assert found["second"].parent_id not in {found["run"].span_id, found["first"].parent_id}


def test_mlflows_spans_inside_ours_lie_in_the_same_trace_there(mlflow, tracer, traces, theirs):
    """And ours inside those as well."""
    with theirs.start_as_current_span("request"), tracer.span("run"), mlflow.start_span("tool"):
        call(tracer)
    (trace,) = traces()
    assert shape(trace) == {("run", None), ("tool", "run"), ("chat", "tool")}


def test_mlflows_span_goes_before_theirs(mlflow, tracer, traces, theirs):
    """A call in a function that MLflow traces lies there; their trace goes on without it."""
    with theirs.start_as_current_span("request") as request, mlflow.start_span("agent"):
        with tracer.span("run"), theirs.start_as_current_span("step") as step:
            assert step.parent == request.get_span_context()
            call(tracer)
        call(tracer, "last")
    (trace,) = traces()
    assert shape(trace) == {("agent", None), ("run", "agent"), ("chat", "run"), ("last", "agent")}


def test_their_parents_can_be_kept(mlflow, memory, theirs, monkeypatch):
    """``TRACE_MLFLOW_JOIN_OTEL``, for a program whose OpenTelemetry spans are in MLflow too."""
    monkeypatch.setenv("TRACE_MLFLOW_JOIN_OTEL", "yes")
    tracer = made(memory)
    with theirs.start_as_current_span("request") as request:
        call(tracer)
    tracer.close(60)
    trace = mlflow.get_trace(f"tr-{request.get_span_context().trace_id:032x}")
    assert shape(trace) == {("chat", "?")}


SHARED = """
import json, sys
import mlflow
from opentelemetry import trace
from trace_core import Background, OpenTelemetryBridge, Tracer
from trace_mlflow_sink import MlflowSink

mlflow.set_tracking_uri(sys.argv[1])
mlflow.set_experiment("mine")
mlflow.tracing.enable()
sink = Background(MlflowSink())
tracer = Tracer(sink, bridges=[*sink.bridges, OpenTelemetryBridge()])
theirs = trace.get_tracer("their program")
with theirs.start_as_current_span("request"):
    with tracer.span("run"), theirs.start_as_current_span("step"):
        tracer.start("chat").end()
    with mlflow.start_span("agent"), tracer.span("in agent"):
        pass
with tracer.span("alone"), theirs.start_as_current_span("in alone"):
    pass
mlflow.flush_trace_async_logging()
tracer.close(60)
found = mlflow.search_traces(return_type="list", order_by=["timestamp_ms ASC"])
for one in found:
    names = {span.span_id: span.name for span in one.data.spans}
    print(json.dumps(sorted(
        [span.name, names.get(span.parent_id, "?") if span.parent_id else None]
        for span in one.data.spans
    )))
"""


@pytest.mark.slow
def test_where_mlflow_shares_their_provider(database_uri):
    """Their spans are in MLflow then, so all are one trace; no span has two parents."""
    environ = {**os.environ, "MLFLOW_USE_DEFAULT_TRACER_PROVIDER": "false"}
    done = subprocess.run(
        [sys.executable, "-c", SHARED, database_uri],
        capture_output=True,
        text=True,
        env=environ,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    request, alone = map(json.loads, done.stdout.splitlines())
    assert request == [
        ["agent", "request"],
        ["chat", "step"],
        ["in agent", "agent"],
        ["request", None],
        ["run", "request"],
        ["step", "run"],
    ]
    assert alone == [["alone", None], ["in alone", "alone"]]
