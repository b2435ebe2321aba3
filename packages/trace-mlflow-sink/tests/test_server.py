"""To a server that answers in every possible way."""

from __future__ import annotations

import base64
import itertools
import json
import logging
import multiprocessing
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTracePartialSuccess,
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from support.mlflow_spans import chat_span
from trace_core import Background, Rejected, Retry, RetryLater, SinkError, Span, Spool, Tracer
from trace_mlflow_sink import MlflowSink
from trace_mlflow_sink._destination import Chooser
from trace_mlflow_sink._mapping import names

Answer = tuple[int, dict[str, str], bytes]


class FakeServer:
    """Just enough of MLflow's REST interface, with answers that tests replace."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, dict[str, str]]] = []
        self.experiments: dict[str, dict[str, Any]] = {}
        self.version = "3.17.2"
        self.on_spans: Callable[[list[str]], int | Answer] = lambda names: 200
        self.stored: list[str] = []
        self.closing = threading.Event()
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *args: object) -> None:
                """Say nothing."""

            def handle_any(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                server.requests.append((self.path, dict(self.headers)))
                status, headers, content = server.answer(self.path, body)
                self.send_response(status)
                for key, value in {**headers, "Content-Length": str(len(content))}.items():
                    self.send_header(key, value)
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_POST = handle_any  # noqa: N815  # names the base class looks for

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._http.server_port}"
        # looks every 10 ms whether to end, or each test would wait half a second for that
        threading.Thread(target=self._http.serve_forever, args=(0.01,), daemon=True).start()

    def answer(self, path: str, body: bytes) -> Answer:
        if path == "/version":
            return 200, {}, self.version.encode()
        if path == "/v1/traces":
            return self._take(body)
        if path == "/api/3.0/mlflow/traces":
            return _json(200, json.loads(body))  # as a server does: what it stored
        name = path.partition("experiment_name=")[2]
        if "get-by-name" in path:
            found = self.experiments.get(name)
            return _json(200, {"experiment": found}) if found else _json(404, {})
        if path.endswith("/create"):
            return self._create(json.loads(body)["name"])
        return _json(200, {})

    def _create(self, name: str) -> Answer:
        if name in self.experiments:
            return _json(400, {"error_code": "RESOURCE_ALREADY_EXISTS"})
        number = str(len(self.experiments) + 1)
        self.experiments[name] = {"experiment_id": number, "lifecycle_stage": "active"}
        return _json(200, {"experiment_id": number})

    def _take(self, body: bytes) -> Answer:
        request = ExportTraceServiceRequest.FromString(body)
        names = [
            span.name
            for group in request.resource_spans
            for scope in group.scope_spans
            for span in scope.spans
        ]
        answer = self.on_spans(names)
        status = answer if isinstance(answer, int) else answer[0]
        if status == 200:
            self.stored += names
        kind = {"Content-Type": "application/x-protobuf"} if status == 200 else {}
        return (status, kind, b"") if isinstance(answer, int) else answer

    def posts(self) -> list[dict[str, str]]:
        return [headers for path, headers in self.requests if path == "/v1/traces"]

    def close(self) -> None:
        self.closing.set()
        self._http.shutdown()
        self._http.server_close()


def _json(status: int, body: object) -> Answer:
    return status, {"Content-Type": "application/json"}, json.dumps(body).encode()


@pytest.fixture
def fake() -> Iterator[FakeServer]:
    """A server whose answers the test decides."""
    server = FakeServer()
    yield server
    server.close()


@pytest.fixture
def sink(fake: FakeServer) -> Iterator[MlflowSink]:
    """A sink that writes to it."""
    made = MlflowSink(fake.url, "LiteLLM", timeout=5.0)
    yield made
    made.close()


def spans(*names: str) -> list[Span]:
    return [chat_span(name=name) for name in names]


def test_a_batch_is_one_request(fake, sink):
    """Spans of many traces go together, over a connection that is kept."""
    sink.write(spans("a", "b"))
    sink.write(spans("c"))
    assert fake.stored == ["a", "b", "c"]
    assert len(fake.posts()) == 2
    headers = fake.posts()[0]
    assert headers["x-mlflow-experiment-id"] == "1"
    assert headers["Content-Type"] == "application/x-protobuf"


def test_the_experiment_is_found_or_made_once(fake, sink):
    """One look-up and one creation for all batches; an existing one is used."""
    sink.write(spans("a"))
    sink.write(spans("b"))
    assert [path for path, _ in fake.requests if path.endswith("create")] != []
    assert len([path for path, _ in fake.requests if "experiments" in path]) == 2
    MlflowSink(fake.url, "LiteLLM").write(spans("c"))
    assert list(fake.experiments) == ["LiteLLM"]


def test_an_experiment_made_by_another_process_is_used(fake, sink, monkeypatch):
    """Losing the race to make it is no error."""
    create = fake._create

    def race(name: str) -> Answer:
        create(name)
        return create(name)

    monkeypatch.setattr(fake, "_create", race)
    sink.write(spans("a"))
    assert fake.posts()[0]["x-mlflow-experiment-id"] == "1"


def test_a_deleted_experiment_is_told_and_waited_for(fake, sink):
    """Nothing is lost while somebody restores it."""
    fake.experiments["LiteLLM"] = {"experiment_id": "4", "lifecycle_stage": "deleted"}
    with pytest.raises(RetryLater, match="restore it") as waiting:
        sink.write(spans("a"))
    assert waiting.value.after
    fake.experiments["LiteLLM"]["lifecycle_stage"] = "active"
    sink.write(spans("a"))
    assert fake.stored == ["a"]


def test_an_experiment_that_vanished_is_looked_up_again(fake, sink):
    """After a 404 the next attempt finds or makes it anew."""
    sink.write(spans("a"))
    fake.experiments.clear()
    fake.on_spans = lambda names: 404
    with pytest.raises(RetryLater):
        sink.write(spans("b"))
    fake.on_spans = lambda names: 200
    sink.write(spans("b"))
    assert fake.stored == ["a", "b"]
    assert "LiteLLM" in fake.experiments


QUICKLY = Retry(first=0.01, longest=0.05)


@pytest.fixture
def queue(sink: MlflowSink) -> Iterator[Background]:
    """The sink behind a queue that tries again quickly."""
    made = Background(sink, retry=QUICKLY)
    yield made
    made.close(0)


@pytest.mark.parametrize("status", [400, 413, 422])
def test_one_refused_span_costs_no_other(fake, queue, status):
    """The batch is halved until the bad span is alone; all others are stored."""
    refusal = _json(status, {"detail": "bad value"})
    fake.on_spans = lambda names: refusal if "bad" in names else 200
    for batch in (spans("a", "b", "bad", "c", "d"), spans("e")):
        queue.write(batch)
    assert queue.flush(20)
    assert set(fake.stored) == {"a", "b", "c", "d", "e"}
    assert (queue.stats.delivered, queue.stats.dropped) == (5, 1)


@pytest.mark.parametrize("status", [400, 422])
def test_a_proxy_that_refuses_a_while_refuses_no_span(fake, queue, status):
    """A page of HTML is not MLflow's word: whatever it was the answer to is written again."""
    taken = itertools.count()
    page = (status, {"Content-Type": "text/html"}, b"<html>Bad Request</html>")
    fake.on_spans = lambda names: 200 if next(taken) % 5 == 4 else page
    for number in range(20):
        queue.write(spans(str(number)))
    while next(taken) < 40:
        queue.flush(0.1)
    fake.on_spans = lambda names: 200
    queue.close(20)  # offers at once what would wait until it is due
    assert queue.stats.dropped == 0
    assert set(fake.stored) == {str(number) for number in range(20)}


