"""Reads spans from files of JSON lines and from spools of any process."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Final, TypeAlias

import attrs

from trace_core._errors import ConfigurationError
from trace_core._model.json import decode
from trace_core._model.span import Span
from trace_core._sinks.base import Sink
from trace_core._spool.batch import spans_of
from trace_core._spool.deadletters import DeadLetters, letters_in
from trace_core._spool.folders import read_key
from trace_core._spool.journal import DAMAGED_PREFIX, Journal, journals_in
from trace_core._spool.orphan import Orphan
from trace_core._spool.spool import Spool

_READ_AT_ONCE: Final = 1_000
_BLOCK: Final = 1024 * 1024
_QUIET_LOOKS: Final = 5  # between taking a journal over and saying so there is a moment


@attrs.frozen
class Folder:
    """One sink's folder in a spool.

    Args:
        path: The folder.
        key: What the sink is known by.
        journals: Folders of processes in it.
        alive: How many of their owners still run.
        waiting: Spans not delivered.
        bytes: Size of all segments.
        dead: Spans that were refused for good.
        damaged: Folders kept because something in them could not be read.
    """

    path: Path
    key: str
    journals: int
    alive: int
    waiting: int
    bytes: int
    dead: int
    damaged: int


Problem: TypeAlias = Callable[[Path, Exception], None]
"""Told of a file or folder that cannot be read; what is left is read if it does not raise."""


def _ignore(_place: Path, _error: Exception) -> None:
    """Go on: whoever listed the folder has been told."""


def _raise(_place: Path, error: Exception) -> None:
    raise error


def folders_in(root: Path, problem: Problem = _raise) -> list[Folder]:
    """Describe the folders of a spool.

    Args:
        root: The spool's folder.
        problem: Told of what cannot be read; raises by default.
    """
    try:
        found = sorted(path for path in root.iterdir() if path.is_dir())
    except OSError:
        return []
    folders = []
    for path in found:
        try:
            folders.append(_describe(path, problem))
        except (OSError, ValueError) as error:
            problem(path, error)
    return folders


def _describe(path: Path, problem: Problem) -> Folder:
    journals = journals_in(path)
    return Folder(
        path,
        _key_in(path),
        len(journals),
        sum(_is_alive(journal) for journal in journals),
        sum(1 for journal in journals for _ in spans_waiting(journal, problem)),
        sum(map(_size, _files_below(path, ".seg"))),
        _count_dead(DeadLetters(path), problem),
        len(list(path.glob(f"{DAMAGED_PREFIX}*"))),
    )


def _count_dead(letters: DeadLetters, problem: Problem) -> int:
    try:
        return sum(1 for _ in letters)
    except OSError as error:  # what waits can be delivered all the same
        problem(letters.path, error)
        return 0


def _files_below(path: Path, ending: str) -> list[Path]:
    """Find files in a folder that others may be removing things from meanwhile."""
    walk = os.walk(path)  # unlike Path.rglob it takes no offence
    return sorted(Path(at) / n for at, _, names in walk for n in names if n.endswith(ending))


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _key_in(path: Path) -> str:
    try:
        return read_key(path)
    except FileNotFoundError:
        return path.name


def _is_alive(path: Path) -> bool:
    journal = Journal.adopt(path)
    if journal is not None:
        journal.release(remove=False)
    return journal is None


def spans_waiting(path: Path, problem: Problem = _raise) -> Iterator[Span]:
    """Read a journal without taking it over.

    Args:
        path: The journal's folder.
        problem: Told of a record that cannot be read; raises by default.

    Yields:
        The spans that are not acknowledged.
    """
    journal = Journal(path, None)
    place = journal.acknowledged
    while True:
        after, reading = journal.read(place, _READ_AT_ONCE)
        if after == place and not reading.frames:
            return
        place = after
        for frame in reading.frames:
            try:
                yield from spans_of([frame])
            except ValueError as error:
                problem(path, error)


def read_spans(source: Path, problem: Problem = _raise) -> Iterator[Span]:
    """Read spans from a file of JSON lines or of refused spans, a spool, or a folder in one.

    Args:
        source: The file or folder.
        problem: Told of what cannot be read; raises by default.

    Raises:
        ConfigurationError: The source is not there.
    """
    if source.is_file() and source.name.startswith("dead."):
        yield from (letter.span for letter in letters_in(source))
    elif source.is_file():
        yield from _read_lines(source, problem)
    elif source.is_dir():
        for journal in sorted({segment.parent for segment in _files_below(source, ".seg")}):
            try:
                yield from spans_waiting(journal, problem)
            except (OSError, ValueError) as error:
                problem(journal, error)
    else:
        raise ConfigurationError(f"{source} is neither a file of JSON lines nor a spool's folder")


def count_spans(source: Path) -> int | None:
    """Count the spans `read_spans` finds, if that is quickly done.

    Args:
        source: The file or folder.

    Returns:
        Their number; ``None`` for a folder, and for what is not there.
    """
    if not source.is_file():
        return None
    with source.open("rb") as file:
        return sum(block.count(b"\n") for block in iter(lambda: file.read(_BLOCK), b""))


def _read_lines(path: Path, problem: Problem) -> Iterator[Span]:
    with path.open("rb") as file:
        yield from _spans_in(path, file, problem)


def _spans_in(path: Path, lines: Iterable[bytes], problem: Problem) -> Iterator[Span]:
    """Read lines, and tell at the end of those that are no spans.

    A last line without an end is passed over: it may be being written.
    """
    unreadable, why = 0, ""
    for number, line in enumerate(lines, 1):
        try:
            if line.strip():
                yield decode(line)
        except ConfigurationError as error:
            unreadable += line.endswith(b"\n")
            why = why or f"the first is line {number}: {error}"
    if unreadable:
        told = "1 line is not a span" if unreadable == 1 else f"{unreadable:,} lines are not spans"
        problem(path, ConfigurationError(f"{told}; {why}"))


def follow(
    path: Path,
    problem: Problem = _raise,
    *,
    every: float = 0.25,
    offset: int = 0,
    stop: Callable[[], bool] = lambda: False,
) -> Iterator[Span]:
    """Read the spans a file of JSON lines has, then those that are added to it, for ever.

    Args:
        path: The file; it need not be there yet, and may be rotated.
        problem: Told of lines that cannot be read; raises by default.
        every: Seconds between two looks.
        offset: Where to begin, in bytes.
        stop: Asked between two looks whether to end.
    """
    rest = b""
    while True:
        if path.exists():
            if path.stat().st_size < offset:  # rotated
                offset, rest = 0, b""
            with path.open("rb") as file:
                file.seek(offset)
                *lines, rest = (rest + file.read()).split(b"\n")
                offset = file.tell()
            yield from _spans_in(path, (line + b"\n" for line in lines), problem)
        if stop():
            return
        time.sleep(every)


def drain(
    folder: Folder, sink: Sink, *, timeout: float, progress: Callable[[int], None]
) -> dict[str, Any]:
    """Deliver what processes that are gone have left in a folder.

    Args:
        folder: One sink's folder.
        sink: Where to.
        timeout: Seconds to take at the most.
        progress: Told now and then how many spans are delivered.

    Returns:
        How many spans were delivered, dropped, and are still waiting.
    """
    spool = Spool(folder.path.parent, sink, key=folder.key, adopt_every=0.2)
    spool.start()
    deadline = time.monotonic() + timeout
    quiet = 0
    while quiet < _QUIET_LOOKS and time.monotonic() < deadline:
        time.sleep(0.05)
        busy = spool.delivers_for_others or any(not _is_alive(p) for p in journals_in(folder.path))
        quiet = 0 if busy else quiet + 1
        progress(spool.stats.delivered)
    stats = spool.stats
    spool.close(max(1.0, deadline - time.monotonic()))
    left = [path for path in journals_in(folder.path) if not _is_alive(path)]
    waiting = sum(1 for path in left for _ in spans_waiting(path, _ignore))
    return {"delivered": stats.delivered, "dropped": stats.dropped, "waiting": waiting}


def collect_garbage(
    root: Path, problem: Problem = _raise, *, dead: bool, damaged: bool
) -> list[Path]:
    """Remove what nobody needs any more.

    Args:
        root: The spool's folder.
        problem: Told of what cannot be read; raises by default.
        dead: Remove the dead letters as well.
        damaged: Remove the folders kept because of damage as well.

    Returns:
        What was removed.
    """
    removed: list[Path] = []
    for folder in folders_in(root, problem):
        removed += [path for path in journals_in(folder.path) if _remove_if_empty(path, problem)]
        if damaged:
            removed += [_removed(path) for path in folder.path.glob(f"{DAMAGED_PREFIX}*")]
        if dead:
            removed += [_removed(path) for path in folder.path.glob("dead*.jsonl")]
    return removed


def _remove_if_empty(path: Path, problem: Problem) -> bool:
    journal = Journal.adopt(path)
    if journal is None:
        return False
    try:
        empty = Orphan(journal).next(1, 1) is None
        journal.release(remove=empty)
    except OSError as error:  # something in it is no file of ours
        journal.release(remove=False)
        problem(path, error)
        return False
    return empty


def _removed(path: Path) -> Path:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()
    return path
