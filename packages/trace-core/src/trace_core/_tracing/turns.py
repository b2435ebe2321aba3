"""Hands spans to a sink that writes on the thread on which they end."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Any, TypeAlias

from trace_core._failures import failure

_HandOver: TypeAlias = Callable[[Any], None]


class _Here(threading.local):
    """What waits on a thread for its turn, and whether something has it."""

    def __init__(self) -> None:
        self.waiting: deque[tuple[_HandOver, Any]] = deque()
        self.busy = False


class Turns:
    """Lets a thread write one span at a time.

    A signal handler or a finaliser may end a span in the middle of a write: that span is written
    next. At once it would wait for ever for a lock that its own thread holds, or be written into
    what is half done.

    Args:
        on_error: Told of what a sink raises.
    """

    def __init__(self, on_error: Callable[[str, BaseException], None]) -> None:
        self._on_error = on_error
        self._here = _Here()

    def of(self, hand_over: _HandOver) -> _HandOver:
        """Return a function that waits for its turn on the thread that calls it.

        Args:
            hand_over: Takes what is handed over, such as a sink's ``write_later``.
        """
        return lambda what: self._take(hand_over, what)

    def _take(self, hand_over: _HandOver, what: Any) -> None:
        here = self._here
        here.waiting.append((hand_over, what))
        while here.waiting and not here.busy:  # again, as one may come just before it is not busy
            here.busy = True
            try:
                while here.waiting:
                    self._hand_over(*here.waiting.popleft())
            finally:
                here.busy = False

    def _hand_over(self, hand_over: _HandOver, what: Any) -> None:
        try:
            hand_over(what)
        except failure() as error:
            self._on_error("handing over a span", error)
