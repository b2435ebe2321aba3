"""Spans that a spool keeps in memory: beside the disk, or alone while the disk takes none."""

from __future__ import annotations

from collections import deque

import attrs

from trace_core._model.span import Span
from trace_core._spool.batch import Batch
from trace_core._spool.segments import Position


@attrs.define  # not frozen, which takes twice as long to make
class Entry:
    """A span in memory.

    Args:
        start: The place behind the span before it.
        end: The place behind it; equal to ``start`` when it is not on disk.
        span: The span.
        frame: Its frame, as written to disk.
    """

    start: Position
    end: Position
    span: Span
    frame: bytes

    @property
    def on_disk(self) -> bool:
        """Whether it is on disk as well."""
        return self.end != self.start


class Memory:
    """Entries, oldest first: those that are on disk as well, then those that are not."""

    def __init__(self) -> None:
        self.entries: deque[Entry] = deque()
        self.bytes = 0
        self.alone = 0
        """How many of the entries are not on disk."""

    def add(self, entry: Entry) -> None:
        """Add the newest entry."""
        self.entries.append(entry)
        self.bytes += len(entry.frame)
        self.alone += not entry.on_disk

    def pop_oldest(self) -> Entry:
        """Remove the oldest entry."""
        return self._removed(self.entries.popleft())

    def _removed(self, entry: Entry) -> Entry:
        self.bytes -= len(entry.frame)
        self.alone -= not entry.on_disk
        return entry

    def take_alone(self) -> list[Entry]:
        """Remove the entries that are not on disk, to write them now."""
        found = [self._removed(self.entries.pop()) for _ in range(self.alone)]
        return found[::-1]

    def forget_before(self, place: Position) -> None:
        """Remove entries that are on disk before a place."""
        while self.entries and self.entries[0].on_disk and self.entries[0].end <= place:
            self.pop_oldest()

    def begins_at(self, place: Position) -> bool:
        """Say whether the next span to deliver from a place on is in memory."""
        return bool(self.entries) and self.entries[0].start <= place

    def next(self, limit: int, max_bytes: int) -> Batch:
        """Return the oldest spans, all of one segment or all not on disk.

        Args:
            limit: Spans at the most.
            max_bytes: Their size at the most, unless a single one is larger.
        """
        first = self.entries[0]
        spans: list[Span] = []
        size, end = 0, first.end
        for entry in self.entries:
            size += len(entry.frame)
            elsewhere = entry.end[0] != end[0] or entry.on_disk != first.on_disk
            if spans and (len(spans) >= limit or size > max_bytes or elsewhere):
                break
            spans.append(entry.span)
            end = entry.end
        return Batch(tuple(spans), end)
