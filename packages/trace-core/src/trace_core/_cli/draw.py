"""What the commands print: lines, JSON, and traces as trees."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from trace_core._cli import tables
from trace_core._errors import TraceError
from trace_core._log import without_secrets
from trace_core._model.span import Span
from trace_core._printable import printable
from trace_core._sinks.console import coloured, duration_text, print_to, summary, tree_lines
from trace_core._view.details import details, totals, waits

_DIGITS: Final = 12
"""Of a trace's id on a terminal: enough for ``--trace``."""
program = "trace-core"
"""What the command is called that prints, in its complaints."""


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
    print_to(sys.stderr, f"{program}: {without_secrets(text)}\n")


def note(text: str) -> None:
    """Print a remark on standard error, faintly where there are colours."""
    shown = without_secrets(text)
    faint = sys.stderr.isatty() and tables.paints()
    print_to(sys.stderr, f"\x1b[2m{shown}\x1b[0m\n" if faint else f"{shown}\n")


class Problems:
    """Collects what a command could not read, so that it goes on with the rest."""

    def __init__(self) -> None:
        self.found = False
        """Whether there were any."""
        self._told: set[str] = set()

    def __call__(self, place: Path | str, error: Exception) -> None:
        """Tell of a problem.

        Args:
            place: The file, folder or store.
            error: What is wrong with it.
        """
        self.found = True
        kind = "" if isinstance(error, TraceError) else f"{type(error).__name__}: "
        text = f"cannot read {place}: {kind}{error}"
        if text not in self._told:  # what is read twice, as for the newest traces, is told once
            self._told.add(text)
            complain(text)


def draw_traces(
    traces: Sequence[Sequence[Span]],
    *,
    verbose: int = 0,
    url: Callable[[str], str | None] = lambda _trace_id: None,
) -> None:
    """Print traces as trees.

    Args:
        traces: The spans of each.
        verbose: 1 for messages and parameters too, 2 for long messages in full.
        url: Returns where a trace can be looked at, if anywhere.
    """
    for spans in traces:
        _draw(spans, verbose, url(spans[0].trace_id))
    if not traces:
        say("no traces found")


def _draw(spans: Sequence[Span], verbose: int, url: str | None) -> None:
    room, paint, pauses = tables.width(), tables.paints(), waits(spans)
    trace_id = spans[0].trace_id if room is None else spans[0].trace_id[:_DIGITS]
    say(tables.fit(f"trace {trace_id}  {totals(spans)}", room))
    if verbose and url:
        say(f"  {printable(url)}")

    def describe(span: Span) -> str:
        pause = pauses.get(span.span_id)
        return summary(span, f"after a wait of {duration_text(pause)}" if pause else "")

    for drawn, span in tree_lines(spans, describe):
        line = tables.fit(f"  {drawn}", room)
        say(coloured(line, span) if paint else line)
        if verbose:
            before = _below(drawn, describe(span))
            inner = None if room is None else room - len(before)
            for told in details(span, inner, whole=verbose > 1):
                say(f"{before}{told}")


def _below(line: str, text: str) -> str:
    """Return what stands before the lines that are about the span in a line of a tree."""
    indent = line.removesuffix(text)
    return "      " + indent.replace("├─", "│ ").replace("└─", "  ")
