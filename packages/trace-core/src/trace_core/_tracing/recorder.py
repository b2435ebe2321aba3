"""The part of a tracer that every traced call runs: opens, activates and hands over spans."""

from __future__ import annotations

import os
import platform
import sys
import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from trace_core import _arguments as arguments
from trace_core import semconv
from trace_core._clock import monotonic, pause
from trace_core._failures import failure
from trace_core._lifecycle import after_fork, at_exit
from trace_core._log import counted, report
from trace_core._model.parts import Scope, SpanContext, SpanKind, Status, StatusCode
from trace_core._model.values import Value, class_name
from trace_core._sinks.base import SinkBase, SinkLike, as_sink
from trace_core._tracing.bridges import Bridge, Bridges, Entered, nothing
from trace_core._tracing.context import (
    Current,
    get_current,
    get_inherited,
    is_suppressed,
    not_stale,
    set_current,
)
from trace_core._tracing.ids import Clock, IdGenerator, RandomIds, SystemClock
from trace_core._tracing.span import NO_ID, OpenSpan, unrecorded_span
from trace_core._tracing.turns import Turns

_NOTHING_ELSE: Final = (None,)
_imported: Final = sys.modules.keys()
_LOCAL_ROOT: Final = semconv.LOCAL_ROOT
_ENDING_SECONDS: Final = 2.0
_ENDED_AT_ONCE: Final = 1_000
_NAP_SECONDS: Final = 0.005