@pytest.mark.slow
def test_a_span_that_breaks_the_server_holds_up_no_other(fake, queue):
    """A 500 may be an outage, so the span is kept; the others are stored."""
    fake.on_spans = lambda names: 500 if "bad" in names else 200
    queue.write(spans("a", "bad", "b"))
    while queue.stats.pending > 1:
        queue.flush(0.1)
    assert set(fake.stored) == {"a", "b"}
    assert queue.stats.dropped == 0
    fake.on_spans = lambda names: 200
    queue.close(20)  # offers the span at once; a flush would wait until it is due
    assert queue.stats.pending == queue.stats.dropped == 0
    assert set(fake.stored) == {"a", "bad", "b"}


@pytest.mark.slow
@pytest.mark.parametrize("status", [400, 401, 403, 404, 413, 422, 500, 502, 503, 504, 507])
@pytest.mark.parametrize("elsewhere", [False, True])
def test_an_outage_of_any_kind_makes_no_dead_letter(fake, sink, queue, status, elsewhere):
    """A server that answers the same to everything says nothing about a span.

    Not even while another server accepts spans of the same sink.
    """
    sink._chooser = Chooser(None, "LiteLLM", None, Path(), fake.url)
    other = FakeServer()
    away = {names.TRACKING_URI: other.url}
    queue.write(spans("before"))
    assert queue.flush(20)
    fake.on_spans = lambda names: (status, {"Retry-After": "0"}, b"")
    for number in range(10):
        batch = spans(str(number))
        if elsewhere:
            batch.append(chat_span(name="other", attributes=away))
        queue.write(batch)
        before = len(fake.posts())
        while len(fake.posts()) == before and status not in (401, 403, 404):
            queue.flush(0.05)
    assert queue.stats.dropped == 0
    fake.on_spans = lambda names: 200
    if status in (401, 403, 404):  # those are left alone for half a minute
        queue.close(0)
    else:
        queue.close(20)  # offers at once what failed alone; a flush would wait until it is due
        assert queue.stats.pending == queue.stats.dropped == 0
        assert set(fake.stored) == {"before", *map(str, range(10))}
    other.close()


