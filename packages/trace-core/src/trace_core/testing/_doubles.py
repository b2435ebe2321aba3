"""A fixed clock, ids that repeat, and checks."""

from __future__ import annotations

import gc
import itertools
from collections.abc import Generator
from contextlib import contextmanager

from trace_core._tracing.tracer import Tracer


class FakeClock:
    """A clock that stands still until told otherwise.

    Args:
        now_ns: Where it starts, in nanoseconds since the epoch.
        step_ns: How much each reading of the performance counter moves it on.
    """

    def __init__(self, now_ns: int = 1_700_000_000_000_000_000, step_ns: int = 0) -> None:
        self._start_ns = now_ns
        self._passed_ns = 0
        self._step_ns = step_ns

    def time_ns(self) -> int:
        """Nanoseconds since the epoch."""
        return self._start_ns + self._passed_ns

    def perf_ns(self) -> int:
        """Nanoseconds since the start; moves the clock on by its step."""
        self._passed_ns += self._step_ns
        return self._passed_ns

    def advance(self, seconds: float) -> None:
        """Move the clock on."""
        self._passed_ns += int(seconds * 1e9)


class SequentialIds:
    """Ids that count up from 1."""

    def __init__(self) -> None:
        self._traces = itertools.count(1)
        self._spans = itertools.count(1)

    def trace_id(self) -> str:
        """Return the next trace id."""
        return f"{next(self._traces):032x}"

    def span_id(self) -> str:
        """Return the next span id."""
        return f"{next(self._spans):016x}"


@contextmanager
def no_open_spans(tracer: Tracer) -> Generator[None]:
    """Check that every span opened inside the block has ended when it is left.

    Args:
        tracer: Whose spans.

    Raises:
        AssertionError: Some are still open; it names them.
    """
    before = set(map(id, tracer.open_spans))
    yield
    gc.collect()
    left = [span.name for span in tracer.open_spans if id(span) not in before]
    if left:
        raise AssertionError(f"never ended: {', '.join(left)}")


def check(good: object, complaint: str) -> None:
    """Fail a test, also where asserts are compiled away.

    Args:
        good: Whether all is well.
        complaint: What is wrong otherwise.

    Raises:
        AssertionError: It is not.
    """
    if not good:
        raise AssertionError(complaint)
