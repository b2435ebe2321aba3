"""To a real SQLite database."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from support.mlflow_server import database
from support.mlflow_spans import agent_span, chat_span, failed_span
from trace_core import Rejected, SinkError, Span, Spool, TokenUsage, semconv
from trace_mlflow_sink import MlflowSink
from trace_mlflow_sink import _database as database_module


@pytest.fixture
def sink(database_uri):
    """A sink on an empty database."""
    made = MlflowSink(database_uri, "LiteLLM")
    yield made
    made.close()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 8 MiB."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(place)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("cannot mount a small disk here")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


@pytest.fixture
def impatient() -> Iterator[None]:
    """MLflow waits a tenth of a second for SQLite's lock, not 20 seconds."""
    from sqlalchemy import Engine, event

    def shorten(_link: Any, _cursor: Any, statement: str, values: Any, *_: Any) -> tuple[str, Any]:
        return statement.replace("busy_timeout = 20000", "busy_timeout = 100"), values

    event.listen(Engine, "before_cursor_execute", shorten, retval=True)
    yield
    event.remove(Engine, "before_cursor_execute", shorten)


def trace_of(uri: str, span: Span) -> Any:
    """Read a trace back with MLflow's own client."""
    from mlflow import MlflowClient

    return MlflowClient(uri).get_trace(f"tr-{span.trace_id}")


def test_a_chat_call_is_all_there(sink, database_uri):
    """Prompt, answer, tokens, cost, latency, endpoint, session and name, on span and trace."""
    call = chat_span(attributes={semconv.SESSION_ID: "s1", semconv.USER_ID: "u1"})
    sink.write([call])
    trace = trace_of(database_uri, call)
    span = trace.data.spans[0]
    assert span.inputs["messages"][0]["content"] == "What is the capital of France?"
    assert span.outputs["choices"][0]["message"]["content"] == "Paris."
    assert span.attributes["url.full"] == "http://127.0.0.1:9/v1/chat/completions"
    assert span.span_type == "CHAT_MODEL"
    info = trace.info
    assert info.state == "OK"
    assert info.execution_duration == call.duration_ns // 1_000_000
    assert info.token_usage["total_tokens"] == 30
    assert info.token_usage["cache_read_input_tokens"] == 7
    assert info.cost["total_cost"] == pytest.approx(3e-06)
    assert info.trace_metadata["mlflow.trace.session"] == "s1"
    assert info.trace_metadata["mlflow.trace.user"] == "u1"
    assert info.tags["mlflow.traceName"] == "chat gpt-4o-mini"
    assert (info.request_preview, info.response_preview) == (
        "What is the capital of France?",
        "Paris.",
    )


def test_a_failed_call_says_why(sink, database_uri):
    """The trace is failed, the span has the message and the exception."""
    call = failed_span("no such model")
    sink.write([call])
    trace = trace_of(database_uri, call)
    assert trace.info.state == "ERROR"
    span = trace.data.spans[0]
    assert span.status.description == "no such model"
    assert span.events[0].attributes["exception.message"] == "no such model"


def test_parts_of_a_trace_may_come_in_any_order_and_twice(sink, database_uri):
    """Children before their root, in batches apart, some again: one trace, right totals."""
    root = agent_span()
    first, second = chat_span(parent=root), chat_span(parent=root)
    sink.write([first])
    sink.write([first, second])
    sink.write([root])
    sink.write([second, root, first])
    trace = trace_of(database_uri, root)
    assert len(trace.data.spans) == 3
    assert trace.info.state == "OK"
    assert trace.info.token_usage["total_tokens"] == 60
    assert trace.info.cost["total_cost"] == pytest.approx(6e-06)
    assert trace.info.tags["mlflow.traceName"] == "agent"


def test_a_running_trace_is_in_progress(sink, database_uri):
    """Children alone show as a trace that is not done."""
    root = agent_span()
    sink.write([chat_span(parent=root)])
    assert trace_of(database_uri, root).info.state == "IN_PROGRESS"


def test_a_cache_hit_costs_nothing(sink, database_uri):
    """MLflow does not compute a price where we said 0."""
    hit = chat_span(attributes={semconv.CACHE_HIT: True}, cost=None)
    sink.write([hit])
    assert trace_of(database_uri, hit).info.cost["total_cost"] == 0.0