LOGIN = b"<!doctype html><html><body>Sign in</body></html>"


def _html(path: str, body: bytes) -> Answer:
    return 200, {"Content-Type": "text/html; charset=utf-8"}, LOGIN


def _redirecting(path: str, body: bytes) -> Answer:
    return _html(path, body) if path == "/login" else (302, {"Location": "/login"}, b"")


PARTIAL = ExportTraceServiceResponse(
    partial_success=ExportTracePartialSuccess(rejected_spans=1, error_message="too old")
)


@pytest.mark.parametrize("answer", [_html, _redirecting])
@pytest.mark.parametrize("only_spans", [False, True])
def test_a_login_page_is_no_proof_of_delivery(fake, sink, answer, only_spans):
    """An HTML answer with status 200, perhaps after a redirect, delivers nothing."""
    honest = fake.answer
    if only_spans:
        sink.write(spans("before"))
    fake.answer = lambda path, body: (
        honest(path, body) if only_spans and path != "/v1/traces" else answer(path, body)
    )
    for _ in range(2):
        with pytest.raises(RetryLater, match=r"is it an MLflow server|redirects to '/login'"):
            sink.write(spans("a", "b"))
    fake.answer = honest
    sink.write(spans("a", "b"))
    assert fake.stored == [*(["before"] if only_spans else []), "a", "b"]


@pytest.mark.parametrize(
    ("kind", "content", "stored"),
    [
        ("application/x-protobuf", b"", True),
        ("application/x-protobuf; charset=utf-8", b"", True),
        ("application/json", b"{}", True),
        ("application/json", b'{"partialSuccess": null}', True),
        ("application/x-protobuf", b'{"partialSuccess":null}', True),  # MLflow 3.6
        ("application/json", b'{"status": "ok"}', False),
        ("application/json", b"[]", False),
        ("application/x-protobuf", LOGIN, False),
        ("text/plain", b"", False),
        ("", b"", False),
    ],
)
def test_only_an_answer_of_an_otlp_receiver_is_proof(fake, sink, kind, content, stored):
    """The content type must be right and the body must parse."""
    fake.on_spans = lambda names: (200, {"Content-Type": kind} if kind else {}, content)
    if stored:
        sink.write(spans("a"))
    else:
        with pytest.raises(RetryLater, match="is it an MLflow server"):
            sink.write(spans("a"))


