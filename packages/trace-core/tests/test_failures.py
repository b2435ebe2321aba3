"""What other people's code raises stays in; what is sent to a thread goes on to the caller."""

from __future__ import annotations

import asyncio
import ctypes
import logging
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, NoReturn

import pytest

from trace_core import (
    MemorySink,
    Retry,
    Span,
    SpanContext,
    Tracer,
    _lifecycle,
    encode,
    pipeline,
    snapshot,
    tee,
)
from trace_core._delivery.queue import Background
from trace_core._delivery.writer import Writer
from trace_core._failures import was_sent
from trace_core._log import log_once
from trace_core.adapters import TracedCall

FAST = Retry(first=0.001, longest=0.001)
Troubles = list[tuple[str, BaseException]]


class OwnEnd(BaseException):
    """No `Exception`, as some programs have them."""


ENDS: list[type[BaseException]] = [ValueError, SystemExit, GeneratorExit, asyncio.CancelledError]
ENDS += [OwnEnd]
ends = pytest.mark.parametrize("end", ENDS)


class Ends:
    """An object that raises whatever is asked of it."""

    def __init__(self, end: type[BaseException]) -> None:
        self.end = end

    def __repr__(self) -> NoReturn:
        raise self.end


class EndsList(list[Any]):
    """A list that cannot be gone through."""

    end: type[BaseException] = OwnEnd

    def __iter__(self) -> Iterator[Any]:
        raise self.end


class EndsMapping(Mapping[str, object]):
    """A mapping that has items and gives none."""

    def __init__(self, end: type[BaseException]) -> None:
        self.end = end

    def __getitem__(self, key: str) -> NoReturn:
        raise self.end

    def __iter__(self) -> Iterator[str]:
        raise self.end

    def __len__(self) -> int:
        return 1


class EndsError(Exception):
    """An exception without a text."""

    def __init__(self, end: type[BaseException]) -> None:
        super().__init__()
        self.end = end

    def __str__(self) -> NoReturn:
        raise self.end


def in_a_list(end: type[BaseException]) -> object:
    items = EndsList()  # what it holds itself would be read
    items.end = end
    return items


def in_a_generator(end: type[BaseException]) -> object:
    class Fields:
        __attrs_attrs__ = ()
        __pydantic_validator__ = True

        @property
        def __dict__(self) -> Any:
            raise end

    return Fields()


def lying(end: type[BaseException]) -> object:
    class Lying:
        @property
        def __class__(self) -> Any:
            raise end

        def __repr__(self) -> NoReturn:
            raise end

    return Lying()


values = pytest.mark.parametrize("value", [Ends, EndsMapping, in_a_list, in_a_generator, lying])


@ends
@values
def test_a_value_that_raises_does_not_reach_the_caller(
    tracer: Tracer,
    memory: MemorySink,
    end: type[BaseException],
    value: Callable[[type[BaseException]], object],
) -> None:
    """As inputs, outputs, attributes, keys, events, arguments, results, and deep inside."""
    bad = value(end)

    @tracer.trace
    def function(given: object) -> object:
        return given

    @tracer.trace
    def generator(given: object) -> Iterator[object]:
        yield given

    with tracer.span("a span", inputs=bad, attributes={"mine": bad}) as span:
        span.set({"more": bad}, outputs={"deep": [{"deeper": (bad,)}]})
        span.event("an event", {"about": bad})
    assert function(bad) is bad
    assert list(generator(bad)) == [bad]
    assert len(memory.spans) == 3
    for found in memory.spans:
        assert b"unreadable" in encode(found)


@ends
def test_a_mapping_of_attributes_that_raises(
    tracer: Tracer, memory: MemorySink, end: type[BaseException]
) -> None:
    """The span has a text in their place."""
    bad = EndsMapping(end)
    with tracer.span("a span", attributes=bad) as span:
        span.set(bad)
        span.event("an event", bad)
    text = f"<EndsMapping: unreadable ({end.__name__})>"
    assert memory.spans[0].attributes["unreadable"] == text
    with pytest.raises(TypeError, match="wanted a mapping of attributes, got Lying"):
        tracer.start("a span", attributes=lying(end))  # type: ignore[arg-type]


@ends
def test_a_key_that_raises(end: type[BaseException]) -> None:
    """It is named by its class."""
    assert snapshot({Ends(end): 1}) == {"<Ends>": 1}


@ends
def test_an_exception_whose_text_raises(
    tracer: Tracer, memory: MemorySink, end: type[BaseException]
) -> None:
    """The caller gets that exception, and the span its type."""
    error = EndsError(end)
    with pytest.raises(EndsError) as raised, tracer.span("a span"):
        raise error
    assert raised.value is error
    assert "EndsError without a readable text" in str(memory.spans[0].status.description)


