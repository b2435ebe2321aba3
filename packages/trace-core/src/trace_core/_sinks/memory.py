"""A sink that keeps spans in memory, for tests and notebooks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from trace_core import _arguments as arguments
from trace_core._log import counted
from trace_core._model.span import Span
from trace_core._sinks.base import SinkBase

if TYPE_CHECKING:
    from trace_core._view.trace import Trace


class MemorySink(SinkBase):
    """Keeps spans in memory, for tests and notebooks. Thread-safe.

    Args:
        limit: How many to keep; the oldest are dropped first. ``None``: all.

    Raises:
        ConfigurationError: ``limit`` is not a whole number of at least 1.
    """

    immediate = True
    wants_spool = False

    def __init__(self, limit: int | None = None) -> None:
        self._limit = None if limit is None else arguments.count(limit, "limit")
        self._spans: list[Span] = []

    @property
    def spans(self) -> tuple[Span, ...]:
        """The spans written so far, oldest first."""
        return tuple(self._spans)

    def __repr__(self) -> str:
        return f"<MemorySink: {counted(len(self._spans), 'span')}>"

    @property
    def place(self) -> str:
        """Memory."""
        return "memory"

    @property
    def traces(self) -> list[Trace]:
        """The spans written so far by trace; each draws itself as a tree."""
        from trace_core._sinks.console import by_trace
        from trace_core._view.trace import Trace

        return [Trace(spans) for spans in by_trace(self._spans).values()]

    def write(self, spans: Sequence[Span], /) -> None:
        """Keep the spans."""
        self._spans.extend(spans)  # one C call: atomic
        if self._limit is not None:
            del self._spans[: -self._limit or None]

    def clear(self) -> None:
        """Remove all spans."""
        self._spans.clear()
