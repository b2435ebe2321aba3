"""``mlflow.log_feedback`` and its like, right after an answer, on a trace that is on its way."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from support.mlflow_server import free_port
from support.mlflow_spans import chat_span
from trace_core import Span, SpanKind, Tracer, durable, semconv
from trace_mlflow_sink import MlflowSink
from trace_mlflow_sink._bridge.delivery_guard import _MOST_SPANS, Delivery, DeliveryGuard


@pytest.fixture(params=["database", pytest.param("server", marks=pytest.mark.server)])
def mlflow(request: pytest.FixtureRequest, hasty_mlflow: Any) -> Iterator[Any]:
    """MLflow as a user has set it up, on a database of its own or on a server."""
    mlflow = hasty_mlflow
    if request.param == "server":
        mlflow.set_tracking_uri(request.getfixturevalue("server").url)
    else:
        mlflow.set_tracking_uri(request.getfixturevalue("database_uri"))
    mlflow.set_experiment(request.node.name)
    yield mlflow
    forget(mlflow)


def forget(mlflow: Any) -> None:
    """Set MLflow to nothing again."""
    mlflow.tracking.fluent._active_experiment_id = None
    mlflow.set_tracking_uri(None)
    for name in ("MLFLOW_EXPERIMENT_ID", "MLFLOW_TRACKING_URI"):
        os.environ.pop(name, None)


class Patient(MlflowSink):
    """A sink for which MLflow's client waits long: the machine may be busy."""

    exit_timeout = 60.0


@pytest.fixture
def make_tracer(tmp_path: Path) -> Iterator[Callable[..., Tracer]]:
    """Make tracers as ``autolog()`` does: with a queue, a spool and redaction."""
    made: list[Tracer] = []

    def make(sink: MlflowSink, **options: Any) -> Tracer:
        made.append(Tracer(durable(sink, spool_dir=tmp_path / "spool", **options)))
        return made[-1]

    yield make
    for tracer in made:
        tracer.close(30)


def call(tracer: Tracer) -> None:
    """Make a call that has an answer."""
    with tracer.span("chat", kind=SpanKind.LLM, inputs={"messages": []}) as span:
        span.set(outputs={"choices": [{"message": {"role": "assistant", "content": "a"}}]})


def feedback_in(mlflow: Any, trace_id: str) -> dict[str, Any]:
    """Read back what was said of a trace."""
    trace = mlflow.get_trace(trace_id)
    return {one.name: one.feedback.value for one in trace.info.assessments}


def test_right_after_the_answer(mlflow, make_tracer):
    """The last trace is the call's, and it can be judged, tagged and read at once."""
    tracer = make_tracer(Patient())
    for number in range(5):
        call(tracer)
        trace_id = mlflow.get_last_active_trace_id()
        assert mlflow.get_last_active_trace_id(thread_local=True) == trace_id
        assert mlflow.get_trace(trace_id).data.spans[0].name == "chat"
        call(tracer)
        trace_id = mlflow.get_last_active_trace_id()
        mlflow.log_feedback(trace_id=trace_id, name="good", value=number)
        mlflow.set_trace_tag(trace_id, "seen", "yes")
        assert feedback_in(mlflow, trace_id) == {"good": number}
        assert mlflow.get_trace(trace_id).info.tags["seen"] == "yes"


def test_in_and_after_a_function_that_mlflow_traces(mlflow, make_tracer):
    """Whose trace MLflow's own exporter has not written either."""
    tracer = make_tracer(Patient())

    @mlflow.trace
    def answer() -> str:
        call(tracer)
        trace_id: str = mlflow.get_active_trace_id()
        mlflow.log_feedback(trace_id=trace_id, name="inside", value=1)
        return trace_id

    trace_id = answer()
    mlflow.log_feedback(trace_id=trace_id, name="after", value=2)
    mlflow.flush_trace_async_logging()
    assert tracer.flush(30)
    assert feedback_in(mlflow, trace_id) == {"inside": 1, "after": 2}
    spans = mlflow.get_trace(trace_id).data.spans
    assert {span.name for span in spans} == {"answer", "chat"}


def test_after_a_call_in_a_span_of_ours_that_is_still_open(mlflow, make_tracer):
    """The feedback stays when the rest of the trace is written."""
    tracer = make_tracer(Patient())
    with tracer.span("agent", attributes={f"{semconv.METADATA_PREFIX}version": "7"}) as root:
        call(tracer)
        trace_id = f"tr-{root.trace_id}"
        mlflow.log_feedback(trace_id=trace_id, name="first", value=True)
        call(tracer)
    mlflow.log_feedback(trace_id=trace_id, name="second", value=False)
    assert feedback_in(mlflow, trace_id) == {"first": True, "second": False}
    trace = mlflow.get_trace(trace_id)
    assert [span.name for span in trace.data.spans].count("chat") == 2
    assert trace.info.state == "OK"
    assert trace.info.trace_metadata["version"] == "7"


