"""Segments: the files of a journal, which hold its frames."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final, TypeAlias

import attrs

from trace_core._platform import close, read_at
from trace_core._spool.files import is_own_file, open_own, write_all
from trace_core._spool.frames import HEADER_BYTES, SPAN, Reading, unpack

Position: TypeAlias = "tuple[int, int]"
"""A place in a journal: number of the segment, offset in it."""

CHUNK_BYTES: Final = 1024 * 1024
SUFFIX: Final = ".seg"
_COUNTED_BYTES: Final = 64 * 1024 * 1024


@attrs.define
class Segment:
    """One file of a journal.

    Args:
        number: Its number, from 1.
        path: The file.
        size: Bytes of whole frames in it.
        spans: Finished spans in it, as far as its owner has counted them.
        settled: Those of them that need not be delivered any more.
        changed_ns: When it was last changed, of one that was found.
    """

    number: int
    path: Path
    size: int = 0
    spans: int = 0
    settled: int = 0
    changed_ns: int = 0


class SegmentFile:
    """The segment that a journal appends to, opened.

    Args:
        segment: The segment, whose file is made.

    Raises:
        OSError: The file system refused it.
    """

    def __init__(self, segment: Segment) -> None:
        self.segment = segment
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL
        self.descriptor = open_own(segment.path, flags)
        self.torn = False
        """Whether a part of a frame is left at its end, so that nothing may be written behind."""

    def append(self, data: bytes, spans: int) -> None:
        """Append whole frames with one write.

        Args:
            data: The frames.
            spans: How many of them are finished spans.

        Raises:
            OSError: The disk took none or a part of them; that part is taken back.
        """
        try:
            if (taken := os.write(self.descriptor, data)) < len(data):  # a nearly full disk
                write_all(self.descriptor, data[taken:])
        except OSError:
            self._take_back()
            raise
        self.segment.size += len(data)
        self.segment.spans += spans

    def _take_back(self) -> None:
        try:
            os.ftruncate(self.descriptor, self.segment.size)
        except OSError:
            self.torn = True

    def is_there(self) -> bool:
        """Say whether the file is open and where it was made, not removed or moved away."""
        try:
            return os.path.samestat(self.segment.path.stat(), os.fstat(self.descriptor))
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.EBADF):
                raise
            return False

    def close(self) -> None:
        """Close the file."""
        close(self.descriptor)


def read_segment(segment: Segment, offset: int, limit: int, size: int) -> Reading:
    """Read some frames of a segment.

    Args:
        segment: The segment.
        offset: Where to begin.
        limit: Frames at the most.
        size: Bytes to read; more are if a single frame needs them.
    """
    left = segment.size - offset
    lost = Reading(next=segment.size, damaged=1)
    try:
        descriptor = open_own(segment.path, os.O_RDONLY)
    except FileNotFoundError:  # deleted by somebody: what was in it cannot be had
        return lost
    try:
        while True:
            size = min(size, left)
            data = read_at(descriptor, size, offset)
            if not data:  # cut off by somebody
                return lost
            reading = unpack(data, offset, last=size >= left, limit=limit)
            if reading.next > offset + HEADER_BYTES or size >= left:
                return reading
            size *= 4
    finally:
        os.close(descriptor)


def count_spans(segment: Segment, begin: int = 0) -> int:
    """Count the finished spans in a segment; of a very long one the first part stands for all.

    Args:
        segment: The segment.
        begin: The offset to count from.
    """
    count, place, end = 0, begin, min(segment.size, begin + _COUNTED_BYTES)
    while place < end:
        reading = read_segment(segment, place, sys.maxsize, CHUNK_BYTES)
        count += sum(kind == SPAN for kind, *_ in reading.frames)
        place = reading.next
    return round(count * (segment.size - begin) / max(1, place - begin))


def is_segment(path: Path) -> bool:
    """Say whether a file is called as a segment is; of others nothing is read or removed.

    Args:
        path: The file.
    """
    return path.suffix == SUFFIX and path.stem.isdecimal()


def segments_in(path: Path) -> Iterator[Segment]:
    """Find the segments of a journal, oldest first.

    Args:
        path: The journal's folder.
    """
    try:
        files = sorted(filter(is_segment, path.iterdir()))
    except FileNotFoundError:  # delivered by somebody and removed while we looked
        return
    for file in files:
        try:
            status = file.lstat()
        except FileNotFoundError:  # the same
            continue
        if is_own_file(status):
            yield Segment(int(file.stem), file, status.st_size, changed_ns=status.st_mtime_ns)