def test_hostile_values_arrive(sink, database_uri):
    """NUL, lone surrogates, over-long sessions and names, numbers that are none."""
    hostile = "a\0b\ud800c"
    call = chat_span(
        prompt=hostile,
        answer=hostile,
        name=hostile * 5000,
        usage=TokenUsage(input=3),
        attributes={
            semconv.SESSION_ID: "s" * 5000,
            semconv.USER_ID: hostile,
            semconv.TAGS: {hostile: hostile, "k" * 500: "v" * 9000, "": "x"},
            semconv.TRACE_NAME: "n" * 9000,
            "nan": float("nan"),
            "none": None,
            hostile: hostile,
        },
    )
    sink.write([call])
    trace = trace_of(database_uri, call)
    assert trace.info.request_preview == "a\ufffdb\ufffdc"
    assert len(trace.info.trace_metadata["mlflow.trace.session"]) == 250
    assert trace.info.tags["a_b_c"] == "a\ufffdb\ufffdc"
    assert len([tag for tag in trace.info.tags if tag.startswith("k")]) == 1
    assert trace.info.token_usage["input_tokens"] == 3


def test_an_answer_of_tool_calls_reads_well_in_the_list(sink, database_uri):
    """The list shows the call; totals stay those of the spans, also for what comes later."""
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"x": 1}'}}
    message = {"role": "assistant", "content": None, "tool_calls": (call,)}
    root = chat_span(outputs={"choices": ({"message": message},)})
    sink.write([root])
    late = chat_span(parent=root, usage=TokenUsage(1, 1, 2))
    sink.write([late])
    info = trace_of(database_uri, root).info
    assert info.response_preview == 'f({"x": 1})'
    assert info.execution_duration == root.duration_ns // 1_000_000


def test_tokens_told_by_a_span_and_one_below_it_count_once(sink, database_uri):
    """As MLflow counts them, also where the lower span comes after the trace was closed."""
    around = chat_span(attributes={"trace.mlflow.metadata": {"release": "7"}})
    between = chat_span(parent=around, usage=None, cost=None)
    sink.write([around, between])
    sink.write([chat_span(parent=between)])
    info = trace_of(database_uri, around).info
    assert "mlflow.trace.infoFinalized" in info.trace_metadata
    assert info.token_usage["total_tokens"] == 30
    assert info.cost["total_cost"] == pytest.approx(3e-06)


def test_metadata_declared_to_mlflow_arrives(sink, database_uri):
    """``mlflow.tracing.context(metadata=, tags=)`` ends where MLflow's own traces have it."""
    said = {
        "trace.mlflow.metadata": {"release": "7", "mlflow.trace.user": "u"},
        "trace.mlflow.tags": {"team": "x"},
    }
    call = chat_span(attributes=said)
    sink.write([call])
    info = trace_of(database_uri, call).info
    assert info.trace_metadata["release"] == "7"
    assert info.trace_metadata["mlflow.trace.user"] == "u"
    assert info.tags["team"] == "x"
    assert info.token_usage["total_tokens"] == 30


def test_a_refusal_by_the_store_is_told_from_an_outage(sink, database_uri, monkeypatch):
    """The store refusing a batch is no different from a server refusing it."""
    from mlflow.exceptions import MlflowException

    convert = database_module.mlflow_span

    def refuse(span: Span, proto: Any) -> Any:
        if span.name == "bad":
            raise MlflowException.invalid_parameter_value("bad value")
        return convert(span, proto)

    monkeypatch.setattr(database_module, "mlflow_span", refuse)
    good, bad = chat_span(), chat_span(name="bad")
    sink.write([good])
    with pytest.raises(Rejected, match="bad value"):
        sink.write([bad])
    with pytest.raises(SinkError):  # refused again without another span accepted: an outage?
        sink.write([bad])
    assert trace_of(database_uri, good).info.state == "OK"


def _lock(place: Path) -> Callable[[], None]:
    holder = sqlite3.connect(place / "mlflow.db")
    holder.execute("BEGIN EXCLUSIVE")
    return holder.close


def _fill(place: Path) -> Callable[[], None]:
    free = os.statvfs(place)
    (place / "filling").write_bytes(b"x" * (free.f_bavail * free.f_bsize))
    return (place / "filling").unlink


