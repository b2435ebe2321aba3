"""The folder of segments of one process: append, read, acknowledge, remove.

The folder is held by a lock on the file ``lock`` in it, which the kernel lets go of however the
process ends. Nothing here is thread-safe; a spool's own lock guards its own journal.
"""

from __future__ import annotations

import errno
import os
import secrets
import stat
from collections import deque
from pathlib import Path
from typing import Final

from trace_core._log import log_once, report
from trace_core._platform import OPEN_FILES_STAY, aside, close, is_running, lock, unlock, write_at
from trace_core._spool.files import cursor_line, is_of_this_user, is_own_file, open_own, read_cursor
from trace_core._spool.frames import Reading
from trace_core._spool.segments import (
    CHUNK_BYTES,
    SUFFIX,
    Position,
    Segment,
    SegmentFile,
    is_segment,
    read_segment,
    segments_in,
)


def _read_boot_id() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_bytes().decode()[:8]
    except OSError:
        return "boot"


_BOOT_ID: Final = _read_boot_id()
_LEAST_BYTES: Final = 64 * 1024
_FRAME_BYTES: Final = 4 * 1024
UNFINISHED_PREFIX: Final = ".new-"
"""Begins the name of a folder that its process has not locked yet."""
DAMAGED_PREFIX: Final = ".damaged-"
"""Begins the name of a folder that was delivered but for what could not be read in it."""


class Journal:
    """A folder of segments. Made by `create` or `adopt`.

    Args:
        path: The folder.
        lock: Descriptor of the locked file in it; ``None`` to read only.
        empty: Whether nothing is in it yet, so that nobody need look.
    """

    def __init__(self, path: Path, lock: int | None, *, empty: bool = False) -> None:
        self.path = path
        self._lock = lock
        self.acknowledged, found = ((0, 0), []) if empty else _what_is_in(path)
        self.segments = deque(found)
        self.file: SegmentFile | None = None
        """What is written to."""
        self._cursor_file: int | None = None
        self._frame_bytes = _FRAME_BYTES  # of a frame, when last some were read

    @classmethod
    def create(cls, parent: Path) -> Journal:
        """Make a journal for this process.

        Args:
            parent: Where: the sink's folder, which exists.

        Raises:
            OSError: The file system refused it, or files cannot be locked on it.
        """
        return cls(*_make_locked(parent), empty=True)

    @classmethod
    def adopt(cls, path: Path) -> Journal | None:
        """Take over the journal of a process that is gone.

        Args:
            path: Its folder.

        Returns:
            The journal, or ``None`` when its owner lives, or somebody else was faster.
        """
        held = None
        try:
            held = open_own(path / "lock", os.O_RDWR | _flag_to_make_lock(path))
            lock(held)
        except OSError as error:
            if held is None and not isinstance(error, FileNotFoundError):  # as on a read-only disk
                report("taking over a journal", error)
            close(held)
            return None
        return cls(path, held)

    @property
    def size(self) -> int:
        """Bytes of all segments."""
        return sum(segment.size for segment in self.segments)

    def append(self, data: bytes, spans: int) -> Position:
        """Append whole frames with one write.

        Args:
            data: The frames.
            spans: How many of them are finished spans.

        Returns:
            The place behind them.

        Raises:
            OSError: The disk did not take them; what it took of them is taken back.
        """
        if self.file is None:
            number = self.segments[-1].number if self.segments else self.acknowledged[0]
            segment = Segment(number + 1, self.path / f"{number + 1:08d}{SUFFIX}")
            self.file = SegmentFile(segment)
            self.segments.append(segment)
            if number:  # else the first spans wait
                self.step_aside()
        file = self.file
        try:
            file.append(data, spans)
        except OSError as error:
            # Of a file that may be no longer than it is (RLIMIT_FSIZE) there may be another.
            is_longest = error.errno == errno.EFBIG and file.segment.size > 0
            if file.torn or is_longest:
                self.roll()
            if not is_longest:
                raise
            return self.append(data, spans)
        return (file.segment.number, file.segment.size)

    def step_aside(self) -> None:
        """Keep open files out of the program's way, once there is time for it."""
        if self._lock is not None:
            self._lock = aside(self._lock)
        if self.file is not None:
            self.file.descriptor = aside(self.file.descriptor)

    def is_there(self) -> bool:
        """Say whether nobody has removed it, or the segment that is written to."""
        return self.path.exists() if self.file is None else self.file.is_there()

    def roll(self) -> None:
        """Let the next append begin a new segment."""
        if self.file is not None:
            self.file.close()
            self.file = None

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
            number = segment.number
            offset = place[1] if number == place[0] else 0
            if number < place[0] or offset >= segment.size:
                continue
            likely = max(_LEAST_BYTES, limit * self._frame_bytes)  # do not read what is not asked
            reading = read_segment(segment, offset, limit, min(size, likely))
            self._frame_bytes = (reading.next - offset) // max(1, len(reading.frames)) + 1
            return (number, reading.next), reading
        return place, Reading()

    def acknowledge(self, place: Position) -> list[Path]:
        """Remember that all before a place is settled.

        Returns:
            Segments that are to be deleted, once the place is written down by `write_cursor`.
        """
        done = []
        while self.segments and self.is_done(self.segments[0], place):
            done.append(self._forget_oldest().path)
        return done

    def is_done(self, segment: Segment, place: Position) -> bool:
        """Say whether a segment can go once all before a place is settled."""
        is_written_to = segment is self.segments[-1] and self.file is not None
        return not is_written_to and (segment.number, segment.size) <= place

    def remove_oldest(self) -> Segment:
        """Delete the oldest segment, delivered or not; or raise OSError, and it is as before."""
        self.segments[0].path.unlink(missing_ok=True)
        return self._forget_oldest()

    def _forget_oldest(self) -> Segment:
        segment = self.segments.popleft()
        if not self.segments:
            self.roll()
            self.acknowledged = max(self.acknowledged, (segment.number, segment.size))
        return segment

    def write_cursor(self, place: Position) -> None:
        """Write down that all before a place is settled."""
        self.acknowledged = max(self.acknowledged, place)
        line = cursor_line(place)
        if self._cursor_file is None:
            self._cursor_file = aside(open_own(self.path / "cursor", os.O_RDWR | os.O_CREAT))
            os.ftruncate(self._cursor_file, len(line))  # it may have been longer
        write_at(self._cursor_file, line, 0)

    def set_apart(self) -> None:
        """Let go of the folder and rename it, so that nobody adopts it again."""
        if OPEN_FILES_STAY:
            self.forget()
        self.path = self.path.rename(self.path.with_name(f"{DAMAGED_PREFIX}{self.path.name}"))
        self.forget()

    def forget(self) -> None:
        """Close the descriptors and nothing else: for a forked child, whose parent goes on."""
        self.roll()
        close(self._cursor_file, self._lock)
        self._cursor_file = self._lock = None

    def release(self, *, remove: bool) -> None:
        """Let go of the folder.

        Args:
            remove: Delete it with all that is in it.

        Raises:
            OSError: It cannot be deleted, or there is a segment that could not be read.
        """
        if OPEN_FILES_STAY:
            self._unlock()
        if remove:
            _remove(self.path)
        self._unlock()

    def _unlock(self) -> None:
        if self._lock is not None:
            unlock(self._lock)
        self.forget()


