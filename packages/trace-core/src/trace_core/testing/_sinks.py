"""The tests that every sink must pass, and spans to write."""

from __future__ import annotations

from collections.abc import Sequence

from trace_core._errors import Rejected
from trace_core._model.json import to_dict
from trace_core._model.parts import (
    Cost,
    Event,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TokenUsage,
)
from trace_core._model.span import Span
from trace_core._model.values import Value
from trace_core._sinks.base import Sink
from trace_core.testing._doubles import check


class SinkContract:
    """The tests that every sink must pass, to inherit for a sink of your own.

    Subclass it in a test module, give it `make_sink` and `written`, and pytest runs the tests::

        class TestMySink(SinkContract):
            def make_sink(self):
                return MySink(...)

            def written(self, sink):
                return [...]  # the ids of the spans in the store
    """

    def make_sink(self) -> Sink:
        """Return a new sink whose store is empty."""
        raise NotImplementedError("return a new sink with an empty store")

    def written(self, sink: Sink) -> Sequence[str]:
        """Return the ids of the spans that are in the sink's store."""
        raise NotImplementedError("return the span ids found in the store")

    def test_it_is_a_sink(self) -> None:
        """It has the three methods of the protocol."""
        check(isinstance(self.make_sink(), Sink), "write, flush and close are all needed")

    def test_every_span_is_written(self) -> None:
        """What was written is in the store after a flush."""
        sink, spans = self.make_sink(), sample_spans()
        sink.write(spans)
        check(sink.flush(30.0), "flush said that not all was delivered")
        wanted = sorted(span.span_id for span in spans)
        found = sorted(self.written(sink))
        sink.close(30.0)
        check(found == wanted, f"wanted the spans {wanted}, found {found}")

    def test_an_empty_batch_is_fine(self) -> None:
        """A batch without spans changes nothing and raises nothing."""
        sink = self.make_sink()
        sink.write(())
        check(sink.flush(30.0), "flush said that not all was delivered")
        check(not list(self.written(sink)), "spans appeared from nowhere")
        sink.close(30.0)

    def test_writing_twice_is_harmless(self) -> None:
        """A repeated batch, as after a lost answer, leaves each span there, readable by its id."""
        sink, spans = self.make_sink(), sample_spans()
        sink.write(spans)
        sink.write(spans)
        sink.flush(30.0)
        found = set(self.written(sink))
        sink.close(30.0)
        check(found == {span.span_id for span in spans}, f"found {sorted(found)}")

    def test_hostile_values_are_written(self) -> None:
        """Not-a-number, lone surrogates, huge integers, deep nesting: written, or `Rejected`."""
        sink, spans = self.make_sink(), [hostile_span()]
        try:
            sink.write(spans)
        except Rejected:
            sink.close(30.0)
            return
        sink.flush(30.0)
        found = list(self.written(sink))
        sink.close(30.0)
        check(bool(found), "a span with hostile values is gone without a word")

    def test_the_batch_is_left_alone(self) -> None:
        """The sink does not change the spans it is given: another sink has the same ones."""
        sink, spans = self.make_sink(), sample_spans()
        before = [to_dict(span) for span in spans]
        sink.write(tuple(spans))
        sink.close(30.0)
        check([to_dict(span) for span in spans] == before, "the sink changed a span")

    def test_closing_twice_is_harmless(self) -> None:
        """A second close does nothing."""
        sink = self.make_sink()
        sink.close(30.0)
        sink.close(30.0)

    def test_flush_and_close_take_positional_deadlines(self) -> None:
        """Both take seconds by position, and a deadline of none at all is no error."""
        sink = self.make_sink()
        sink.write(sample_spans())
        check(sink.flush(0.0) in (True, False), "flush must answer yes or no")
        sink.close(0.0)


def sample_spans() -> list[Span]:
    """Return a trace of three spans: a root, a model call with everything, a failure."""
    root = SpanContext("c0ffee" + "0" * 25 + "1", "a" * 15 + "1")
    start = 1_700_000_000_000_000_000
    call = Span(
        SpanContext(root.trace_id, "a" * 15 + "2"),
        root.span_id,
        "chat sample-model",
        SpanKind.LLM,
        start + 1_000,
        start + 2_000,
        Status(StatusCode.OK),
        {"messages": ({"role": "user", "content": "What is 6 times 7?"},)},
        {"choices": ({"message": {"role": "assistant", "content": "42"}},)},
        TokenUsage(input=8, output=1, total=9),
        Cost(input=0.1, output=0.2, total=0.3),
        {"gen_ai.request.model": "sample-model"},
        (Event("trace.stream.first_chunk", start + 1_500, {"n": 1}),),
    )
    failed = Span(
        SpanContext(root.trace_id, "a" * 15 + "3"),
        root.span_id,
        "execute_tool sample",
        SpanKind.TOOL,
        start + 3_000,
        start + 4_000,
        Status(StatusCode.ERROR, "no such tool"),
    )
    whole = Span(root, None, "agent", SpanKind.AGENT, start, start + 5_000, Status(StatusCode.OK))
    return [call, failed, whole]


def hostile_span() -> Span:
    """Return a span with values that are hard to store: NaN, lone surrogates, deep nesting."""
    deep: Value = "deep"
    for _ in range(20):
        deep = {"in": (deep,)}
    return Span(
        SpanContext("d" * 32, "d" * 16),
        None,
        "a \ud800 name with \x00 and \U0001f600",
        SpanKind.LLM,
        1,
        0,
        inputs={"nan": float("nan"), "inf": float("-inf"), "big": 10**400, "": deep},
        outputs=("\ud800", "\x00", "x" * 100_000),
    )
