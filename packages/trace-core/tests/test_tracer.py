"""Opening, nesting and ending spans; what goes wrong inside never reaches the caller."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import threading
from collections import deque
from collections.abc import Callable, Generator, Mapping, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trace_core import (
    Background,
    Bridge,
    ConfigurationError,
    Cost,
    Event,
    MemorySink,
    OpenSpan,
    Scope,
    Span,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TokenUsage,
    Tracer,
    Value,
    attributes,
    capture_context,
    current_context,
    semconv,
    suppress,
    use_parent,
)
from trace_core.testing import FakeClock, SequentialIds, no_open_spans


def parents(memory: MemorySink) -> dict[str, str | None]:
    """Name of each span to the name of its parent."""
    names = {span.span_id: span.name for span in memory.spans}
    return {span.name: names.get(span.parent_id or "") for span in memory.spans}


def test_a_span_is_current_inside_its_block(tracer: Tracer, memory: MemorySink) -> None:
    """Spans opened inside a block are children of its span, after it they are roots again."""
    with tracer.span("outer") as outer:
        assert current_context() == outer.context
        with tracer.span("inner"):
            tracer.start("leaf").end()
        tracer.start("sibling").end()
    tracer.start("root").end()
    assert current_context() is None
    assert parents(memory) == {
        "leaf": "inner",
        "inner": "outer",
        "sibling": "outer",
        "outer": None,
        "root": None,
    }
    assert len({span.trace_id for span in memory.spans}) == 2


def test_times_come_from_the_clock(tracer: Tracer, memory: MemorySink, clock: FakeClock) -> None:
    """The start is wall time, the duration a difference of the performance counter."""
    with tracer.span("work") as span:
        clock.advance(1.5)
        span.event("half way")
        clock.advance(0.5)
    (done,) = memory.spans
    assert done.duration_ns == 2_000_000_000
    assert done.events[0].time_ns == done.start_ns + 1_500_000_000


def test_everything_set_is_on_the_span(tracer: Tracer, memory: MemorySink) -> None:
    """Fields by keyword and attributes by name arrive as set, normalised."""
    with tracer.span("work", kind=SpanKind.TOOL, inputs=[1], attributes={"a": {1}}) as span:
        span.set({"b": [2]}, outputs={"x": [3]}, usage=TokenUsage(1, 2, 3), cost=Cost(total=0.1))
        span.event("seen", {"c": [4]})
    (done,) = memory.spans
    assert (done.kind, done.inputs, done.outputs) == (SpanKind.TOOL, (1,), {"x": (3,)})
    assert done.attributes == {"a": (1,), "b": (2,)}
    assert done.events[0].attributes == {"c": (4,)}
    assert done.usage == TokenUsage(1, 2, 3)
    assert done.status == Status(StatusCode.OK)


def test_a_wrong_field_is_a_mistake_in_the_call(tracer: Tracer) -> None:
    """Setting what a span does not have raises, and names what it has."""
    with tracer.span("work") as span, pytest.raises(AttributeError, match="settable are"):
        span.set(output="typo")


def test_an_exception_is_recorded_and_goes_on(tracer: Tracer, memory: MemorySink) -> None:
    """The block's exception passes unchanged; the span has its type, text and stack."""
    error = ValueError("bad\nnews")
    with pytest.raises(ValueError, match="bad") as caught, tracer.span("work"):
        raise error
    assert caught.value is error
    (done,) = memory.spans
    assert done.status == Status(StatusCode.ERROR, "bad\nnews")
    assert done.attributes[semconv.ERROR_TYPE] == "ValueError"
    (event,) = done.events
    stack = event.attributes[semconv.EXCEPTION_STACKTRACE]
    assert event.name == semconv.EXCEPTION_EVENT
    assert isinstance(stack, str)
    assert "in test_an_exception_is_recorded_and_goes_on" in stack
    assert stack.endswith("ValueError: bad\nnews")


def test_no_frame_locals_and_bounded_stacks(tracer: Tracer, memory: MemorySink) -> None:
    """A stack of a thousand frames is cut in the middle, and holds no local's value."""

    def recurse(depth: int) -> None:
        secret = "sk-local-value"  # noqa: F841
        if depth == 0:
            raise RecursionError("deep")
        recurse(depth - 1)

    with pytest.raises(RecursionError), tracer.span("work"):
        recurse(500)
    stack = str(memory.spans[0].events[0].attributes[semconv.EXCEPTION_STACKTRACE])
    assert "more frames" in stack
    assert stack.count("\n") < 110
    assert "sk-local-value" not in stack


