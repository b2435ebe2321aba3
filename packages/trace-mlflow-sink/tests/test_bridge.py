"""Nesting with MLflow's own tracing, and what MLflow says at the moment of a call."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import Any

import pytest

from support.mlflow_spans import chat_span
from trace_core import (
    Background,
    Cost,
    OpenSpan,
    Scope,
    SpanContext,
    SpanKind,
    TokenUsage,
    Tracer,
    semconv,
)
from trace_mlflow_sink import MlflowSink
from trace_mlflow_sink._bridge import mlflow_api, span_processors


@pytest.fixture
def mlflow(database_uri: str, hasty_mlflow: Any) -> Iterator[Any]:
    """MLflow as a user has set it up, on a database of its own."""
    mlflow = hasty_mlflow
    mlflow.set_tracking_uri(database_uri)
    mlflow.set_experiment("mine")
    yield mlflow
    if not mlflow.tracing.provider.is_tracing_enabled():
        mlflow.tracing.enable()
    mlflow.tracking.fluent._active_experiment_id = None
    mlflow.set_tracking_uri(None)
    for name in ("MLFLOW_EXPERIMENT_ID", "MLFLOW_TRACKING_URI", "MLFLOW_RUN_ID"):
        os.environ.pop(name, None)


@pytest.fixture
def tracer(mlflow: Any) -> Iterator[Tracer]:
    """A tracer whose sink follows MLflow."""
    made = Tracer(Background(MlflowSink()))
    yield made
    made.close(30)


@pytest.fixture
def traces(mlflow: Any, tracer: Tracer) -> Callable[[], list[Any]]:
    """Deliver everything and read it back, oldest first."""

    def read() -> list[Any]:
        mlflow.flush_trace_async_logging()
        assert tracer.flush(60)
        found = mlflow.search_traces(return_type="list", order_by=["timestamp_ms ASC"])
        return list(found)

    return read


def call(tracer: Tracer, name: str = "chat", inside: Callable[[], object] = lambda: None) -> None:
    """Do what trace-litellm does for a call; tokens and cost are added on the sink's thread."""
    span = tracer.start(
        name,
        kind=SpanKind.LLM,
        inputs={"model": "m", "messages": [{"role": "user", "content": "q"}]},
    )
    leave = tracer.activate(span)
    inside()
    leave()
    span.set(
        outputs={
            "choices": [{"message": {"role": "assistant", "content": "a"}}],
            "usage": {"prompt_tokens": 20, "completion_tokens": 10},
        }
    )
    span.end(complete=_price)


def _price(span: OpenSpan) -> None:
    span.set(usage=TokenUsage(20, 10, 30), cost=Cost(1e-6, 2e-6, 3e-6))


def shape(trace: Any) -> set[tuple[str, str | None]]:
    """Return the names of a trace's spans, each with its parent's."""
    names = {span.span_id: span.name for span in trace.data.spans}
    return {(span.name, names.get(span.parent_id)) for span in trace.data.spans}


def test_a_call_in_a_traced_function_is_its_child(mlflow, tracer, traces):
    """One trace, and its totals are those of the calls."""
    with mlflow.start_span("agent"):
        call(tracer)
        call(tracer)
    (trace,) = traces()
    assert shape(trace) == {("agent", None), ("chat", "agent")}
    assert trace.info.token_usage["total_tokens"] == 60
    assert trace.info.cost["total_cost"] == pytest.approx(6e-06)
    assert [span.inputs["model"] for span in trace.data.spans if span.name == "chat"] == ["m"] * 2


def test_concurrent_tasks_lose_nothing(mlflow, tracer, traces):
    """Many agents at once, each with many calls at once: every call is in its own agent."""

    async def agent(number: int) -> None:
        async def one(index: int) -> None:
            await asyncio.sleep(0.001 * index)
            call(tracer, f"chat {number}")

        with mlflow.start_span(f"agent {number}"):
            await asyncio.gather(*(one(index) for index in range(10)))

    async def all_agents() -> None:
        await asyncio.gather(*(agent(number) for number in range(5)))

    asyncio.run(all_agents())
    found = traces()
    assert len(found) == 5
    for trace in found:
        number = trace.info.tags["mlflow.traceName"].split()[1]
        assert shape(trace) == {(f"agent {number}", None), (f"chat {number}", f"agent {number}")}
        assert len(trace.data.spans) == 11
        assert trace.info.token_usage["total_tokens"] == 300
        assert trace.info.cost["total_cost"] == pytest.approx(30e-06)


