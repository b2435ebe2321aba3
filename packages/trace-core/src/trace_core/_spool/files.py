"""Opens files of a spool, whose folder others may have tampered with, and reads cursors."""

from __future__ import annotations

import errno
import os
import stat
import zlib
from pathlib import Path
from typing import Final

from trace_core._platform import BINARY, above_standard

_GUARDS: Final = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | BINARY
_FOLLOWS_LINKS: Final = not hasattr(os, "O_NOFOLLOW")
_OWN_FILE: Final = 0o600
_LINE_BYTES: Final = 64  # more than a cursor ever has


def is_of_this_user(status: os.stat_result) -> bool:
    """Say whether a file or folder belongs to this user.

    Args:
        status: What `os.stat`, `os.fstat` or `os.lstat` says of it.
    """
    return not hasattr(os, "geteuid") or status.st_uid == os.geteuid()


def is_own_file(status: os.stat_result) -> bool:
    """Say whether a file is regular and belongs to this user.

    Args:
        status: What `os.fstat` or `os.lstat` says of it.
    """
    return stat.S_ISREG(status.st_mode) and is_of_this_user(status)


def open_own(path: Path, flags: int) -> int:
    """Open a regular file of this user: no link is followed, and no FIFO waits for its other end.

    Args:
        path: The file.
        flags: As for `os.open`; a file that is made has mode 0600 under any umask.

    Raises:
        OSError: It cannot be opened, is no regular file, or belongs to another user.
    """
    if _FOLLOWS_LINKS and path.is_symlink():
        raise OSError(errno.ELOOP, "it is a link", str(path))
    descriptor = above_standard(os.open(path, flags | _GUARDS, _OWN_FILE))
    status = os.fstat(descriptor)
    if not is_own_file(status):
        os.close(descriptor)
        raise OSError(errno.EPERM, "not a regular file of this user", str(path))
    if flags & os.O_CREAT and stat.S_IMODE(status.st_mode) != _OWN_FILE and hasattr(os, "fchmod"):
        os.fchmod(descriptor, _OWN_FILE)
    return descriptor


def write_all(descriptor: int, data: bytes) -> None:
    """Write all of some bytes to a file.

    Args:
        descriptor: The file's.
        data: The bytes.

    Raises:
        OSError: The disk took none or a part of them.
    """
    written = os.write(descriptor, data)
    while written < len(data):  # a nearly full disk takes a part, then refuses
        written += os.write(descriptor, memoryview(data)[written:])


def sync_file(descriptor: int) -> None:
    """Wait until the disk has what was written to a file."""
    getattr(os, "fdatasync", os.fsync)(descriptor)


def cursor_line(place: tuple[int, int]) -> bytes:
    """Return the content of a cursor: segment, offset and a CRC-32 of both.

    Args:
        place: Number of the segment, offset in it.
    """
    text = b"%08d %012d" % place
    return b"%s %08x\n" % (text, zlib.crc32(text))


def read_cursor(path: Path) -> tuple[int, int]:
    """Read a cursor. One that is missing or damaged means the beginning of the journal.

    Args:
        path: The file.
    """
    try:
        descriptor = open_own(path, os.O_RDONLY)
        try:
            line = os.read(descriptor, _LINE_BYTES)
        finally:
            os.close(descriptor)
        number, offset, _ = line.split()
        place = (int(number), int(offset))
    except (OSError, ValueError):
        return (0, 0)
    return place if line == cursor_line(place) and min(place) >= 0 else (0, 0)
