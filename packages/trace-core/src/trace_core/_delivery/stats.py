"""Counting spans: every one handed over is delivered, pending, or dropped for a reason."""

from __future__ import annotations

import itertools
import threading
from collections import Counter
from collections.abc import Mapping
from typing import Final

import attrs

QUEUE_FULL: Final = "queue full"
REJECTED: Final = "rejected by the sink"
LEFT_AT_EXIT: Final = "not delivered at exit"
CLOSED: Final = "written after close"
SPOOL_FULL: Final = "spool full"
DISK_FULL: Final = "disk not writable and memory full"
DAMAGED: Final = "damaged on disk"


@attrs.frozen
class Stats:
    """What became of the spans handed to a sink.

    ``accepted == delivered + pending + dropped`` holds always.

    Args:
        accepted: Spans handed over.
        delivered: Spans the next sink has taken.
        dropped_by_reason: Spans lost, by reason.
    """

    accepted: int = 0
    delivered: int = 0
    dropped_by_reason: Mapping[str, int] = attrs.field(factory=dict)

    @property
    def dropped(self) -> int:
        """Spans lost for any reason."""
        return sum(self.dropped_by_reason.values())

    @property
    def pending(self) -> int:
        """Spans still on their way."""
        return self.accepted - self.delivered - self.dropped


class AtomicCounter:
    """Counts without a lock, so it may be used in finalisers and signal handlers."""

    def __init__(self) -> None:
        self._count = itertools.count()
        self.increment = self._count.__next__
        """Add one. A single C call, which no other thread can interrupt."""

    @property
    def value(self) -> int:
        """How often `increment` was called, read from ``count(7)`` without taking a number."""
        return int(repr(self._count)[len("count(") : -1])


class Ledger:
    """The counts behind a `Stats`."""

    def __init__(self) -> None:
        self.accepted = AtomicCounter()
        self._overflowed = AtomicCounter()
        self._lock = threading.RLock()  # re-entrant: a signal handler may ask for the stats
        self._delivered = 0
        self._dropped: Counter[str] = Counter()
        self.overflow = self._overflowed.increment
        """Count a span refused because the queue is full; callable from anywhere."""

    @property
    def overflowed(self) -> int:
        """Spans refused because the queue was full."""
        return self._overflowed.value

    def accept(self, count: int) -> None:
        """Count several spans handed over."""
        for _ in range(count):
            self.accepted.increment()

    def delivered(self, count: int) -> None:
        """Count spans the next sink has taken."""
        with self._lock:
            self._delivered += count

    def dropped(self, count: int, reason: str) -> None:
        """Count lost spans. Not for the caller's thread: it takes a lock."""
        if count:
            with self._lock:
                self._dropped[reason] += count

    def stats(self) -> Stats:
        """Return the counts as they are now."""
        with self._lock:
            delivered, dropped = self._delivered, dict(self._dropped)
        overflowed = self.overflowed
        if overflowed:
            dropped[QUEUE_FULL] = overflowed
        # read last: a span counted as accepted meanwhile is pending, never missing
        return Stats(self.accepted.value, delivered, dropped)