@pytest.mark.slow
@pytest.mark.parametrize(
    ("trouble", "said"),
    [
        (_lock, "database is locked; many programs at once want PostgreSQL or an MLflow server"),
        (_fill, "database or disk is full; make room on that disk"),
    ],
)
def test_trouble_with_the_database_is_told_once_and_costs_nothing(
    small_disk, impatient, tmp_path, caplog, monkeypatch, trouble, said
):
    """Nothing is rejected; one warning, without what is in the spans; then all is written."""
    monkeypatch.setattr("trace_core._log._said", {})
    uri = f"{database(small_disk)}?timeout=0.1"
    sink = MlflowSink(uri, "LiteLLM")
    sink.write([chat_span()])
    heal = trouble(small_disk)
    wanted = [chat_span("s3cret " * 50_000), chat_span("short")]
    spool = Spool(tmp_path / "spool", sink)
    spool.write(wanted)

    def said_so_far() -> list[str]:
        return [r.getMessage() for r in caplog.records if r.name == "trace_core"]

    for _ in range(60):  # MLflow itself tries for a while
        assert not spool.flush(1.0)
        if said_so_far():
            break
    assert not spool.flush(1.0)
    assert spool.stats.pending == 2
    heal()
    assert spool.flush(60)
    assert spool.stats.delivered == 2
    for span in wanted:
        assert trace_of(uri, span).info.state == "OK"
    spool.close(10)
    assert [said in text for text in said_so_far()] == [True], said_so_far()
    assert "s3cret" not in str(said_so_far())


def test_different_experiments_in_one_batch(database_uri, monkeypatch):
    """Each span goes to the experiment that was set when its call was made."""
    from mlflow import MlflowClient

    client = MlflowClient(database_uri)
    ids = [client.create_experiment(name) for name in ("a", "b")]
    monkeypatch.setenv("MLFLOW_TRACKING_URI", database_uri)
    calls = [chat_span(attributes={"trace.mlflow.experiment_id": number}) for number in ids]
    sink = MlflowSink()
    sink.write(calls)
    sink.close()
    found = [trace_of(database_uri, call).info.experiment_id for call in calls]
    assert found == ids


def test_traces_of_a_run_are_found_by_it(database_uri, monkeypatch):
    """A call inside ``mlflow.start_run`` is linked to the run."""
    from mlflow import MlflowClient

    client = MlflowClient(database_uri)
    run_id = client.create_run("0").info.run_id
    monkeypatch.setenv("MLFLOW_TRACKING_URI", database_uri)
    sink = MlflowSink()
    call = chat_span(attributes={"trace.mlflow.run_id": run_id})
    sink.write([call])
    sink.write([call])
    sink.close()
    found = client.search_traces(locations=["0"], run_id=run_id)
    assert [trace.info.trace_id for trace in found] == [f"tr-{call.trace_id}"]


@pytest.mark.slow
def test_a_short_program_in_an_empty_folder(tmp_path: Path):
    """Five lines that end at once: the database is made, the trace is in it."""
    program = textwrap.dedent("""
        from trace_core import Background, Tracer
        from trace_mlflow_sink import MlflowSink
        tracer = Tracer(Background(MlflowSink(), exit_timeout=100))  # a busy machine imports slowly
        with tracer.span("hello"):
            pass
    """)
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    with sqlite3.connect(tmp_path / "mlflow.db") as connection:
        assert connection.execute("SELECT name FROM spans").fetchall() == [("hello",)]


def test_importing_the_sink_imports_neither_mlflow_nor_httpx():
    """What is not needed yet is not loaded."""
    program = (
        "import sys, trace_mlflow_sink; trace_mlflow_sink.MlflowSink('http://127.0.0.1:1');"
        "print([m for m in ('mlflow', 'httpx', 'sqlalchemy') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_a_forked_child_opens_the_database_anew(sink, database_uri):
    """The parent's connections are not used by the child."""
    import multiprocessing

    before, inside = chat_span(), chat_span()
    sink.write([before])
    fork = multiprocessing.get_context("fork")
    child = fork.Process(target=sink.write, args=([inside],))
    child.start()
    child.join(60)
    assert child.exitcode == 0
    assert trace_of(database_uri, inside).info.state == "OK"
    assert trace_of(database_uri, before).info.state == "OK"
