"""The processor that samples: it keeps a share of the traces, and all errors."""

from __future__ import annotations

from collections.abc import Callable

from trace_core import _arguments as arguments
from trace_core._model.parts import StatusCode
from trace_core._model.span import Span


def sample(
    rate: float, *, keep_errors: bool = True, keep_slower_than: float | None = None
) -> Callable[[Span], Span | None]:
    """Make a processor that keeps a share of the traces, the same in every process.

    Whether a trace is kept follows from its id, so its spans stay together; errors and slow
    spans of the others are kept one by one.

    Args:
        rate: Share of the traces to keep, from 0 to 1.
        keep_errors: Keep every span that failed, or may yet: start records go through.
        keep_slower_than: Keep every span that took longer than these seconds.

    Returns:
        A processor.

    Raises:
        ConfigurationError: A number is out of its range.
    """
    limit = arguments.number(rate, "rate", 0, 1) * 2**64
    if keep_slower_than is not None:
        arguments.number(keep_slower_than, "keep_slower_than")

    def keep(span: Span) -> Span | None:
        if int(span.context.trace_id[16:], 16) < limit:
            return span
        if keep_errors and (span.status.code is StatusCode.ERROR or span.end_ns == 0):
            return span
        slow = keep_slower_than is not None and span.duration_ns > keep_slower_than * 1e9
        return span if slow else None

    return keep