def test_threads_with_a_copied_context_nest(mlflow, tracer, traces):
    """As with MLflow's own spans, the context decides."""
    with mlflow.start_span("agent"), ThreadPoolExecutor(4) as pool:
        jobs = [pool.submit(copy_context().run, call, tracer) for _ in range(8)]
    assert all(job.exception() is None for job in jobs)
    (trace,) = traces()
    assert len(trace.data.spans) == 9


def test_a_call_that_outlives_the_trace_is_still_in_it(mlflow, tracer, traces):
    """Fire and forget: the call ends after its parent and is its child all the same."""
    go = threading.Event()
    with mlflow.start_span("agent"):
        context = copy_context()
        late = threading.Thread(target=context.run, args=(call, tracer, "late", go.wait))
        late.start()
        while not tracer.open_spans:
            pass
    go.set()
    late.join(30)
    (trace,) = traces()
    assert shape(trace) == {("agent", None), ("late", "agent")}
    assert trace.info.token_usage["total_tokens"] == 30


def test_calls_before_and_after_the_end_of_a_trace_are_all_counted(mlflow, tracer, traces):
    """MLflow ignores what comes after it has closed a trace; the totals are right all the same."""
    with mlflow.start_span("agent"):
        call(tracer, "early")
        assert tracer.flush(60)
        context = copy_context()
    (trace,) = traces()
    assert trace.info.token_usage["total_tokens"] == 30
    for _ in range(2):
        context.run(call, tracer, "late")
    (trace,) = traces()
    assert trace.info.token_usage["total_tokens"] == 90
    assert trace.info.cost["total_cost"] == pytest.approx(9e-06)


def test_a_traced_function_in_a_call_is_the_calls_child(mlflow, tracer, traces):
    """Ours, theirs, ours, theirs: each below the one before."""

    @mlflow.trace(name="tool")
    def tool() -> None:
        call(tracer, "inner", plain)

    @mlflow.trace(name="plain")
    def plain() -> None:
        pass

    with tracer.span("agent", kind=SpanKind.AGENT):
        call(tracer, "outer", tool)
    (trace,) = traces()
    assert shape(trace) == {
        ("agent", None),
        ("outer", "agent"),
        ("tool", "outer"),
        ("inner", "tool"),
        ("plain", "inner"),
    }
    assert trace.info.tags["mlflow.traceName"] == "agent"
    assert trace.info.token_usage["total_tokens"] == 60 or len(trace.data.spans) == 5


def test_only_needed_traces_are_told_to_mlflow(mlflow, tracer):
    """Calls with no span of MLflow below take no room in its memory."""
    from mlflow.tracing.trace_manager import InMemoryTraceManager

    manager = InMemoryTraceManager.get_instance()
    before = len(manager._traces)
    for _ in range(5):
        call(tracer)
    assert len(manager._traces) == before


def test_what_is_said_of_the_current_trace_inside_ours_is_kept(mlflow, tracer, traces):
    """``mlflow.update_current_trace`` in a traced function inside our span."""

    @mlflow.trace
    def tool() -> None:
        mlflow.update_current_trace(
            tags={"team": "x"},
            metadata={"release": "7"},
            session_id="s1",
            request_preview="asked",
            response_preview="told",
            client_request_id="req-1",
            state="ERROR",
        )

    with tracer.span("agent"):
        tool()
    (trace,) = traces()
    assert trace.info.trace_metadata["mlflow.trace.session"] == "s1"
    assert (trace.info.request_preview, trace.info.response_preview) == ("asked", "told")
    assert (trace.info.client_request_id, trace.info.state.value) == ("req-1", "ERROR")
    assert trace.info.tags["team"] == "x"
    assert trace.info.trace_metadata["release"] == "7"


def test_what_is_said_of_a_trace_waits_for_its_root(mlflow, database_uri):
    """Children that are delivered after the root has ended, and before it is, take nothing away."""
    sink = MlflowSink()
    root = chat_span(name="agent")
    sink._bridge.traces._additions[root.trace_id] = {"trace.mlflow.tags": {"team": "x"}}
    sink.write([chat_span(parent=root)])
    sink.write([root])
    (trace,) = mlflow.search_traces(return_type="list")
    assert trace.info.tags["team"] == "x"
    assert not sink._bridge.traces._additions


