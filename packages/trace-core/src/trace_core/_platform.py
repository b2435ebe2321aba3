"""What operating systems do differently: locks, reading at a place, other processes.

The branches for Windows are tested by hiding what it has not, and have not run on a real one.
"""

from __future__ import annotations

import os
import select
from contextlib import suppress
from typing import Any, Final

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]
try:
    import msvcrt as _msvcrt
except ImportError:  # all others
    _msvcrt = None  # type: ignore[assignment]

msvcrt: Any = _msvcrt
"""Its functions are known to type checkers on Windows alone."""
BINARY: Final[int] = getattr(os, "O_BINARY", 0)
"""A flag of `os.open`: Windows changes the line ends of what is written without it."""
OPEN_FILES_STAY: Final = fcntl is None
"""Whether a file that is open, and the folder it is in, can be neither renamed nor removed."""

_STANDARD_ERROR = 2


def above_standard(descriptor: int) -> int:
    """Return a descriptor of the same file that is none of standard input, output and error.

    A program that has closed those gets their numbers for the next file, and all that is printed,
    also by libraries in C, goes into it.

    Args:
        descriptor: The file's; it is closed if another one is returned.
    """
    return descriptor if descriptor > _STANDARD_ERROR else aside(descriptor)


_ASIDE: Final = 900
"""Of the 1,024 files that a process may have open by default."""


def aside(descriptor: int) -> int:
    """Return a descriptor of the same file with a number that no file of the program gets.

    A program that becomes a daemon closes all descriptors and opens its own files, which get the
    lowest numbers: what we write to one of ours would go into them.

    Args:
        descriptor: The file's; it is closed if another one is returned.
    """
    if descriptor >= _ASIDE or fcntl is None:
        return descriptor
    try:
        return duplicate(descriptor)
    finally:
        os.close(descriptor)


def duplicate(descriptor: int) -> int:
    """Return another descriptor of a file, see `aside`."""
    if fcntl is None:
        return os.dup(descriptor)
    try:
        return fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, _ASIDE)
    except OSError:  # so many may not be open here
        return fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, _STANDARD_ERROR + 1)


def make_room_aside() -> None:
    """Have the kernel make room for files that are aside, before they are.

    Where a process has several threads it waits 10 ms and more for that, and all who write with it.
    """
    with suppress(OSError):  # then it is made with the first file that is
        descriptor = os.open(os.devnull, os.O_RDONLY | BINARY)
        try:
            os.close(duplicate(descriptor))
        finally:
            os.close(descriptor)


def close(*descriptors: int | None) -> None:
    """Close files that stay open for long, and that the program may have closed meanwhile."""
    for descriptor in descriptors:
        if descriptor is not None:
            with suppress(OSError):
                os.close(descriptor)


def takes_output(stream: Any, seconds: float = 0.0) -> bool:
    """Say whether a few KiB can be written to a stream at once, or wait for that.

    A pipe that nobody reads takes no more than 64 KiB. Whoever writes more waits for ever, and as
    long has the stream's lock, which Python wants at the exit.

    Args:
        stream: A stream; of one that is no file, nothing is known, and it is taken to.
        seconds: How long to wait at the most.
    """
    poll = getattr(select, "poll", None)  # not on Windows
    try:
        descriptor = stream.fileno()
    except (AttributeError, OSError, ValueError):
        return True
    if poll is None or not isinstance(descriptor, int):
        return True
    waiting = poll()
    waiting.register(descriptor, select.POLLOUT)
    return bool(waiting.poll(seconds * 1000))


def lock(descriptor: int, *, wait: bool = False) -> None:
    """Lock a file until it is closed, or the process ends.

    Args:
        descriptor: The file's.
        wait: Whether to wait for whoever has locked it.

    Raises:
        OSError: It is locked, or cannot be.
    """
    if fcntl is not None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    elif msvcrt is not None:
        _lock_byte(descriptor, msvcrt.LK_LOCK if wait else msvcrt.LK_NBLCK)
    else:
        raise OSError("files cannot be locked on this platform")


def share(descriptor: int) -> None:
    """Lock a file together with others who do so, and so against those who want it alone.

    Args:
        descriptor: The file's.

    Raises:
        OSError: Somebody has it alone, or it cannot be locked so, as on Windows.
    """
    if fcntl is None:
        raise OSError("files cannot be locked together on this platform")
    fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)


def unlock(descriptor: int) -> None:
    """Let go of a lock, also for a child that was forked meanwhile and has the file open, too."""
    if fcntl is not None:
        with suppress(OSError):  # the program has closed all files
            fcntl.flock(descriptor, fcntl.LOCK_UN)
    elif msvcrt is not None:
        _lock_byte(descriptor, msvcrt.LK_UNLCK)


_LOCKED_BYTE: Final = 1 << 40  # behind what any file has: the byte cannot be read by others


def _lock_byte(descriptor: int, how: int) -> None:
    place = os.lseek(descriptor, 0, os.SEEK_CUR)
    os.lseek(descriptor, _LOCKED_BYTE, os.SEEK_SET)
    try:
        msvcrt.locking(descriptor, how, 1)
    finally:
        os.lseek(descriptor, place, os.SEEK_SET)


def read_at(descriptor: int, size: int, offset: int) -> bytes:
    """Read from a place in a file, which no other thread reads by this descriptor.

    Args:
        descriptor: The file's.
        size: Bytes at the most.
        offset: Where to begin.
    """
    if hasattr(os, "pread"):
        return os.pread(descriptor, size, offset)
    os.lseek(descriptor, offset, os.SEEK_SET)
    return os.read(descriptor, size)


def write_at(descriptor: int, data: bytes, offset: int) -> None:
    """Write to a place in a file, which no other thread uses by this descriptor.

    Args:
        descriptor: The file's.
        data: What to write; so little that it is written as a whole.
        offset: Where to begin.
    """
    if hasattr(os, "pwrite"):
        os.pwrite(descriptor, data, offset)
        return
    os.lseek(descriptor, offset, os.SEEK_SET)
    os.write(descriptor, data)


def is_running(process: int) -> bool:
    """Return whether there is a process of this number, or whether that cannot be known."""
    if fcntl is None:  # on Windows `os.kill` ends a process, or interrupts several
        return True
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # somebody else's
        return True
    return True