class Recorder:
    """Opens spans, makes them current, and hands ended ones to a sink.

    What `trace_core.Tracer` does, without the conveniences: see there for the arguments.
    """

    def __init__(
        self,
        sink: SinkLike,
        *,
        clock: Clock | None = None,
        ids: IdGenerator | None = None,
        bridges: Sequence[Bridge] | None = None,
        scope: Scope | None = None,
        service: str | None = None,
        redacted: bool | None = None,
        on_error: Callable[[str, BaseException], None] = report,
    ) -> None:
        self.sink = _private(as_sink(sink), redacted)
        self.clock: Clock = clock or SystemClock()
        self._ids: IdGenerator = ids or RandomIds()
        self._bridges = Bridges(self.sink.bridges if bridges is None else bridges, on_error)
        self._followed = bool(self._bridges.followers)
        self._waits_for = self._bridges.waits_for
        self._bridged = bool(self._bridges) and not self._waits_for
        self.scope = arguments.instance(scope or Scope("trace_core"), Scope, "scope")
        """What produces the spans."""
        self.resource: Mapping[str, Value] = _resource(service)
        """Where the spans are produced: service, process, runtime."""
        self.on_error = on_error
        self._open: dict[str, weakref.ref[OpenSpan]] = {}
        self._write_later = self.sink.write_later
        self._start_later = self.sink.start_later if self.sink.takes_starts else None
        if type(self.sink).write_later is SinkBase.write_later:  # it writes on this very thread
            turns = Turns(on_error)
            self._write_later = turns.of(self._write_later)
            self._start_later = self._start_later and turns.of(self._start_later)
        self._register()

    def _register(self) -> None:
        after_fork(self._forget_parents_spans)
        at_exit(self.end_open_spans)

    def _forget_parents_spans(self) -> None:
        """In a forked child: drop the open spans, which the parent ends, and note the new pid."""
        for span in self.open_spans:
            span.forget()
        self._open.clear()
        self.resource = {**self.resource, "process.pid": os.getpid()}

    def __repr__(self) -> str:
        spans = f"{counted(len(self.open_spans), 'open span')}; spans go to {self.sink.place}"
        return f"<Tracer of {self.scope.name}: {spans}>"

    @property
    def open_spans(self) -> tuple[OpenSpan, ...]:
        """The spans started and not ended yet."""
        return tuple(s for s in (ref() for ref in list(self._open.values())) if s is not None)

    def open(
        self, name: str, kind: SpanKind, inputs: Value, attributes: dict[str, Value]
    ) -> OpenSpan:
        """Open a span like `start`, from values that are plain data already.

        Args:
            name: What to call it.
            kind: What it stands for.
            inputs: What goes in, as `snapshot` returns it.
            attributes: More about it, by full name; the span keeps and changes this dictionary.

        Returns:
            The open span; whoever opened it ends it.
        """
        # One function, though a long one: every call of the user's pays for it, with cold caches.
        if is_suppressed():
            return unrecorded_span(name, kind)
        try:
            now: Current | SpanContext | None
            here, above = get_current(), get_inherited()
            now = here = not_stale(here) if here is not None and here.stale else here
            ids = self._ids
            span_id = ids.span_id()
            if self._bridged or above or not _imported.isdisjoint(self._waits_for):
                self._bridged = self._bridged or not _imported.isdisjoint(self._waits_for)
                now, attributes = self._bridges.place(here, above, attributes, span_id)
                if isinstance(now, SpanContext) and not now.sampled:
                    return unrecorded_span(name, kind)
            if now is None or not now.span_id:
                span = OpenSpan(self, ids.trace_id(), span_id, None, name, kind, inputs, attributes)
            else:
                span = OpenSpan(
                    self, now.trace_id, span_id, now.span_id, name, kind, inputs, attributes
                )
        except failure() as error:  # an id generator or a clock
            self.on_error("starting a span", error)
            return unrecorded_span(name, kind)
        self._open[span_id] = reference = weakref.ref(span)
        if self._start_later is not None:
            try:
                self._start_later(reference)
            except failure() as error:
                self.on_error("recording the start of a span", error)
        return span

    def parent_here(self) -> SpanContext | None:
        """Return the parent of a span that is opened here: ours, or another tracing system's."""
        now, _ = self._bridges.place(not_stale(get_current()), None, {}, NO_ID)
        return now.context if isinstance(now, Current) else now

    def activate(self, span: OpenSpan) -> Callable[[], None]:
        """Make a span current in this thread or task.

        Args:
            span: The span.

        Returns:
            A function that undoes it; call it once, best in the same thread or task.
        """
        if span.span_id == NO_ID:
            return nothing
        outer = get_current()
        if outer is not None and outer.stale:
            outer = not_stale(outer)
        if not self._bridged:
            now = Current(span.trace_id, span.span_id, outer)
            set_current(now)
            return now.leave
        bridges = self._bridges
        entered = Entered(span.trace_id, span.span_id, outer)
        entered.bridges = bridges
        entered.root = span.attributes.get(_LOCAL_ROOT)
        for bridge in bridges.all:  # here, because a call of a function more takes time
            step = nothing
            try:
                step = bridge.enter(span)
            except failure() as error:
                self.on_error("entering another tracer's context", error)
            if step is not nothing:
                entered.undo = (step, *entered.undo) if entered.undo else (step,)
            shown = step is not nothing and bridge.shows_ours
            entered.foreign += _NOTHING_ELSE if shown else (bridges.ask_parent(bridge),)
        set_current(entered)
        return entered.leave

    def end_open_spans(self, timeout: float = _ENDING_SECONDS) -> None:
        """End every span still open, marked as interrupted: for the exit of a program.

        Args:
            timeout: Seconds to wait at the most for a queue that takes no more at once.
        """
        deadline = monotonic() + timeout
        for number, span in enumerate(self.open_spans, 1):
            span.attributes[semconv.ENDING] = "interrupted"
            span.end()
            if not number % _ENDED_AT_ONCE:
                self._await_queue(deadline)

    def _await_queue(self, deadline: float) -> None:
        while monotonic() < deadline:
            stats = self.sink.stats
            if stats is None or stats.pending < _ENDED_AT_ONCE:
                return
            pause(_NAP_SECONDS)

    def _finish(self, span: OpenSpan, error: BaseException | None) -> None:
        """Hand the ended span over. Runs in finalisers too: takes no lock."""
        try:
            self._open.pop(span.span_id, None)
            span.end_ns = span.start_ns + self.clock.perf_ns() - span.start_perf_ns
            if error is not None or span.before_end is not None:
                _fill_in(span, error, self.on_error)
            if self._followed:
                self._bridges.ended(span)
            self._write_later(span)
        except failure() as trouble:
            self.on_error("ending a span", trouble)


def _fill_in(
    span: OpenSpan, error: BaseException | None, on_error: Callable[[str, BaseException], None]
) -> None:
    """Set what is known only at the end; if that fails, the span is recorded without it."""
    before_end, span.before_end = span.before_end, None  # it may hold the caller's stream
    try:
        if before_end is not None:
            before_end()
    except failure() as trouble:
        on_error("filling in a span at its end", trouble)
    if error is None:
        return
    try:
        span.fail(error)
    except failure() as trouble:
        span.status = Status(StatusCode.ERROR, class_name(type(error)))
        on_error("describing an exception", trouble)


def _private(sink: SinkBase, redacted: bool | None) -> SinkBase:
    if sink.redacts:
        return sink
    from trace_core._sinks.privacy import private  # what removes secrets takes time to import

    return private(sink, redacted)


def _resource(service: str | None) -> Mapping[str, Value]:
    name = service or os.environ.get("OTEL_SERVICE_NAME")
    found: dict[str, Value] = {
        "process.pid": os.getpid(),
        "process.runtime.name": platform.python_implementation().lower(),
        "process.runtime.version": platform.python_version(),
    }
    if name:
        found[semconv.SERVICE_NAME] = name
    return found
