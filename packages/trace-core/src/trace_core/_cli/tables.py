"""Tables: by rich on a terminal where it is installed, plain text anywhere else; and CSV."""

from __future__ import annotations

import csv
import io
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal

from trace_core._printable import printable
from trace_core._sinks.console import print_to

_NARROWEST: Final = 12
_GAP: Final = 2
"""Characters between two columns."""
_FRAMED_GAP: Final = 3
"""The same in a table by rich, and beside the columns."""
_LESS_IMPORTANT: Final = ("saved", "cached", "first", "p95")
_FORMULA: Final = ("=", "+", "-", "@")


def width() -> int | None:
    """Return the width of the terminal that is printed to; ``None`` if it is none."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def paints() -> bool:
    """Tell whether to print colours."""
    return sys.stdout.isatty() and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"


def fit(line: str, room: int | None) -> str:
    """Cut a line that a terminal would break.

    Args:
        line: The line, without colours.
        room: Characters it may have; ``None`` for any number.
    """
    return line if room is None or len(line) <= room else f"{line[: max(1, room - 1)]}…"


def say_table(
    rows: Sequence[Mapping[str, str]], *, names: int = 1, total: Mapping[str, str] | None = None
) -> None:
    """Print a table; columns in which nothing is known are left out.

    Args:
        rows: Mappings from column to cell, at least one, all with the same columns.
        names: How many columns from the left are texts; the others are numbers.
        total: A last row.
    """
    every = [*rows, *([total] if total is not None else ())]
    columns = [c for i, c in enumerate(rows[0]) if i < names or any(row[c] for row in every)]
    cells = [columns, *([printable(row[column]) or "-" for column in columns] for row in every)]
    cells = _with_room(cells)
    framed = _narrowed(cells, names, _FRAMED_GAP)
    fits = framed is not None and sys.stdout.isatty()
    if not (fits and framed and _say_by_rich(framed, names, total=total is not None)):
        narrow = _narrowed(cells, names, _GAP)
        print_to(sys.stdout, _plain(cells if narrow is None else narrow, names) + "\n")


def _widths(cells: list[list[str]]) -> list[int]:
    return [max(map(len, column)) for column in zip(*cells, strict=True)]


def _with_room(cells: list[list[str]]) -> list[list[str]]:
    """Leave out what matters least where a terminal is too narrow for all columns."""
    room = width()
    for column in _LESS_IMPORTANT if room is not None else ():
        widths = _widths(cells)
        named = max(0, max(widths) - _NARROWEST)  # a long name can be cut
        if sum(widths) + _GAP * len(widths) - named > (room or 0) and column in cells[0]:
            number = cells[0].index(column)
            cells = [[*row[:number], *row[number + 1 :]] for row in cells]
    return cells


def _narrowed(cells: list[list[str]], names: int, gap: int) -> list[list[str]] | None:
    """Cut the widest column of names such that a table fits the terminal.

    Args:
        cells: The table.
        names: How many columns are names.
        gap: Characters between columns.

    Returns:
        The table; ``None`` if that is not enough.
    """
    widths, room = _widths(cells), width()
    too_much = 0 if room is None else sum(widths) + gap * len(widths) - room
    if too_much <= 0:
        return cells
    widest = max(range(names), key=lambda number: widths[number])
    size = widths[widest] - too_much
    if size < _NARROWEST:
        return None
    return [[fit(cell, size) if i == widest else cell for i, cell in enumerate(r)] for r in cells]


def _plain(cells: list[list[str]], names: int) -> str:
    widths = _widths(cells)
    return "\n".join(_line(row, widths, names) for row in cells)


def _line(row: list[str], widths: list[int], names: int) -> str:
    sized = list(zip(row, widths, strict=True))
    left = [cell.ljust(size) for cell, size in sized[:names]]
    return "  ".join([*left, *(cell.rjust(size) for cell, size in sized[names:])]).rstrip()


def _say_by_rich(cells: list[list[str]], names: int, *, total: bool) -> bool:
    """Print a table by rich; tell whether it is installed."""
    try:
        from rich.box import SIMPLE_HEAD
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text
    except ImportError:
        return False
    made = Table(box=SIMPLE_HEAD, pad_edge=False)
    head, *rows = cells
    for number, column in enumerate(head):
        made.add_column(Text(column), justify="left" if number < names else "right", no_wrap=True)
    for number, row in enumerate(rows):
        if total and number == len(rows) - 1:
            made.add_section()
        made.add_row(*map(Text, row))
    colours: Literal["auto"] | None = "auto" if paints() else None
    Console(file=sys.stdout, color_system=colours, highlight=False).print(made)
    return True


def say_csv(rows: Sequence[Mapping[str, Any]]) -> None:
    """Print rows as CSV, safe for terminals and spreadsheets.

    Args:
        rows: Mappings with the same keys.
    """
    if not rows:
        return
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(rows[0])
    writer.writerows([_cell(value) for value in row.values()] for row in rows)
    print_to(sys.stdout, text.getvalue())


def _cell(value: Any) -> Any:
    """Return a cell of CSV: a text that a spreadsheet would compute is marked as text."""
    if not isinstance(value, str):
        return value
    shown = printable(value)
    return f"'{shown}" if shown.startswith(_FORMULA) else shown
