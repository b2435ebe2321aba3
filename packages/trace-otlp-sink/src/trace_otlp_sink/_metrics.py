"""The sink ``otel-metrics``: feeds an OpenTelemetry meter with what calls took and cost."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from importlib.metadata import version
from itertools import repeat
from typing import Any, Final, cast

from trace_core import (
    ConfigurationError,
    SinkBase,
    Span,
    SpanKind,
    StatusCode,
    Value,
    after_fork,
    semconv,
)
from trace_otlp_sink import _instruments as instruments
from trace_otlp_sink._instruments import Metric
from trace_otlp_sink._prometheus import serve

_CALLS: Final = frozenset(
    {
        SpanKind.LLM,
        SpanKind.EMBEDDING,
        SpanKind.RERANKER,
        SpanKind.IMAGE,
        SpanKind.AUDIO,
        SpanKind.MODERATION,
    }
)
"""Spans of one request each. Those around them, such as a Router's, would count them twice."""
_LABELS: Final = (
    semconv.OPERATION_NAME,
    semconv.PROVIDER_NAME,
    semconv.REQUEST_MODEL,
    semconv.RESPONSE_MODEL,
    semconv.SERVER_ADDRESS,
    semconv.ERROR_TYPE,
)
OTHER: Final = "_OTHER"
"""Stands for all values above the limit, as the conventions call it."""
_MOST_REMEMBERED: Final = 20_000
_LONGEST: Final = 200
_MOST_CHUNKS: Final = 10_000
_SAMPLED: Final = 1


class OtelMetricsSink(SinkBase):
    """Feeds OpenTelemetry metrics: tokens, durations, streams, cost, errors, cache hits.

    Counts each span once, also if it is written again. Thread-safe.

    Args:
        meter_provider: Where metrics go; OpenTelemetry's global one by default, also if the
            program sets it later.
        most_values: The number of values that an attribute may have, such as the model;
            what comes beyond is counted as ``_OTHER``.
        on_close: Called when the sink is closed.

    Raises:
        ConfigurationError: opentelemetry-api is not installed.
    """

    wants_spool = False  # what a process counts is of use in that process
    immediate = True

    def __init__(
        self,
        meter_provider: Any = None,
        *,
        most_values: int = 100,
        on_close: Callable[[], None] | None = None,
    ) -> None:
        meter = _meter(meter_provider)
        self._record = {metric: _instrument(meter, metric) for metric in instruments.METRICS}
        self._most_values = most_values
        self._on_close = on_close
        self._seen: dict[str, set[str]] = {name: set() for name in _LABELS}
        self._counted: dict[str, None] = {}  # ids of spans, the oldest first
        self._renew_lock()
        after_fork(self._renew_lock)

    def _renew_lock(self) -> None:
        self._lock = threading.Lock()

    @classmethod
    def from_spec(cls, target: str = "") -> OtelMetricsSink:
        """Create the sink of ``otel-metrics``, or of ``otel-metrics:PORT``.

        Args:
            target: A port, to serve the metrics to Prometheus there; nothing for the program's
                own meter provider.

        Raises:
            ConfigurationError: The target is not a port, or what it takes is not installed.
        """
        if not target:
            return cls()
        if not target.isascii() or not target.isdigit() or not 0 < int(target) < 2**16:
            raise ConfigurationError(
                "wanted 'otel-metrics' or 'otel-metrics:PORT' with a port from 1 to 65535, "
                f"got {target}"
            )
        provider, stop = serve(int(target))
        return cls(provider, on_close=stop)

    @property
    def place(self) -> str:
        """Where spans go, for people."""
        return "OpenTelemetry metrics"

    def write(self, spans: Sequence[Span], /) -> None:
        """Count the calls among spans, each once."""
        for span in spans:
            if span.kind in _CALLS and span.end_ns and self._is_new(span.span_id):
                self._count(span)

    def close(self, timeout: float = 5.0, /) -> None:
        """Stop serving metrics, where this sink does; a second call does nothing."""
        stop, self._on_close = self._on_close, None
        if stop is not None:
            stop()

    def _is_new(self, span_id: str) -> bool:
        with self._lock:
            if span_id in self._counted:
                return False
            self._counted[span_id] = None
            if len(self._counted) > _MOST_REMEMBERED:
                del self._counted[next(iter(self._counted))]
            return True

    def _count(self, span: Span) -> None:
        labels, context = self._labels(span), _context(span)
        for metric, value, more in _measures(span):
            self._record[metric](value, {**labels, **more}, context=context)

    def _labels(self, span: Span) -> dict[str, str]:
        return {
            name: self._limited(name, _label(span.attributes[name]))
            for name in _LABELS
            if span.attributes.get(name) is not None
        }

    def _limited(self, name: str, value: str) -> str:
        seen = self._seen[name]
        if value in seen:
            return value
        with self._lock:
            if len(seen) >= self._most_values:
                return OTHER
            seen.add(value)
        return value


