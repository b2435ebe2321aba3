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

    def add(self, span: Span, frame: bytes, place: Position) -> None:
        """Add the newest span, which is not on disk.

        Args:
            span: The span.
            frame: Its frame.
            place: The place behind all that is on disk.
        """
        self.entries.append(Entry(place, place, span, frame))
        self.bytes += len(frame)
        self.alone += 1

    def pop_oldest(self) -> Entry:
        """Remove the oldest entry."""
        entry = self.entries.popleft()
        self.bytes -= len(entry.frame)
        self.alone -= not entry.on_disk
        return entry

    def not_on_disk(self) -> list[Entry]:
        """Return the entries that are not on disk, oldest first."""
        entries, alone = self.entries, self.alone
        return [entries[at] for at in range(-alone, 0)]

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
