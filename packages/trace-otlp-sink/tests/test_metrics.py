"""The sink ``otel-metrics``, on OpenTelemetry's own SDK and Prometheus exporter."""

from __future__ import annotations

import socket
import urllib.request
from collections.abc import Mapping
from typing import Any

import attrs
import pytest

from trace_core import (
    ConfigurationError,
    Cost,
    Span,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TokenUsage,
    Value,
    load_sink,
    semconv,
)
from trace_core.testing import SinkContract, hostile_span, sample_spans
from trace_otlp_sink import OtelMetricsSink
from trace_otlp_sink._instruments import METRICS, SECONDS, TOKENS

metrics = pytest.importorskip("opentelemetry.sdk.metrics")
export = pytest.importorskip("opentelemetry.sdk.metrics.export")

START = 1_700_000_000_000_000_000


class Read:
    """A sink, and what its meter has."""

    def __init__(self, **options: Any) -> None:
        self.reader = export.InMemoryMetricReader()
        self.sink = OtelMetricsSink(metrics.MeterProvider([self.reader]), **options)

    def points(self, name: str) -> list[Any]:
        """Return the points of a metric."""
        data = self.reader.get_metrics_data()
        found = [
            one.data.data_points
            for resource in (data.resource_metrics if data else [])
            for scope in resource.scope_metrics
            for one in scope.metrics
            if one.name == name
        ]
        return list(found[0]) if found else []

    def total(self, name: str, **labels: str) -> float:
        """Return the sum of a counter or a histogram, of all points with some attributes."""
        return sum(
            getattr(point, "sum", None) or getattr(point, "value", 0)
            for point in self.points(name)
            if labels.items() <= dict(point.attributes).items()
        )


def call(number: int = 1, attributes: Mapping[str, Value] | None = None, **fields: Any) -> Span:
    """Return the span of a call that took two seconds."""
    span = Span(
        SpanContext(f"{number:032x}", f"{number:016x}"),
        None,
        "chat m",
        SpanKind.LLM,
        START,
        START + 2 * 10**9,
        usage=TokenUsage(input=8, output=3, total=11),
        cost=Cost(total=0.5),
        attributes={
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": "openai",
            "gen_ai.request.model": "m",
            "gen_ai.response.model": "m-1",
            "server.address": "api.openai.com",
            "user.id": "alice",
            **(attributes or {}),
        },
    )
    return attrs.evolve(span, **fields)


def test_a_call() -> None:
    """Tokens by type, duration, cost; with the attributes that are few, and no others."""
    read = Read()
    read.sink.write([call()])
    assert read.total("gen_ai.client.token.usage", **{"gen_ai.token.type": "input"}) == 8
    assert read.total("gen_ai.client.token.usage", **{"gen_ai.token.type": "output"}) == 3
    assert read.total("trace.client.cost") == 0.5
    [point] = read.points("gen_ai.client.operation.duration")
    assert (point.sum, point.count) == (2.0, 1)
    assert tuple(point.explicit_bounds) == SECONDS
    assert dict(point.attributes) == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "m",
        "gen_ai.response.model": "m-1",
        "server.address": "api.openai.com",
    }
    assert tuple(read.points("gen_ai.client.token.usage")[0].explicit_bounds) == TOKENS
    assert not read.points("trace.client.errors")
    assert not read.points("gen_ai.client.operation.time_to_first_chunk")


def test_a_stream() -> None:
    """The first chunk after half a second, and each pause after it in its bucket."""
    read = Read()
    buckets = {"0.01": (30, 0.15), "0.64": (2, 1.0)}
    told = {
        semconv.RESPONSE_TIME_TO_FIRST_CHUNK: 0.5,
        semconv.STREAM_CHUNKS: 33,
        semconv.STREAM_GAP_BUCKETS: buckets,
    }
    read.sink.write([call(attributes=told)])
    assert read.total("gen_ai.client.operation.time_to_first_chunk") == 0.5
    (point,) = read.points("gen_ai.client.operation.time_per_output_chunk")
    counted = dict(zip(point.explicit_bounds, point.bucket_counts, strict=False))
    assert (counted[0.01], counted[0.64], point.count) == (30, 2, 32)
    assert point.sum == pytest.approx(1.15)


@pytest.mark.parametrize("buckets", [(), "x", {"0.01": 3}, {"0.01": (0, 1)}, {"0.01": (2, -1.0)}])
def test_buckets_that_are_none(buckets: Any) -> None:
    """Anybody may set an attribute: nothing raises, and nothing wrong is counted."""
    read = Read()
    told = {semconv.RESPONSE_TIME_TO_FIRST_CHUNK: 0.5, semconv.STREAM_GAP_BUCKETS: buckets}
    read.sink.write([call(attributes=told)])
    assert not read.points("gen_ai.client.operation.time_per_output_chunk")


