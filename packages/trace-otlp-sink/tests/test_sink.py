"""The sink against a strict collector that answers in every possible way."""

from __future__ import annotations

import logging
import multiprocessing
import time
from collections.abc import Iterator, Sequence
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest

from support.collector import Collector, Stored, good, partial, status
from trace_core import (
    Background,
    ConfigurationError,
    MemorySink,
    Rejected,
    Retry,
    RetryLater,
    Scope,
    Sink,
    SinkError,
    Span,
    SpanContext,
    SpanKind,
    Spool,
    load_sink,
)
from trace_core.testing import SinkContract, sample_spans
from trace_otlp_sink import OtlpSink

SECRET = "s3cr3t/+v4lue-of-a-header"


def send(sink: Sink, batch: Sequence[Span]) -> None:
    """Write with a sink that is used once."""
    sink.write(batch)
    sink.close()


def spans(*names: str) -> list[Span]:
    made = []
    for number, name in enumerate(names, 1):
        context = SpanContext(f"{abs(hash(name)) or 1:032x}", f"{number:016x}")
        made.append(Span(context, None, name, SpanKind.INTERNAL, 1, 2))
    return made


@pytest.fixture
def sink(collector: Collector) -> Iterator[OtlpSink]:
    made = OtlpSink(collector.url, timeout=30)
    yield made
    made.close()


@pytest.mark.parametrize("compression", ["none", "gzip"])
class TestContract(SinkContract):
    """What every sink must do."""

    @pytest.fixture(autouse=True)
    def _collector(self, collector: Collector, compression: str) -> None:
        self.collector, self.compression = collector, compression

    def make_sink(self) -> Sink:
        return OtlpSink(self.collector.url, compression=self.compression, timeout=30)

    def written(self, sink: Sink) -> Sequence[str]:
        return list(dict.fromkeys(span.span_id for span in self.collector.spans))


# What is sent


def test_a_batch_is_one_request(collector, sink):
    """Resource, scope, ids, parents, times and status are in it."""
    sink.write(sample_spans())
    assert len(collector.requests) == 1
    call, failed, root = collector.spans
    assert call.parent_id == failed.parent_id == root.span_id
    assert (call.kind, root.kind) == (3, 1)
    assert (call.status, failed.status, failed.message) == (1, 2, "no such tool")
    assert failed.attributes["error.type"] == "_OTHER"
    assert call.end_ns - call.start_ns == 1_000
    assert call.events[0][0] == "trace.stream.first_chunk"
    assert call.scope == "trace_core"
    assert collector.requests[0].headers["User-Agent"] == "trace-otlp-sink"


def test_compression_makes_it_smaller(collector):
    """``gzip`` is asked for by argument or variable."""
    batch = sample_spans() * 50
    send(OtlpSink(collector.url), batch)
    send(OtlpSink(collector.url, compression="gzip"), batch)
    plain, packed = collector.requests
    assert packed.size < plain.size / 5
    assert packed.headers["Content-Encoding"] == "gzip"


def test_the_resource_is_the_programs(collector, monkeypatch):
    """A span's own resource wins over the environment, an argument over both."""
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "service.name=r,deployment=a%2Cb,host=h")
    span = Span(
        SpanContext("1" * 32, "1" * 16), None, "x", SpanKind.LLM, 1, 2, resource={"host": "own"}
    )
    send(OtlpSink(collector.url), [span])
    monkeypatch.setenv("OTEL_SERVICE_NAME", "s")
    send(OtlpSink(collector.url), [span])
    send(OtlpSink(collector.url, resource={"service.name": "arg", "host": "arg"}), [span])
    send(load_sink(f"otlp:{collector.url}?service=spec"), [span])
    found = [stored.resource for stored in collector.spans]
    assert [r["service.name"] for r in found] == ["r", "s", "arg", "spec"]
    assert [r["host"] for r in found] == ["own", "own", "arg", "own"]
    assert found[0]["deployment"] == "a,b"
    assert found[0]["telemetry.sdk.language"] == "python"