def test_headers_from_another_process_make_a_call_part_of_its_trace(mlflow, tracer, traces):
    """``set_tracing_context_from_http_request_headers``, with and without spans of MLflow's."""
    from mlflow.tracing import set_tracing_context_from_http_request_headers as set_context

    client = chat_span(name="client", kind=SpanKind.AGENT, usage=None, cost=None)
    for header in ("traceparent", "Traceparent"):
        with set_context({header: f"00-{client.trace_id}-{client.span_id}-01"}):
            call(tracer, "server")
    with set_context({"traceparent": f"00-{client.trace_id}-{client.span_id}-00"}):
        call(tracer, "not sampled")
    assert tracer.flush(60)
    MlflowSink().write([client])
    (trace,) = traces()
    assert trace.info.trace_id == f"tr-{client.trace_id}"
    assert shape(trace) == {("client", None), ("server", "client")}
    assert len(trace.data.spans) == 3
    assert trace.info.token_usage["total_tokens"] == 60


def test_headers_for_another_process_name_our_span(mlflow, tracer, traces):
    """``get_tracing_context_headers_for_http_request`` inside a span of ours."""
    from mlflow.tracing import get_tracing_context_headers_for_http_request as headers

    with tracer.span("client") as span:
        sent = headers()
    assert sent["traceparent"] == f"00-{span.context.trace_id}-{span.context.span_id}-01"


def _load_prompt(mlflow: Any) -> None:
    mlflow.genai.register_prompt("capital", "What is the capital of {{country}}?")
    mlflow.genai.load_prompt("prompts:/capital/1")


@pytest.mark.parametrize("ours", [True, False], ids=["in our span", "in MLflow's"])
def test_prompts_that_were_loaded_are_linked(mlflow, tracer, traces, ours):
    """``mlflow.genai.load_prompt`` in a traced function with a call: found by the prompt."""

    @mlflow.trace
    def ask() -> None:
        _load_prompt(mlflow)
        call(tracer)

    if ours:
        with tracer.span("agent"):
            ask()
    else:
        ask()
    (trace,) = traces()
    assert json.loads(trace.info.tags["mlflow.linkedPrompts"]) == [
        {"name": "capital", "version": "1"}
    ]
    (found,) = mlflow.search_traces(filter_string='prompt = "capital/1"', return_type="list")
    assert found.info.trace_id == trace.info.trace_id
    assert "chat" in {span.name for span in found.data.spans}


def test_the_experiment_of_the_moment_counts(mlflow, tracer, traces):
    """``set_experiment`` after the tracer was made; each call keeps what was set then."""
    call(tracer, "first")
    mlflow.set_experiment("other")
    call(tracer, "second")
    assert [trace.data.spans[0].name for trace in traces()] == ["second"]
    mlflow.set_experiment("mine")
    assert [trace.data.spans[0].name for trace in traces()] == ["first"]


def test_the_run_of_the_moment_counts(mlflow, tracer, traces):
    """A call in ``start_run`` is linked to the run, one after it is not."""
    with mlflow.start_run() as run:
        call(tracer, "inside")
    call(tracer, "outside")
    traces()
    found = mlflow.search_traces(run_id=run.info.run_id, return_type="list")
    assert [trace.data.spans[0].name for trace in found] == ["inside"]


def test_what_a_context_declares_arrives(mlflow, tracer, traces):
    """``mlflow.tracing.context``: session, user, tags and metadata."""
    with mlflow.tracing.context(
        session_id="s1", user="u1", tags={"team": "x"}, metadata={"release": "7"}
    ):
        call(tracer)
    (trace,) = traces()
    assert trace.info.trace_metadata["mlflow.trace.session"] == "s1"
    assert trace.info.trace_metadata["mlflow.trace.user"] == "u1"
    assert trace.info.trace_metadata["release"] == "7"
    assert trace.info.tags["team"] == "x"