def test_a_stream_of_which_only_chunks_are_counted() -> None:
    """The first chunk after half a second; the mean of the pauses counts once."""
    read = Read()
    told = {semconv.RESPONSE_TIME_TO_FIRST_CHUNK: 0.5, semconv.STREAM_CHUNKS: 4}
    read.sink.write([call(attributes=told)])
    assert read.total("gen_ai.client.operation.time_to_first_chunk") == 0.5
    assert read.total("gen_ai.client.operation.time_per_output_chunk") == 0.5


def test_an_error() -> None:
    """Counted, with its type, which its duration has too."""
    read = Read()
    failed = call(
        attributes={"error.type": "Timeout"}, status=Status(StatusCode.ERROR), usage=None, cost=None
    )
    read.sink.write([failed])
    assert read.total("trace.client.errors", **{"error.type": "Timeout"}) == 1
    assert read.total("gen_ai.client.operation.duration", **{"error.type": "Timeout"}) == 2


def test_a_cache_hit() -> None:
    """Counted; nothing was used and nothing paid."""
    read = Read()
    read.sink.write([call(attributes={semconv.CACHE_HIT: True}, cost=Cost(total=0.0))])
    assert read.total("trace.client.cache_hits") == 1
    assert not read.points("gen_ai.client.token.usage")
    assert not read.points("trace.client.cost")


def test_each_call_counts_once() -> None:
    """Not again when written again; and not a Router's span around it, nor one that is open."""
    read = Read()
    around = call(2, kind=SpanKind.CHAIN)
    read.sink.write([call(), around])
    read.sink.write([call(), call(3, end_ns=0)])
    assert read.total("trace.client.cost") == 0.5


def test_few_values() -> None:
    """Models above the limit are counted together."""
    read = Read(most_values=2)
    for number in range(1, 6):
        read.sink.write([call(number, {"gen_ai.request.model": f"m{number}"})])
    read.sink.write([call(9, {"gen_ai.request.model": "m1"})])
    points = read.points("trace.client.cost")
    found = {point.attributes["gen_ai.request.model"]: point.value for point in points}
    assert found == {"m1": 1.0, "m2": 0.5, "_OTHER": 1.5}


def test_exemplars_lead_to_the_trace() -> None:
    """The SDK keeps the ids of the call's span with what was measured."""
    read = Read()
    read.sink.write([call(7)])
    [point] = read.points("gen_ai.client.operation.duration")
    [exemplar] = point.exemplars
    assert (exemplar.trace_id, exemplar.span_id) == (7, 7)


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def scrape(port: int) -> str:
    """Return what Prometheus would read."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        return str(answer.read().decode())


def test_prometheus(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    """Served at a port while the sink is open; another at that port says that it is not served."""
    monkeypatch.setenv("OTEL_EXPORTER_PROMETHEUS_HOST", "127.0.0.1")
    port = free_port()
    sink = load_sink(f"otel-metrics:{port}")
    sink.write([call()])
    said = scrape(port)
    assert "gen_ai_client_token_usage_sum{" in said.replace("token_usage_token", "token_usage")
    assert 'gen_ai_request_model="m"' in said
    second = load_sink(f"otel-metrics:{port}")
    assert f"not served at 127.0.0.1:{port}" in caplog.text
    second.write([call()])
    second.close()
    assert scrape(port)
    sink.close()
    sink.close()
    with pytest.raises(OSError, match="refused"):
        scrape(port)


@pytest.mark.parametrize("target", ["x", "0", "70000", "-1"])
def test_a_wrong_port_is_told(target: str) -> None:
    """The message says what can be written."""
    with pytest.raises(ConfigurationError, match="otel-metrics:PORT"):
        load_sink(f"otel-metrics:{target}")


def test_the_table_is_of_the_conventions() -> None:
    """Names and units that OpenTelemetry has are those."""
    gen_ai = pytest.importorskip("opentelemetry.semconv._incubating.metrics.gen_ai_metrics")
    theirs = {value for name, value in vars(gen_ai).items() if name.startswith("GEN_AI_CLIENT")}
    assert theirs == {metric.name for metric in METRICS if metric.name.startswith("gen_ai.")}


class TestContract(SinkContract):
    """What every sink must keep. Of the sample, one span is a call."""

    def make_sink(self) -> OtelMetricsSink:
        """Return a sink on a meter of its own."""
        self.read = Read()
        return self.read.sink

    def test_hostile_values_are_written(self) -> None:
        """Such a model is counted, by a name that can be exported."""
        sink = self.make_sink()
        sink.write([call(attributes={"gen_ai.request.model": "\ud800" + "x" * 10_000})])
        [point] = self.read.points("trace.client.cost")
        name = str(point.attributes["gen_ai.request.model"])
        assert name.encode()
        assert len(name) < 300
        sink.write([hostile_span()])

    def written(self, sink: Any) -> list[str]:
        """Return the spans that were taken; those that are no calls are not to be counted."""
        counted = list(sink._counted)
        others = [s.span_id for s in sample_spans() if s.kind is not SpanKind.LLM]
        return [*counted, *others] if counted else []