def test_spans_are_grouped_by_scope(collector, sink):
    """Spans of two instrumentations go in one request."""
    scoped = [
        Span(SpanContext("1" * 32, f"{n:016x}"), None, "x", SpanKind.LLM, 1, 2, scope=Scope(name))
        for n, name in enumerate(["a", "b", "a"], 1)
    ]
    sink.write(scoped)
    assert [span.scope for span in collector.spans] == ["a", "a", "b"]


# What the answers mean


@pytest.mark.parametrize(
    ("headers", "expected"),
    [({}, None), ({"Retry_After": "7"}, 7.0), ({"Retry_After": "99999"}, 300.0)],
)
@pytest.mark.parametrize("code", [429, 502, 503, 504])
def test_a_busy_collector_is_waited_for(collector, sink, code, headers, expected):
    """The four statuses that OTLP calls retryable, as long as they ask for."""
    collector.on_spans = lambda spans: status(code, **headers)
    with pytest.raises(RetryLater) as failure:
        sink.write(spans("a"))
    assert failure.value.after == expected


def test_a_wait_may_be_a_date(collector, sink):
    """``Retry-After`` has two forms."""
    collector.on_spans = lambda spans: status(503, Retry_After=formatdate(time.time() + 60))
    with pytest.raises(RetryLater) as failure:
        sink.write(spans("a"))
    assert failure.value.after is not None
    assert 30 < failure.value.after <= 61


@pytest.mark.parametrize(
    "answer",
    [
        status(200, "text/html", b"<html>Sign in</html>"),
        status(200, "text/plain"),
        status(200, "application/x-protobuf", b"<html>"),
        status(200, "application/json", b'{"status": "ok"}'),
        status(302, "text/html", Location="/login"),
        status(401, "text/html"),
        status(403, "application/json", b"{}"),
        status(404, "text/plain"),
        status(405, "application/json", b"{}"),
        status(400, "text/html", b"<html>blocked</html>"),
        status(500, "application/json", b"{}"),
        status(503, "text/html"),
    ],
)
def test_an_outage_of_any_kind_refuses_no_span(collector, sink, answer):
    """A login page, a wrong path, a proxy that blocks: none says anything of a span."""
    collector.on_spans = lambda spans: answer
    with pytest.raises(SinkError) as failure:
        sink.write(spans("a"))
    assert not isinstance(failure.value, Rejected)
    collector.on_spans = lambda spans: good()
    sink.write(spans("a"))
    assert [span.name for span in collector.spans if span.name == "a"][-1:] == ["a"]


@pytest.mark.parametrize("code", [400, 413, 422])
def test_a_refused_body_is_a_refusal(collector, sink, code):
    """The collector itself has said that it will not take this."""
    collector.on_spans = lambda spans: status(code)
    with pytest.raises(Rejected):
        sink.write(spans("a"))


@pytest.mark.parametrize("bad", [{3}, {0, 1}, {1, 6, 7}, set(range(8)) - {4}])
def test_a_partial_refusal_is_searched_for_its_spans(collector, sink, bad):
    """OTLP counts them and does not name them: they are found, the others are stored."""
    batch = spans(*map(str, range(8)))

    def answer(found: list[Stored]) -> Any:
        refused = sum(int(span.name) in bad for span in found)
        stored.update(span.name for span in found if int(span.name) not in bad)
        return partial(refused, "too old") if refused else good()

    stored: set[str] = set()
    collector.on_spans = answer
    with pytest.raises(Rejected, match=f"refused {len(bad)} of 8 spans: too old") as refusal:
        sink.write(batch)
    assert [int(span.name) for span in refusal.value.spans] == sorted(bad)
    assert stored == {span.name for span in batch} - {span.name for span in refusal.value.spans}
    assert len(collector.requests) <= 1 + 6 * len(bad)


