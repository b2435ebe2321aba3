"""Which spans get a start record: those that stay open. Most end too soon to be worth one."""

from __future__ import annotations

from collections import deque
from typing import Final

from trace_core._delivery.handover import StartedReference
from trace_core._model.span import Span

_WORTH_NOTING_NS: Final = 10_000_000
_LOOK_SECONDS: Final = _WORTH_NOTING_NS / 1e9
_FRUITLESS_LOOKS: Final = 2


class YoungSpans:
    """Open spans without a start record yet: many threads add them, one looks after them.

    That one sleeps while there are none. It is woken by the next span, which costs whoever opens
    it several times the rest; so it looks a few times in vain before it sleeps.

    Args:
        capacity: Of more spans than that no start is recorded.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._opened: deque[StartedReference] = deque()
        self._asleep = False
        self._fruitless_looks = 0

    def add(self, opened: StartedReference) -> bool:
        """Take a span that was just opened.

        Args:
            opened: A weak reference to it.

        Returns:
            Whether somebody has to wake up who looks after it.
        """
        if len(self._opened) < self._capacity:
            self._opened.append(opened)
        return self._asleep

    @property
    def waiting(self) -> bool:
        """Whether there are any to look after."""
        return bool(self._opened)

    def patience(self) -> float | None:
        """Return the seconds until it is time to look, or ``None`` to sleep until woken."""
        if self._fruitless_looks >= _FRUITLESS_LOOKS:
            self._asleep = True  # first: whoever adds a span puts it there, and looks at this then
            if not self._opened:
                return None
        self._fruitless_looks += 1
        return _LOOK_SECONDS

    def awake(self) -> None:
        """Stay awake for a while: something has happened."""
        self._asleep = False
        self._fruitless_looks = 0

    def grown_up(self, *, all_of_them: bool) -> list[Span]:
        """Take out the spans that have been open for 10 ms and forget those that have ended.

        Args:
            all_of_them: Take the others as well.

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
            if (record := span.start_record()) is not None:
                records.append(record)
        return records
