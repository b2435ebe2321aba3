"""Putting sinks together: processors in front of one, and several side by side."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Any, TypeAlias

import attrs

from trace_core._delivery.queue import Background
from trace_core._delivery.stats import AtomicCounter, Stats
from trace_core._lifecycle import at_exit
from trace_core._log import report
from trace_core._model.span import Event, Span
from trace_core._processors.glance import ByRules, Glance
from trace_core._sinks.base import Sink, SinkLike, as_sink

Processor: TypeAlias = Callable[[Span], Span | None]
"""Changes a span on its way to a sink, or drops it by returning ``None``."""


class Pipeline:
    """Runs each span through processors before a sink. Made by `pipeline`."""

    def __init__(self, processors: tuple[Processor, ...], sink: Sink) -> None:
        self._processors = processors
        self._steps = _steps(processors)
        self.sink = sink
        self.bridges = tuple(getattr(sink, "bridges", ()))
        # processors may be slow, so under a tee they get a thread of their own
        self.immediate = not processors and bool(getattr(sink, "immediate", False))
        started: Callable[[Sequence[Span]], None] | None = getattr(sink, "write_started", None)
        if started is not None:
            self.write_started = self._forward_to(started)
        self._filtered = AtomicCounter()

    def __getattr__(self, name: str) -> Any:
        """Pass on what a sink may offer beyond the protocol: stats, exit_timeout, spool_key."""
        if name.startswith("_") or name in ("sink", "write_started", "write_later", "start_later"):
            raise AttributeError(name)
        return getattr(self.sink, name)

    def with_sink(self, sink: Sink) -> Pipeline:
        """Return the same processors before another sink."""
        return Pipeline(self._processors, sink)

    @property
    def filtered(self) -> int:
        """Spans that a processor left out."""
        return self._filtered.value

    def _forward_to(
        self, write: Callable[[Sequence[Span]], None]
    ) -> Callable[[Sequence[Span]], None]:
        return lambda spans: write([s for s in map(self._process, spans) if s is not None])

    def write(self, spans: Sequence[Span], /) -> None:
        """Process the spans and write those that are left."""
        kept = [left for span in spans if (left := self._process(span)) is not None]
        for _ in range(len(spans) - len(kept)):
            self._filtered.increment()
        if kept:
            self.sink.write(kept)

    def _process(self, span: Span) -> Span | None:
        for glance, processors in self._steps:
            if glance is not None and glance.passes(span):
                continue
            for processor in processors:
                result = _guarded_step(processor, span)
                if result is None:
                    return None
                span = result
        return span

    def flush(self, timeout: float = 5.0, /) -> bool:
        """Flush the sink."""
        return self.sink.flush(timeout)

    def close(self, timeout: float = 5.0, /) -> None:
        """Close the sink."""
        self.sink.close(timeout)


_Step: TypeAlias = "tuple[Glance | None, tuple[Processor, ...]]"
"""Processors, one after the other, and what tells of which spans they change nothing."""


def _steps(processors: Sequence[Processor]) -> list[_Step]:
    """Put processors side by side that go by rules, so that one glance does for all of them."""
    steps: list[_Step] = []
    for by_rules, some in groupby(processors, key=lambda one: isinstance(one, ByRules)):
        together = tuple(some)
        steps.append((Glance(together) if by_rules else None, together))  # type: ignore[arg-type]
    return steps


def _guarded_step(processor: Processor, span: Span) -> Span | None:
    try:
        return processor(span)
    except Exception as error:
        report(f"processor {getattr(processor, '__name__', processor)!s}", error)
        return without_content(span)


def pipeline(*processors: Processor, sink: SinkLike) -> Sink:
    """Run spans through processors, in order, before a sink.

    A processor that raises costs the span its content, never the span: had it been a redactor,
    what it did not look at must not go on.

    Args:
        *processors: Each takes a span and returns one, or ``None`` to drop it.
        sink: Where the result goes.

    Returns:
        A sink.

    Raises:
        ConfigurationError: ``sink`` is neither a sink nor a function.
    """
    return Pipeline(processors, as_sink(sink))


def without_content(span: Span) -> Span:
    """Return a span without what was said in it: inputs, outputs, event details, error text.

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


