"""Which MLflow and which experiment a span goes to."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

from support.mlflow_spans import chat_span
from trace_core import ConfigurationError, load_sink
from trace_mlflow_sink import MlflowSink
from trace_mlflow_sink import _destination as destination
from trace_mlflow_sink._mapping import names


def choose(environ=None, *, uri=None, experiment=None, **said):
    """Return the destination for a span with private attributes."""
    chooser = destination.Chooser(uri, experiment, None, Path("/here"))
    keys = {key: getattr(names, key.upper()) for key in said}
    span = chat_span(attributes={keys[key]: value for key, value in said.items()})
    return chooser.choose(span, environ or {})


def test_the_default_is_mlflows_own():
    """With nothing said, the database in the folder the program was started in."""
    found = choose()
    assert found.uri == "sqlite:////here/mlflow.db"
    assert (found.experiment_id, found.experiment) == (None, "Default")


def test_an_argument_wins():
    """Arguments beat what MLflow says, which beats the environment."""
    environ = {"MLFLOW_TRACKING_URI": "http://env", "MLFLOW_EXPERIMENT_NAME": "env"}
    assert choose(environ).uri == "http://env"
    assert choose(environ).experiment == "env"
    told = {"tracking_uri": "http://told", "experiment_id": "7"}
    assert choose(environ, **told).uri == "http://told"
    assert choose(environ, **told).experiment_id == "7"
    assert choose(environ, uri="http://arg/", experiment="arg", **told).uri == "http://arg"
    assert choose(environ, uri="http://arg", experiment="arg", **told).experiment == "arg"


def test_an_id_of_another_store_does_not_count():
    """MLflow's experiment 7 is another one in the sink's own store."""
    found = choose(uri="http://arg", tracking_uri="http://told", experiment_id="7")
    assert (found.experiment_id, found.experiment) == (None, "Default")


def test_a_live_trace_keeps_its_experiment():
    """A span inside MLflow's own trace goes where that goes."""
    span = chat_span(attributes={names.EXPERIMENT_ID: "7", names.LIVE: True})
    chooser = destination.Chooser(None, "mine", None, Path("/here"))
    assert chooser.choose(span, {}).experiment_id == "7"


def test_run_and_workspace_travel():
    """The run and workspace of the moment of the call are kept."""
    found = choose(run_id="r1", workspace="w1")
    assert (found.run_id, found.workspace) == ("r1", "w1")
    assert choose({"MLFLOW_WORKSPACE": "env"}).workspace == "env"


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("sqlite:///x.db", "sqlite:////here/x.db"),
        ("sqlite:////abs/x.db", "sqlite:////abs/x.db"),
        ("sqlite:///x.db?timeout=5", "sqlite:////here/x.db?timeout=5"),
        ("sqlite:///:memory:", "sqlite:///:memory:"),
        ("http://host/mlflow/", "http://host/mlflow"),
        ("postgresql://u:p@h/db", "postgresql://u:p@h/db"),
    ],
)
def test_relative_databases_are_anchored(uri, expected):
    """A later change of folder changes no destination."""
    assert destination.Chooser(None, None, None, Path("/here")).absolute(uri) == expected


def test_passwords_do_not_travel_on_spans():
    """A span may be printed or spooled; the password stays in the process that knows it."""
    uri = "http://user:secret@host:5000"
    travelling = destination.hide_password(uri)
    assert "secret" not in travelling
    assert destination.restore_password(travelling, None) == uri
    assert choose(tracking_uri=travelling).uri == uri
    elsewhere = travelling.replace("#", "#0")  # a process that never saw it
    assert destination.restore_password(elsewhere, uri) == uri
    assert destination.restore_password(elsewhere, None) == "http://host:5000"


def test_a_spec_configures_the_sink():
    """The sink is found by name, with a URI and options."""
    sink = load_sink("mlflow:http://127.0.0.1:5000?experiment=LiteLLM&timeout=3")
    assert isinstance(sink, MlflowSink)
    assert repr(sink) == ("MlflowSink(tracking_uri='http://127.0.0.1:5000', experiment='LiteLLM')")


