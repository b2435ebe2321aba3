"""Which spans become dead letters: never for an outage, always for a refusal of the span."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trace_core import Rejected, RetryLater, SinkError, Span, SpanContext, SpanKind
from trace_core._delivery.retry import BatchWriter, find_refused

MakeSpan = Callable[..., Span]

OUTAGES = {
    "connection refused": lambda: ConnectionRefusedError("away"),
    "HTTP 500": lambda: SinkError("500 Internal Server Error"),
    "HTTP 401": lambda: RetryLater("401 Unauthorized"),
    "a proxy that answers 400 to everything": lambda: Rejected("400 Bad Request"),
    "an exception nobody foresaw": lambda: KeyError("session"),
    "an exception that ends a thread": lambda: SystemExit(1),
}


class Store:
    """A sink of a test: takes what is not bad, and nothing while it is away."""

    def __init__(self) -> None:
        self.away: Callable[[], BaseException] | None = None
        self.bad: set[str] = set()  # ids of spans
        self.error: Callable[[], BaseException] = lambda: Rejected("400")
        self.spans: list[Span] = []
        self.writes = 0
        self.now = 0.0

    def write(self, spans: Sequence[Span], /) -> None:
        self.writes += 1
        if self.away is not None:
            raise self.away()
        if any(span.span_id in self.bad for span in spans):
            raise self.error()
        self.spans += spans

    def clock(self) -> float:
        return self.now


@pytest.fixture
def store() -> Store:
    return Store()


def test_a_batch_without_spans_is_not_written() -> None:
    """Nothing could be read of it, and the sink has nothing to do."""
    written: list[object] = []
    outcome = BatchWriter(written.append).write([])
    assert (outcome.delivered, outcome.waiting, outcome.error, written) == ([], [], None, [])


@pytest.mark.parametrize("kind", OUTAGES)
@pytest.mark.parametrize("count", [1, 2, 100])
def test_an_outage_of_a_day_makes_no_dead_letter(
    store: Store, make_span: MakeSpan, kind: str, count: int
) -> None:
    """Whatever the sink raises, and however often: all spans arrive once it is back."""
    writer = BatchWriter(store.write, clock=store.clock)
    waiting = [make_span() for _ in range(count)]
    assert not writer.write([make_span()]).waiting
    store.away = OUTAGES[kind]
    for _ in range(24 * 60 * 2):
        store.now += 30
        outcome = writer.write(waiting)
        assert outcome.refused == []
        assert outcome.delivered == []
        assert outcome.error is not None
        assert sorted(map(id, outcome.waiting)) == sorted(map(id, waiting))
        waiting = outcome.waiting
    store.away = None
    for _ in range(20):
        store.now += 30
        outcome = writer.write(waiting)
        assert outcome.refused == []
        waiting = outcome.waiting
    assert len(store.spans) == count + 1


@pytest.mark.parametrize("kind", OUTAGES)
def test_an_outage_costs_few_writes(store: Store, make_span: MakeSpan, kind: str) -> None:
    """A batch is not taken apart span by span each time that a sink is away."""
    writer = BatchWriter(store.write, clock=store.clock)
    spans = [make_span() for _ in range(100)]
    store.away = OUTAGES[kind]
    for _ in range(8):
        spans = writer.write(spans).waiting
    assert store.writes <= 8 * 20


@given(st.lists(st.booleans(), min_size=1, max_size=60))
def test_only_what_is_refused_alone_becomes_a_dead_letter(pattern: list[bool]) -> None:
    """Wherever the bad spans are in a batch, and though the sink names none of them."""
    store = Store()
    writer = BatchWriter(store.write, clock=store.clock)
    spans = [numbered(index) for index in range(len(pattern))]
    store.bad = {span.span_id for span, bad in zip(spans, pattern, strict=True) if bad}
    refused: list[Span] = []
    waiting = list(spans)
    for extra in range(200):
        outcome = writer.write([*waiting, numbered(1_000 + extra)])  # others go on arriving
        refused += [span for span, _ in outcome.refused]
        waiting = outcome.waiting
        if not waiting:
            break
    assert waiting == []
    assert {span.span_id for span in refused} == store.bad
    assert {span.span_id for span in spans} - store.bad <= {span.span_id for span in store.spans}


def test_a_span_that_crashes_the_sink_is_given_up_after_a_minute(
    store: Store, make_span: MakeSpan
) -> None:
    """Not at once, because such an exception may be an outage; the others go on meanwhile."""
    writer = BatchWriter(store.write, clock=store.clock)
    bad = make_span()
    store.bad, store.error = {bad.span_id}, lambda: KeyError("content")
    outcome = writer.write([bad, make_span()])
    while outcome.waiting == [bad]:
        assert len(outcome.delivered) == 1
        store.now += 10
        outcome = writer.write([bad, make_span()])
    assert outcome.refused == [(bad, "KeyError: 'content'")]
    assert outcome.error is None
    assert 60 <= store.now <= 120


@pytest.mark.parametrize("share", [0.3, 0.5, 0.8, 0.95])
@pytest.mark.parametrize("seed", range(5))
def test_a_sink_that_is_away_now_and_then_makes_no_dead_letter(
    store: Store, make_span: MakeSpan, share: float, seed: int
) -> None:
    """Whichever spans an exception met, and however often: it met others as well."""
    chance = random.Random(seed)

    def flaky(spans: Sequence[Span]) -> None:
        if chance.random() < share:
            raise KeyError("session")
        store.write(spans)

    writer = BatchWriter(flaky, clock=store.clock)
    waiting: list[Span] = []
    spans = [make_span() for _ in range(300)]
    for begin in range(0, 300, 5):
        store.now += 1.5
        outcome = writer.write([*waiting, *spans[begin : begin + 5]])
        assert outcome.refused == []
        waiting = outcome.waiting
    share = 0.0
    for _ in range(100):
        store.now += 60
        outcome = writer.write(waiting)
        assert outcome.refused == []
        waiting = outcome.waiting
    assert {span.span_id for span in store.spans} == {span.span_id for span in spans}


def test_a_span_that_only_fails_is_never_given_up(store: Store, make_span: MakeSpan) -> None:
    """A 500 for one span while others pass says nothing of the span; others are not held up."""
    writer = BatchWriter(store.write, clock=store.clock)
    bad = make_span()
    store.bad, store.error = {bad.span_id}, lambda: SinkError("500")
    delivered = 0
    for _ in range(1_000):
        store.now += 30
        outcome = writer.write([bad, make_span()])
        assert outcome.waiting[0] is bad
        delivered += len(outcome.delivered)
    assert delivered >= 990


def test_a_refusal_needs_another_span_taken_in_between(store: Store, make_span: MakeSpan) -> None:
    """A span that comes alone is refused only once the sink has taken something since."""
    writer = BatchWriter(store.write, clock=store.clock)
    bad = make_span()
    store.bad = {bad.span_id}
    for _ in range(10):
        assert writer.write([bad]).waiting == [bad]
    outcome = writer.write([bad, make_span()])
    assert [span for span, _ in outcome.refused] == [bad]


def test_spans_named_in_a_partial_refusal_are_refused_at_once(make_span: MakeSpan) -> None:
    """The sink took the others in the same write: there is nothing left to ask."""
    bad, good = make_span(), make_span()

    def write(spans: Sequence[Span]) -> None:
        raise Rejected("too large", [bad])

    outcome = BatchWriter(write).write([bad, good])
    assert outcome.refused == [(bad, "too large")]
    assert outcome.delivered == [good]
    assert outcome.error is None


def test_find_refused_halves_what_is_refused(store: Store, make_span: MakeSpan) -> None:
    """For stores that refuse a batch as a whole; another error goes through."""
    spans = [make_span() for _ in range(10)]
    store.bad = {spans[3].span_id, spans[9].span_id}
    assert find_refused(spans, store.write) == [(spans[3], "400"), (spans[9], "400")]
    assert len(store.spans) == 8
    assert find_refused((), store.write) == []
    store.away = OUTAGES["HTTP 500"]
    with pytest.raises(SinkError, match="500"):
        find_refused(spans, store.write)


def numbered(index: int) -> Span:
    return Span(SpanContext(f"{index:032x}", f"{index:016x}"), None, "chat", SpanKind.LLM, 1, 2)
