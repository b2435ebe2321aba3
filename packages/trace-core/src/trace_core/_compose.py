"""Putting sinks together: processors in front of one, and several side by side."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TypeAlias

import attrs

from trace_core._background import Background
from trace_core._errors import report
from trace_core._model import Event, Span
from trace_core._sinks import Sink, SinkLike, as_sink

Processor: TypeAlias = Callable[[Span], Span | None]
"""Changes a span on its way to a sink, or drops it by returning ``None``."""


class Pipeline:
    """Runs each span through processors before a sink. Made by `pipeline`."""

    def __init__(self, processors: tuple[Processor, ...], sink: Sink) -> None:
        self._processors = processors
        self.sink = sink
        self.bridges = tuple(getattr(sink, "bridges", ()))
        self.immediate = bool(getattr(sink, "immediate", False))

    def write(self, spans: Sequence[Span], /) -> None:
        """Process the spans and write those that are left."""
        processed = [self._process(span) for span in spans]
        kept = [span for span in processed if span is not None]
        if kept:
            self.sink.write(kept)

    def _process(self, span: Span) -> Span | None:
        for processor in self._processors:
            try:
                result = processor(span)
            except Exception as error:
                report(f"processor {getattr(processor, '__name__', processor)!s}", error)
                result = without_content(span)
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


class Tee:
    """Writes to several sinks side by side. Made by `tee`."""

    immediate = True

    def __init__(self, sinks: tuple[Sink, ...]) -> None:
        self.sinks = sinks
        self.bridges = tuple(bridge for sink in sinks for bridge in getattr(sink, "bridges", ()))
        self._branches = tuple(_isolated(sink) for sink in sinks)

    def write(self, spans: Sequence[Span], /) -> None:
        """Hand the spans to every sink."""
        for branch in self._branches:
            try:
                branch.write(spans)
            except Exception as error:
                report(f"sink {type(branch).__name__}", error)

    def flush(self, timeout: float = 5.0, /) -> bool:
        """Flush every sink within one shared deadline."""
        deadline = time.monotonic() + timeout
        done = [branch.flush(_left(deadline)) for branch in self._branches]  # every one of them
        return all(done)

    def close(self, timeout: float = 5.0, /) -> None:
        """Close every sink within one shared deadline."""
        deadline = time.monotonic() + timeout
        for branch in self._branches:
            try:
                branch.close(_left(deadline))
            except Exception as error:
                report(f"closing {type(branch).__name__}", error)


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
