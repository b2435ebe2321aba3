"""What the commands print: lines, JSON, tables and trees of traces."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from trace_core._log import without_secrets
from trace_core._model.json import to_dict
from trace_core._model.span import Span
from trace_core._sinks.console import by_trace, coloured, print_to, printable, tree_lines


def say(text: str) -> None:
    """Print a line of our own words.

    Args:
        text: The line; what comes from spans, files or the environment is escaped already.
    """
    print_to(sys.stdout, text + "\n")


def say_json(value: object) -> None:
    """Print plain data as one line of JSON."""
    say(json.dumps(value, default=str))


def complain(text: str) -> None:
    """Print a line on standard error, escaped and without secrets."""
    print_to(sys.stderr, f"trace-core: {printable(without_secrets(text))}\n")


class Problems:
    """Collects what a command could not read, so that it goes on with the rest."""

    def __init__(self) -> None:
        self.found = False
        """Whether there were any."""

    def __call__(self, place: Path, error: Exception) -> None:
        """Tell of a problem.

        Args:
            place: The file or folder.
            error: What is wrong with it.
        """
        self.found = True
        complain(f"cannot read {place}: {type(error).__name__}: {error}")


def draw_traces(
    spans: Iterable[Span], *, as_json: bool, trace: str | None = None, last: int = 20
) -> None:
    """Print traces as trees.

    Args:
        spans: Their spans.
        as_json: Print the spans by trace id as JSON instead.
        trace: Print only traces whose id begins with this.
        last: Print only the last so many.
    """
    traces = {key: found for key, found in by_trace(spans).items() if key.startswith(trace or "")}
    chosen = dict(list(traces.items())[-last:] if last > 0 else [])
    if as_json:
        say_json({key: [to_dict(span) for span in found] for key, found in chosen.items()})
        return
    paint = sys.stdout.isatty() and "NO_COLOR" not in os.environ
    for key, found in chosen.items():
        say(f"trace {key}")
        for line, span in tree_lines(found):
            say("  " + (coloured(line, span) if paint else line))
    if not chosen:
        say("no traces found")


def table(rows: list[dict[str, Any]]) -> str:
    """Return rows as a table for people.

    Args:
        rows: At least one mapping, all with the same keys.
    """
    cells = [list(rows[0]), *([_cell(value) for value in row.values()] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return "\n".join(_line(row, widths) for row in cells)


def _line(row: list[str], widths: list[int]) -> str:
    first, *rest = zip(row, widths, strict=True)
    cells = [first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in rest)]
    return "  ".join(cells).rstrip()


def _cell(value: object) -> str:
    if value is None:
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else printable(str(value))