def test_a_refusal_that_does_not_last_refuses_none(collector, sink):
    """Such as that of a server which was busy: what it did not store the first time, it has."""
    moods = [partial(1, "busy")]
    collector.on_spans = lambda spans: moods.pop() if moods else good()
    sink.write(spans("a", "b", "c"))
    assert [request.names for request in collector.requests] == [["a", "b", "c"], ["a"], ["b", "c"]]


def test_an_outage_in_the_search_is_no_refusal(collector, sink):
    """The whole batch is offered again, later."""
    moods = [status(503), partial(1, "too old")]
    collector.on_spans = lambda spans: moods.pop()
    with pytest.raises(RetryLater):
        sink.write(spans("a", "b", "c"))


def test_each_span_of_a_partial_refusal_is_counted(collector, queue):
    """As refused, with all others delivered."""

    def answer(found: list[Stored]) -> Any:
        refused = sum(span.name == "bad" for span in found)
        return partial(refused, "too old") if refused else good()

    collector.on_spans = answer
    queue.write(spans("a", "bad", "b", "c", "bad", "d"))
    assert queue.flush(30)
    stats = queue.stats
    assert (stats.delivered, stats.dropped_by_reason) == (4, {"rejected by the sink": 2})


def test_doctor_asks_the_collector(collector, sink):
    """By a request without spans; an outage and a refused login are said."""
    assert (sink.place, sink.check(30)) == (
        f"{collector.url}/v1/traces",
        "the server answers and lets us in",
    )
    assert collector.spans == []
    collector.on_spans = lambda spans: status(401, "text/plain", b"who are you?")
    with pytest.raises(SinkError, match=r"401.*OTEL_EXPORTER_OTLP_HEADERS"):
        sink.check(30)
    collector.stop()
    with pytest.raises(SinkError, match="cannot reach"):
        sink.check(30)


def test_a_warning_of_the_collector_is_logged(collector, sink, caplog):
    """A message without refused spans."""
    collector.on_spans = lambda spans: partial(0, "use gzip")
    with caplog.at_level(logging.WARNING):
        sink.write(spans("a"))
    assert "use gzip" in caplog.text


def test_all_refused_is_a_refusal(collector, sink):
    """Nothing was stored, so the search for the bad span stores nothing twice."""
    collector.on_spans = lambda spans: partial(2, "bad")
    with pytest.raises(Rejected, match="bad"):
        sink.write(spans("a", "b"))


@pytest.fixture
def queue(sink: OtlpSink) -> Iterator[Background]:
    made = Background(sink, batch_size=8, retry=Retry(0.0, jitter=0.0))
    yield made
    made.close(10)


@pytest.mark.parametrize("refusal", [partial(1, "bad"), status(400), status(422)])
def test_one_refused_span_costs_no_other(collector, queue, refusal):
    """The span alone becomes a dead letter."""

    def answer(found: list[Stored]) -> Any:
        if any(span.name == "bad" for span in found):
            return partial(len(found), "bad") if refusal[0] == 200 else refusal
        return good()

    collector.on_spans = answer
    queue.write(spans("a", "bad", "b", "c"))
    names = lambda: {span.name for span in collector.spans if span.name != "bad"}  # noqa: E731
    assert collector.wait(lambda: names() == {"a", "b", "c"})
    number = 0
    while queue.stats.dropped == 0 and number < 50:
        queue.write(spans(f"more {number}"))
        queue.flush(2)
        number += 1
    assert queue.stats.dropped == 1


def test_a_collector_that_is_away_is_waited_for(collector, sink):
    """And found again on the same address."""
    collector.stop()
    with pytest.raises(SinkError, match="cannot reach an OTLP receiver at"):
        sink.write(spans("a"))
    collector.start()
    sink.write(spans("a"))
    assert [span.name for span in collector.spans] == ["a"]