def test_a_destination_of_the_moment_counts(mlflow, tracer, traces):
    """``mlflow.tracing.set_destination`` beats ``set_experiment``."""
    from mlflow.entities.trace_location import MlflowExperimentLocation

    other = mlflow.create_experiment("elsewhere")
    mlflow.tracing.set_destination(MlflowExperimentLocation(experiment_id=other))
    call(tracer)
    mlflow.tracing.reset()
    assert traces() == []
    assert len(mlflow.search_traces(locations=[other], return_type="list")) == 1


def test_the_active_model_of_the_moment_counts(mlflow, tracer, traces):
    """``mlflow.set_active_model`` links calls made while it is in force, and no others."""
    call(tracer, "before")
    with mlflow.set_active_model(name="m") as model:
        call(tracer, "inside")
    traces()
    found = mlflow.search_traces(model_id=model.model_id, return_type="list")
    assert [trace.data.spans[0].name for trace in found] == ["inside"]


def mask(span: Any) -> None:
    """What a user gives to ``mlflow.tracing.configure``."""
    span.set_inputs("masked")
    span.set_outputs({"answer": len(span.outputs["choices"])})
    span.set_attribute("gen_ai.request.model", "hidden")


def test_span_processors_of_the_moment_mask_our_spans(mlflow, tracer, traces):
    """Inputs, outputs, attributes and the previews made of them; other calls are left alone."""
    with mlflow.tracing.configure(span_processors=[mask]):
        call(tracer, "masked")
    call(tracer, "plain")
    by_name = {trace.data.spans[0].name: trace for trace in traces()}
    span, info = by_name["masked"].data.spans[0], by_name["masked"].info
    assert (span.inputs, span.outputs) == ("masked", {"answer": 1})
    assert span.attributes["gen_ai.request.model"] == "hidden"
    assert "masked" in info.request_preview
    assert info.token_usage["total_tokens"] == 30
    assert by_name["plain"].data.spans[0].inputs["model"] == "m"
    types = {trace.data.spans[0].span_type for trace in by_name.values()}
    assert types == {"CHAT_MODEL"}  # as it was when the call was made


def test_a_span_processor_may_change_the_type(mlflow, tracer, traces):
    """It is an attribute like others."""
    with mlflow.tracing.configure(
        span_processors=[lambda span: span.set_attribute("mlflow.spanType", "AGENT")]
    ):
        call(tracer)
    assert traces()[0].data.spans[0].span_type == "AGENT"


@pytest.mark.parametrize("known", [True, False], ids=["failing", "of another process"])
def test_a_span_that_cannot_be_masked_has_no_content(mlflow, tracer, traces, known, monkeypatch):
    """A function that raises, or is not in the process that delivers, masks everything."""

    def fail(span: Any) -> None:
        raise ValueError("oops")

    with mlflow.tracing.configure(span_processors=[fail]):
        if not known:
            monkeypatch.setattr(span_processors, "name_in_force", lambda: "1:1")
        call(tracer)
    (trace,) = traces()
    assert not trace.data.spans[0].inputs
    assert not trace.data.spans[0].outputs
    assert trace.data.spans[0].span_type == "CHAT_MODEL"
    assert trace.data.spans[0].attributes["gen_ai.request.model"] == "m"
    assert trace.data.spans[0].attributes["mlflow.llm.model"] == "m"
    assert trace.info.token_usage["total_tokens"] == 30


def test_tracing_switched_off_in_mlflow_is_off(mlflow, tracer, traces):
    """``mlflow.tracing.disable()`` and ``context(enabled=False)`` are honoured."""
    with mlflow.tracing.context(enabled=False):
        call(tracer)
    mlflow.tracing.disable()
    call(tracer)
    mlflow.tracing.enable()
    call(tracer, "on")
    assert [trace.data.spans[0].name for trace in traces()] == ["on"]


def test_autologging_switched_off_concerns_automatic_spans_alone(mlflow, traces, tracer):
    """``mlflow.autolog(disable=True)`` is not about spans the user asks for."""
    from mlflow.utils.autologging_utils import AUTOLOGGING_INTEGRATIONS

    before = AUTOLOGGING_INTEGRATIONS.get("mlflow")
    AUTOLOGGING_INTEGRATIONS["mlflow"] = {"disable": True}
    try:
        call(tracer.with_scope(Scope("trace_litellm")), "automatic")
        call(tracer, "asked for")
    finally:
        AUTOLOGGING_INTEGRATIONS.pop("mlflow")
        if before is not None:
            AUTOLOGGING_INTEGRATIONS["mlflow"] = before
    assert [trace.data.spans[0].name for trace in traces()] == ["asked for"]