def test_a_partial_success_is_a_refusal_of_the_batch(fake, sink):
    """It says how many spans were refused, not which."""

    def answer(names: list[str]) -> int | Answer:
        body = PARTIAL.SerializeToString() if "bad" in names else b""
        return 200, {"Content-Type": "application/x-protobuf"}, body

    fake.on_spans = answer
    sink.write(spans("a"))
    with pytest.raises(Rejected, match="refused 1 of the spans: too old"):
        sink.write(spans("b", "bad"))
    with pytest.raises(SinkError):
        sink.write(spans("b", "bad"))


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"Retry-After": "7"}, 7.0),
        ({"Retry-After": "99999"}, 300.0),
        ({"Retry-After": "soon"}, None),
        ({"Retry-After": "nan"}, None),
        ({}, None),
    ],
)
@pytest.mark.parametrize("status", [429, 503])
def test_a_server_may_ask_for_patience(fake, sink, status, headers, expected):
    """``Retry-After`` is passed on to whoever repeats the write, within reason."""
    fake.on_spans = lambda names: (status, headers, b"")
    with pytest.raises(RetryLater) as waiting:
        sink.write(spans("a"))
    assert waiting.value.after == expected


def test_patience_may_be_a_date(fake, sink):
    """``Retry-After`` may be a date in the future."""
    date = formatdate(time.time() + 100, usegmt=True)
    fake.on_spans = lambda names: (503, {"Retry-After": date}, b"")
    with pytest.raises(RetryLater) as waiting:
        sink.write(spans("a"))
    assert 0 < (waiting.value.after or 0) <= 100


@pytest.mark.parametrize("status", [401, 403])
def test_missing_credentials_are_told(fake, sink, status, monkeypatch):
    """The message says what to set; credentials set later are used."""
    fake.on_spans = lambda names: status
    with pytest.raises(RetryLater, match="MLFLOW_TRACKING_USERNAME"):
        sink.write(spans("a"))
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "t0ken")
    fake.on_spans = lambda names: 200
    sink.write(spans("a"))
    assert fake.posts()[-1]["Authorization"] == "Bearer t0ken"


def test_credentials_of_the_environment_win(fake, sink, monkeypatch, tmp_path):
    """User name and password beat the token, the environment beats the file, as in MLflow."""
    folder = tmp_path / ".mlflow"
    folder.mkdir()
    (folder / "credentials").write_text(
        "[mlflow]\nmlflow_tracking_username = file\nmlflow_tracking_password = 50%\n"
    )
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "t0ken")
    sink.write(spans("a"))
    sink.close()
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "env")
    sink.write(spans("b"))
    sent = [headers["Authorization"].removeprefix("Basic ") for headers in fake.posts()]
    assert [base64.b64decode(text) for text in sent] == [b"file:50%", b"env:50%"]


def test_credentials_may_be_in_the_address(fake):
    """A user name and password in the tracking URI are used, not sent along with the address."""
    address = fake.url.replace("http://", "http://me:p%40ss@")
    MlflowSink(address, "LiteLLM").write(spans("a"))
    sent = fake.posts()[0]["Authorization"].removeprefix("Basic ")
    assert base64.b64decode(sent) == b"me:p@ss"


def test_credentials_are_never_logged(fake, monkeypatch, caplog):
    """Not when it works, not when it fails, not at debug level."""
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "user")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "s3cret")
    caplog.set_level(logging.DEBUG)
    address = fake.url.replace("http://", "http://someone:s3cret@")
    fake.on_spans = lambda names: 401
    with pytest.raises(RetryLater) as refusal:
        MlflowSink(address, "LiteLLM").write(spans("a"))
    fake.close()
    with pytest.raises(SinkError) as failure:
        MlflowSink(address, "LiteLLM", timeout=1).write(spans("a"))
    assert "s3cret" not in caplog.text + str(refusal.value) + str(failure.value)


def _deleted(fake: FakeServer) -> Callable[[], None]:
    experiment = {"experiment_id": "1", "lifecycle_stage": "deleted"}
    fake.experiments["LiteLLM"] = experiment
    return lambda: experiment.update(lifecycle_stage="active")


def _answering(answer: int | Answer) -> Callable[[FakeServer], Callable[[], None]]:
    def begin(fake: FakeServer) -> Callable[[], None]:
        fake.on_spans = lambda names: answer
        return lambda: setattr(fake, "on_spans", lambda names: 200)

    return begin


def _slow(fake: FakeServer) -> Callable[[], None]:
    healed = threading.Event()
    # not 500 as it is healed: a request that is under way then would have trouble of another kind
    fake.on_spans = lambda names: 200 if healed.is_set() else (fake.closing.wait(30) and 500)
    return healed.set


