"""Reads what is on this machine: files of JSON lines, dead letters, spools."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from trace_core._model.span import Span
from trace_core._sources.base import EVERYTHING, Selection, SourceBase
from trace_core._spool.reader import follow, read_spans

_MOST_KNOWN: Final = 100_000


class FileSource(SourceBase):
    """Reads a file of JSON lines or of dead letters, a spool, or a folder in one.

    Args:
        path: The file or folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def place(self) -> str:
        """The path."""
        return str(self.path)

    @property
    def is_empty(self) -> bool:
        """Whether nothing is there."""
        return not self.path.exists()

    def _tell(self, place: Path, error: Exception) -> None:
        self.problem(str(place), error)

    def spans(self, selection: Selection = EVERYTHING, /) -> Iterator[Span]:
        """Read spans in the order in which they were written, each once."""
        return filter(selection.covers, _each_once(read_spans(self.path, self._tell)))

    def follow(
        self, selection: Selection = EVERYTHING, /, *, every: float = 0.25
    ) -> Iterator[Span]:
        """Read spans that are added to a file from now on; it may be made later, or rotated."""
        if self.path.is_dir():
            return super().follow(selection, every=every)
        end = self.path.stat().st_size if self.path.exists() else 0
        added = follow(self.path, self._tell, every=every, offset=end)
        return filter(selection.covers, _each_once(added))


def _each_once(spans: Iterator[Span]) -> Iterator[Span]:
    """Leave out spans that are there already: a sink may be given one twice, and a file has both.

    Of the spans before it, the last hundred thousand at least are known.
    """
    recent: set[int] = set()
    older: set[int] = set()
    for span in spans:
        known = hash(span.context)  # a tenth of the memory that the ids would take
        if known in recent or known in older:
            continue
        recent.add(known)
        if len(recent) == _MOST_KNOWN:
            recent, older = set(), recent
        yield span
