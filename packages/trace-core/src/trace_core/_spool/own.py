"""What a process has handed over to its spool and what is not delivered."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

import attrs

from trace_core._failures import failure
from trace_core._model.span import Span
from trace_core._spool.batch import NOTHING, Batch, readable_spans
from trace_core._spool.frames import pack
from trace_core._spool.journal import Journal
from trace_core._spool.memory import Entry, Memory
from trace_core._spool.segments import Position
from trace_core._spool.started import StartRecords

_IDLE_SEGMENT_BYTES: Final = 1024 * 1024
_WRITTEN_AT_ONCE: Final = 256
_SEGMENTS: Final = 4
"""At least, of a journal that takes all it may: whole ones are removed."""


@attrs.define
class Settled:
    """What the disk is to be told of a batch that is delivered.

    Args:
        journal: The journal it is from.
        place: The place behind it.
        segments: Segments of which nothing is needed any more.
    """

    journal: Journal
    place: Position
    segments: list[Path]

    def write(self) -> None:
        """Tell the disk: first what is settled, then delete what is not needed.

        Raises:
            OSError: It does not take it; the batch may then be delivered again some day.
        """
        try:
            self.journal.write_cursor(self.place)
        finally:  # a full disk that takes no cursor needs the room all the more
            for segment in self.segments:
                segment.unlink(missing_ok=True)


class Own:
    """The spans of this process that are not delivered. Guarded by the spool's lock.

    Args:
        max_bytes: Bytes on disk at the most.
        max_memory: Bytes kept in memory at the most.
        segment_bytes: A segment longer than this is followed by a new one.
    """

    def __init__(self, max_bytes: int, max_memory: int, segment_bytes: int) -> None:
        self._segment_bytes, self._max_memory = segment_bytes, max_memory
        self.max_bytes = max_bytes
        self.journal: Journal | None = None
        self.memory = Memory()
        self.done: Position = (0, 0)
        self.tail: Position = (0, 0)
        self.appended = 0
        """Bytes of spans that the disk has taken."""
        self._started = StartRecords()
        self._held = NOTHING
        self._held_swept = 0  # spans of the held batch that the limits have swept away

    @property
    def waiting(self) -> bool:
        """Whether there is anything to deliver."""
        return self.done < self.tail or self.memory.alone > 0

    # Appending

    def keep(self, spans: Iterable[Span]) -> None:
        """Keep spans in memory alone, until `save` writes them to disk."""
        for span, frame in [(span, pack(span)) for span in spans]:  # all of them, or none
            self.memory.add(span, frame, self.tail)

    def save(self) -> None:
        """Write what is in memory alone, in order, as far as it fits; raise OSError if not all."""
        left, at, most = self.memory.not_on_disk(), 0, _WRITTEN_AT_ONCE
        while at < len(left):
            piece = left[at : at + most]
            try:
                self._append_on_disk(piece)
                at += len(piece)
            except failure():
                most = len(piece) // 2
                if not most:
                    for entry in left[at:]:  # behind what the disk has taken meanwhile
                        entry.start = entry.end = self.tail
                    raise

    def _append_on_disk(self, entries: Sequence[Entry]) -> None:
        journal = self.journal
        assert journal is not None  # the spool has opened it
        longest = min(self._segment_bytes, self.max_bytes // _SEGMENTS)
        if journal.segments and journal.segments[-1].size >= max(1, longest):
            journal.roll()
        data = b"".join([entry.frame for entry in entries])
        number, offset = journal.append(data, len(entries))
        self.appended += len(data)
        self.memory.alone -= len(entries)
        offset -= len(data)
        for entry in entries:
            offset += len(entry.frame)
            entry.start, entry.end = self.tail, (number, offset)
            self.tail = entry.end
            self._started.note_ended(entry.span)

    def note_started(self, spans: Iterable[Span]) -> None:
        """Write records of spans that have started.

        Raises:
            OSError: They could not be written.
        """
        assert self.journal is not None  # the spool has opened it
        self._started.note(spans, self.journal)

    # The limits

    def shrink_memory(self) -> int:
        """Keep to the limit of memory; return how many spans are lost, as the disk took none."""
        lost, entries = 0, self.memory.entries
        while self.memory.bytes > self._max_memory and len(entries) > 1:
            oldest = self.memory.pop_oldest()
            if not oldest.on_disk:
                held = any(span is oldest.span for span in self._held.spans)
                self._held_swept += held
                lost += not held
        return lost

    def shrink_disk(self) -> Iterator[int]:
        """Keep the journal to its share; yield how many spans are lost with each segment.

        Raises:
            OSError: One cannot be removed.
        """
        journal = self.journal
        while journal is not None and len(journal.segments) > 1 and journal.size > self.max_bytes:
            gone = journal.remove_oldest()
            held = len(self._held.spans) if self._held.end[0] == gone.number else 0
            self._held_swept += held
            self.done = max(self.done, (gone.number, gone.size))
            self.memory.forget_before(self.done)
            yield max(0, gone.spans - gone.settled - held)

    # Delivering

    def next(self, limit: int, max_bytes: int) -> Batch | None:
        """Return the next spans to deliver, and hold them: they are not lost meanwhile."""
        if not self.waiting:
            return None
        if self.memory.begins_at(self.done) or self.journal is None:
            batch = self.memory.next(limit, max_bytes)
        else:
            end, reading = self.journal.read(self.done, limit, max_bytes)
            progress = end if end > self.done else self.tail
            batch = Batch(readable_spans(reading.frames), progress, reading.damaged)
        self._held, self._held_swept = batch, 0
        return batch

    def put_back(self, batch: Batch) -> int | None:
        """Take note that a batch was not delivered.

        Returns:
            How many of its spans the limits have swept away; ``None`` if its journal was given
            up meanwhile: append it again.
        """
        mine, self._held = self._held is batch, NOTHING
        return self._held_swept if mine else None

    def settle(self, batch: Batch) -> Settled | None:
        """Take note that a batch need not be delivered any more.

        Returns:
            What is to be told to the disk, for which nobody who appends should wait.

        Raises:
            OSError: The disk does not take what must be kept of the segments to be deleted.
        """
        mine, self._held = self._held is batch, NOTHING
        if not mine:
            return None
        end, entries = batch.end, self.memory.entries
        for span in batch.spans:  # but for those that the limits have swept away
            if entries and entries[0].span is span:
                end = max(end, self.memory.pop_oldest().end)  # it may be on disk by now
        journal = self.journal
        if journal is None or end <= self.done:
            return None
        self.done = end
        self.memory.forget_before(end)
        return _settle(journal, self._started, end, len(batch.spans), idle=end >= self.tail)

    # Another journal

    def begin(self, journal: Journal) -> None:
        """Write to a new journal from now on, where there is none.

        Raises:
            OSError: The disk does not take the start records of open spans.
        """
        self.journal = journal
        self._started.repeat(sys.maxsize, journal)

    def begin_anew(self) -> int:
        """Give up a journal that somebody has removed; what is left is in memory alone.

        Returns:
            How many spans are left, those of the held batch included.
        """
        held = {id(span) for span in self._held.spans}
        if self.journal is not None:
            self.journal.forget()
        self._begin(None, [e for e in self.memory.entries if id(e.span) not in held])
        return self.memory.alone + len(held)

    def set_aside(self, fresh: Journal) -> Journal:
        """Go on in another journal, so that what is written from now on need not wait.

        Args:
            fresh: The other one.

        Returns:
            The journal until now, with all that is on disk and waits.

        Raises:
            OSError: The disk does not take what belongs into the other one.
        """
        old = self.journal
        assert old is not None
        self._started.move(old, fresh)
        old.write_cursor(self.done)
        old.roll()
        self._begin(fresh, self.memory.not_on_disk())
        return old

    def _begin(self, journal: Journal | None, alone: Iterable[Entry]) -> None:
        self.journal, self.memory, self._held = journal, Memory(), NOTHING
        self.done = self.tail = (0, 0)
        for entry in alone:
            self.memory.add(entry.span, entry.frame, self.tail)


def _settle(
    journal: Journal, started: StartRecords, place: Position, count: int, *, idle: bool
) -> Settled:
    for segment in journal.segments:
        if segment.number == place[0]:
            segment.settled += count
    if idle and journal.segments[-1].size > _IDLE_SEGMENT_BYTES:
        journal.roll()  # so that what is delivered does not stay on disk
    done = [segment.number for segment in journal.segments if journal.is_done(segment, place)]
    if done:
        started.repeat(done[-1], journal)
    return Settled(journal, place, journal.acknowledge(place))