def _login_page(fake: FakeServer) -> Callable[[], None]:
    honest = fake.answer
    fake.answer = lambda path, body: (200, {}, b"<html>log in</html>")  # type: ignore[method-assign]
    return lambda: setattr(fake, "answer", honest)


@pytest.mark.parametrize(
    ("trouble", "said"),
    [
        (_deleted, "is deleted: restore it or choose another"),
        (_answering(401), "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"),
        (_answering(403), "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"),
        (_answering(404), "the experiment was deleted, or the address is not that of an MLflow"),
        (_answering((429, {"Retry-After": "60"}, b"slow down")), "answered 429: slow down"),
        (_answering((500, {}, b"oh")), "answered 500: oh"),
        (_answering((503, {}, b"later")), "answered 503: later"),
        (_slow, "ReadTimeout"),
        (_login_page, "answered with '<html>log in</html>': is it an MLflow server?"),
    ],
)
def test_trouble_is_told_once_and_costs_nothing(
    fake: FakeServer,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    trouble: Callable[[FakeServer], Callable[[], None]],
    said: str,
):
    """Spans wait on disk, the log has one warning with the way out, then they are delivered."""
    monkeypatch.setattr("trace_core._log._said", {})
    heal = trouble(fake)
    spool = Spool(tmp_path, MlflowSink(fake.url, "LiteLLM", timeout=0.5), retry=QUICKLY)
    spool.write(spans("a", "b"))
    while not warnings_in(caplog) or len(fake.requests) < 3:
        assert not spool.flush(0.1)
    for _ in range(3):
        assert not spool.flush(0.1)
    assert spool.stats.pending == 2
    heal()
    assert spool.flush(20)
    spool.close()
    assert sorted(fake.stored) == ["a", "b"]
    (warning,) = warnings_in(caplog)
    assert said in warning


