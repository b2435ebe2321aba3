"""The folder of segments of one process: append, read, acknowledge, remove.

The folder is held by a lock on the file ``lock`` in it, which the kernel lets go of however the
process ends. Nothing here is thread-safe; a spool's own lock guards its own journal.
"""

from __future__ import annotations

import os
import secrets
import sys
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Final, TypeAlias

import attrs

from trace_core._spool.files import cursor_line, is_own_file, open_own, read_cursor
from trace_core._spool.frames import HEADER_BYTES, SPAN, Reading, unpack

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]


def _read_boot_id() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_bytes().decode()[:8]
    except OSError:
        return "boot"


_BOOT_ID: Final = _read_boot_id()
Position: TypeAlias = "tuple[int, int]"
"""A place in a journal: number of the segment, offset in it."""

CHUNK_BYTES: Final = 1024 * 1024
_LEAST_BYTES: Final = 64 * 1024
_FRAME_BYTES: Final = 4 * 1024
_SUFFIX: Final = ".seg"
_UNFINISHED_PREFIX: Final = ".new-"
DAMAGED_PREFIX: Final = ".damaged-"
"""Begins the name of a folder that was delivered but for what could not be read in it."""


@attrs.define
class Segment:
    """One file of a journal.

    Args:
        number: Its number, from 1.
        path: The file.
        size: Bytes of whole frames in it.
        spans: Finished spans in it, as far as its owner has counted them.
        settled: Those of them that need not be delivered any more.
    """

    number: int
    path: Path
    size: int = 0
    spans: int = 0
    settled: int = 0


