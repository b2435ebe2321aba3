"""Spans read back from MLflow: from a server, a SQLite file, and through MLflow's own store."""

from __future__ import annotations

import json
import secrets
import sqlite3
from pathlib import Path

import attrs
import pytest

from support.mlflow_server import MlflowServer, database, free_port
from support.mlflow_spans import START_NS, agent_span, chat_span, failed_span
from trace_core import (
    ConfigurationError,
    Selection,
    SourceBase,
    Span,
    SpanKind,
    StatusCode,
    TokenUsage,
    Unreadable,
    UsageSource,
    load_source,
    semconv,
)
from trace_core.cli import add_commands, run
from trace_mlflow_sink import MlflowSink
from trace_mlflow_sink._reading import server as reading
from trace_mlflow_sink._reading.databases import SqliteStore


def always(_span: Span) -> bool:
    return True


def conversation() -> list[Span]:
    """An agent with two calls below, a failed call, a stream with estimates, a picture."""
    agent = agent_span(attributes={semconv.SESSION_ID: "chat-17", semconv.USER_ID: "ada"})
    stream = chat_span(
        usage=TokenUsage(input=20, output=7, total=27, reasoning=3, source=UsageSource.ESTIMATED),
        attributes={
            semconv.RESPONSE_TIME_TO_FIRST_CHUNK: 0.12,
            semconv.STREAM_CHUNKS: 9,
            semconv.TAGS: {"team": "search"},
        },
    )
    picture = chat_span(
        kind=SpanKind.IMAGE,
        name="image_generation x",
        attributes={semconv.OPERATION_NAME: "image_generation"},
    )
    return [
        chat_span(parent=agent),
        chat_span("And of Spain?", "Madrid.", parent=agent),
        agent,
        failed_span("no such model\nat all"),
        stream,
        picture,
    ]