def warnings_in(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return what was warned of so far."""
    return [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING]


def test_an_address_with_tls_where_there_is_none_is_told_once(
    fake: FakeServer,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
):
    """The spans wait; the log names the variables for certificates."""
    monkeypatch.setattr("trace_core._log._said", {})
    sink = MlflowSink(fake.url.replace("http:", "https:"), "LiteLLM")
    spool = Spool(tmp_path, sink, retry=QUICKLY)
    spool.write(spans("a", "b"))
    while not warnings_in(caplog):
        assert not spool.flush(0.1)
    for _ in range(3):
        assert not spool.flush(0.1)
    assert spool.stats.pending == 2
    assert caplog.text.count("MLFLOW_TRACKING_SERVER_CERT_PATH") == 1
    spool.close()


def test_a_span_too_large_for_the_server_is_set_aside(
    fake: FakeServer,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
):
    """A dead letter, with what to raise; its neighbours arrive."""
    monkeypatch.setattr("trace_core._log._said", {})
    fake.on_spans = lambda names: (413, {}, b"too large") if "big" in names else 200
    spool = Spool(tmp_path, MlflowSink(fake.url, "LiteLLM"), retry=Retry(first=0.01))
    spool.write(spans("a", "big", "b"))
    assert spool.flush(20)
    assert spool.stats.dropped == 1
    spool.close()
    assert set(fake.stored) == {"a", "b"}
    (letters,) = tmp_path.rglob("dead*.jsonl")
    assert '"big"' in letters.read_text()
    assert "refused for good" in caplog.text
    assert "answered 413: too large; in nginx, client_max_body_size sets the limit" in caplog.text


def test_a_server_that_is_away_is_a_reason_to_try_again():
    """The message names the address; nothing is rejected."""
    with pytest.raises(
        SinkError, match=r"cannot reach an MLflow server at http://127.0.0.1:1"
    ) as failure:
        MlflowSink("http://127.0.0.1:1", "LiteLLM", timeout=1).write(spans("a"))
    assert not isinstance(failure.value, (Rejected, RetryLater))


@pytest.mark.parametrize("place", ["http://127.0.0.1:1", "file:///tmp/mlruns"])
def test_a_destination_in_trouble_costs_no_other(fake, place):
    """Spans of one batch for another place are written, and none of them is refused."""
    bad = chat_span(name="bad", attributes={names.TRACKING_URI: place})
    good = chat_span(name="good", attributes={names.TRACKING_URI: fake.url})
    with pytest.raises(SinkError) as failure:
        MlflowSink(experiment="LiteLLM", timeout=5).write([bad, good])
    assert fake.stored == ["good"]
    assert not isinstance(failure.value, Rejected)


def test_an_old_server_is_told_to_be_upgraded(fake, sink):
    """A version without traces of our own ids cannot be written to."""
    fake.version = "2.22.4"
    with pytest.raises(SinkError, match=r"upgrade it to 3.2 or newer"):
        sink.write(spans("a"))


def test_a_server_that_was_upgraded_meanwhile_is_asked_again(fake, sink):
    """A failure makes the next write ask for the version."""
    fake.version = "2.22.4"
    with pytest.raises(SinkError):
        sink.write(spans("a"))
    fake.version = "3.18.0.dev0"
    sink.write(spans("a"))
    assert fake.stored == ["a"]


def test_run_and_workspace_are_headers(fake, monkeypatch):
    """They go with the request, so spans of different runs go apart."""
    monkeypatch.setenv("MLFLOW_WORKSPACE", "team")
    both = [chat_span(name=run, attributes={"trace.mlflow.run_id": run}) for run in ("r1", "r2")]
    monkeypatch.setenv("MLFLOW_TRACKING_URI", fake.url)
    MlflowSink(experiment="LiteLLM").write(both)
    assert [headers["x-mlflow-run-id"] for headers in fake.posts()] == ["r1", "r2"]
    assert {headers["X-MLFLOW-WORKSPACE"] for headers in fake.posts()} == {"team"}


def test_spans_still_open_are_not_written(fake, sink):
    """MLflow would show an open root as one that ended in 1970."""
    sink.write([chat_span(name="open", end_ns=0), *spans("done")])
    assert fake.stored == ["done"]


def test_sampling_is_honoured(fake, sink, monkeypatch):
    """``MLFLOW_TRACE_SAMPLING_RATIO`` keeps or drops whole traces."""
    monkeypatch.setenv("MLFLOW_TRACE_SAMPLING_RATIO", "0")
    sink.write(spans("a"))
    assert fake.stored == []
    monkeypatch.setenv("MLFLOW_TRACE_SAMPLING_RATIO", "0.5")
    sink.write(spans(*map(str, range(200))))
    assert 50 < len(fake.stored) < 150


def _write_in_child(sink: MlflowSink, result: Any) -> None:
    sink.write(spans("child"))
    result.put(True)


def test_a_forked_child_opens_connections_of_its_own(fake, sink):
    """Parent and child both go on writing after a fork."""
    sink.write(spans("before"))
    fork = multiprocessing.get_context("fork")
    result = fork.Queue()
    child = fork.Process(target=_write_in_child, args=(sink, result))
    child.start()
    assert result.get(timeout=30)
    child.join(30)
    sink.write(spans("after"))
    assert sorted(fake.stored) == ["after", "before", "child"]


def test_a_slow_server_costs_the_caller_nothing(fake):
    """Behind a queue, ending a span returns before the server has answered."""
    answered = threading.Event()
    fake.on_spans = lambda names: answered.wait(10) and 200
    tracer = Tracer(Background(MlflowSink(fake.url, "LiteLLM")))
    with tracer.span("a"):
        pass
    assert not fake.stored
    answered.set()
    assert tracer.flush(10)
    assert fake.stored == ["a"]
    tracer.close()


def test_a_fork_waits_for_all_that_a_first_write_imports() -> None:
    """Whatever the sink's thread imports, a child forked meanwhile can import as well."""
    program = """
import sys
from trace_core import Span, SpanContext, SpanKind, SinkError
from trace_core._lifecycle import _guard
from trace_mlflow_sink import MlflowSink

span = Span(SpanContext("1" * 32, "1" * 16), None, "x", SpanKind.LLM, 1, 2)
sink = MlflowSink("http://localhost:9")

def tell(event, arguments):
    if event == "import" and not _guard.lock._is_owned():
        print(arguments[0])

sys.addaudithook(tell)
try:
    sink.write((span,))
except SinkError as error:
    assert "cannot reach" in str(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, check=True, text=True, timeout=120
    )
    assert done.stdout == ""
