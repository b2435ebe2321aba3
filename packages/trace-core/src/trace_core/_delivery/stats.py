"""Counts spans: each one accepted is delivered, pending, or dropped for a reason."""

from __future__ import annotations

import threading
from collections import Counter, deque
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
REMOVED: Final = "removed from the spool by others"
INVALID: Final = "a field holds what no span can"


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


class LockFreeSum:
    """A sum that any thread may add to: it never waits, not even in signal handlers."""

    def __init__(self) -> None:
        self._terms: deque[int] = deque()
        self._adding = threading.Lock()
        self._total = 0

    def add(self, term: int) -> int:
        """Add a term, which may be negative, and return the sum."""
        self._terms.append(term)
        if self._adding.acquire(blocking=False):  # else whoever holds it adds this term as well
            try:
                while self._terms:
                    self._total += self._terms.popleft()
            finally:
                self._adding.release()
        return self._total

    @property
    def value(self) -> int:
        """The sum."""
        return self.add(0) if self._terms else self._total


class Ledger:
    """The counts behind a `Stats`."""

    def __init__(self) -> None:
        self._lock = threading.RLock()  # re-entrant: a signal handler may ask for the stats
        self._accepted = 0
        self._delivered = 0
        self._dropped: Counter[str] = Counter()

    def accept(self, count: int) -> None:
        """Count spans handed over. Not for the caller's thread: it takes a lock."""
        with self._lock:
            self._accepted += count

    def delivered(self, count: int) -> None:
        """Count spans the next sink has taken. Not for the caller's thread."""
        with self._lock:
            self._delivered += count

    def dropped(self, count: int, reason: str) -> None:
        """Count lost spans. Not for the caller's thread."""
        if count:
            with self._lock:
                self._dropped[reason] += count

    def stats(self, queued: int = 0, overflowed: int = 0) -> Stats:
        """Return the counts as they are now.

        Args:
            queued: Spans handed over that are not counted here yet.
            overflowed: Spans dropped because a queue was full, not counted here.
        """
        with self._lock:
            dropped = dict(self._dropped)
            if overflowed:
                dropped[QUEUE_FULL] = overflowed
            return Stats(self._accepted + queued + overflowed, self._delivered, dropped)
