"""Sources of time and of ids, and their defaults."""

from __future__ import annotations

import random
import time
from typing import Final, Protocol

from trace_core._lifecycle import after_fork

_IDS_AT_ONCE: Final = 64


class Clock(Protocol):
    """Where time comes from."""

    def time_ns(self) -> int:
        """Nanoseconds since the epoch; read once, at a span's start."""
        ...

    def perf_ns(self) -> int:
        """Monotonic nanoseconds; durations are differences of these."""
        ...


class SystemClock:
    """The system's wall clock and its performance counter."""

    time_ns = staticmethod(time.time_ns)
    perf_ns = staticmethod(time.perf_counter_ns)


class IdGenerator(Protocol):
    """Where ids come from."""

    def trace_id(self) -> str:
        """Return 32 lower-case hexadecimal digits, not all zero."""
        ...

    def span_id(self) -> str:
        """Return 16 lower-case hexadecimal digits, not all zero."""
        ...


class RandomIds:
    """Random ids from a generator of our own, which ``random.seed`` does not change.

    Ids are made 64 at a time, because taking one from a list costs a fraction of making it. A
    forked child discards the list, so that it does not use its parent's ids.
    """

    def __init__(self) -> None:
        self._random = random.Random()  # noqa: S311  # ids need to differ, not to be secret
        self._trace_ids: list[str] = []
        self._span_ids: list[str] = []
        after_fork(self._random_again)

    def _random_again(self) -> None:
        self._random.seed()
        self._trace_ids.clear()
        self._span_ids.clear()

    def trace_id(self) -> str:
        """Return 32 lower-case hexadecimal digits."""
        try:
            return self._trace_ids.pop()
        except IndexError:
            return self._refill(self._trace_ids, 16)

    def span_id(self) -> str:
        """Return 16 lower-case hexadecimal digits."""
        try:
            return self._span_ids.pop()
        except IndexError:
            return self._refill(self._span_ids, 8)

    def _refill(self, ids: list[str], size: int) -> str:
        made = self._random.randbytes(size * _IDS_AT_ONCE).hex(" ", size).split(" ")
        zero = "00" * size
        first, *rest = [one for one in made if one != zero] if zero in made else made
        ids += rest
        return first