class HeldUp(Patient):
    """A sink that writes nothing before somebody asks it to hurry."""

    def __init__(self) -> None:
        self.hurried = threading.Event()
        super().__init__()

    def write(self, spans: Sequence[Span], /) -> None:
        """Wait, and write."""
        self.hurried.wait()
        super().write(spans)

    def _flush_all(self) -> bool:
        self.hurried.set()
        return super()._flush_all()


def test_a_store_that_is_slow_is_waited_for(mlflow, make_tracer):
    """Longer than usual, because the span is on its way."""
    sink = HeldUp()
    call(make_tracer(sink))
    trace_id = mlflow.get_last_active_trace_id()
    mlflow.log_feedback(trace_id=trace_id, name="good", value=1)
    assert sink.hurried.is_set()
    assert feedback_in(mlflow, trace_id) == {"good": 1}


def test_a_call_that_was_left_out_is_not_waited_for_twice(mlflow, make_tracer, monkeypatch):
    """MLflow says that it knows no such trace."""
    flushed: list[bool] = []

    class Counting(Patient):
        def _flush_all(self) -> bool:
            flushed.append(super()._flush_all())
            return flushed[-1]

    call(make_tracer(Counting(), sample_rate=0.0))
    trace_id = mlflow.get_last_active_trace_id()
    for _ in range(3):
        with pytest.raises(Exception, match=trace_id):
            mlflow.log_feedback(trace_id=trace_id, name="good", value=1)
    assert flushed == [True]


class Hasty(MlflowSink):
    """A sink for which nobody waits long."""

    exit_timeout = 0.2


def test_a_server_that_is_away_costs_a_bounded_wait(make_tracer, monkeypatch):
    """Then MLflow raises what it always does, and the span is kept."""
    import mlflow

    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    mlflow.set_tracking_uri(f"http://127.0.0.1:{free_port()}")
    try:
        tracer = make_tracer(Hasty(), exit_timeout=0.2)
        call(tracer)
        with pytest.raises(mlflow.exceptions.MlflowException, match="Max retries exceeded"):
            mlflow.log_feedback(trace_id=mlflow.get_last_active_trace_id(), name="x", value=1)
        stats = tracer.sink.stats
        assert stats is not None
        assert stats.dropped == 0
    finally:
        forget(mlflow)


class Client:
    """MLflow's client, as far as the guard knows it."""

    def log_assessment(self, trace_id: str, assessment: object) -> object:
        """Log it."""
        return trace_id, assessment


def test_nobody_waits_for_other_traces():
    """Nor is anything flushed for them."""
    guard = DeliveryGuard()
    client = type("Client", (Client,), {})
    delivery = Delivery(lambda: pytest.fail("flushed"))
    guard.add(delivery, client)
    delivery.ended("a" * 16, "b" * 32)
    assert client().log_assessment("tr-" + "0" * 32, "a") == ("tr-" + "0" * 32, "a")
    assert client().log_assessment(trace_id=None, assessment="a") == (None, "a")


def test_a_flush_that_raises_costs_the_wait_alone():
    """MLflow is asked all the same."""
    guard = DeliveryGuard()
    client = type("Client", (Client,), {})

    def fail() -> bool:
        raise RuntimeError("broken")

    delivery, span = Delivery(fail), chat_span()
    guard.add(delivery, client)
    delivery.ended(span.span_id, span.trace_id)
    assert client().log_assessment(f"tr-{span.trace_id}", "a") == (f"tr-{span.trace_id}", "a")


def test_a_close_ends_the_wait_and_restores_the_client():
    """What was left on disk is another process's to deliver."""
    guard = DeliveryGuard()
    client = type("Client", (Client,), {})
    delivery, span = Delivery(lambda: pytest.fail("flushed")), chat_span()
    guard.add(delivery, client)
    assert "log_assessment" in vars(client)
    delivery.ended(span.span_id, span.trace_id)
    waiting = threading.Thread(target=client().log_assessment, args=(f"tr-{span.trace_id}", "a"))
    waiting.start()
    guard.release(delivery)
    waiting.join()
    assert client.log_assessment is Client.log_assessment


def test_no_more_is_remembered_than_there_is_room_for():
    """While a server is away for long."""
    delivery = Delivery(lambda: True)
    spans = [chat_span() for _ in range(_MOST_SPANS + 10)]
    for span in spans:
        delivery.ended(span.span_id, span.trace_id)
    assert len(delivery._pending) <= _MOST_SPANS
    assert spans[-1].span_id in delivery._pending
