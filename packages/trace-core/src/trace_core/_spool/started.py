"""Start records in the journal of this process: which spans have begun and not ended."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from trace_core._model.span import Span
from trace_core._spool.frames import ENDS_ELSEWHERE, START, pack, pack_mark, span_key
from trace_core._spool.journal import Journal

_MOST: Final = 10_000


class StartRecords:
    """The start records of spans that are open, by span, each in some segment."""

    def __init__(self) -> None:
        self._open: dict[bytes, tuple[int, bytes]] = {}  # the segment's number, the frame

    def note(self, spans: Iterable[Span], journal: Journal) -> None:
        """Write records of spans that have started, unless there are very many open ones.

        Without any, only the journal's segment is made, if there is none.

        Raises:
            OSError: They could not be written.
        """
        if len(self._open) <= _MOST:
            self._write({span_key(span): pack(span, START) for span in spans}, journal)

    def _write(self, frames: dict[bytes, bytes], journal: Journal) -> None:
        number, _ = journal.append(b"".join(frames.values()), 0)
        self._open.update({key: (number, frame) for key, frame in frames.items()})

    def note_ended(self, span: Span) -> None:
        """Forget a span whose end is written."""
        if self._open:
            self._open.pop(span_key(span), None)

    def repeat(self, last: int, journal: Journal) -> None:
        """Write those again that would go with segments about to be deleted.

        Args:
            last: Number of the last of these segments.
            journal: The journal.

        Raises:
            OSError: They could not be written.
        """
        old = {key: frame for key, (number, frame) in self._open.items() if number <= last}
        if old:
            self._write(old, journal)

    def move(self, old: Journal, fresh: Journal) -> None:
        """Write all in another journal, and in the one until now that their ends are there.

        Raises:
            OSError: They could not be written.
        """
        if self._open:
            self._write({key: frame for key, (_, frame) in self._open.items()}, fresh)
            old.append(b"".join([pack_mark(key, ENDS_ELSEWHERE) for key in self._open]), 0)
