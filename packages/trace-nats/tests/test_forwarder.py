"""`Forwarder` with a stream in memory: what is acknowledged, put back and refused, and when."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trace_core import MemorySink, Rejected, Retry, SinkError, Span
from trace_core.testing import sample_spans
from trace_nats._address import Address
from trace_nats._forwarder import Forwarder
from trace_nats._message import pack

QUICK = Retry(first=0.0, longest=0.0, jitter=0.0)


class FakeSource:
    """A stream in memory that hands out again what is put back. In place of a `NatsSource`.

    Args:
        spans: What is in it.
    """

    def __init__(self, spans: Sequence[Span]) -> None:
        self.address = Address.read("")
        self.ready: list[Any] = []
        self.dead: list[tuple[bytes, str]] = []
        self.acknowledged = 0
        self.failures: list[SinkError] = []
        for span in spans:
            self.publish(pack(span, 1_000_000).body)

    def publish(self, body: bytes, **headers: str) -> None:
        """Add a message."""
        self.ready.append(SimpleNamespace(data=body, headers=headers))

    def fetch(self, most: int, seconds: float) -> list[Any]:
        """Take messages, or fail as often as `failures` says."""
        if self.failures:
            raise self.failures.pop()
        taken, self.ready = self.ready[:most], self.ready[most:]
        return taken

    def settle(self, done: Sequence[Any], refused: Sequence[tuple[Any, str]] = ()) -> None:
        """Count what is acknowledged, keep what is refused."""
        self.acknowledged += len(done) + len(refused)
        self.dead += [(message.data, why) for message, why in refused]

    def put_back(self, messages: Sequence[Any], seconds: float) -> None:
        """Put messages behind all others."""
        self.ready += messages


class FailingSink:
    """A sink that fails a number of times, and always for some spans.

    Args:
        error: What it raises.
        failures: How many writes fail, whatever is in them.
        bad: Ids of spans that it cannot take.
    """

    def __init__(self, error: Exception, failures: int = 0, bad: Sequence[str] = ()) -> None:
        self.error, self.failures, self.bad = error, failures, set(bad)
        self.memory = MemorySink()
        self.delivers = True

    def write(self, spans: Sequence[Span]) -> None:
        self.failures -= 1
        if self.failures >= 0 or self.bad & {span.span_id for span in spans}:
            raise self.error
        self.memory.write(spans)

    def flush(self, timeout: float = 5.0, /) -> bool:
        return self.delivers

    def close(self, timeout: float = 5.0, /) -> None:
        """Nothing is held."""

    @property
    def ids(self) -> set[str]:
        """The spans that it has."""
        return {span.span_id for span in self.memory.spans}


def many(count: int) -> list[Span]:
    """Spans with ids of their own."""
    (first, *_) = sample_spans()
    return [
        attrs.evolve(first, context=attrs.evolve(first.context, span_id=f"{number:016x}"))
        for number in range(1, count + 1)
    ]


def forwarder_of(source: FakeSource, sink: Any, *, batch: int = 2) -> Forwarder:
    """A forwarder whose clock goes on by 20 seconds whenever it is read."""
    clock = itertools.count(0, 20)
    return Forwarder(source, sink, batch=batch, retry=QUICK, clock=lambda: next(clock))  # type: ignore[arg-type]


def test_spans_are_forwarded_and_acknowledged() -> None:
    """In batches, until none is left."""
    spans = many(5)
    source, memory = FakeSource(spans), MemorySink()
    forwarder = forwarder_of(source, memory)
    forwarder.run(once=True)
    assert list(memory.spans) == spans
    assert (forwarder.delivered, forwarder.refused, source.acknowledged) == (5, 0, 5)


def test_a_function_is_a_sink_too() -> None:
    """As everywhere."""
    source, taken = FakeSource(many(2)), list[Span]()
    forwarder_of(source, taken.extend).run(once=True)
    assert len(taken) == 2


def test_an_outage_loses_nothing_and_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    """Spans stay in the stream until the sink takes them; one warning for failures in a row."""
    spans = many(3)
    sink = FailingSink(ConnectionError("away, key sk-proj-abcdefghijklmnop0123456789"), failures=40)
    source = FakeSource(spans)
    with caplog.at_level(logging.WARNING, "trace_core"):
        forwarder_of(source, sink).run(once=True)
    assert sink.ids == {span.span_id for span in spans}
    assert not source.dead
    logged = [record.getMessage() for record in caplog.records]
    assert len([text for text in logged if "ConnectionError: away" in text]) == 1
    assert len([text for text in logged if "works again after" in text]) == 1
    assert "abcdefghijklmnop" not in caplog.text


def test_a_broker_that_is_away_ends_nothing() -> None:
    """The forwarder tries again."""
    source, memory = FakeSource(many(2)), MemorySink()
    source.failures = [SinkError("away")] * 3
    forwarder_of(source, memory).run(once=True)
    assert len(memory.spans) == 2


def test_what_the_sink_has_not_delivered_is_not_acknowledged() -> None:
    """A sink with a queue takes spans at once; only its flush says that they are stored."""
    source, sink = FakeSource(many(2)), FailingSink(ValueError())
    sink.delivers = False
    forwarder = forwarder_of(source, sink)
    forwarder._forward(source.fetch(2, 0))
    assert (source.acknowledged, len(source.ready), forwarder.delivered) == (0, 2, 0)


def test_a_span_that_the_sink_names_becomes_a_dead_letter(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The others arrive; it stays in the stream under another subject, with the reason."""
    spans = many(3)
    source = FakeSource(spans)
    forwarder = forwarder_of(
        source, FailingSink(Rejected("too odd", spans[:1]), bad=["1".zfill(16)]), batch=3
    )
    forwarder.run(once=True)
    assert (forwarder.delivered, forwarder.refused) == (2, 1)
    assert source.dead == [(pack(spans[0], 1_000_000).body, "too odd")]
    assert "refused for good, kept as traces.dead: too odd" in caplog.text


@settings(max_examples=30)
@given(
    error=st.sampled_from([ZeroDivisionError("odd"), Rejected("odd")]),
    bad=st.sets(st.integers(1, 30), max_size=3),
    batch=st.integers(1, 7),
)
def test_bad_spans_hold_up_nobody_and_are_found(
    error: Exception, bad: set[int], batch: int
) -> None:
    """All others are delivered, once; the bad ones become dead letters while others go through."""
    spans, more = many(30), iter(many(3_000)[30:])
    sink = FailingSink(error, bad=[f"{number:016x}" for number in bad])
    source = FakeSource(spans)
    forwarder = forwarder_of(source, sink, batch=batch)
    published = 30
    while source.ready:
        forwarder._forward(source.fetch(batch, 0))
        if forwarder.refused < len(bad):
            source.publish(pack(next(more), 1_000_000).body)
            published += 1
    assert {body for body, _ in source.dead} == {
        pack(spans[number - 1], 1_000_000).body for number in bad
    }
    assert len(sink.ids) == forwarder.delivered == published - len(bad)


def test_what_is_no_span_becomes_a_dead_letter() -> None:
    """Somebody else published to the subject."""
    source, memory = FakeSource(many(2)), MemorySink()
    source.publish(b"{}")
    source.publish(b"\x1f\x8b\x08garbage", **{"Content-Encoding": "gzip"})
    forwarder = forwarder_of(source, memory)
    forwarder.run(once=True)
    assert (forwarder.delivered, forwarder.refused) == (2, 2)
    assert [body for body, _ in source.dead] == [b"{}", b"\x1f\x8b\x08garbage"]
    assert all(why.startswith("no span: ") for _, why in source.dead)
