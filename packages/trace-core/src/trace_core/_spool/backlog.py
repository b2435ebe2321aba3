"""What a spool has yet to deliver: spans of this process, and those that others left behind."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import attrs

from trace_core import semconv
from trace_core._errors import ConfigurationError
from trace_core._log import log_once
from trace_core._model.parts import Status, StatusCode
from trace_core._model.span import Span
from trace_core._spool.frames import SPAN, START, Frame, Reading, key_in, pack, span_in, span_key
from trace_core._spool.journal import Journal, Position

_IDLE_SEGMENT_BYTES: Final = 1024 * 1024
_MAX_STARTED: Final = 10_000
INTERRUPTED: Final = "the process ended before this did"


@attrs.frozen
class Batch:
    """Spans to deliver together.

    Args:
        spans: The spans, in the order they were handed over.
        end: The place behind the last of them.
        damaged: Stretches on disk that could not be read on the way to them.
        in_memory: Whether they are in memory alone.
    """

    spans: tuple[Span, ...]
    end: Position
    damaged: int = 0
    in_memory: bool = False


_NOTHING: Final = Batch((), (0, 0))


@attrs.frozen
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


@attrs.define  # not frozen, which takes twice as long to make
class _Entry:
    """A span kept in memory as well, so that it need not be read back.

    Args:
        start: The place behind the span before it.
        end: The place behind it; equal to ``start`` when it is not on disk.
        frame: It, as written.
    """

    start: Position
    end: Position
    span: Span
    frame: bytes

    @property
    def on_disk(self) -> bool:
        return self.end != self.start


class Own:
    """What this process has handed over and not delivered. Guarded by the spool's lock.

    Args:
        max_bytes: Bytes on disk at the most.
        max_memory: Bytes kept in memory at the most.
        segment_bytes: A segment longer than this is followed by a new one.
    """

    def __init__(self, max_bytes: int, max_memory: int, segment_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._max_memory = max_memory
        self._segment_bytes = min(segment_bytes, max(1, max_bytes // 4))
        self.journal: Journal | None = None
        self.done: Position = (0, 0)
        self.tail: Position = (0, 0)
        self._memory: deque[_Entry] = deque()
        self._memory_bytes = 0
        self._started: dict[bytes, tuple[int, bytes]] = {}
        self._held: Batch = _NOTHING
        self.only_in_memory = 0

    def append(self, spans: Iterable[Span]) -> None:
        """Write spans to disk and keep them in memory.

        Raises:
            OSError: They could not be written to disk and are in memory alone.
        """
        entries = [(span, pack(span)) for span in spans]
        waiting = self._take_unwritten() if self.only_in_memory else []
        try:
            self._append_on_disk([*waiting, *entries])
        except OSError:
            self._keep([*waiting, *entries])
            raise

    def append_in_memory(self, spans: Iterable[Span]) -> None:
        """Keep spans in memory alone, while the disk cannot be written."""
        self._keep([(span, pack(span)) for span in spans])

    def _keep(self, entries: list[tuple[Span, bytes]]) -> None:
        for span, frame in entries:
            self._memory.append(_Entry(self.tail, self.tail, span, frame))
            self._memory_bytes += len(frame)
        self.only_in_memory += len(entries)

    def _append_on_disk(self, entries: list[tuple[Span, bytes]]) -> None:
        assert self.journal is not None  # the spool has opened it
        self._roll_if_long()
        data = b"".join([frame for _, frame in entries])
        number, offset = self.journal.append(data, len(entries))
        self._memory_bytes += len(data)
        offset -= len(data)
        for span, frame in entries:
            offset += len(frame)
            end = (number, offset)
            self._memory.append(_Entry(self.tail, end, span, frame))
            self.tail = end
            if self._started:
                self._started.pop(span_key(span), None)

    def _roll_if_long(self) -> None:
        journal = self.journal
        if journal is None or not journal.segments:
            return
        if journal.segments[-1].size >= self._segment_bytes:
            journal.roll()

    def note_started(self, spans: Iterable[Span]) -> None:
        """Write records of spans that have started.

        Raises:
            OSError: They could not be written.
        """
        if self.journal is None or len(self._started) > _MAX_STARTED:
            return
        frames = {span_key(span): pack(span, START) for span in spans}
        number, _ = self.journal.append(b"".join(frames.values()), 0)
        self._started.update({key: (number, frame) for key, frame in frames.items()})

    def _take_unwritten(self) -> list[tuple[Span, bytes]]:
        """Take back what is in memory alone, to write it now; it is the newest there is."""
        found: deque[tuple[Span, bytes]] = deque()
        while self._memory and not self._memory[-1].on_disk:
            entry = self._memory.pop()
            self._memory_bytes -= len(entry.frame)
            found.appendleft((entry.span, entry.frame))
        self.only_in_memory = 0
        return list(found)

    def shrink(self) -> tuple[int, int]:
        """Keep to the limits.

        Returns:
            Spans lost because memory is full and the disk took none, and because the disk's
            share is full.
        """
        from_memory = 0
        while self._memory_bytes > self._max_memory and len(self._memory) > 1:
            oldest = self._forget_oldest()
            if not oldest.on_disk:
                self.only_in_memory -= 1
                from_memory += not self._holds(oldest)
        return from_memory, self._shrink_disk()

    def _forget_oldest(self) -> _Entry:
        entry = self._memory.popleft()
        self._memory_bytes -= len(entry.frame)
        return entry

    def _shrink_disk(self) -> int:
        journal, lost = self.journal, 0
        while journal is not None and len(journal.segments) > 1 and journal.size > self._max_bytes:
            gone = journal.remove_oldest()
            held = len(self._held.spans) if self._held.end[0] == gone.number else 0
            lost += max(0, gone.spans - gone.settled - held)
            self.done = max(self.done, (gone.number, gone.size))
            self._forget_delivered()
        return lost

    @property
    def waiting(self) -> bool:
        """Whether there is anything to deliver."""
        return self.done < self.tail or self.only_in_memory > 0

    def place_of_next(self) -> Position | None:
        """Return where on disk the next batch is to be read, or ``None`` if memory has it."""
        if self._memory and self._memory[0].start <= self.done:
            return None
        return self.done

    def next_from_memory(self, limit: int, max_bytes: int) -> Batch:
        """Return the oldest spans, which are in memory."""
        spans: list[Span] = []
        size, end = 0, self.done
        for entry in self._memory:
            full = len(spans) >= limit or size + len(entry.frame) > max_bytes
            if spans and (full or self._elsewhere(entry, end, len(spans))):
                break
            spans.append(entry.span)
            size += len(entry.frame)
            end = entry.end
        return Batch(tuple(spans), end, in_memory=not self._memory[0].on_disk)

    def _elsewhere(self, entry: _Entry, end: Position, taken: int) -> bool:
        """Say whether an entry is of another segment, or not on disk, unlike those before it."""
        return entry.end[0] != end[0] or entry.on_disk != self._memory[taken - 1].on_disk

    def hold(self, batch: Batch) -> None:
        """Take note that a batch is being delivered: until that is known, it is not lost."""
        self._held = batch

    def _holds(self, entry: _Entry) -> bool:
        return any(span is entry.span for span in self._held.spans)

    def failed(self) -> int:
        """Take note that the held batch was not delivered.

        Returns:
            How many of its spans are lost, because the limits have swept them away meanwhile.
        """
        held, self._held = self._held, _NOTHING
        if held.in_memory:
            kept = {id(entry.span) for entry in self._memory}
            return sum(id(span) not in kept for span in held.spans)
        return len(held.spans) if held.end <= self.done else 0

    def settle(self, batch: Batch) -> Settled | None:
        """Take note that the held batch need not be delivered any more.

        Returns:
            What is to be told to the disk, for which nobody who appends should wait.

        Raises:
            OSError: The disk does not take what must be kept of the segments to be deleted.
        """
        self._held = _NOTHING
        self._settle_in_memory(batch)
        journal = self.journal
        if journal is None or batch.in_memory or batch.end <= self.done:
            return None
        self.done = batch.end
        self._forget_delivered()
        return self._settle_on_disk(journal, batch)

    def _settle_in_memory(self, batch: Batch) -> None:
        """Forget those of a batch's spans that are in memory alone."""
        gone = {id(span) for span in batch.spans}
        while self._memory and id(self._memory[0].span) in gone:
            self.only_in_memory -= not self._forget_oldest().on_disk

    def _forget_delivered(self) -> None:
        while self._memory and self._memory[0].on_disk and self._memory[0].end <= self.done:
            self._forget_oldest()

    def _settle_on_disk(self, journal: Journal, batch: Batch) -> Settled:
        for segment in journal.segments:
            if segment.number == batch.end[0]:
                segment.settled += len(batch.spans)
        if self.done >= self.tail and journal.segments[-1].size > _IDLE_SEGMENT_BYTES:
            journal.roll()  # so that what is delivered does not stay on disk
        self._carry_started_over(journal)
        return Settled(journal, self.done, journal.acknowledge(self.done))

    def _carry_started_over(self, journal: Journal) -> None:
        """Repeat start records that would go with the segments about to be deleted."""
        last = max((s.number for s in journal.segments if journal.is_done(s, self.done)), default=0)
        old = {key: frame for key, (number, frame) in self._started.items() if number <= last}
        if old:
            number, _ = journal.append(b"".join(old.values()), 0)
            self._started.update({key: (number, frame) for key, frame in old.items()})