@ends
def test_an_answer_and_a_chunk_that_raise(
    tracer: Tracer, memory: MemorySink, troubles: Troubles, end: type[BaseException]
) -> None:
    """What an adapter reads of a call is left out, and the caller has all of it."""

    def unreadable(_: object) -> NoReturn:
        raise end

    class Unreadable:
        add = staticmethod(unreadable)

        def outputs(self) -> None:
            """Have none."""

    class Stream:
        def __init__(self) -> None:
            self.left = [1, 2]

        def __iter__(self) -> Stream:
            return self

        def __next__(self) -> int:
            if not self.left:
                raise StopIteration
            return self.left.pop(0)

    assert TracedCall(tracer, tracer.start("a call"), copy=unreadable).returned(5) == 5
    call = TracedCall(tracer, tracer.start("a stream"), deltas=Unreadable)
    assert list(call.returned(Stream())) == [1, 2]
    assert len(memory.spans) == 2
    assert [type(error) for _, error in troubles] == [end, end]


@ends
def test_hooks_and_sinks_that_raise(
    memory: MemorySink, make_span: Callable[..., Span], end: type[BaseException]
) -> None:
    """A clock, ids, a bridge, work at the end, a sink without a queue: none reaches the caller."""

    def ends_all(*_: object) -> NoReturn:
        raise end

    class EndsIds:
        trace_id = span_id = ends_all

    with Tracer(memory, ids=EndsIds()).span("a span"):
        pass
    both = tee(Background(ends_all, retry=FAST), memory)
    with Tracer(both, redacted=False).span("a span") as span:
        span.before_end = ends_all
        span.complete = ends_all
    with Tracer(ends_all, redacted=False).span("a span"):
        pass
    both.close(0)
    closed = Background(ends_all)
    closed.close()
    closed.write((make_span(),))
    assert closed.stats.dropped == 1


# What is sent to a thread


def exits(number: int, frame: object) -> NoReturn:
    raise SystemExit(number)


class Handlers:
    """Signal handlers of other shapes."""

    def method(self, number: int, frame: object) -> NoReturn:
        raise OwnEnd

    @staticmethod
    def of_any(*arguments: object) -> NoReturn:
        raise TimeoutError

    def __call__(self, number: int, frame: object) -> NoReturn:
        exits(number, None)


def with_more(more: object, number: int, frame: object) -> NoReturn:
    signal.signal(signal.SIGUSR1, signal.SIG_DFL)  # as some do, to be run once
    raise OwnEnd(more)


@pytest.fixture
def usr1() -> Iterator[None]:
    """Put back what there is for a signal."""
    before = signal.getsignal(signal.SIGUSR1)
    yield
    signal.signal(signal.SIGUSR1, before)


class Signalled:
    """An object during whose ``repr`` a signal arrives."""

    def __repr__(self) -> str:
        signal.raise_signal(signal.SIGUSR1)
        return "<Signalled>"


@pytest.mark.usefixtures("usr1")
@pytest.mark.parametrize(
    ("handler", "raised"),
    [
        (exits, SystemExit),
        (Handlers().method, OwnEnd),
        (Handlers.of_any, TimeoutError),
        (Handlers(), SystemExit),
        (partial(with_more, 1), OwnEnd),
        (signal.default_int_handler, KeyboardInterrupt),
    ],
)
def test_what_a_signal_handler_raises_goes_on(
    tracer: Tracer, handler: Any, raised: type[BaseException]
) -> None:
    """A program that is asked to end, or to give up waiting, is: whatever was running then."""
    signal.signal(signal.SIGUSR1, handler)
    with pytest.raises(raised):
        tracer.start("a span", inputs=[Signalled()])
    signal.signal(signal.SIGUSR1, handler)
    with pytest.raises(raised):
        tracer.start("a span", attributes={"mine": Signalled()})
    signal.signal(signal.SIGUSR1, handler)
    with pytest.raises(raised), Tracer(lambda _: repr(Signalled()), redacted=False).span("a span"):
        pass


def raising(error: BaseException, **names: Any) -> BaseException:
    """Raise an exception in code that has these globals, and return it."""
    body: dict[str, Any] = {"error": error, **names}
    exec("def function(): raise error", body)
    try:
        body["function"]()
    except BaseException as caught:
        return caught
    raise AssertionError


def test_what_another_thread_sends(tracer: Tracer) -> None:
    """It strikes in our own code, which raises no such thing; in other code, it is that code's."""

    class Clock:
        time_ns = staticmethod(lambda: 1)
        perf_ns = staticmethod(
            partial(
                ctypes.pythonapi.PyThreadState_SetAsyncExc,
                ctypes.c_ulong(threading.get_ident()),
                ctypes.py_object(SystemExit),
            )
        )

    with pytest.raises(SystemExit):
        Tracer(MemorySink(), clock=Clock()).start("a span").end()
    assert was_sent(raising(SystemExit(), __name__="trace_core._tracing.recorder"))
    assert not was_sent(raising(ValueError(), __name__="trace_core._tracing.recorder"))
    assert not was_sent(raising(SystemExit(), __name__="somebodys"))