class Journal:
    """A folder of segments. Made by `create` or `adopt`.

    Args:
        path: The folder.
        lock: Descriptor of the locked file in it; ``None`` to read only.
    """

    def __init__(self, path: Path, lock: int | None) -> None:
        self.path = path
        self._lock = lock
        self.segments: deque[Segment] = deque(_segments_in(path))
        self.acknowledged: Position = read_cursor(path / "cursor")
        self._file: int | None = None
        self._cursor_file: int | None = None
        self._frame_bytes = _FRAME_BYTES  # of a frame, when last some were read

    @classmethod
    def create(cls, parent: Path) -> Journal:
        """Make a journal for this process.

        Args:
            parent: Where; made as needed.

        Raises:
            OSError: The disk does not let us, or files cannot be locked on it.
        """
        parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        name = f"{_BOOT_ID}-{os.getpid()}-{secrets.token_hex(4)}"
        unfinished = parent / f"{_UNFINISHED_PREFIX}{name}"
        unfinished.mkdir(mode=0o700)
        lock = _open_lock(unfinished)
        try:
            _lock(lock)
            # Renamed only once it is locked, lest another process takes it for an orphan.
            final = unfinished.rename(parent / name)
        except OSError:
            os.close(lock)
            raise
        return cls(final, lock)

    @classmethod
    def adopt(cls, path: Path) -> Journal | None:
        """Take over the journal of a process that is gone.

        Args:
            path: Its folder.

        Returns:
            The journal, or ``None`` when its owner lives, or somebody else was faster.
        """
        lock = None
        try:
            lock = open_own(path / "lock", os.O_RDWR)
            _lock(lock)
        except OSError:
            if lock is not None:
                os.close(lock)
            return None
        return cls(path, lock)

    @property
    def size(self) -> int:
        """Bytes of all segments."""
        return sum(segment.size for segment in self.segments)

    @property
    def tail(self) -> Position:
        """The place behind the last frame."""
        if not self.segments:
            return (0, 0)
        return (self.segments[-1].number, self.segments[-1].size)

    def append(self, data: bytes, spans: int) -> Position:
        """Append whole frames with one write.

        Args:
            data: The frames.
            spans: How many of them are finished spans.

        Returns:
            The place behind them.

        Raises:
            OSError: The disk took none or a part of them; that part is taken back.
        """
        if self._file is None:
            self._open_segment()
        segment = self.segments[-1]
        try:
            self._write_all(data)
        except OSError:
            self._take_back(segment)
            raise
        segment.size += len(data)
        segment.spans += spans
        return (segment.number, segment.size)

    def _open_segment(self) -> None:
        number = self.segments[-1].number + 1 if self.segments else self.acknowledged[0] + 1
        path = self.path / f"{number:08d}{_SUFFIX}"
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL
        self._file = os.open(path, flags, 0o600)
        self.segments.append(Segment(number, path))

    def _write_all(self, data: bytes) -> None:
        assert self._file is not None
        written = os.write(self._file, data)
        while written < len(data):  # a nearly full disk takes a part, then refuses
            written += os.write(self._file, memoryview(data)[written:])

    def _take_back(self, segment: Segment) -> None:
        """Cut off what was written in part, or, if even that fails, never write behind it."""
        assert self._file is not None
        try:
            os.ftruncate(self._file, segment.size)
        except OSError:
            self.roll()

    def roll(self) -> None:
        """Let the next append begin a new segment."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def sync(self) -> None:
        """Have the operating system write to the disk what it was given."""
        if self._file is not None:
            sync_file(self._file)

    def duplicate(self) -> int | None:
        """Return another descriptor of the file that is written to, to sync on another thread."""
        return os.dup(self._file) if self._file is not None else None

    def read(
        self, place: Position, limit: int, size: int = CHUNK_BYTES
    ) -> tuple[Position, Reading]:
        """Read frames from a place on, out of one segment.

        Args:
            place: Where to begin.
            limit: Frames to read at the most.
            size: Bytes to read at the most, unless a single frame is larger.

        Returns:
            Where to go on, and what was read; nothing was read at the end of the journal.
        """
        for segment in list(self.segments):
            number, offset = segment.number, 0
            if number == place[0]:
                offset = place[1]
            if number < place[0] or offset >= segment.size:
                continue
            likely = max(_LEAST_BYTES, limit * self._frame_bytes)  # do not read what is not asked
            reading = _read_segment(segment, offset, limit, min(size, likely))
            self._frame_bytes = (reading.next - offset) // max(1, len(reading.frames)) + 1
            return (number, reading.next), reading
        return place, Reading()

    def acknowledge(self, place: Position) -> list[Path]:
        """Remember that all before a place is settled.

        Returns:
            Segments that are to be deleted, once the place is written down by `write_cursor`.
        """
        done: list[Path] = []
        while self.segments and self.is_done(self.segments[0], place):
            done.append(self._forget_oldest().path)
        return done

    def is_done(self, segment: Segment, place: Position) -> bool:
        """Say whether a segment can go once all before a place is settled."""
        if segment is self.segments[-1] and self._file is not None:
            return False  # still being written
        return segment.number < place[0] or (
            segment.number == place[0] and segment.size <= place[1]
        )

    def remove_oldest(self) -> Segment:
        """Delete the oldest segment, delivered or not."""
        segment = self._forget_oldest()
        segment.path.unlink(missing_ok=True)
        return segment

    def _forget_oldest(self) -> Segment:
        segment = self.segments.popleft()
        if not self.segments:
            self.roll()
            self.acknowledged = max(self.acknowledged, (segment.number, segment.size))
        return segment

    def count_spans(self, segment: Segment) -> int:
        """Count the finished spans in a segment."""
        count, place = 0, 0
        while place < segment.size:
            reading = _read_segment(segment, place, sys.maxsize, CHUNK_BYTES)
            count += sum(kind == SPAN for kind, *_ in reading.frames)
            place = max(reading.next, place + 1)
        return count

    def write_cursor(self, place: Position) -> None:
        """Write down that all before a place is settled."""
        self.acknowledged = max(self.acknowledged, place)
        line = cursor_line(place)
        if self._cursor_file is None:
            self._cursor_file = open_own(self.path / "cursor", os.O_RDWR | os.O_CREAT)
            os.ftruncate(self._cursor_file, len(line))  # it may have been longer
        os.pwrite(self._cursor_file, line, 0)

    def set_apart(self) -> None:
        """Let go of the folder and rename it, so that nobody adopts it again."""
        target = self.path.with_name(f"{DAMAGED_PREFIX}{self.path.name}")
        self.path = self.path.rename(target)
        self.forget()

    def forget(self) -> None:
        """Close the descriptors and nothing else: for a forked child, whose parent goes on."""
        for descriptor in (self._file, self._cursor_file, self._lock):
            if descriptor is not None:
                os.close(descriptor)
        self._file = self._cursor_file = None

    def release(self, *, remove: bool) -> None:
        """Let go of the folder.

        Args:
            remove: Delete it with all that is in it.
        """
        if remove:
            # Oldest first: killed in between, a start record must not outlive its span's end.
            segments = sorted(self.path.glob(f"*{_SUFFIX}"))
            for path in [*segments, self.path / "cursor", self.path / "lock"]:
                path.unlink(missing_ok=True)
            if self.path.is_dir():
                self.path.rmdir()
        self.forget()


def sync_file(descriptor: int) -> None:
    """Wait until the disk has what was written to a file."""
    getattr(os, "fdatasync", os.fsync)(descriptor)


def _read_segment(segment: Segment, offset: int, limit: int, size: int) -> Reading:
    """Read some frames; more bytes than asked for if a single frame needs them."""
    left = segment.size - offset
    try:
        descriptor = open_own(segment.path, os.O_RDONLY)
    except FileNotFoundError:  # deleted by somebody: what was in it cannot be had
        return Reading(next=segment.size, damaged=1)
    try:
        while True:
            size = min(size, left)
            data = os.pread(descriptor, size, offset)
            reading = unpack(data, offset, last=size >= left, limit=limit)
            if reading.frames or reading.next > offset + HEADER_BYTES or size >= left:
                return reading
            size *= 4
    finally:
        os.close(descriptor)


def _segments_in(path: Path) -> Iterator[Segment]:
    try:
        files = sorted(
            Path(entry)
            for entry in os.scandir(path)
            if entry.name.endswith(_SUFFIX) and is_own_file(entry.stat(follow_symlinks=False))
        )
    except FileNotFoundError:  # delivered by somebody and removed while we looked
        return
    for file in files:
        if file.stem.isdigit():
            yield Segment(int(file.stem), file, _size_of(file))


def _size_of(file: Path) -> int:
    try:
        return file.stat().st_size
    except FileNotFoundError:
        return 0


def journals_in(parent: Path) -> list[Path]:
    """Return the folders of journals, oldest first.

    Args:
        parent: Where to look.
    """
    try:
        found = [path for path in parent.iterdir() if (path / "lock").exists()]
    except OSError:
        return []
    return sorted((p for p in found if not p.name.startswith(".")), key=_age)


def _age(path: Path) -> float:
    try:
        return path.stat().st_ctime
    except OSError:
        return 0.0


def _open_lock(folder: Path) -> int:
    return os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)


def _lock(descriptor: int) -> None:
    """Lock a file for this process, or raise OSError at once if another has it."""
    if fcntl is None:
        raise OSError("no spool on this platform: it has no locks that end with the process")
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
