"""Shows the progress of long commands on standard error, if that is a terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO, TypeAlias

from trace_core._sinks.console import print_to

Tell: TypeAlias = Callable[[int], None]
"""Takes how many spans are done."""


@contextmanager
def progress(what: str, total: int | None, *, shown: bool = True) -> Iterator[Tell]:
    """Show the progress of something on standard error, if that is a terminal.

    With a bar if the extra ``rich`` is installed, otherwise with a line that is overwritten.

    Args:
        what: What is done.
        total: How many spans there are; ``None`` if that is not known.
        shown: Whether to show it at all.

    Yields:
        A function to call with the number of spans done so far.
    """
    stream = sys.stderr
    if not shown or stream is None or not stream.isatty():
        yield _ignore
        return
    try:
        from rich.progress import Progress
    except ImportError:
        with _line(what, total, stream) as tell:
            yield tell
        return
    from rich.console import Console

    with Progress(console=Console(file=stream)) as bar:
        task = bar.add_task(what, total=total)
        yield lambda done: bar.update(task, completed=done)


def _ignore(_done: int) -> None:
    """Ignore the progress: standard error is no terminal."""


@contextmanager
def _line(what: str, total: int | None, stream: TextIO) -> Iterator[Tell]:
    goal = "" if total is None else f" of {total}"
    try:
        yield lambda done: print_to(stream, f"\r{what}: {done}{goal} spans\x1b[K")
    finally:
        print_to(stream, "\n")