class Orphan:
    """What a process that is gone has left behind.

    Args:
        journal: Its journal, adopted.
    """

    def __init__(self, journal: Journal) -> None:
        self.journal = journal
        self._place: Position = (0, 0)
        self._started: dict[bytes, Span] = {}
        self._last_sign_of_life = _last_change(journal)
        self.finished = False
        self.damaged = False
        self.tries = 0
        self.not_before = 0.0
        """When to offer it again, on the monotonic clock."""

    def next(self, limit: int, max_bytes: int) -> Batch | None:
        """Return the next spans, at last those that were cut off; ``None`` at the end."""
        damaged = 0
        while True:
            place, reading = self.journal.read(self._place, limit, max_bytes)
            damaged += reading.damaged
            self.damaged = self.damaged or reading.damaged > 0
            if place == self._place and not reading.frames:
                return self._interrupted(damaged)
            self._place = place
            spans = self._sort_out(place[0], reading)
            if spans:
                return Batch(tuple(spans), place, damaged)

    def _sort_out(self, number: int, reading: Reading) -> list[Span]:
        """Return the finished spans not delivered before; remember the started ones."""
        spans: list[Span | None] = []
        started, settled = self._started, self._settled_in(number)
        for kind, payload, end in reading.frames:
            if kind == SPAN:
                if started:
                    started.pop(key_in(payload), None)
                if end > settled:
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
        if self.finished:
            return None
        self.finished = True
        spans = tuple(_cut_off(s, self._last_sign_of_life) for s in self._started.values())
        return Batch(spans, self._place, damaged) if spans or damaged else None

    def _decoded(self, payload: bytes) -> Span | None:
        span = decoded(payload)
        self.damaged = self.damaged or span is None
        return span

    def settle(self, batch: Batch) -> None:
        """Take note that a batch is delivered.

        The segments stay until all is: start records in them may still be needed.
        """
        self.tries = 0
        self.journal.write_cursor(batch.end)

    def release(self) -> None:
        """Remove what is delivered; keep what could not be read, for people to look at."""
        if self.damaged:
            self.journal.set_apart()
            return
        try:
            self.journal.release(remove=True)
        except OSError:  # something in it is no file of ours: not to be delivered again
            self.journal.set_apart()

    def put_back(self, seconds: float) -> None:
        """Go back to what is not acknowledged, after a batch that could not be delivered.

        Args:
            seconds: How long to leave it alone.
        """
        self.tries += 1
        self.not_before = time.monotonic() + seconds
        self._place = (0, 0)
        self._started.clear()
        self.finished = False