def test_threads_of_ours_go_on(memory: MemorySink, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is sent to them: nobody else does their work."""
    monkeypatch.setattr(_lifecycle, "_BETWEEN_RUNS", 0.0)
    sent = [SystemExit(), KeyboardInterrupt(), ValueError()]
    background = Background(memory)
    take = Writer._next_batch

    def struck(writer: Writer) -> Any:
        if sent:
            raise sent.pop()
        return take(writer)

    monkeypatch.setattr(Writer, "_next_batch", struck)
    with Tracer(background).span("a span"):
        pass
    assert background.flush(30)
    assert not sent
    assert [span.name for span in memory.spans] == ["a span"]
    background.close()


def test_a_greenlet_of_ours_ends_when_it_is_to() -> None:
    """Who kills it waits for its end."""
    end = type("GreenletExit", (BaseException,), {"__module__": "greenlet"})

    def work() -> None:
        raise end

    with pytest.raises(end):
        _lifecycle._keep_running(work, "a name")


def test_what_ends_a_greenlet_goes_on() -> None:
    """``gevent.Timeout`` and its like are thrown in where greenlets change."""
    timeout = type("Timeout", (BaseException,), {"__module__": "gevent.timeout"})
    own = type("OwnTimeout", (timeout,), {})
    assert was_sent(raising(timeout(), __name__="somebodys"))
    assert was_sent(raising(own(), __name__="somebodys"))


@pytest.mark.parametrize("end", [*ENDS, KeyboardInterrupt])
def test_a_processor_that_raises_on_the_writer_thread(
    memory: MemorySink, make_span: Callable[..., Span], end: type[BaseException]
) -> None:
    """No Ctrl-C arrives on that thread: the span loses its content, and the writer goes on."""

    def leave(span: Span) -> Span:
        raise end

    background = Background(pipeline(leave, sink=memory))
    for _ in range(3):
        background.write((make_span(inputs="secret"),))
    assert background.flush(30)
    assert [span.inputs for span in memory.spans] == [None] * 3
    assert background.stats.delivered == 3


@pytest.mark.parametrize("end", [*ENDS, KeyboardInterrupt])
def test_a_sink_that_raises_on_the_writer_thread(
    make_span: Callable[..., Span], monkeypatch: pytest.MonkeyPatch, end: type[BaseException]
) -> None:
    """The write is repeated, and so is a flush; work on ended spans costs what it would set."""
    monkeypatch.setattr("trace_core._delivery.retry._SECONDS_BETWEEN_FAILURES", 0.1)
    left = [end]
    written: list[SpanContext] = []

    class Sink(MemorySink):
        def write(self, spans: Sequence[Span], /) -> None:
            if left:
                raise left.pop()
            written.extend(span.context for span in spans)

        def flush(self, timeout: float = 5.0, /) -> bool:
            raise end

        def write_started(self, spans: Sequence[Span], /) -> None:
            raise end

        def close(self, timeout: float = 5.0, /) -> None:
            raise end

    def fail(_: object) -> NoReturn:
        raise end

    background = Background(Sink(), retry=FAST)
    tracer = Tracer(background, redacted=False)
    tracer.start("a span").end(complete=fail)
    assert not background.flush(30)
    background.write((make_span(),))
    background.close(30)
    assert len(written) == 2
    assert background.stats.delivered == 2


def test_ctrl_c_goes_on_where_there_is_no_thread_of_ours(make_span: Callable[..., Span]) -> None:
    """In a sink without a queue, and after the close."""

    def interrupted(_: object) -> NoReturn:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Tracer(interrupted, redacted=False).start("a span").end()
    background = Background(interrupted)
    background.close()
    with pytest.raises(KeyboardInterrupt):
        background.write((make_span(),))


@ends
def test_a_log_that_raises_does_not_reach_the_caller(
    memory: MemorySink, end: type[BaseException]
) -> None:
    """What the program's own handler does with a message is no matter of the call's."""
    told: list[str] = []

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            told.append(record.getMessage())
            raise end

    def fail() -> NoReturn:
        raise OSError(f"with {end.__name__}")

    handler = Handler()
    logging.getLogger("trace_core").addHandler(handler)
    try:
        with Tracer(memory).span("a span") as span:
            span.before_end = fail
        log_once(f"a kind of trouble with {end.__name__}", "trouble")
    finally:
        logging.getLogger("trace_core").removeHandler(handler)
    assert told[-1] == "trouble"
    assert len(memory.spans) == 1
