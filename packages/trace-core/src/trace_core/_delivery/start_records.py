"""Decides which spans get a start record: those that stay open for more than 10 ms."""

from __future__ import annotations

import weakref
from collections import deque
from typing import Final

from trace_core._model.span import Span
from trace_core._tracing.freeze import start_record
from trace_core._tracing.span import OpenSpan

_WORTH_NOTING_NS: Final = 10_000_000
_LOOK_SECONDS: Final = _WORTH_NOTING_NS / 1e9
_FRUITLESS_LOOKS: Final = 2


class YoungSpans:
    """Spans that have just started and have no start record yet.

    Any thread adds spans; the writer thread takes them out. The writer sleeps while there are
    none. Waking it is expensive for the thread that adds the next one, so the writer looks a few
    times in vain before it sleeps.

    Args:
        capacity: Spans held at most; no start is recorded of more.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._opened: deque[weakref.ref[OpenSpan]] = deque()
        self._asleep = False
        self._fruitless_looks = 0

    def add(self, opened: weakref.ref[OpenSpan]) -> bool:
        """Add a span that has just started.

        Args:
            opened: A weak reference to it.

        Returns:
            Whether the writer sleeps and has to be woken.
        """
        if len(self._opened) < self._capacity:
            self._opened.append(opened)
        return self._asleep

    @property
    def waiting(self) -> bool:
        """Whether there are any."""
        return bool(self._opened)

    def patience(self) -> float | None:
        """Return the seconds until the writer should look, or ``None`` to sleep until woken."""
        if self._fruitless_looks >= _FRUITLESS_LOOKS:
            self._asleep = True  # first: whoever adds a span puts it there, and looks at this then
            if not self._opened:
                return None
        self._fruitless_looks += 1
        return _LOOK_SECONDS

    def awake(self) -> None:
        """Note that the writer is awake and should look again soon."""
        self._asleep = False
        self._fruitless_looks = 0

    def grown_up(self, *, all_of_them: bool) -> list[Span]:
        """Take out the spans that have been open for 10 ms; drop those that have ended.

        Args:
            all_of_them: Take out younger spans as well.

        Returns:
            Their start records.
        """
        records = []
        while self._opened:
            opened = self._opened.popleft()
            span = opened()
            if span is None or span.ended:
                continue
            if not all_of_them and span.elapsed_ns < _WORTH_NOTING_NS:
                self._opened.appendleft(opened)  # and those behind it are younger
                break
            if (record := start_record(span)) is not None:
                records.append(record)
        return records
