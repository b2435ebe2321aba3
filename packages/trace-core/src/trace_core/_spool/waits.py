"""What a spool's delivery thread waits for: work, more spans, the next attempt."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final

import attrs

from trace_core._clock import monotonic
from trace_core._delivery.retry import is_outage

_ATTEMPTS_PER_BATCH: Final = 4
_LONGEST_SECONDS: Final = 3_600.0
_TICK_SECONDS: Final = 1.0


@attrs.define
class Tries:
    """Attempts in a row that have failed.

    Args:
        failed: How many.
        outage: Whether the last was an outage.
    """

    failed: int = 0
    outage: bool = False

    def note(self, error: BaseException) -> None:
        """Take note of one more."""
        self.failed += 1
        self.outage = is_outage(error)

    def clear(self) -> None:
        """Take note that one has succeeded."""
        self.failed = 0

    def limit(self, batch_size: int) -> int:
        """Return how many spans to try with.

        A sink that is away is asked with a single one, and now and then with a batch: perhaps
        one span in it is the cause.

        Args:
            batch_size: Spans in a batch.
        """
        return 1 if self.failed % _ATTEMPTS_PER_BATCH and self.outage else batch_size


class Waits:
    """Waits that a flush or a close ends.

    Args:
        changed: Notified when something is to be done; whoever calls `hurry` or `close` holds it.
        linger: Seconds to let spans gather.
    """

    def __init__(self, changed: threading.Condition, linger: float) -> None:
        self.deadline: float | None = None
        """When closing is to be over, on the monotonic clock; ``None`` before the close."""
        self._changed = changed
        self._linger = linger
        self._urgent = threading.Event()  # a flush or the close wants no lingering
        self._quiet_until = 0.0
        self._gather_until = 0.0

    @property
    def closing(self) -> bool:
        """Whether the spool is being closed."""
        return self.deadline is not None

    def hurry(self) -> None:
        """End a wait: somebody wants all delivered now."""
        self._quiet_until = 0.0
        self._urgent.set()
        self._changed.notify_all()

    def close(self, deadline: float) -> None:
        """End a wait, and let no later one be longer than the close may take."""
        self.deadline = deadline
        self.hurry()

    def rest(self, seconds: float, tick: Callable[[], bool]) -> None:
        """Wait before the next attempt, or until somebody wants to know now.

        Args:
            seconds: How long.
            tick: Called every second and when spans were written; ends the wait if true.
        """
        with self._changed:
            until = self._quiet_until = monotonic() + seconds
            while self._quiet_until == until and not self.closing and not tick():
                left = until - monotonic()
                if left <= 0:
                    break
                self._changed.wait(min(left, _TICK_SECONDS))
            if self.deadline is not None:
                self._changed.wait(max(0.0, min(0.1, self.deadline - monotonic())))

    def for_work(self, seconds: float) -> None:
        """Wait until there is something to do.

        Args:
            seconds: How long at the most.
        """
        if seconds > 0:
            self._changed.wait(min(seconds, _LONGEST_SECONDS))

    def gather_after(self, count: int) -> None:
        """After a small batch, have spans gather: the next one will be larger, and cheaper.

        Args:
            count: Spans in the batch.
        """
        if count > 1:
            self._urgent.wait(self._linger)
        else:  # spans come one by one: to wake up for none costs more than to deliver one
            self._gather_until = monotonic() + self._linger

    def gather(self) -> None:
        """Wait for others with a span that has come soon after one that came alone."""
        left = self._gather_until - monotonic()
        if self._gather_until and left > 0:
            self._urgent.wait(left)
        self._gather_until = 0.0

    @property
    def urgent(self) -> bool:
        """Whether somebody waits for all to be delivered."""
        return self._urgent.is_set()

    def calm_down(self) -> None:
        """Let spans gather again: all that was asked for is delivered."""
        if not self.closing:
            self._urgent.clear()
