"""Reads what is on this machine: files of JSON lines, dead letters, spools."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from trace_core._model.span import Span
from trace_core._sources.base import EVERYTHING, Selection, SourceBase
from trace_core._spool.reader import follow, read_spans


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
        """Read spans in the order in which they were written."""
        return filter(selection.covers, read_spans(self.path, self._tell))

    def follow(
        self, selection: Selection = EVERYTHING, /, *, every: float = 0.25
    ) -> Iterator[Span]:
        """Read spans that are added to a file from now on; it may be made later, or rotated."""
        if self.path.is_dir():
            return super().follow(selection, every=every)
        end = self.path.stat().st_size if self.path.exists() else 0
        added = follow(self.path, self._tell, every=every, offset=end)
        return filter(selection.covers, added)