def _write_to_each(
    writes: Sequence[Callable[[Sequence[Span]], None]],
) -> Callable[[Sequence[Span]], None]:
    def write_started(spans: Sequence[Span]) -> None:
        for write in writes:
            try:
                write(spans)
            except Exception as error:
                report("noting that a span started", error)

    return write_started


class Tee:
    """Writes to several sinks side by side. Made by `tee`."""

    immediate = True

    def __init__(self, sinks: tuple[Sink, ...]) -> None:
        self.sinks = sinks
        self.bridges = tuple(bridge for sink in sinks for bridge in getattr(sink, "bridges", ()))
        self._branches = tuple(_isolated(sink) for sink in sinks)
        offered = [getattr(branch, "write_started", None) for branch in self._branches]
        started = [write for write in offered if write is not None]
        if started:
            self.write_started = _write_to_each(started)
        at_exit(self._exit)

    def write(self, spans: Sequence[Span], /) -> None:
        """Hand the spans to every sink."""
        for branch in self._branches:
            try:
                branch.write(spans)
            except Exception as error:
                report(f"sink {type(branch).__name__}", error)

    @property
    def branch_stats(self) -> tuple[Stats | None, ...]:
        """What became of the spans at each sink, in order; ``None`` for one that keeps no count."""
        return tuple(getattr(branch, "stats", None) for branch in self._branches)

    @property
    def exit_timeout(self) -> float:
        """Seconds the close at exit may take: what the most patient sink asks for."""
        return max((float(getattr(b, "exit_timeout", 5.0)) for b in self._branches), default=0.0)

    def flush(self, timeout: float = 5.0, /) -> bool:
        """Flush all sinks side by side within one deadline; a failure is a "no", not an error."""
        deadline = time.monotonic() + timeout
        waits = [_guarded(_begin_flush, branch, deadline) for branch in self._branches]
        answers = [_guarded(_wait, wait, deadline) for wait in waits]  # wait for every one
        return all(answers)

    def close(self, timeout: float = 5.0, /) -> None:
        """Close all sinks side by side within one deadline."""
        deadline = time.monotonic() + timeout
        waits = [_guarded(_begin_close, branch, deadline) for branch in self._branches]
        for wait in waits:
            _guarded(_wait, wait, deadline)

    def _exit(self) -> None:
        self.close(self.exit_timeout)


_Wait: TypeAlias = Callable[[], object]


def _guarded(step: Callable[[Any, float], Any], subject: Any, deadline: float) -> Any:
    """Run a step for one sink; what it raises costs that sink a "no" and the others nothing."""
    try:
        return step(subject, deadline)
    except Exception as error:
        report(f"sink {type(subject).__name__}", error)
        return None


def _begin_flush(sink: Any, deadline: float) -> _Wait:
    """Start a flush where the sink can do so without waiting, else make a later step of it."""
    begin = getattr(sink, "begin_flush", None)
    return begin(_left(deadline)) if begin else lambda: sink.flush(_left(deadline))


def _begin_close(sink: Any, deadline: float) -> _Wait:
    begin = getattr(sink, "begin_close", None)
    return begin(_left(deadline)) if begin else lambda: sink.close(_left(deadline))


def _wait(wait: _Wait | None, _deadline: float) -> object:
    return wait() if wait is not None else False


def _left(deadline: float) -> float:
    return max(0.0, deadline - time.monotonic())


def _isolated(sink: Sink) -> Sink:
    """Give a sink that may be slow a queue and a thread of its own."""
    return sink if getattr(sink, "immediate", False) else Background(sink)


def tee(*sinks: SinkLike) -> Sink:
    """Write to several sinks side by side: none waits for another, none suffers another's failure.

    A sink that may be slow gets a queue and a thread of its own.

    Args:
        *sinks: Sinks or functions of a batch.

    Returns:
        A sink.

    Raises:
        ConfigurationError: One of them is neither a sink nor a function.
    """
    return Tee(tuple(as_sink(sink) for sink in sinks))
