"""Protocols for what a tracer hands to a sink: spans that are open or have just ended."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeAlias

from trace_core._model.span import Span


class EndedSpan(Protocol):
    """A span that has ended and can be completed later, on another thread."""

    def finished(self) -> Span:
        """Complete the span and return it."""
        ...

    def rough_size(self) -> int:
        """Estimate how many bytes of memory it takes; asked only while many spans are queued."""
        ...

    def forget(self) -> None:
        """Free what it holds, because nobody will ask for the span."""
        ...


class StartedSpan(Protocol):
    """A span that has started."""

    @property
    def ended(self) -> bool:
        """Whether it has ended."""
        ...

    @property
    def elapsed_ns(self) -> int:
        """Nanoseconds since its start."""
        ...

    def start_record(self) -> Span | None:
        """Return the span as it is now, without an end; ``None`` if it has ended."""
        ...


StartedReference: TypeAlias = Callable[[], "StartedSpan | None"]
"""A weak reference to a started span: returns ``None`` once the span is collected."""