def test_an_unreadable_exception_is_still_a_failure(tracer: Tracer, memory: MemorySink) -> None:
    """An exception that cannot be written as text costs its text alone."""

    class Mute(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    with pytest.raises(Mute), tracer.span("work"):
        raise Mute
    assert memory.spans[0].status.code is StatusCode.ERROR
    assert "without a readable text" in str(memory.spans[0].status.description)


def test_ending_twice_is_ending_once(tracer: Tracer, memory: MemorySink) -> None:
    """Only the first end counts, from however many threads."""
    span = tracer.start("work")
    threads = [threading.Thread(target=span.end) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert span.ended
    assert len(memory.spans) == 1


def test_a_forgotten_span_is_abandoned(tracer: Tracer, memory: MemorySink) -> None:
    """A span nobody ends is ended when it is collected, and says so."""
    tracer.start("lost")
    gc.collect()
    assert memory.spans[0].attributes[semconv.ENDING] == "abandoned"
    assert tracer.open_spans == ()


def test_closing_ends_open_spans_as_interrupted(tracer: Tracer, memory: MemorySink) -> None:
    """What is open when the tracer closes is recorded as interrupted."""
    span = tracer.start("cut off")
    assert tracer.open_spans == (span,)
    tracer.close()
    assert memory.spans[0].attributes[semconv.ENDING] == "interrupted"
    span.end()
    assert len(memory.spans) == 1


def test_before_end_and_complete(tracer: Tracer, memory: MemorySink) -> None:
    """Late knowledge is set before the end; deferred work changes what is written."""
    span = tracer.start("work")
    span.before_end = lambda: setattr(span, "outputs", "late")
    span.end(complete=lambda ended: setattr(ended, "cost", Cost(total=1.0)))
    assert memory.spans[0].outputs == "late"
    assert memory.spans[0].cost == Cost(total=1.0)
    assert span.before_end is None


def test_events_are_in_the_order_of_their_times(tracer: Tracer, memory: MemorySink) -> None:
    """Also those of which one hears late."""
    with tracer.span("work") as span:
        span.event("second")
        span.add_event(Event("first", 1))
    assert [event.name for event in memory.spans[0].events] == ["first", "second"]


def test_trouble_at_the_end_costs_no_span(
    tracer: Tracer, memory: MemorySink, troubles: list[tuple[str, BaseException]]
) -> None:
    """Hooks that raise are reported, and the span is recorded without their work."""
    span = tracer.start("work")
    span.before_end = lambda: 1 / 0
    span.end(complete=lambda done: 1 / 0)
    assert [span.name for span in memory.spans] == ["work"]
    assert [type(error) for _, error in troubles] == [ZeroDivisionError]


class Broken:
    """Everything a tracer can be given, all of it raising."""

    def time_ns(self) -> int:
        raise OSError("no time")

    perf_ns = trace_id = span_id = time_ns

    def write(self, spans: object) -> None:
        raise OSError("no sink")

    def flush(self, timeout: float = 5.0) -> bool:
        return True

    def close(self, timeout: float = 5.0) -> None:
        """Nothing to close."""


@pytest.mark.parametrize("part", ["clock", "ids", "sink"])
def test_broken_parts_do_not_reach_the_caller(part: str) -> None:
    """With a clock, ids or a sink that raise, the traced code runs as if nothing was."""
    seen: list[str] = []
    parts = {"clock": FakeClock(), "ids": SequentialIds(), "sink": MemorySink(), part: Broken()}
    sink = parts.pop("sink")
    tracer = Tracer(sink, **parts, on_error=lambda where, error: seen.append(where))

    @tracer.trace
    def double(x: int) -> int:
        return 2 * x

    with tracer.span("outer") as span:
        span.set({"a": 1}, outputs=2).event("e")
        assert double(21) == 42
    with pytest.raises(KeyError), tracer.span("failing"):
        raise KeyError("the user's own")
    assert seen


def test_threads_do_not_inherit_unless_told(tracer: Tracer, memory: MemorySink) -> None:
    """A new thread starts its own trace; a copied context, captured context or header continues."""
    with tracer.span("outer") as outer:
        context = contextvars.copy_context()
        header = outer.context.to_traceparent()
        restored = capture_context()

    def with_header() -> None:
        with use_parent(header):
            tracer.start("by header").end()

    def with_capture() -> None:
        with restored():
            tracer.start("by capture").end()

    for target in (
        lambda: tracer.start("alone").end(),
        lambda: context.run(lambda: tracer.start("by copy").end()),
        with_header,
        with_capture,
    ):
        thread = threading.Thread(target=target)
        thread.start()
        thread.join()
    assert parents(memory) == {
        "outer": None,
        "alone": None,
        "by copy": "outer",
        "by header": "outer",
        "by capture": "outer",
    }


def test_nesting_in_tasks(tracer: Tracer, memory: MemorySink) -> None:
    """Tasks of a gather are each other's siblings, however they interleave."""

    async def step(name: str, gate: asyncio.Event) -> None:
        async with tracer.span(name):
            await gate.wait()
            tracer.start(f"{name} leaf").end()

    async def main() -> None:
        gate = asyncio.Event()
        async with tracer.span("main"):
            tasks = asyncio.gather(step("a", gate), step("b", gate))
            await asyncio.sleep(0)
            gate.set()
            await tasks
            tracer.start("after").end()

    asyncio.run(main())
    assert parents(memory) == {
        "a leaf": "a",
        "b leaf": "b",
        "a": "main",
        "b": "main",
        "after": "main",
        "main": None,
    }


def test_only_exceptions_are_failures(tracer: Tracer, memory: MemorySink) -> None:
    """A text instead of an exception is a mistake of the caller's, and told as one."""
    span = tracer.start("a")
    with pytest.raises(TypeError, match="must be an exception, got str"):
        span.fail("no answer")  # type: ignore[arg-type]
    span.end()
    assert [one.status.code.value for one in memory.spans] == ["OK"]


def test_cancellation_is_a_failure_that_goes_on(tracer: Tracer, memory: MemorySink) -> None:
    """A cancelled task's span has an error status, and the cancellation arrives."""

    async def wait() -> None:
        async with tracer.span("wait"):
            await asyncio.sleep(60)

    async def main() -> None:
        task = asyncio.ensure_future(wait())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert memory.spans[0].attributes[semconv.ERROR_TYPE] == "asyncio.exceptions.CancelledError"


def test_a_generator_closed_early_did_not_fail(tracer: Tracer, memory: MemorySink) -> None:
    """Leaving a loop over a generator with a span inside is no error."""

    def items() -> object:
        with tracer.span("inside"):
            yield 1
            yield 2

    generator = items()
    next(generator)  # type: ignore[call-overload]
    generator.close()  # type: ignore[attr-defined]
    assert memory.spans[0].status.code is StatusCode.OK


def test_leaving_in_another_context_spares_that_context(tracer: Tracer) -> None:
    """A span entered in one context and left in another does not disturb the other's own."""
    leave = contextvars.copy_context().run(lambda: tracer.activate(tracer.start("elsewhere")))
    with tracer.span("here") as here:
        leave()
        assert current_context() == here.context


def test_attributes_are_inherited(tracer: Tracer, memory: MemorySink) -> None:
    """Attributes set around spans appear on all of them, innermost value first."""
    with (
        attributes({"app.tier": "gold"}, session_id="s1", tags=["a"]),
        tracer.span("outer"),
        attributes(session_id="s2"),
    ):
        tracer.start("inner", attributes={"app.tier": "lead"}).end()
    tracer.start("outside").end()
    found = {span.name: span.attributes for span in memory.spans}
    assert found["outer"] == {"app.tier": "gold", "session.id": "s1", "trace.tags": ("a",)}
    assert found["inner"] == {"app.tier": "lead", "session.id": "s2", "trace.tags": ("a",)}
    assert found["outside"] == {}


def test_an_unknown_short_name_is_refused() -> None:
    """A mistyped keyword names the known ones."""
    with pytest.raises(ConfigurationError, match="session_id"), attributes(sesion_id="x"):
        pytest.fail("must not be entered")


def test_use_parent_none_starts_a_new_trace(tracer: Tracer, memory: MemorySink) -> None:
    """Without a parent, what happens inside belongs to new traces."""
    with tracer.span("outer"), use_parent(None):
        tracer.start("fresh").end()
    assert parents(memory) == {"fresh": None, "outer": None}


def test_suppressed_spans_are_not_recorded(tracer: Tracer, memory: MemorySink) -> None:
    """Inside suppress(), spans take everything and leave nothing, nor become parents."""
    with suppress(), tracer.span("hidden") as span:
        span.set(outputs=1)
        assert current_context() is None
    assert memory.spans == ()
    assert tracer.open_spans == ()


def test_scopes_and_resource(memory: MemorySink, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tracer with another scope shares sink and service."""
    monkeypatch.setenv("OTEL_SERVICE_NAME", "shop")
    tracer = Tracer(memory)
    other = tracer.with_scope(Scope("other", "1.0"))
    other.start("work").end()
    assert memory.spans[0].scope == Scope("other", "1.0")
    assert memory.spans[0].resource["service.name"] == "shop"
    assert isinstance(memory.spans[0].resource["process.pid"], int)


class Foreign(Bridge):
    """Another tracing system: a stack of its spans, and a bridge to it."""

    def __init__(self) -> None:
        self.stack: list[SpanContext] = []
        self.told: list[str] = []

    def parent(self) -> SpanContext | None:
        return self.stack[-1] if self.stack else None

    def attributes(self) -> Mapping[str, Value]:
        return {"foreign.depth": len(self.stack)}

    def enter(self, span: OpenSpan) -> Callable[[], None]:
        self.stack.append(span.context)
        return lambda: self.stack.remove(span.context)

    def follows(self, span: OpenSpan) -> bool:
        return not span.name.startswith("unfollowed")

    def ended(self, span: Span) -> None:
        self.told.append(span.name)


def test_spans_nest_in_another_system_and_it_in_ours(memory: MemorySink) -> None:
    """Theirs, ours, theirs, ours: every span has the one right around it as its parent."""
    foreign = Foreign()
    tracer = Tracer(memory, ids=SequentialIds(), bridges=[foreign])
    theirs = SpanContext("f" * 32, "a" * 16)
    foreign.stack.append(theirs)
    with tracer.span("ours") as ours:
        assert foreign.parent() == ours.context
        inside = SpanContext("f" * 32, "b" * 16)
        foreign.stack.append(inside)
        tracer.start("in theirs").end()
        foreign.stack.remove(inside)
        tracer.start("in ours").end()
    assert foreign.stack == [theirs]
    found = {span.name: span.parent_id for span in memory.spans}
    assert found == {
        "ours": theirs.span_id,
        "in theirs": "b" * 16,
        "in ours": ours.context.span_id,
    }
    assert {span.trace_id for span in memory.spans} == {"f" * 32}
    assert foreign.told == ["in theirs", "in ours", "ours"]


def test_a_bridge_gets_finished_spans_that_it_asks_for(memory: MemorySink) -> None:
    """One that it does not follow is not made for it, which would take the caller's time."""
    foreign = Foreign()
    tracer = Tracer(memory, bridges=[foreign])
    with tracer.span("followed"), tracer.span("unfollowed"):
        pass
    assert foreign.told == ["followed"]
    assert {span.name for span in memory.spans} == {"followed", "unfollowed"}


def test_a_broken_bridge_costs_the_nesting_alone(
    memory: MemorySink, troubles: list[tuple[str, BaseException]]
) -> None:
    """A bridge whose every method raises is reported; spans are recorded and nest in each other."""

    class Raising(Bridge):
        def parent(self) -> SpanContext | None:
            raise OSError

        def attributes(self) -> Mapping[str, Value]:
            raise OSError

        def enter(self, span: OpenSpan) -> Callable[[], None]:
            raise OSError

        def follows(self, span: OpenSpan) -> bool:
            raise OSError

        def ended(self, span: Span) -> None:
            raise OSError

    tracer = Tracer(memory, bridges=[Raising()], on_error=lambda w, e: troubles.append((w, e)))
    with tracer.span("outer"), tracer.span("inner"):
        pass
    assert parents(memory) == {"inner": "outer", "outer": None}
    assert troubles


def test_no_open_spans_names_the_open_ones(tracer: Tracer) -> None:
    """The check for open spans passes when all ended, and names one that did not."""
    with no_open_spans(tracer), tracer.span("fine"):
        pass
    kept = []
    with pytest.raises(AssertionError, match="never ended: leak"), no_open_spans(tracer):
        kept.append(tracer.start("leak"))


def test_a_class_is_not_a_sink() -> None:
    """Passing the class instead of an instance is refused with the remedy."""
    with pytest.raises(ConfigurationError, match="call it first"):
        Tracer(MemorySink)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="wanted a sink"):
        Tracer(3)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match=r"load_sink\('console'\) makes a sink of a text"):
        Tracer("console")  # type: ignore[arg-type]


def test_what_an_object_lacks_to_be_a_sink_is_told() -> None:
    """The methods by name, and the class that has them."""

    class Half:
        def write(self, spans: object, /) -> None: ...

    with pytest.raises(ConfigurationError, match="no flush and no close: derive it from trace_co"):
        Tracer(Half())  # type: ignore[arg-type]


def test_metadata_of_the_trace(tracer: Tracer, memory: MemorySink) -> None:
    """Metadata becomes attributes by which sinks know it; names with a meaning keep it."""
    given = {"release": 7, "session_id": "s1", "nested": {"a": [1]}, "unset": None}
    with attributes(metadata=given, user_id="u1"), tracer.span("call"):
        given["release"] = 8
    assert {k: v for k, v in memory.spans[0].attributes.items() if "process" not in k} == {
        "trace.metadata.release": 7,
        "trace.metadata.nested": {"a": (1,)},
        semconv.SESSION_ID: "s1",
        semconv.USER_ID: "u1",
    }


def test_metadata_must_be_a_mapping() -> None:
    """Anything else is refused, with what is wanted."""
    with (
        pytest.raises(ConfigurationError, match="metadata must be a mapping"),
        attributes(metadata="x"),
    ):
        pass


class TestSpansInGenerators:
    """Spans in ``with`` blocks of generators, which end in any order and in any context."""

    @staticmethod
    def steps(tracer: Tracer, name: str) -> Generator[str]:
        with tracer.span(name):
            yield name
            yield name

    @given(st.lists(st.sampled_from(["start", "close oldest", "close newest", "drop", "step"])))
    @settings(deadline=None)
    def test_no_ended_span_stays_current(self, acts: list[str]) -> None:
        """However generators are interleaved, closed and dropped, the parent is an open span."""
        memory = MemorySink()
        tracer = Tracer(memory)
        running: deque[Generator[str]] = deque()

        def act(what: str) -> None:
            if what == "start":
                running.append(self.steps(tracer, str(len(running))))
                next(running[-1])
            elif running and what == "close oldest":
                running.popleft().close()
            elif running and what == "close newest":
                running.pop().close()
            elif running and what == "drop":
                running.popleft()
                gc.collect()
            elif running and next(running[0], None) is None:
                running.popleft()

        def play() -> None:
            for what in acts:
                act(what)
                now = current_context()
                open_ids = {span.span_id for span in tracer.open_spans}
                assert now is None or now.span_id in open_ids
                assert (now is None) == (not open_ids)
            while running:
                act("close oldest")
            assert current_context() is None

        gc.freeze()  # each collection looks at this test's objects alone, not at all of the process
        try:
            contextvars.Context().run(play)
        finally:
            gc.unfreeze()

    def test_closed_in_another_context(self, tracer: Tracer) -> None:
        """A span ended in another context is not current in its own any more."""
        with tracer.span("outer") as outer:
            generator = self.steps(tracer, "inner")
            next(generator)
            contextvars.Context().run(generator.close)
            now = current_context()
            assert now is not None
            assert now.span_id == outer.span_id
            child = tracer.start("child")
            assert child.parent_id == outer.span_id
            child.end()

    def test_a_task_keeps_its_parent(self, tracer: Tracer, memory: MemorySink) -> None:
        """What goes on in the background after its span has ended belongs to it still."""

        async def main() -> None:
            ended = asyncio.Event()

            async def background() -> None:
                await ended.wait()
                tracer.start("late").end()

            with tracer.span("request"):
                task = asyncio.create_task(background())
            ended.set()
            await task

        asyncio.run(main())
        request, late = memory.spans
        assert late.parent_id == request.span_id


def test_closing_waits_for_a_queue_that_takes_no_more_at_once(memory: MemorySink) -> None:
    """However many spans are open: none is dropped while there is time."""
    tracer = Tracer(Background(memory, capacity=2_000))
    spans = [tracer.start(f"open {number}") for number in range(10_000)]
    tracer.close(60)
    assert len(memory.spans) == len(spans)
    assert {span.attributes["trace.ending"] for span in memory.spans} == {"interrupted"}


def test_a_span_that_ends_in_the_middle_of_a_write_is_written_next() -> None:
    """As by a signal handler or a finaliser: the thread must not wait for a lock of its own."""
    lock = threading.Lock()
    written: list[str] = []
    trouble: list[str] = []

    def write(spans: Sequence[Span]) -> None:
        assert lock.acquire(timeout=1)
        [name] = [span.name for span in spans]
        if name == "outer":
            for inner in ("first", "second"):
                tracer.start(inner).end()
        written.append(name)
        lock.release()
        if name == "first":
            raise OSError("away")

    tracer = Tracer(write, on_error=lambda where, error: trouble.append(f"{where}: {error}"))
    tracer.start("outer").end()
    assert written == ["outer", "first", "second"]
    assert trouble == ["handing over a span: away"]
    tracer.start("later").end()
    assert written[3:] == ["later"]