@pytest.fixture(params=[pytest.param("server", marks=pytest.mark.server), "sqlite", "store"])
def place(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The specification of an MLflow, with an experiment of its own."""
    experiment = f"reading {secrets.token_hex(4)}"
    on_server = request.param == "server"
    uri = request.getfixturevalue("server").url if on_server else database(tmp_path)
    if request.param == "store":  # as for tables that we do not know
        monkeypatch.setattr(SqliteStore, "is_known", lambda _store: False)
    return f"mlflow:{uri}?experiment={experiment}"


def store(place: str, *spans: Span) -> SourceBase:
    sink = MlflowSink.from_spec(place.partition(":")[2])
    sink.write(spans)
    sink.close()
    return load_source(place)


def known(span: Span) -> Span:
    """A span without what MLflow does not keep, or keeps in another form."""
    usage = span.usage
    return attrs.evolve(
        span,
        attributes={k: v for k, v in span.attributes.items() if not k.startswith("trace.mlflow")},
        resource={},
        scope=attrs.evolve(span.scope, name="", version="", semconv=""),
        status=span.status if span.status.code is StatusCode.ERROR else "OK",
        usage=usage,
    )


@pytest.mark.slow
def test_what_was_written_is_read(place: str) -> None:
    """All fields that MLflow keeps come back as they were."""
    written = conversation()
    read = list(store(place, *written).spans())
    before = {span.context: known(span) for span in written}
    after = {span.context: known(span) for span in read}
    assert after.keys() == before.keys()
    for context, span in before.items():
        assert after[context] == span


def test_traces_are_whole_and_the_newest_last(place: str) -> None:
    """A trace in which one span is wanted comes with all of its spans."""
    written = conversation()
    source = store(place, *written)
    (found,) = source.traces(lambda span: "Spain" in str(span.inputs), 5)
    assert {span.context for span in found} == {span.context for span in written[:3]}
    starts = [min(s.start_ns for s in trace) for trace in source.traces(always, 2)]
    assert len(starts) == 2
    assert starts == sorted(starts)
    assert max(starts) == max(span.start_ns for span in written)


def test_time_and_id_are_asked_of_mlflow(place: str) -> None:
    """What is not selected is not read."""
    old = chat_span(start_ns=START_NS - 86_400 * 10**9, end_ns=START_NS - 86_300 * 10**9)
    new = chat_span()
    source = store(place, old, new)
    middle = START_NS - 3 * 3_600 * 10**9
    assert [s.context for s in source.spans(Selection(since_ns=middle))] == [new.context]
    assert [s.context for s in source.spans(Selection(until_ns=middle))] == [old.context]
    one = Selection(trace=old.trace_id[:12])
    assert [s.context for s in source.spans(one)] == [old.context]


def test_more_traces_than_a_page_are_read(tmp_path: Path) -> None:
    """All of them, in order, from a file."""
    place = f"mlflow:{database(tmp_path)}"
    written = [chat_span() for _ in range(250)]
    assert [s.context for s in store(place, *written).spans()] == [s.context for s in written]


def test_a_server_that_knows_no_batches(
    server: MlflowServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is asked for each trace by itself, and the spans are the same."""
    place = f"mlflow:{server.url}?experiment=pages {secrets.token_hex(4)}"
    source = store(place, *conversation())
    at_once = list(source.spans())
    monkeypatch.setattr(reading, "_BATCH", "/api/3.0/mlflow/traces/nosuch")
    assert list(source.spans()) == at_once


def test_the_experiment_is_explained(place: str) -> None:
    """A name that is not there is met with those that are."""
    source = store(place, chat_span())
    wrong = load_source(place.replace("reading", "raeding"))
    with pytest.raises(ConfigurationError, match=r"did you mean 'reading \w+'"):
        list(wrong.spans())
    assert place.partition("experiment=")[2] in source.place


@pytest.fixture(params=["sqlite", "store"])
def two_experiments(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> str:
    """The specification of an MLflow with a trace in the default experiment and one in another."""
    for name in ("MLFLOW_EXPERIMENT_NAME", "MLFLOW_EXPERIMENT_ID"):
        monkeypatch.delenv(name, raising=False)
    if request.param == "store":
        monkeypatch.setattr(SqliteStore, "is_known", lambda _store: False)
    place = f"mlflow:{database(tmp_path)}"
    store(place, chat_span("By default?"))
    store(f"{place}?experiment=Greetings", chat_span("Elsewhere?"))
    return place


def asked(source: SourceBase) -> list[str]:
    return sorted(str(span.inputs["messages"][-1]["content"]) for span in source.spans())  # type: ignore[index,call-overload]


def test_by_default_the_experiment_is_read_that_traces_go_to(two_experiments: str) -> None:
    """Others are named, and read where they are asked for: one, or all of them."""
    source = load_source(two_experiments)
    remarks: list[str] = []
    source.remark = remarks.append
    assert source.place.endswith(", experiment Default")
    assert asked(source) == ["By default?"]
    assert remarks == ["left out: Greetings; see --experiment NAME and --all-experiments"]
    source.choose_experiment("Greetings")
    assert source.place.endswith(", experiment Greetings")
    assert asked(source) == ["Elsewhere?"]
    source.choose_experiment(None)
    assert source.place.endswith(", all experiments")
    assert asked(source) == ["By default?", "Elsewhere?"]


def test_the_environment_says_which_experiment_is_read(
    two_experiments: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As it says where traces go."""
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "Greetings")
    assert asked(load_source(two_experiments)) == ["Elsewhere?"]


def test_an_empty_default_experiment_hides_nothing(tmp_path: Path) -> None:
    """A program that sets its own experiment is found without being told of it."""
    place = f"mlflow:{database(tmp_path)}"
    store(f"{place}?experiment=Greetings", chat_span("Elsewhere?"))
    source = load_source(place)
    remarks: list[str] = []
    source.remark = remarks.append
    assert asked(source) == ["Elsewhere?"]
    assert source.place.endswith(", all experiments")
    assert remarks == ["experiment Default has no traces; reading all experiments: Greetings"]


def test_trouble_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that is away, a file that is no database, a database that is not there."""
    away = load_source(f"mlflow:http://127.0.0.1:{free_port()}")
    with pytest.raises(Unreadable, match="cannot reach"):
        list(away.spans())
    (tmp_path / "mlflow.db").write_bytes(b"no database, but long enough to look like one" * 100)
    with pytest.raises(Unreadable, match="not a database"):
        list(load_source(f"mlflow:sqlite:///{tmp_path}/mlflow.db").spans())
    missing = load_source(f"mlflow:sqlite:///{tmp_path}/nosuch.db")
    assert missing.is_empty
    with pytest.raises(ConfigurationError, match=r"no database .*nosuch\.db"):
        list(missing.spans())
    assert not (tmp_path / "nosuch.db").exists()


def test_what_others_stored_does_not_stop_it(tmp_path: Path) -> None:
    """A span that cannot be read is told of, and the others are read."""
    place = f"mlflow:{database(tmp_path)}"
    first, second = chat_span(), chat_span()
    source = store(place, first, second)
    with sqlite3.connect(tmp_path / "mlflow.db") as connection:
        connection.execute(
            "update spans set content = json_remove(content, '$.span_id') where span_id = ?",
            (first.span_id,),
        )
    problems: list[Exception] = []
    source.problem = lambda _place, error: problems.append(error)
    assert [span.context for span in source.spans()] == [second.context]
    assert len(problems) == 1


def test_the_default_is_where_traces_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """After the quickstart the commands find mlflow.db in the current folder."""
    import argparse

    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TRACE_SINKS", raising=False)
    parser = argparse.ArgumentParser()
    add_commands(parser.add_subparsers())
    options = parser.parse_args(["stats", "--json"])
    assert run(options, "x") == 2
    assert "neither mlflow.db nor traces.jsonl" in capsys.readouterr().err
    place = f"mlflow:{database(tmp_path)}"
    store(place, chat_span())
    assert run(options, "x") == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert (row["model"], row["count"]) == ("openai/gpt-4o-mini", 1)
    store(f"{place}?experiment=Greetings", chat_span())
    for more, calls in ((), 1), (("--experiment", "Greetings"), 1), (("--all-experiments",), 2):
        assert run(parser.parse_args(["stats", "--json", *more]), "x") == 0
        (row,) = json.loads(capsys.readouterr().out)
        assert row["count"] == calls
