"""To a real ``mlflow server``, read back through MLflow's own client."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from support.mlflow_server import MlflowServer
from support.mlflow_spans import agent_span, chat_span, failed_span
from trace_core import (
    Background,
    Retry,
    Scope,
    SinkError,
    Span,
    Status,
    StatusCode,
    TokenUsage,
    semconv,
)
from trace_mlflow_sink import MlflowSink


@pytest.fixture
def experiment(request: pytest.FixtureRequest) -> str:
    """An experiment of the test's own."""
    return str(request.node.name)


@pytest.fixture
def sink(server, experiment):
    """A sink that writes to it."""
    made = MlflowSink(server.url, experiment)
    yield made
    made.close()


def traces_in(server: MlflowServer, experiment: str) -> dict[str, Any]:
    """Return all traces of an experiment by id."""
    from mlflow import MlflowClient

    client = MlflowClient(server.url)
    found = client.get_experiment_by_name(experiment)
    assert found is not None
    traces = client.search_traces(locations=[found.experiment_id], max_results=500)
    return {trace.info.trace_id.removeprefix("tr-"): trace for trace in traces}


def search(server: MlflowServer, experiment: str, wanted: str) -> list[Any]:
    """Search an experiment as a user does."""
    from mlflow import MlflowClient

    client = MlflowClient(server.url)
    found = client.get_experiment_by_name(experiment)
    assert found is not None
    return list(client.search_traces(locations=[found.experiment_id], filter_string=wanted))


def test_calls_arrive_whole(server, experiment, sink):
    """A good call, a failed one and an agent with two calls, in one request."""
    call = chat_span(attributes={semconv.SESSION_ID: "s1", semconv.TAGS: {"team": "x"}})
    failed, root = failed_span("no such model"), agent_span()
    sink.write([chat_span(parent=root), call, failed, root, chat_span(parent=root)])
    found = traces_in(server, experiment)
    assert len(found) == 3
    info = found[call.trace_id].info
    assert info.token_usage["total_tokens"] == 30
    assert info.cost["total_cost"] == pytest.approx(3e-06)
    assert info.trace_metadata["mlflow.trace.session"] == "s1"
    assert info.tags["team"] == "x"
    span = found[call.trace_id].data.spans[0]
    assert span.inputs["temperature"] == 0.2
    assert found[failed.trace_id].data.spans[0].status.description == "no such model"
    assert found[root.trace_id].info.token_usage["total_tokens"] == 60
    assert len(found[root.trace_id].data.spans) == 3


def test_a_span_delivered_twice_counts_once(server, experiment, sink):
    """Repetition after a lost answer changes no total."""
    root = agent_span()
    parts = [chat_span(parent=root), root, chat_span(parent=root)]
    for _ in range(3):
        sink.write(parts)
    sink.write(parts[:1])
    (trace,) = traces_in(server, experiment).values()
    assert len(trace.data.spans) == 3
    assert trace.info.token_usage["total_tokens"] == 60
    assert trace.info.cost["total_cost"] == pytest.approx(6e-06)


def test_mlflows_search_finds_what_users_search_for(server, experiment, sink):
    """By name, status, tag, session and span type."""
    call = chat_span(attributes={semconv.SESSION_ID: "s9", semconv.TAGS: {"team": "x"}})
    sink.write([call, failed_span()])
    for wanted in (
        "status = 'OK'",
        "tag.team = 'x'",
        "metadata.`mlflow.trace.session` = 's9'",
        "span.type = 'CHAT_MODEL' AND status = 'OK'",
        "name = 'chat gpt-4o-mini' AND status = 'OK'",
    ):
        found = search(server, experiment, wanted)
        assert [trace.info.trace_id for trace in found] == [f"tr-{call.trace_id}"], wanted


def test_habits_of_mlflows_autologging_find_our_spans(server, experiment):
    """With ``names=autolog``: by the name of span and trace, and by the type."""
    sink = MlflowSink(server.url, experiment, names="autolog")
    sink.write(
        [chat_span(scope=Scope("trace_litellm"), attributes={"litellm.call_id": "c1"}), chat_span()]
    )
    sink.close()
    for wanted in ("span.name = 'litellm-completion'", "span.type = 'LLM'"):
        (trace,) = search(server, experiment, wanted)
        assert trace.info.tags["mlflow.traceName"] == "litellm-completion"
        assert len(trace.search_spans(span_type="LLM", name="litellm-completion")) == 1


