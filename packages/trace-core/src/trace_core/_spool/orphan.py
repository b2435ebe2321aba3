"""Journals that nobody appends to any more: read to their end, delivered and removed."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Final

import attrs

from trace_core import semconv
from trace_core._clock import monotonic
from trace_core._log import report
from trace_core._model.parts import Status, StatusCode
from trace_core._model.span import Span
from trace_core._spool.batch import Batch, decoded
from trace_core._spool.frames import ENDS_ELSEWHERE, SPAN, START, Reading, key_in
from trace_core._spool.journal import Journal, journals_in
from trace_core._spool.segments import Position
from trace_core._spool.waits import Tries

INTERRUPTED: Final = "the process ended before this did"
_READ_AT_ONCE: Final = 16
_ADOPTED_AT_ONCE: Final = 8
_ADOPTED_IN_ALL: Final = 64  # with those that wait because their place is away


class Orphan:
    """What a process that is gone has left behind, or what this process has set aside.

    Args:
        journal: Its journal, adopted.
        left: Spans in it that this process has counted as written; 0 if another wrote them.
    """

    def __init__(self, journal: Journal, left: int = 0) -> None:
        self.journal = journal
        self.left = left
        self.own = left > 0
        self.tries = Tries()
        self.not_before = 0.0
        """When to offer it again, on the monotonic clock."""
        self._place: Position = (0, 0)
        self._started: dict[bytes, Span] = {}
        self._last_sign_of_life = _last_change(journal)
        self._finished = False
        self._damaged = False

    def next(self, limit: int, max_bytes: int) -> Batch | None:
        """Return the next spans, at last those that were cut off; ``None`` at the end."""
        damaged = 0
        for _ in range(_READ_AT_ONCE):
            place, reading = self.journal.read(self._place, limit, max_bytes)
            damaged += reading.damaged
            self._damaged = self._damaged or reading.damaged > 0
            if place == self._place and not reading.frames:
                return self._interrupted(damaged)
            self._place = place
            spans = self._sort_out(place[0], reading)
            if spans:
                return Batch(tuple(spans), place, damaged)
        return Batch((), self._place, damaged)  # others have their turn

    def _sort_out(self, number: int, reading: Reading) -> list[Span]:
        """Return the finished spans not delivered before; remember the started ones."""
        spans: list[Span | None] = []
        started, settled = self._started, self._settled_in(number)
        for kind, payload, end in reading.frames:
            if kind in (SPAN, ENDS_ELSEWHERE) and started:
                started.pop(key_in(payload), None)
            if kind == SPAN and end > settled:
                spans.append(self._decoded(payload))
            elif kind == START and (span := self._decoded(payload)) is not None:
                started[key_in(payload)] = span
        return [span for span in spans if span is not None]

    def _settled_in(self, number: int) -> float:
        """Return up to which offset in a segment all is settled."""
        segment, offset = self.journal.acknowledged
        if number == segment:
            return offset
        return math.inf if number < segment else 0

    def _interrupted(self, damaged: int) -> Batch | None:
        if self._finished:
            return None
        self._finished = True
        spans = tuple(_cut_off(s, self._last_sign_of_life) for s in self._started.values())
        return Batch(spans, self._place, damaged) if spans or damaged else None

    def _decoded(self, payload: bytes) -> Span | None:
        span = decoded(payload)
        self._damaged = self._damaged or span is None
        return span

    def settle(self, batch: Batch) -> None:
        """Take note that a batch is delivered.

        The segments stay until all is: start records in them may still be needed.
        """
        self.tries.clear()
        self.journal.write_cursor(batch.end)

    def release(self) -> None:
        """Remove what is delivered; keep what could not be read, for people to look at."""
        if not self._damaged:
            try:
                self.journal.release(remove=True)
                return
            except OSError as error:  # something in it is no file of ours, and stays
                report(f"removing {self.journal.path}", error)
        try:
            self.journal.set_apart()
        except OSError as error:
            if not isinstance(error, FileNotFoundError):  # which somebody has removed
                report(f"setting {self.journal.path} apart", error)
            self.journal.release(remove=False)

    def put_back(self, seconds: float) -> None:
        """Go back to what is not acknowledged, after a batch that could not be delivered.

        Args:
            seconds: How long to leave it alone.
        """
        self.not_before = monotonic() + seconds
        self._place = (0, 0)
        self._started.clear()
        self._finished = False


def _last_change(journal: Journal) -> int:
    return max((segment.changed_ns for segment in journal.segments), default=0)


def _cut_off(span: Span, last_ns: int) -> Span:
    return attrs.evolve(
        span,
        end_ns=max(span.start_ns, last_ns),
        status=Status(StatusCode.ERROR, INTERRUPTED),
        attributes={**span.attributes, semconv.ENDING: "interrupted"},
    )


class Orphans:
    """The orphans that a spool delivers, in the order it will.

    Args:
        every: Seconds between two looks for more; ``None`` for never.
    """

    def __init__(self, every: float | None) -> None:
        self._every = every
        self._look_at = 0.0
        self.found: list[Orphan] = []

    def look_now(self) -> None:
        """Look for more at the next opportunity: there may be another folder."""
        self._look_at = 0.0

    @property
    def left_of_own(self) -> int:
        """Spans of this process that wait in journals it has set aside."""
        return sum([orphan.left for orphan in tuple(self.found)]) if self.found else 0

    @property
    def is_due(self) -> bool:
        """Whether it is time to look for more."""
        return self._every is not None and monotonic() >= self._look_at

    def adopt(self, folder: Path) -> None:
        """Adopt the journals of processes that are gone, as many as is sensible at once.

        Args:
            folder: The sink's folder.
        """
        assert self._every is not None
        now = monotonic()
        self._look_at = now + self._every
        for path in journals_in(folder):
            if self._has_enough():
                self._look_at = now  # more of them as soon as these are done
                return
            journal = Journal.adopt(path)
            if journal is not None:
                self.found.append(Orphan(journal))

    def _has_enough(self) -> bool:
        untried = sum(not orphan.tries.failed for orphan in self.found)
        return untried >= _ADOPTED_AT_ONCE or len(self.found) >= _ADOPTED_IN_ALL

    def next(self, *, hurry: bool) -> Orphan | None:
        """Return the first orphan that need not wait.

        Args:
            hurry: Whether none of them is to wait any more.
        """
        if not self.found:
            return None
        now = math.inf if hurry else monotonic()
        return next((orphan for orphan in self.found if orphan.not_before <= now), None)

    def due_in(self) -> float:
        """Return the seconds until there is something to do; infinite if there never is."""
        times = [orphan.not_before for orphan in self.found]
        if self._every is not None and not self._has_enough():
            times.append(self._look_at)
        return min(times, default=math.inf) - monotonic()

    def put_back(self, orphan: Orphan, seconds: float) -> None:
        """Put an orphan behind the others, after a batch that could not be delivered.

        Args:
            orphan: The orphan.
            seconds: How long to leave it alone.
        """
        orphan.put_back(seconds)
        self.found.remove(orphan)
        self.found.append(orphan)

    def remove(self, orphan: Orphan) -> None:
        """Remove an orphan that is delivered to its end."""
        self.found.remove(orphan)
        orphan.release()

    def let_go(self) -> None:
        """Leave the rest for whoever comes next."""
        for orphan in self.found:
            orphan.journal.release(remove=False)
        self.found = []
