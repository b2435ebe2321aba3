"""A sink that appends spans to a file, one line of JSON each."""

from __future__ import annotations

import errno
import os
import shlex
import threading
from collections.abc import Sequence
from pathlib import Path

from trace_core import _arguments as arguments
from trace_core._errors import ConfigurationError, SinkClosed
from trace_core._lifecycle import after_fork, forget_handlers
from trace_core._log import log_once
from trace_core._model.json import encode
from trace_core._model.span import Span
from trace_core._platform import OPEN_FILES_STAY
from trace_core._sinks.base import SinkBase, escaped
from trace_core._sinks.lines import APPENDING, LinesFile


def first_existing(path: Path) -> Path:
    """Return a path if it is there, else the nearest folder above it that is.

    Args:
        path: The path.

    Raises:
        NotADirectoryError: A file is where a folder would have to be.
    """
    place = next(one for one in (path.absolute(), *path.absolute().parents) if one.exists())
    if place != path.absolute() and not place.is_dir():
        raise NotADirectoryError(f"{place} is a file and no folder")
    return place


def _is_pipe(path: Path) -> bool:
    """Return whether a path is a named pipe; not the standard output of this process."""
    return path.is_fifo() and not str(path).startswith(("/dev/", "/proc/"))


def _seen_from_here(path: Path) -> str:
    """Write a path as one would type it in the current folder."""
    try:
        return str(path.relative_to(Path.cwd()))
    except (ValueError, OSError):  # it is elsewhere, or the folder is gone
        return str(path)


def _check(path: Path) -> None:
    try:
        if path.is_dir():
            raise ConfigurationError(f"path must be a file, and {path} is a folder")
        if _is_pipe(path):
            raise ConfigurationError(
                f"path must be a file, and {path} is a pipe, which would hold up the writer while "
                "nobody reads it"
            )
    except OSError as error:  # a folder above it that may not be entered, say
        raise ConfigurationError(f"path must be a file that can be reached: {error}") from error


class JsonLinesSink(SinkBase):
    """Appends each span as one line of JSON to a file.

    A batch is one ``write`` call on a descriptor opened for appending, so several processes can
    share a file on a local disk. The file is readable by its owner alone. If it is removed or
    renamed, as by logrotate, later spans go to a new file.

    Args:
        path: The file; made with its folders at the first write.
        rotate_bytes: Once the file is this long, it is renamed to ``PATH.1``, that to ``PATH.2``
            and so on, and a new one is begun. ``None``: never.
        keep: Renamed files that are kept.

    Raises:
        ConfigurationError: An argument makes no sense.
    """

    def __init__(
        self, path: str | os.PathLike[str], *, rotate_bytes: int | None = None, keep: int = 5
    ) -> None:
        if rotate_bytes is not None:
            arguments.count(rotate_bytes, "rotate_bytes")
        self.path = arguments.absolute(path, "path")
        _check(self.path)
        self._rotate_bytes = rotate_bytes
        self._keep = arguments.count(keep, "keep")
        self._file: LinesFile | None = None
        self._closed = False
        self._lock = threading.Lock()
        after_fork(self._renew)

    @property
    def place(self) -> str:
        """The file."""
        return _seen_from_here(self.path)

    @property
    def viewing(self) -> str | None:
        """The command that draws what is in the file."""
        return f"trace-core show {shlex.quote(_seen_from_here(self.path))}"

    def check(self, timeout: float = 5.0, /) -> str | None:
        """Look whether the file can be written.

        Raises:
            OSError: It cannot.
        """
        place = first_existing(self.path)
        if not os.access(place, os.W_OK):
            raise PermissionError(f"{place} cannot be written")
        return None if self.path.exists() else "the file will be made by the first span"

    @property
    def spool_key(self) -> str:
        """The specification that makes this sink again."""
        return f"jsonl:{escaped(str(self.path))}"

    def _renew(self) -> None:
        """Set up what a forked child cannot share with its parent, such as a lock on the file."""
        self._lock = threading.Lock()
        self._close_file()

    def write(self, spans: Sequence[Span], /) -> None:
        """Append the spans.

        Raises:
            OSError: The file cannot be written. Of a disk that is nearly full, it has the first
                of them, and takes the others when they are written again.
            SinkClosed: It was closed.
        """
        lines = [encode(span) + b"\n" for span in spans]
        with self._lock:
            if self._closed:
                raise SinkClosed(f"{self.path} is closed")
            self._look_after_file()
            if self._file is None:
                self._file = self._open()
            self._file.append(lines)

    def _look_after_file(self) -> None:
        """Let go of a file that is full, removed or renamed: the next write makes a new one."""
        if self._file is None:
            return
        mine = self._file.status()
        if mine is None:  # the program has closed all descriptors
            self._file = None
            return
        in_place = self._is_in_place(mine)
        if in_place and (self._rotate_bytes is None or mine.st_size < self._rotate_bytes):
            return
        if in_place:
            self._rotate(self._file, mine)
        elif self._rotate_bytes is None:  # else another process has rotated it
            log_once(
                f"jsonl:moved:{self.path}",
                "tracing: %s was removed or renamed; spans go to a new file of that name",
                self.path,
            )
        self._close_file()

    def _rotate(self, file: LinesFile, mine: os.stat_result) -> None:
        """Rename the files, unless another process has done so or keeps the file locked."""
        if file.lock_alone() and self._is_in_place(mine):
            if OPEN_FILES_STAY:
                self._close_file()
            try:
                self._rename_all()
            except PermissionError as error:
                if not OPEN_FILES_STAY:
                    raise
                log_once(f"jsonl:open:{self.path}", "tracing: not rotated, as in use: %s", error)

    def _rename_all(self) -> None:
        for number in range(self._keep - 1, 0, -1):
            self._rename(self._numbered(number), self._numbered(number + 1))
        self._rename(self.path, self._numbered(1))

    def _is_in_place(self, mine: os.stat_result) -> bool:
        try:  # by the device as well: something may be mounted over it
            return os.path.samestat(self.path.stat(), mine)
        except FileNotFoundError:
            return False

    def _numbered(self, number: int) -> Path:
        return self.path.with_name(f"{self.path.name}.{number}")

    def _rename(self, old: Path, new: Path) -> None:
        if old.exists():
            old.replace(new)

    def _open(self) -> LinesFile:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if _is_pipe(self.path):
            raise OSError(errno.EINVAL, "it is a pipe now, and must be a file", str(self.path))
        return LinesFile(os.open(self.path, APPENDING, 0o600))

    def close(self, timeout: float = 5.0, /) -> None:
        """Close the file."""
        with self._lock:
            self._closed = True
            self._close_file()
        forget_handlers(self)

    def _close_file(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None
