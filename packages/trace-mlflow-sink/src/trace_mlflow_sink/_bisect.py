"""A refused batch is halved until the one bad span is alone, so that it costs no other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
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