def _what_is_in(path: Path) -> tuple[Position, list[Segment]]:
    """Return up to where a journal is settled, and its segments."""
    settled = read_cursor(path / "cursor")  # first: its process may go on
    segments = list(segments_in(path))
    if segments and settled > (segments[-1].number, segments[-1].size):
        log_once(
            f"cursor:{path}",
            "tracing: the cursor of %s points behind what is there: all of it is delivered",
            path,
        )
        settled = (0, 0)
    return settled, segments


def _make_locked(parent: Path) -> tuple[Path, int]:
    """Make a folder that this process holds; return it with the descriptor of its lock."""
    name = f"{_BOOT_ID}-{os.getpid()}-{secrets.token_hex(4)}"
    # Renamed only once it is locked, lest another process takes it for an orphan. Where that
    # cannot be, whoever does so finds it empty, and this one begins another.
    unfinished = parent / (name if OPEN_FILES_STAY else f"{UNFINISHED_PREFIX}{name}")
    unfinished.mkdir(mode=0o700)
    unfinished.chmod(0o700)  # under any umask
    held = open_own(unfinished / "lock", os.O_RDWR | os.O_CREAT)
    try:
        lock(held)
        final = unfinished if OPEN_FILES_STAY else unfinished.rename(parent / name)
    except OSError:
        os.close(held)
        raise
    return final, held


def _remove(path: Path) -> None:
    # Oldest first: killed in between, a start record must not outlive its span's end.
    for file in [*_own_segments(path), path / "cursor", path / "lock"]:
        file.unlink(missing_ok=True)
    if path.is_dir():
        path.rmdir()


def _segment_files(path: Path) -> list[Path]:
    # Not by `glob`, which imports a module the first time: a fork meanwhile would wait for ever.
    try:
        return [file for file in path.iterdir() if is_segment(file)]
    except (FileNotFoundError, NotADirectoryError):
        return []


def _own_segments(path: Path) -> list[Path]:
    segments = sorted(_segment_files(path))
    if not all(is_own_file(segment.lstat()) for segment in segments):
        raise OSError(errno.EPERM, "a segment is not a regular file of this user", str(path))
    return segments


def journals_in(parent: Path) -> list[Path]:
    """Return the folders of journals, oldest first.

    Args:
        parent: Where to look.
    """
    try:
        found = [path for path in parent.iterdir() if not path.name.startswith(".")]
    except OSError:
        return []
    return sorted(filter(_is_journal, found), key=_age)


def _is_journal(path: Path) -> bool:
    try:
        status = path.lstat()
    except FileNotFoundError:  # removed or renamed meanwhile, as others do
        return False
    mine = is_of_this_user(status) and stat.S_ISDIR(status.st_mode)  # a link leads anywhere
    return mine and (_has_lock(path) or _has_lost_lock(path))


def _has_lost_lock(path: Path) -> bool:
    """Say whether the lock of a process that is gone was removed, as by whoever tidies old files.

    Of a process that lives nothing is lost if it is taken over all the same: it begins anew.
    """
    boot, _, rest = path.name.partition("-")
    process = rest.partition("-")[0]
    if not process.isdecimal() or _has_lock(path) or not _segment_files(path):
        return False
    return boot != _BOOT_ID or not is_running(int(process))


def _has_lock(path: Path) -> bool:
    """Say whether there is a lock, and not something in its place that nobody can lock."""
    try:
        return is_own_file((path / "lock").lstat())
    except OSError:
        return False


def _flag_to_make_lock(path: Path) -> int:
    """Return the flag for opening a lock that was removed or replaced; put aside what is there."""
    if not _has_lost_lock(path):
        return 0
    if os.path.lexists(path / "lock"):
        (path / "lock").rename(path / f".lock-{secrets.token_hex(4)}")
    return os.O_CREAT


def _age(path: Path) -> float:
    try:
        return path.stat().st_ctime
    except OSError:
        return 0.0
