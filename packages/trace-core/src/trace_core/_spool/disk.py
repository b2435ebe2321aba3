"""A sink's folder in the spool, and how long its disk is left alone after an error."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

from trace_core._clock import monotonic
from trace_core._failures import failure
from trace_core._log import log_once, owner_key, report
from trace_core._spool.folders import folder_name, make_folder, write_key
from trace_core._spool.journal import Journal
from trace_core._spool.limit import limit_folder, remove_unfinished, share_of

_RETRY_SECONDS: Final = 0.5
_LOOK_SECONDS: Final = 0.5


class SpoolDisk:
    """Makes journals in the folder of a sink.

    Args:
        root: The spool's folder.
        key: Returns what the sink is known by, which may only be known late.
        max_bytes: What the journals of all processes in the sink's folder may take.
    """

    def __init__(self, root: Path, key: Callable[[], str], max_bytes: int) -> None:
        self._root = root
        self._key = key
        self._max_bytes = max_bytes
        self._folder: Path | None = None
        self._log_key = owner_key("spool")
        self._again_at = 0.0
        self._look_at = 0.0

    @property
    def folder(self) -> Path:
        """The sink's folder; settled by the first journal."""
        return self._folder or self._root / folder_name(self._key())

    @property
    def is_left_alone(self) -> bool:
        """Whether the disk failed a moment ago."""
        return bool(self._again_at) and monotonic() < self._again_at

    def ask_again(self) -> None:
        """Leave the disk alone no longer."""
        self._again_at = self._look_at = 0.0

    def tell(self, error: BaseException) -> None:
        """Log an error of the disk, and leave the disk alone for a moment."""
        self._again_at = monotonic() + _RETRY_SECONDS
        log_once(
            f"{self._log_key}:{getattr(error, 'errno', type(error))}",
            "tracing: the spool %s cannot be written, spans are kept in memory meanwhile: %s",
            *(self.folder, error),
        )

    def has_lost(self, journal: Journal) -> bool:
        """Look, now and then, whether somebody has removed a journal.

        Args:
            journal: A journal of this process.
        """
        now = monotonic()
        if now < self._look_at:
            return False
        self._look_at = now + _LOOK_SECONDS
        return not journal.is_there()

    def create_journal(self) -> Journal:
        """Make a journal in the sink's folder, and the folder as needed.

        With as few calls of the operating system as can be: each gives the interpreter to the
        threads of the program, and the first spans wait for all of them.

        Raises:
            OSError: The file system refused it, or a folder belongs to another user.
        """
        folder = self.folder
        make_folder(self._root)
        make_folder(folder)
        journal = Journal.create(folder)
        self._folder = folder
        self._look_at = monotonic() + _LOOK_SECONDS
        return journal

    def note_key(self) -> None:
        """Leave a note in the folder of whose it is, once there is a journal."""
        if self._folder is None:
            return
        try:
            write_key(self._folder, self._key())
        except failure() as error:
            report("writing down whose spool it is", error)

    def keep_to_limit(self, mine: Journal | None, adopted: Iterable[Journal]) -> tuple[int, int]:
        """Keep the journals of all processes within the limit; the oldest spans go first.

        Args:
            mine: The journal of this process.
            adopted: Journals that this process has adopted.

        Returns:
            How many spans were removed, and how many bytes the journal of this process may have.
        """
        folder = self.folder
        try:
            removed = limit_folder(folder, self._max_bytes, adopted)
            remove_unfinished(folder)
        except (FileNotFoundError, NotADirectoryError):  # it is made for the first span
            removed = 0
        except failure() as error:
            report("keeping the spool to its limit", error)
            removed = 0
        return removed, share_of(folder, self._max_bytes, None if mine is None else mine.path)
