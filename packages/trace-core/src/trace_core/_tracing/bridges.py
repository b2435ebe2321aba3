"""Connects other tracing systems, such as MLflow's or OpenTelemetry's, so that spans nest."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from functools import partial

from trace_core import _arguments as arguments
from trace_core._model.parts import SpanContext
from trace_core._model.span import Span
from trace_core._model.values import Value
from trace_core._tracing.context import Current, Seen
from trace_core._tracing.freeze import frozen
from trace_core._tracing.span import OpenSpan


class Bridge:
    """Connects another tracing system, so that spans of both nest in each other.

    The base class of bridges: override what the other system has. All methods run on the caller's
    thread and must be quick. An exception is reported and costs the nesting, never the call or the
    span.
    """

    module: str | None = None
    """The module without which the other system is not in use. Until the program has imported it,
    the bridge is not asked, which makes it free. ``None`` for a bridge that is always asked."""

    separate: bool = False
    """Whether the other system's spans are stored elsewhere than ours. Then a span of ours below
    one of them is marked as the topmost that a sink gets: `semconv.LOCAL_ROOT`."""

    def parent(self) -> SpanContext | None:
        """Return the other system's current span."""
        return None

    def is_sampled(self) -> bool:
        """Return whether a span below that of `parent` is to be recorded."""
        return True

    def attributes(self) -> Mapping[str, Value]:
        """Return what only this moment knows: experiment, run, session. Travels on the span."""
        return {}

    def enter(self, span: OpenSpan) -> Callable[[], None]:
        """Make our span the other system's current one; the result undoes it."""
        return nothing

    def follows(self, span: OpenSpan) -> bool:
        """Take notice of the end of a span of ours; return whether `ended` is to get it, finished.

        Making a finished span takes the caller's time.
        """
        return False

    def ended(self, span: Span) -> None:
        """Take notice of a finished span of ours that `follows` asked for."""


class Bridges:
    """All bridges of a tracer, guarded: an exception in one is reported and goes no further.

    Args:
        bridges: The bridges. Where two systems have a new span, the first one's is the parent.
        on_error: Told of exceptions.

    Raises:
        ConfigurationError: One of them is no `Bridge`.
    """

    def __init__(
        self, bridges: Iterable[Bridge], on_error: Callable[[str, BaseException], None]
    ) -> None:
        self._bridges = tuple(arguments.instance(one, Bridge, "a bridge") for one in bridges)
        self._with_attributes = self._that_override("attributes")
        self._followers = self._that_override("follows")
        self._on_error = on_error

    def _that_override(self, method: str) -> tuple[Bridge, ...]:
        own = getattr(Bridge, method)
        return tuple(one for one in self._bridges if getattr(type(one), method) is not own)

    @property
    def awake(self) -> bool:
        """Whether one of them has to be asked by now."""
        return any(one.module is None or one.module in sys.modules for one in self._bridges)

    def innermost(self, ours: Current | None) -> tuple[SpanContext | Current | None, Bridge | None]:
        """Return the innermost current span, and the bridge that found it if it is not ours.

        Args:
            ours: Our current span.
        """
        before = _before(ours, self._parents) if ours is not None else ()
        for index, bridge in enumerate(self._bridges):
            foreign = self._ask_parent(bridge)
            if foreign is None:
                continue
            if ours is None or index >= len(before) or not _known(foreign, before[index], ours):
                return foreign, bridge
        return ours, None

    def _parents(self) -> tuple[SpanContext | None, ...]:
        return tuple([self._ask_parent(bridge) for bridge in self._bridges])

    def _ask_parent(self, bridge: Bridge) -> SpanContext | None:
        try:
            return bridge.parent()
        except Exception as error:
            self._on_error("finding another tracer's parent", error)
            return None

    def is_sampled(self, bridge: Bridge) -> bool:
        """Return whether a span below that of a bridge is to be recorded."""
        try:
            return bridge.is_sampled()
        except Exception as error:
            self._on_error("asking whether another tracer's span is sampled", error)
            return True

    def attributes(self) -> dict[str, Value]:
        """Collect what the other systems know of this moment."""
        found: dict[str, Value] = {}
        for bridge in self._with_attributes:
            try:
                found.update(bridge.attributes())
            except Exception as error:
                self._on_error("reading another tracer's context", error)
        return found

    def enter(self, span: OpenSpan) -> tuple[Seen, Callable[[], None]]:
        """Make a span current in the other systems.

        Args:
            span: The span.

        Returns:
            Their current spans then, and a function that undoes it.
        """
        undo = [self._enter(bridge, span) for bridge in self._bridges]
        return self._parents(), partial(self._undo, undo)

    def _enter(self, bridge: Bridge, span: OpenSpan) -> Callable[[], None]:
        try:
            return bridge.enter(span)
        except Exception as error:
            self._on_error("entering another tracer's context", error)
            return nothing

    def _undo(self, undo: list[Callable[[], None]]) -> None:
        for step in reversed(undo):
            try:
                step()
            except Exception as error:
                self._on_error("leaving another tracer's context", error)

    def ended(self, span: OpenSpan) -> None:
        """Tell the other systems of a span that has ended.

        Args:
            span: The span; they get it without the work that can wait.
        """
        for bridge in self._followers:
            try:
                if bridge.follows(span):
                    bridge.ended(frozen(span))
            except Exception as error:
                self._on_error("telling another tracer of a span", error)


def _before(ours: Current, ask: Callable[[], Seen]) -> Seen:
    """Return the other systems' current spans when ours became current."""
    if ours.made_in is not None:
        return ours.made_in.copy().run(ask)  # a copy: another thread may be in it
    return ours.foreign


def _known(foreign: SpanContext, before: SpanContext | None, ours: Current) -> bool:
    """Return whether a foreign span is around ours, or goes on with a trace that ours is not in."""
    return before is not None and (
        foreign.span_id == before.span_id or foreign.trace_id == before.trace_id != ours.trace_id
    )


def nothing() -> None:
    """Undo nothing."""
