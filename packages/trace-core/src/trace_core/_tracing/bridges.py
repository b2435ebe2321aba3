"""Connects other tracing systems, such as MLflow's or OpenTelemetry's, so that spans nest."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

from trace_core._model.parts import SpanContext
from trace_core._model.span import Span
from trace_core._model.values import Value
from trace_core._tracing.context import Current
from trace_core._tracing.freeze import frozen
from trace_core._tracing.span import OpenSpan


class Bridge(Protocol):
    """Connects another tracing system, so that spans of both nest in each other.

    All methods run on the caller's thread and must be quick. An exception is reported and costs
    the nesting, never the call or the span.
    """

    def parent(self) -> SpanContext | None:
        """Return the other system's current span."""
        ...

    def attributes(self) -> Mapping[str, Value]:
        """Return what only this moment knows: experiment, run, session. Travels on the span."""
        ...

    def enter(self, span: OpenSpan) -> Callable[[], None]:
        """Make our span the other system's current one; the result undoes it."""
        ...

    def follows(self, span: OpenSpan) -> bool:
        """Take notice of the end of a span of ours; return whether `ended` is to get it, finished.

        Making a finished span takes the caller's time.
        """
        ...

    def ended(self, span: Span) -> None:
        """Take notice of a finished span of ours that `follows` asked for."""
        ...


class Bridges:
    """All bridges of a tracer, guarded: an exception in one is reported and goes no further.

    Args:
        bridges: The bridges.
        on_error: Told of exceptions.
    """

    def __init__(
        self, bridges: Iterable[Bridge], on_error: Callable[[str, BaseException], None]
    ) -> None:
        self._bridges = tuple(bridges)
        self._on_error = on_error

    def __bool__(self) -> bool:
        """Whether there are any."""
        return bool(self._bridges)

    def innermost(self, ours: Current | None) -> SpanContext | Current | None:
        """Return the innermost current span, ours or that of another system.

        Args:
            ours: Our current span.
        """
        seen = ours.foreign if ours else ()
        for index, foreign in enumerate(self._parents()):
            known = seen[index] if index < len(seen) else None
            if foreign is not None and foreign.span_id != known:
                return foreign
        return ours

    def _parents(self) -> list[SpanContext | None]:
        return [self._ask_parent(bridge) for bridge in self._bridges]

    def _ask_parent(self, bridge: Bridge) -> SpanContext | None:
        try:
            return bridge.parent()
        except Exception as error:
            self._on_error("finding another tracer's parent", error)
            return None

    def attributes(self) -> dict[str, Value]:
        """Collect what the other systems know of this moment."""
        found: dict[str, Value] = {}
        for bridge in self._bridges:
            try:
                found.update(bridge.attributes())
            except Exception as error:
                self._on_error("reading another tracer's context", error)
        return found

    def enter(self, span: OpenSpan) -> tuple[tuple[str | None, ...], Callable[[], None]]:
        """Make a span current in the other systems.

        Args:
            span: The span.

        Returns:
            The ids of their current spans then, and a function that undoes it.
        """
        undo = [self._enter(bridge, span) for bridge in self._bridges]
        foreign = tuple(parent.span_id if parent else None for parent in self._parents())
        return foreign, lambda: self._undo(undo)

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
        for bridge in self._bridges:
            try:
                if bridge.follows(span):
                    bridge.ended(frozen(span))
            except Exception as error:
                self._on_error("telling another tracer of a span", error)


def nothing() -> None:
    """Undo nothing."""
