"""The exception hierarchy.

TraceError
├── ConfigurationError    bad input to our own API; also a ValueError
├── SinkError             a sink could not write
│   ├── Rejected          ... and never will: do not try again
│   └── RetryLater        ... and asks to be left alone for a while
└── SinkClosed            written to after close
"""

from __future__ import annotations

from collections.abc import Sequence

from trace_core._model.errors import ConfigurationError, TraceError
from trace_core._model.span import Span

__all__ = [
    "ConfigurationError",
    "Rejected",
    "RetryLater",
    "SinkClosed",
    "SinkError",
    "TraceError",
]


class SinkError(TraceError):
    """A sink could not write; the same spans may be written later."""


class Rejected(SinkError):
    """A sink will never accept these spans, however often they are offered.

    Args:
        message: Why, for the log.
        spans: The refused spans out of the batch; the others are written and will not be
            offered again. ``None``: all of them are refused.
    """

    def __init__(self, message: str, spans: Sequence[Span] | None = None) -> None:
        super().__init__(message)
        self.spans = spans


class RetryLater(SinkError):
    """A sink asks not to be tried again before some time has passed.

    Args:
        message: Why, for the log.
        after: Seconds to wait; ``None`` leaves it to the caller's backoff.
    """

    def __init__(self, message: str, after: float | None = None) -> None:
        super().__init__(message)
        self.after = after


class SinkClosed(SinkError):
    """A span was written to a sink that had been closed."""
