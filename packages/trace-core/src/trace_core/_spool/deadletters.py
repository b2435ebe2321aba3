"""Dead letters: spans that a sink will never accept, kept on disk for people to look at."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import attrs

from trace_core._delivery.retry import Refusal
from trace_core._log import report, without_secrets
from trace_core._model.json import MALFORMED, from_dict, to_dict, to_json
from trace_core._model.span import Span
from trace_core._sinks.lines import APPENDING, LinesFile
from trace_core._spool.files import open_own
from trace_core._spool.folders import make_folder

MAX_BYTES: Final = 64 * 1024 * 1024


@attrs.frozen
class DeadLetter:
    """A span that was refused.

    Args:
        span: The span.
        reason: Why.
        time_ns: When, in nanoseconds since the epoch.
    """

    span: Span
    reason: str
    time_ns: int


class DeadLetters:
    """The file ``dead.jsonl`` of a sink's folder in the spool.

    Args:
        folder: The folder.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / "dead.jsonl"

    def add(self, refused: Iterable[Refusal]) -> None:
        """Keep refused spans. A disk that does not take them is reported, not raised."""
        now = time.time_ns()
        lines = [
            to_json({"reason": without_secrets(why), "time_ns": now, "span": to_dict(span)}) + "\n"
            for span, why in refused
        ]
        try:
            self._append([line.encode() for line in lines])
        except OSError as error:
            report("keeping a refused span", error)

    def _append(self, lines: Sequence[bytes]) -> None:
        make_folder(self.path.parent)
        if self.path.exists() and self.path.stat().st_size > MAX_BYTES:
            self.path.replace(self.path.with_suffix(".old.jsonl"))
        file = LinesFile(open_own(self.path, APPENDING))
        try:
            file.append(lines)
        finally:
            file.close()

    def __iter__(self) -> Iterator[DeadLetter]:
        return letters_in(self.path)


def letters_in(path: Path) -> Iterator[DeadLetter]:
    """Read refused spans; there are none where there is no file.

    Args:
        path: The file.

    Raises:
        OSError: It cannot be read, or is no regular file of this user.
    """
    try:
        file = os.fdopen(open_own(path, os.O_RDONLY), "rb")
    except FileNotFoundError:
        return
    left = 2 * MAX_BYTES  # more than such a file ever has
    with file:
        while left > 0 and (line := file.readline(left)):
            left -= len(line)
            letter = _read(line)
            if letter is not None:
                yield letter


def _read(line: bytes) -> DeadLetter | None:
    try:
        data: dict[str, Any] = json.loads(line)
        return DeadLetter(from_dict(data["span"]), str(data["reason"]), int(data["time_ns"]))
    except MALFORMED as error:
        report("reading a refused span", error)
        return None