def test_no_password_in_repr():
    """A sink can be printed."""
    assert "secret" not in repr(MlflowSink("http://user:secret@host"))


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda: MlflowSink("ftp://x"), "sqlite:///mlflow.db"),
        (lambda: MlflowSink("./mlruns"), "sqlite:///mlflow.db"),
        (lambda: MlflowSink(experiment="a", experiment_id="1"), "not both"),
        (lambda: MlflowSink(experiment=" "), "experiment is empty"),
        (lambda: MlflowSink(experiment_id="abc"), "'abc'; wanted a number .experiment takes"),
        (lambda: MlflowSink(experiment_id=-1), "wanted a number"),
        (lambda: MlflowSink.from_spec("?experiment_id=abc"), "wanted a number"),
        (lambda: MlflowSink.from_spec("?experiment_id="), "wanted a number"),
        (lambda: MlflowSink.from_spec("sqlite:"), "names no database; wanted sqlite:///FILE$"),
        (lambda: MlflowSink("sqlite://"), "wanted sqlite:///FILE$"),
        (lambda: MlflowSink("sqlite:///"), "wanted sqlite:///FILE$"),
        (lambda: MlflowSink("sqlite:x.db"), "did you mean 'sqlite:///x.db'?"),
        (lambda: MlflowSink("sqlite://x/y.db"), "did you mean 'sqlite:///x/y.db'?"),
        (lambda: MlflowSink("postgresql:"), "wanted postgresql://USER@HOST/DATABASE"),
        (lambda: MlflowSink("mysql+pymysql://"), r"wanted mysql\+pymysql://USER@HOST/DATABASE"),
        (lambda: MlflowSink(timeout=0), "more than 0"),
        (lambda: MlflowSink(names="x"), "wanted one of otel, autolog"),
        (lambda: MlflowSink(timeout=float("nan")), "more than 0"),
        (lambda: MlflowSink.from_spec("http://x?experimnt=a"), "known are default_uri, experiment"),
        (lambda: MlflowSink.from_spec("http://x?timeout=soon"), "is not a number"),
    ],
)
def test_bad_arguments_say_what_to_do(make, expected):
    """A mistake is told when the sink is made, with the way out."""
    with pytest.raises(ConfigurationError, match=expected):
        make()


@pytest.mark.parametrize(
    "uri",
    [
        "sqlite:///x.db",
        "sqlite:////tmp/x.db",
        "sqlite:///:memory:",
        "sqlite:///file:x.db?uri=true",
        "postgresql:///traces",
        "postgresql+psycopg2://user:password@host/traces",
        "mysql+pymysql://user@/traces?unix_socket=/run/mysqld.sock",
        "mssql+pyodbc:///?odbc_connect=Driver",
        "mssql+pyodbc://a-dsn",
    ],
)
def test_ways_to_name_a_database(uri):
    """Also those without a host."""
    MlflowSink(uri)


def test_a_database_needs_mlflow(monkeypatch):
    """Without MLflow a database is refused at once, with what to install."""
    monkeypatch.delitem(__import__("sys").modules, "mlflow", raising=False)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigurationError, match=r"pip install 'trace-mlflow-sink\[mlflow\]'"):
        MlflowSink("sqlite:///x.db")
    MlflowSink("http://host")


def test_mlflow_tracing_alone_is_enough_for_a_server(monkeypatch):
    """A database needs MLflow's store, which that package does not have."""
    find = importlib.util.find_spec
    monkeypatch.delitem(sys.modules, "sqlalchemy", raising=False)
    monkeypatch.setattr(
        "importlib.util.find_spec", lambda name: None if name == "sqlalchemy" else find(name)
    )
    with pytest.raises(ConfigurationError, match="mlflow-tracing alone is not enough"):
        MlflowSink("sqlite:///x.db")
    MlflowSink("http://host")
    MlflowSink("databricks")


def test_the_drain_at_exit_waits_longer_for_a_database(monkeypatch):
    """The first write to a database makes it, which takes a while."""
    assert MlflowSink("http://host").exit_timeout == 3.5
    assert MlflowSink("sqlite:///x.db").exit_timeout > 5.0
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://host")
    assert MlflowSink().exit_timeout == 3.5


@pytest.mark.parametrize(
    "target",
    [
        "http://127.0.0.1:5000",
        "http://127.0.0.1:5000?experiment=My+calls",
        "http://127.0.0.1:5000?experiment_id=7",
        "sqlite:////tmp/traces.db?experiment=A",
        "http://127.0.0.1:5000?names=autolog",
        "?default_uri=http://127.0.0.1:5000",
        "?default_uri=sqlite:////tmp/traces.db&experiment=A",
    ],
)
def test_spool_key_makes_the_sink_again(target: str) -> None:
    """A later process, or the command line, can deliver what a spool holds by its key alone."""
    key = MlflowSink.from_spec(target).spool_key
    assert key == f"mlflow:{target}"
    assert MlflowSink.from_spec(key.removeprefix("mlflow:")).spool_key == key


def test_what_a_span_says_counts_for_the_sink_made_again() -> None:
    """What is delivered by a key goes where it would have gone, also where that is several."""
    environ = {"MLFLOW_TRACKING_URI": "http://env"}
    told = chat_span(attributes={names.TRACKING_URI: "http://told", names.EXPERIMENT_ID: "7"})
    for argument, expected in ((None, "http://told"), ("http://arg", "http://arg")):
        key = MlflowSink(argument).spool_key
        again = MlflowSink.from_spec(key.removeprefix("mlflow:"))
        assert again._chooser.choose(told, environ).uri == expected
    default = MlflowSink(default_uri="http://default")._chooser
    assert default.choose(chat_span(), environ).uri == "http://default"
    assert default.choose_uri(environ) == "http://default"


def test_spool_key_has_no_password() -> None:
    """The key is written to a disk."""
    uri = "http://me:secret@127.0.0.1:5000"
    assert "secret" not in MlflowSink(uri).spool_key + MlflowSink(default_uri=uri).spool_key