def test_spans_wait_in_the_spool(collector, sink, tmp_path):
    """What was accepted while the collector was away is delivered when it is back."""
    collector.stop()
    spool = Spool(tmp_path, sink, retry=Retry(0.05, longest=0.1))
    spool.write(sample_spans())
    assert not spool.flush(0.2)
    collector.start()
    assert spool.flush(30)
    spool.close(10)
    assert {span.span_id for span in collector.spans} == {s.span_id for s in sample_spans()}


def _write_in_child(sink: OtlpSink, result: Any) -> None:
    sink.write(spans("child"))
    result.put("ok")


def test_a_forked_child_opens_connections_of_its_own(collector, sink):
    """The parent's stay open."""
    sink.write(spans("before"))
    fork = multiprocessing.get_context("fork")
    result = fork.Queue()
    child = fork.Process(target=_write_in_child, args=(sink, result))
    child.start()
    child.join(30)
    assert result.get(timeout=10) == "ok"
    sink.write(spans("after"))
    assert [span.name for span in collector.spans] == ["before", "child", "after"]


# Secrets


def test_headers_are_sent_and_told_nobody(collector, monkeypatch, caplog, tmp_path):
    """Not in the log, a ``repr``, the spool's key, or the spool itself."""
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv(
        "OTEL_EXPORTER_OTLP_HEADERS", f"x-key={SECRET.replace('/', '%2F').replace('+', '%2B')}"
    )
    sink = OtlpSink(collector.url.replace("//", f"//user:{'p4ss' * 4}@"), headers={"x-more": "a b"})
    spool = Spool(tmp_path, sink)
    collector.on_spans = lambda spans: status(401, "text/plain", SECRET.encode())
    spool.write(sample_spans())
    spool.flush(0.5)
    collector.on_spans = lambda spans: good()
    spool.close(5)
    sent = collector.requests[0].headers
    assert (sent["X-Key"], sent["X-More"]) == (SECRET, "a b")
    assert sent["Authorization"].startswith("Basic ")
    told = [caplog.text, repr(sink), repr(sink._endpoint), sink.spool_key]
    told += [
        path.read_bytes().decode(errors="replace")
        for path in Path(tmp_path).rglob("*")
        if path.is_file()
    ]
    told += [str(path) for path in tmp_path.rglob("*")]
    for text in told:
        assert SECRET not in text
        assert "p4ss" not in text


def test_two_programs_share_a_spool(collector, monkeypatch):
    """The key says where spans go, not how to log in, and makes the same sink again."""
    first = OtlpSink(collector.url, headers={"a": "1"}, dialect="genai")
    second = load_sink(f"otlp:{collector.url}/")
    assert first.spool_key == second.spool_key == f"otlp:{collector.url}/v1/traces"
    again = load_sink(first.spool_key)
    assert again.spool_key == first.spool_key
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://h:1/other")
    exact = load_sink("otlp")
    assert exact.spool_key == "otlp:http://h:1/other?exact=true"
    assert load_sink(exact.spool_key).spool_key == exact.spool_key
    without = load_sink("otlp:http://h:1?content=false")
    assert load_sink(without.spool_key).spool_key == without.spool_key
    assert "content=false" in without.spool_key
    assert not isinstance(without, MemorySink)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("otlp:ftp://host", "wanted http://HOST:PORT"),
        ("otlp:http://", "wanted http://HOST:PORT"),
        ("otlp:http://h:99999", "wanted http://HOST:PORT"),
        ("otlp:?dialect=morse", "choose from genai"),
        ("otlp:?colour=red", "unknown option 'colour'"),
        ("otlp:?timeout=soon", "wanted seconds"),
        ("otlp:?compression=lzma", "choose gzip or none"),
        ("otlp:?content=perhaps", "^.*content='perhaps'; choose true or false"),
        ("otlp:http://h?exact=perhaps", "^.*exact='perhaps'; choose true or false"),
    ],
)
def test_mistakes_are_told_at_once(spec, message):
    """With what was wanted."""
    with pytest.raises(ConfigurationError, match=message):
        load_sink(spec)
