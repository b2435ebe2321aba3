"""A refused batch is halved until the one bad span is alone, so that it costs no other."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

from trace_core import Span

Send: TypeAlias = Callable[[Sequence[Span]], None]


class Refused(Exception):
    """A store refused a batch as it is; smaller ones may pass."""


def deliver(spans: Sequence[Span], send: Send) -> list[tuple[Span, Refused]]:
    """Send spans, halving a batch that is refused.

    Args:
        spans: The batch.
        send: Sends a batch; raises `Refused` when sending the same again would be no use, and
            anything else when it would.

    Returns:
        The spans refused on their own, each with the reason.
    """
    if not spans:
        return []
    try:
        send(spans)
    except Refused as refusal:
        if len(spans) == 1:
            return [(spans[0], refusal)]
        middle = len(spans) // 2
        return deliver(spans[:middle], send) + deliver(spans[middle:], send)
    return []


def by_trace(
    spans: Sequence[Span], write: Callable[[Mapping[str, Sequence[Span]]], None]
) -> list[tuple[Span, Refused]]:
    """Write one trace after another; one that is refused costs no other.

    Args:
        spans: Spans of any traces.
        write: Writes the spans of one trace; raises `Refused` as a `Send` does.

    Returns:
        The spans of refused traces, each with the reason.
    """
    traces: dict[str, list[Span]] = {}
    for span in spans:
        traces.setdefault(span.trace_id, []).append(span)
    refused: list[tuple[Span, Refused]] = []
    for trace_id, found in traces.items():
        try:
            write({trace_id: found})
        except Refused as refusal:
            refused += [(span, refusal) for span in found]
    return refused