def test_the_last_active_trace_is_ours(mlflow, tracer, traces):
    """``mlflow.get_last_active_trace_id`` finds a call made outside of any trace."""
    call(tracer)
    (trace,) = traces()
    assert mlflow.get_last_active_trace_id() == trace.info.trace_id


def test_a_live_trace_gets_the_session_of_a_call(mlflow, tracer, traces):
    """Session and tags given to the call reach the trace it is in."""
    with mlflow.start_span("agent"):
        span = tracer.start(
            "chat",
            kind=SpanKind.LLM,
            attributes={semconv.SESSION_ID: "s1", semconv.TAGS: {"team": "x"}},
        )
        span.end()
    (trace,) = traces()
    assert trace.info.trace_metadata["mlflow.trace.session"] == "s1"
    assert trace.info.tags["team"] == "x"


def test_another_store_is_no_place_to_nest(mlflow, tmp_path):
    """A sink with a store of its own makes traces of its own: half of one helps nobody."""
    sink = MlflowSink(f"sqlite:///{tmp_path / 'other.db'}")
    bridge = sink.bridges[0]
    with mlflow.start_span("agent"):
        assert bridge.parent() is None
        there = bridge.attributes()
    assert "trace.mlflow.live" not in there
    assert sink._chooser.choose(chat_span(attributes=there)).experiment == "Default"


def test_the_same_store_given_as_an_argument_nests(mlflow, database_uri):
    """Saying what MLflow is set to anyway changes nothing."""
    bridge = MlflowSink(database_uri).bridges[0]
    with mlflow.start_span("agent") as span:
        assert bridge.parent() == SpanContext(span.trace_id.removeprefix("tr-"), span.span_id)


def test_a_changed_mlflow_costs_nesting_and_no_span(mlflow, tracer, traces, monkeypatch):
    """Every private symbol gone at once: the call is recorded as a trace of its own."""

    def broken(*args: object) -> None:
        raise AttributeError("moved in a newer version")

    monkeypatch.setattr(mlflow.tracing.provider, "get_current_otel_span", broken)
    for name in ("live_trace", "tracking_uri"):
        monkeypatch.setattr(mlflow_api.MlflowApi, name, broken)
    call(tracer)
    monkeypatch.undo()
    (trace,) = traces()
    assert shape(trace) == {("chat", None)}


def test_an_mlflow_that_cannot_be_used_is_tried_once(monkeypatch):
    """Without the parts we need there is no nesting, and no second attempt."""
    attempts: list[int] = []

    def fail(self: object) -> None:
        attempts.append(1)
        raise ImportError("no such module")

    monkeypatch.setattr(mlflow_api.MlflowApi, "__init__", fail)
    bridge = MlflowSink("http://127.0.0.1:1").bridges[0]
    for _ in range(3):
        assert bridge.parent() is None
        assert "trace.mlflow.experiment_id" not in bridge.attributes()
        bridge.enter(chat_span().context)()
        bridge.ended(chat_span())
    assert len(attempts) == 1


def test_what_a_program_with_a_server_does_not_need_is_not_imported():
    """A short program pays for each module, and for reading certificates: 25 ms of CPU."""
    program = """
import ssl, sys
ssl.create_default_context = None
import trace_core

sink = trace_core.load_sink("mlflow:http://127.0.0.1:1")
trace_core.durable(sink, spool=False).close(0.1)
unneeded = ("trace_core._sinks.console", "trace_core._view", "trace_core._cli", "mlflow")
print([name for name in unneeded if name in sys.modules])
from trace_core.otlp import OtlpClient
print(type(OtlpClient("http://127.0.0.1:1", 1)._connection()).__name__)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines() == ["[]", "Client"], done.stderr


def test_without_mlflow_nothing_is_asked_and_nothing_imported():
    """A program that does not use MLflow does not get it."""
    program = """
import sys
from trace_core import Tracer
from trace_mlflow_sink import MlflowSink

bridge = MlflowSink("http://127.0.0.1:1").bridges[0]
tracer = Tracer(lambda spans: None, bridges=[bridge])
with tracer.span("a"):
    pass
print("mlflow" in sys.modules, "opentelemetry.trace" in sys.modules)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["False", "False"]
