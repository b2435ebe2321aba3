"""The limit of a sink's folder: what the journals of all processes in it may take of the disk."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from trace_core._log import report
from trace_core._platform import lock, unlock
from trace_core._spool.files import open_own
from trace_core._spool.journal import UNFINISHED_PREFIX, Journal, journals_in
from trace_core._spool.orphan import Orphan
from trace_core._spool.segments import count_spans, segments_in

_UNFINISHED_SECONDS: Final = 60.0


def limit_folder(folder: Path, max_bytes: int, adopted: Iterable[Journal] = ()) -> int:
    """Remove the oldest segments of processes that are gone until a folder keeps to its limit.

    Only one process and thread does so at a time: two would remove twice as much.

    Args:
        folder: A sink's folder.
        max_bytes: What all journals in it may take.
        adopted: Journals in it that this process has adopted.

    Returns:
        How many spans were removed.

    Raises:
        OSError: The file system refused it.
    """
    descriptor = open_own(folder / "limit", os.O_RDWR | os.O_CREAT)
    try:
        try:
            lock(descriptor)
        except OSError:
            return 0
        try:
            return _remove_oldest(folder, max_bytes, {one.path: one for one in adopted})
        finally:
            unlock(descriptor)
    finally:
        os.close(descriptor)


def _remove_oldest(folder: Path, max_bytes: int, held: Mapping[Path, Journal]) -> int:
    journals = journals_in(folder)
    excess, removed = sum(map(_bytes_in, journals)) - max_bytes, 0
    for path in journals:
        if excess <= 0:
            break
        journal = held.get(path) or Journal.adopt(path)
        if journal is None:
            continue
        try:
            while journal.segments and excess > 0:
                left = _count_left(journal)
                excess -= journal.remove_oldest().size
                removed += left
        except OSError as error:  # what is removed already counts
            report("removing the oldest spans", error)
        if path not in held:
            _let_go(journal)
    return removed


def _let_go(journal: Journal) -> None:
    if journal.segments:
        journal.release(remove=False)
    else:
        Orphan(journal).release()  # what is not ours in it stays


def _count_left(journal: Journal) -> int:
    """Count the spans in the oldest segment that are not delivered."""
    oldest, (number, offset) = journal.segments[0], journal.acknowledged
    if oldest.number < number:
        return 0
    return count_spans(oldest, offset if oldest.number == number else 0)


def share_of(folder: Path, max_bytes: int, mine: Path | None) -> int:
    """Return how many bytes the journal of a process may have: what others leave, or as many.

    Args:
        folder: A sink's folder.
        max_bytes: What all journals in it may take.
        mine: The folder of this process's journal.
    """
    others = [_bytes_in(path) for path in journals_in(folder) if path != mine]
    return max(1, max_bytes // (len(others) + 1), max_bytes - sum(others))


def _bytes_in(path: Path) -> int:
    return sum(segment.size for segment in segments_in(path))


def remove_unfinished(folder: Path) -> None:
    """Remove what processes left behind that were killed while they made their journals.

    Of those nothing is written yet. A journal that somebody has renamed so gets its name back.

    Args:
        folder: A sink's folder.
    """
    for path in [one for one in folder.iterdir() if one.name.startswith(UNFINISHED_PREFIX)]:
        try:
            if abs(time.time() - path.lstat().st_mtime) > _UNFINISHED_SECONDS:  # it may jump back
                _remove_or_rename(path)
        except OSError:  # another process does the same, or it is nothing of ours
            continue


def _remove_or_rename(path: Path) -> None:
    if any(segments_in(path)):
        path.rename(path.with_name(path.name.removeprefix(UNFINISHED_PREFIX)))
        return
    (path / "lock").unlink(missing_ok=True)
    path.rmdir()