@pytest.mark.parametrize("twice", [False, True])
def test_prompts_that_were_loaded_are_linked(server, experiment, sink, twice):
    """A trace is found by the version of a prompt; a repeated write links it once."""
    prompts = '[{"name": "capital", "version": "1"}, {"name": "tone", "version": "3"}]'
    root = agent_span(attributes={"trace.mlflow.tags": {"mlflow.linkedPrompts": prompts}})
    for _ in range(1 + twice):
        sink.write([root, chat_span(parent=root)])
    (trace,) = traces_in(server, experiment).values()
    assert trace.info.tags["mlflow.linkedPrompts"] == prompts
    for version in ("capital/1", "tone/3"):
        found = search(server, experiment, f'prompt = "{version}"')
        assert [one.info.trace_id for one in found] == [trace.info.trace_id]
    assert search(server, experiment, 'prompt = "tone/2"') == []


def test_what_was_said_of_the_trace_is_told(server, experiment, sink):
    """Previews, state and the request's id, as ``mlflow.update_current_trace`` sets them."""
    said = {
        "request_preview": "asked",
        "response_preview": "told",
        "client_request_id": "req-1",
        "state": "ERROR",
    }
    root = agent_span(attributes={"trace.mlflow.info": said})
    sink.write([chat_span(parent=root)])
    sink.write([root])
    (trace,) = traces_in(server, experiment).values()
    found = {name: getattr(trace.info, name) for name in said}
    assert found == {**said, "state": trace.info.state}
    assert trace.info.state.value == "ERROR"
    assert trace.info.token_usage["total_tokens"] == 30


def test_hostile_values_arrive(server, experiment, sink):
    """What MLflow would refuse is made safe, so its neighbours arrive as well."""
    hostile = chat_span(
        prompt="a\0b\ud800c",
        name="n\0" * 5000,
        attributes={semconv.SESSION_ID: "s" * 5000, semconv.USER_ID: "\0\udfff", "x": float("inf")},
        usage=TokenUsage(output=3),
    )
    sink.write([hostile, chat_span()])
    assert len(traces_in(server, experiment)) == 2


def test_many_threads_write_at_once(server, experiment, sink):
    """A sink may be shared: every span arrives once."""
    batches = [[chat_span() for _ in range(5)] for _ in range(8)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(sink.write, batches))
    expected = {span.trace_id for batch in batches for span in batch}
    assert set(traces_in(server, experiment)) == expected


def test_a_run_has_its_traces(server, experiment, monkeypatch):
    """A call inside ``mlflow.start_run`` is found by the run."""
    from mlflow import MlflowClient

    client = MlflowClient(server.url)
    number = client.create_experiment(experiment)
    run_id = client.create_run(number).info.run_id
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.url)
    monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", number)
    call = chat_span(attributes={"trace.mlflow.run_id": run_id})
    MlflowSink().write([call, chat_span()])
    found = client.search_traces(locations=[number], run_id=run_id)
    assert [trace.info.trace_id for trace in found] == [f"tr-{call.trace_id}"]


def test_an_answer_of_tool_calls_reads_well_in_the_list(server, experiment, sink):
    """The list shows the call instead of raw JSON."""
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"x": 1}'}}
    message = {"role": "assistant", "content": None, "tool_calls": (call,)}
    sink.write([chat_span(outputs={"choices": ({"message": message},)})])
    (trace,) = traces_in(server, experiment).values()
    assert trace.info.response_preview == 'f({"x": 1})'
    assert trace.info.token_usage["total_tokens"] == 30


def test_spans_that_come_after_a_failed_root_are_counted(server, experiment, sink):
    """The error in the list closes the trace for MLflow; late calls are added all the same."""
    root = agent_span(outputs=None, status=Status(StatusCode.ERROR, "boom\nat line 3"))
    sink.write([chat_span(parent=root), root])
    for _ in range(2):
        sink.write([chat_span(parent=root)])
    (trace,) = traces_in(server, experiment).values()
    assert trace.info.response_preview == "boom"
    assert trace.info.token_usage["total_tokens"] == 90


def test_an_unknown_experiment_id_is_no_reason_to_reject(server):
    """Somebody may be about to restore it."""
    with pytest.raises(SinkError, match="experiment was deleted"):
        MlflowSink(server.url, experiment_id=987654).write([chat_span()])


@pytest.mark.server
def test_a_server_that_comes_back_gets_everything(tmp_path: Path):
    """Away at first, killed in between: nothing is lost, nothing doubled."""
    server = MlflowServer(tmp_path)
    sink = Background(
        MlflowSink(server.url, "LiteLLM", timeout=2.0), retry=Retry(first=0.05, longest=0.2)
    )
    calls: list[Span] = [chat_span() for _ in range(60)]
    sink.write(calls[:20])
    with server:
        assert sink.flush(60)
        sink.write(calls[20:40])
        server.stop(kill=True)
        sink.write(calls[40:])
        threading.Event().wait(0.3)  # some attempts fail meanwhile
        server.start()
        assert sink.flush(60)
        found = traces_in(server, "LiteLLM")
        assert set(found) == {call.trace_id for call in calls}
        assert all(trace.info.token_usage["total_tokens"] == 30 for trace in found.values())
        sink.close()
    assert sink.stats.delivered == 60
