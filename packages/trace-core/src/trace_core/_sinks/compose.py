"""`pipeline` puts processors in front of a sink; `tee` writes to several sinks side by side."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Final, TypeAlias, TypeVar

import attrs

from trace_core._delivery.queue import Background
from trace_core._delivery.stats import LockFreeSum, Stats
from trace_core._errors import ConfigurationError
from trace_core._failures import failure
from trace_core._log import report
from trace_core._model.parts import Event
from trace_core._model.span import Span
from trace_core._processors.redact import Redactor
from trace_core._sinks.base import SinkBase, SinkLike, as_sink
from trace_core._sinks.wrapper import WrapperSink, guarded

T = TypeVar("T")

Processor: TypeAlias = Callable[[Span], Span | None]
"""Changes a span on its way to a sink, or drops it by returning ``None``."""


_SLICE_SECONDS: Final = 0.003
"""For a sink that wants small batches: how long spans are processed before a write. Less than the
5 ms after which the interpreter lets another thread run, perhaps for long."""


class Pipeline(WrapperSink):
    """Runs each span through processors before a sink. Made by `pipeline`."""

    def __init__(
        self, processors: tuple[Processor, ...], sink: SinkBase, *, redacts: bool | None = None
    ) -> None:
        for processor in processors:
            if not callable(processor) or isinstance(processor, type):
                raise ConfigurationError(f"a processor is a function of a span, got {processor!r}")
        super().__init__((sink,))
        self.sink = sink
        self._processors = processors
        if redacts is not None:
            self.redacts = redacts
        if any(isinstance(processor, Redactor) for processor in processors):
            self.redacts = True
        # processors may be slow, so a tee gives them a thread of their own
        self.immediate = not processors and sink.immediate
        self._filtered = LockFreeSum()

    @property
    def stats(self) -> Stats | None:
        """What became of the spans that the processors left."""
        return self.sink.stats

    @property
    def filtered(self) -> int:
        """Spans that a processor dropped."""
        return self._filtered.value

    def with_sink(self, sink: SinkBase) -> Pipeline:
        """Return the same processors before another sink."""
        return Pipeline(self._processors, sink, redacts=self.redacts)

    def write(self, spans: Sequence[Span], /) -> None:
        """Process the spans and write those that are left."""
        left: list[Span] = []
        hurry = self.small_batches and len(spans) > 1
        until = time.perf_counter() + _SLICE_SECONDS if hurry else 0.0
        for span in spans:
            processed = self._process(span)
            if processed is None:
                self._filtered.add(1)
                continue
            left.append(processed)
            if hurry and time.perf_counter() > until:
                self.sink.write(left)
                left = []
                until = time.perf_counter() + _SLICE_SECONDS
        if left:
            self.sink.write(left)

    def write_started(self, spans: Sequence[Span], /) -> None:
        """Process start records and write those that are left."""
        self.sink.write_started([s for s in map(self._process, spans) if s is not None])

    def _process(self, span: Span) -> Span | None:
        for processor in self._processors:
            problem: BaseException
            try:
                result = processor(span)
            except failure() as error:  # sys.exit() in it ends no writer either
                problem = error
            else:
                if result is None:
                    return None
                if isinstance(result, Span):
                    span = result
                    continue
                problem = TypeError(
                    f"it returned a {type(result).__name__}; wanted a Span, or None"
                )
            report(f"processor {getattr(processor, '__name__', processor)!s}", problem)
            span = without_content(span)
        return span

    def begin_flush(self, deadline: float, /) -> Callable[[], bool]:
        """Start flushing the sink; the result waits."""
        return self.sink.begin_flush(deadline)

    def begin_close(self, deadline: float, /) -> Callable[[], None]:
        """Start closing the sink; the result waits."""
        self._forget_handlers()
        return self.sink.begin_close(deadline)


def pipeline(*processors: Processor, sink: SinkLike) -> SinkBase:
    """Run spans through processors, in order, before a sink.

    If a processor raises, or returns something else, the span goes on without its content: the
    processor may have been meant to remove secrets from it.

    Args:
        *processors: Each takes a span and returns one, or ``None`` to drop it.
        sink: Where the result goes.

    Returns:
        A sink.

    Raises:
        ConfigurationError: ``sink`` is neither a sink nor a function, or a processor is none.
    """
    return Pipeline(processors, as_sink(sink))


def without_content(span: Span) -> Span:
    """Return a span without its content: inputs, outputs, event details, error text.

    Args:
        span: The span.

    Returns:
        A span with its identity, times, usage and cost.
    """
    return attrs.evolve(
        span,
        inputs=None,
        outputs=None,
        status=attrs.evolve(span.status, description=None),
        attributes={},
        events=tuple(Event(event.name, event.time_ns) for event in span.events),
    )


class Tee(WrapperSink):
    """Writes to several sinks side by side. Made by `tee`."""

    immediate = True

    def __init__(self, sinks: tuple[SinkBase, ...]) -> None:
        self.sinks = sinks
        self._branches = tuple(s if s.immediate else Background(s) for s in sinks)
        super().__init__(self._branches)

    @property
    def branch_stats(self) -> tuple[Stats | None, ...]:
        """What became of the spans at each sink, in order; ``None`` for one that does not count."""
        return tuple(branch.stats for branch in self._branches)

    def write(self, spans: Sequence[Span], /) -> None:
        """Hand the spans to every sink; one that raises does not affect the others."""
        for branch in self._branches:
            guarded(f"writing to {branch.name}", partial(branch.write, spans), None)

    def write_started(self, spans: Sequence[Span], /) -> None:
        """Hand start records to the sinks that take them."""
        for branch in self._branches:
            if branch.takes_starts:
                what = f"writing start records to {branch.name}"
                guarded(what, partial(branch.write_started, spans), None)

    def begin_flush(self, deadline: float, /) -> Callable[[], bool]:
        """Start flushing all sinks; an exception means "not delivered" for that sink alone."""
        waits = [_begin(branch, branch.begin_flush, deadline, False) for branch in self._branches]
        return lambda: False not in _call_each(waits)

    def begin_close(self, deadline: float, /) -> Callable[[], None]:
        """Start closing all sinks; the result waits."""
        self._forget_handlers()
        waits = [_begin(branch, branch.begin_close, deadline, None) for branch in self._branches]
        return lambda: _done(_call_each(waits))


def _begin(
    sink: SinkBase, begin: Callable[[float], Callable[[], T]], deadline: float, otherwise: T
) -> Callable[[], T]:
    """Begin a flush or close; whatever raises, then or later, is reported."""
    what = f"flushing or closing {sink.name}"
    wait = guarded(what, partial(begin, deadline), lambda: otherwise)
    return lambda: guarded(what, wait, otherwise)


def _call_each(functions: Iterable[Callable[[], T]]) -> list[T]:
    return [function() for function in functions]


def _done(_results: object) -> None:
    """Return nothing."""


def tee(*sinks: SinkLike) -> SinkBase:
    """Write to several sinks side by side: a slow or failing sink does not affect the others.

    A sink that may be slow gets a queue and a thread of its own.

    Args:
        *sinks: Sinks or functions of a batch.

    Returns:
        A sink.

    Raises:
        ConfigurationError: There is none, or one of them is neither a sink nor a function.
    """
    if not sinks:
        raise ConfigurationError("tee() wants at least one sink")
    return Tee(tuple(as_sink(sink) for sink in sinks))