def _last_change(journal: Journal) -> int:
    times = [s.path.stat().st_mtime_ns for s in journal.segments if s.path.exists()]
    return max(times, default=0)


def _cut_off(span: Span, last_ns: int) -> Span:
    return attrs.evolve(
        span,
        end_ns=max(span.start_ns, last_ns),
        status=Status(StatusCode.ERROR, INTERRUPTED),
        attributes={**span.attributes, semconv.ENDING: "interrupted"},
    )


def spans_of(frames: Iterable[Frame]) -> list[Span]:
    """Return the finished spans among frames.

    Args:
        frames: What was read.

    Raises:
        ConfigurationError: One is of a version this one does not know.
    """
    return [span_in(payload) for kind, payload, _ in frames if kind == SPAN]


def decoded(payload: bytes) -> Span | None:
    """Return the span of a frame, or ``None`` and a log message if it cannot be decoded.

    Args:
        payload: The frame's.
    """
    try:
        return span_in(payload)
    except ConfigurationError as error:  # its checksum is right: perhaps of a later version
        log_once("spool:unreadable", "tracing: a spooled span cannot be read: %s", error)
        return None


def readable_spans(frames: Iterable[Frame]) -> tuple[Span, ...]:
    """Return the finished spans among frames, without those that cannot be decoded.

    Args:
        frames: What was read.
    """
    spans = (decoded(payload) for kind, payload, _ in frames if kind == SPAN)
    return tuple(span for span in spans if span is not None)