def _label(value: Value) -> str:
    """Return a value as exporters can write it: short, without lone surrogates."""
    return str(value)[:_LONGEST].encode("utf-8", "replace").decode()


def _measures(span: Span) -> Iterator[tuple[Metric, float, Mapping[str, str]]]:
    """Yield what is measured of a call: the metric, the value, more attributes."""
    hit = bool(span.attributes.get(semconv.CACHE_HIT))
    yield instruments.DURATION, max(span.end_ns - span.start_ns, 0) / 1e9, {}
    if span.status.code is StatusCode.ERROR:
        yield instruments.ERRORS, 1, {}
    if hit:
        yield instruments.CACHE_HITS, 1, {}
    elif span.usage is not None:  # of an answer from the cache nothing is used
        counts = {"input": span.usage.input, "output": span.usage.output}
        for kind, count in counts.items():
            if count is not None:
                yield instruments.TOKEN_USAGE, count, {instruments.TOKEN_TYPE: kind}
    if span.cost is not None and span.cost.total:
        yield instruments.COST, max(span.cost.total, 0.0), {}
    yield from _of_stream(span)


def _of_stream(span: Span) -> Iterator[tuple[Metric, float, Mapping[str, str]]]:
    first = span.attributes.get(semconv.RESPONSE_TIME_TO_FIRST_CHUNK)
    if not isinstance(first, (int, float)):
        return
    yield instruments.FIRST_CHUNK, first, {}
    for gap in _gaps(span, first):
        yield instruments.PER_CHUNK, gap, {}


def _gaps(span: Span, first: float) -> Iterator[float]:
    """Yield the pauses between the chunks of a stream, as well as the span knows them."""
    buckets = span.attributes.get(semconv.STREAM_GAP_BUCKETS)
    chunks = span.attributes.get(semconv.STREAM_CHUNKS)
    if isinstance(buckets, Mapping):
        for count, total in _pairs(buckets.values()):
            yield from repeat(total / count, min(count, _MOST_CHUNKS))
    elif isinstance(chunks, int) and chunks > 1:
        rest = (span.end_ns - span.start_ns) / 1e9 - first
        yield max(rest, 0.0) / (chunks - 1)


def _pairs(values: Iterable[Value]) -> Iterator[tuple[int, float]]:
    """Yield the count and the sum of each bucket, which may come from anywhere."""
    for value in values:
        match value:
            case (int(count), int() | float() as total) if count > 0 and total >= 0:
                yield count, float(total)


def _meter(provider: Any) -> Any:
    try:
        from opentelemetry import metrics
    except ImportError as error:
        raise ConfigurationError(
            "opentelemetry-api is not installed: pip install 'trace-otlp-sink[metrics]'"
        ) from error
    found = version("trace-otlp-sink")
    return metrics.get_meter("trace_otlp_sink", found, meter_provider=provider)


def _instrument(meter: Any, metric: Metric) -> Callable[..., None]:
    if not metric.buckets:
        counter = meter.create_counter(metric.name, metric.unit, metric.about)
        return cast("Callable[..., None]", counter.add)
    histogram = meter.create_histogram(
        metric.name,
        metric.unit,
        metric.about,
        explicit_bucket_boundaries_advisory=list(metric.buckets),
    )
    return cast("Callable[..., None]", histogram.record)


def _context(span: Span) -> Any:
    """Return a context in which a span is current, so that it becomes an exemplar."""
    from opentelemetry import context, trace

    own = trace.SpanContext(
        int(span.trace_id, 16),
        int(span.span_id, 16),
        is_remote=False,
        trace_flags=trace.TraceFlags(_SAMPLED),
    )
    return trace.set_span_in_context(trace.NonRecordingSpan(own), context.Context())
