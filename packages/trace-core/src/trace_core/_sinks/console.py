"""Sinks that print spans on a terminal: one line each, or a tree per trace."""

from __future__ import annotations

import os
import sys
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final, TextIO

from trace_core import semconv
from trace_core._errors import ConfigurationError, SinkError
from trace_core._lifecycle import after_fork
from trace_core._model.parts import StatusCode
from trace_core._model.span import Span
from trace_core._platform import takes_output
from trace_core._printable import printable
from trace_core._sinks.base import SinkBase, deadline_after, seconds_left
from trace_core._view import units

_MAX_TRACES: Final = 1_000
_MAX_INDENT: Final = 40
_AT_ONCE: Final = 1_000
"""Characters: a pipe of which we know that it takes something takes 4,096 bytes."""
_PATIENCE: Final = 0.2
"""Seconds until a stream that takes nothing counts as one that nobody reads."""

STATUS_COLOURS: Final = {
    StatusCode.OK: "green",
    StatusCode.UNSET: "green",
    StatusCode.ERROR: "red",
}
"""The colour of a span in a tree, by its status."""
_COLOURS: Final = ("black", "red", "green", "yellow", "blue", "magenta", "cyan", "white")
_ANSI: Final = {colour: str(30 + number) for number, colour in enumerate(_COLOURS)}


class ConsoleSink(SinkBase):
    """Prints one line a span: name, duration, tokens, cost, and the error if it failed.

    Args:
        stream: Where to; standard error by default, looked up at each write.
    """

    wants_spool = False

    @property
    def place(self) -> str:
        """The terminal, or what else the stream is."""
        return "standard error" if self._stream is None else "a stream"

    def __init__(self, stream: TextIO | None = None) -> None:
        if stream is not None and not callable(getattr(stream, "write", None)):
            raise ConfigurationError(f"stream must have a write method, got {stream!r:.60}")
        self._stream = stream
        self._printed: set[str] = set()  # of spans that are written again, with others

    def write(self, spans: Sequence[Span], /) -> None:
        """Print the spans.

        Raises:
            SinkError: Nobody reads the stream, and it takes no more.
        """
        stream = self._stream or sys.stderr
        if stream is not None:  # there is none under pythonw
            for span in spans:
                if span.span_id not in self._printed:
                    print_where_read(stream, f"{summary(span)}\n", deadline_after(_PATIENCE))
                    self._printed.add(span.span_id)
        self._printed.clear()


def print_where_read(stream: TextIO, text: str, deadline: float) -> None:
    """Print to a stream, unless that would wait for somebody to read it.

    Args:
        stream: Where to.
        text: What.
        deadline: When to give up.

    Raises:
        SinkError: It takes no more; a part may be printed.
    """
    for start in range(0, len(text), _AT_ONCE):
        if not takes_output(stream, seconds_left(deadline)):
            raise SinkError(f"nobody reads {getattr(stream, 'name', 'the stream')}: it is full")
        print_to(stream, text[start : start + _AT_ONCE])


def print_to(stream: TextIO, text: str) -> None:
    """Print to a stream, with substitutes for characters it cannot show.

    Args:
        stream: Where to.
        text: What.
    """
    encoding = getattr(stream, "encoding", None) or "utf-8"
    stream.write(text.encode(encoding, "replace").decode(encoding))
    stream.flush()


def summary(span: Span, note: str = "") -> str:
    """Describe a span in one line.

    Args:
        span: The span.
        note: What to say after its duration.

    Returns:
        Its name, duration, tokens, cost and error.
    """
    mark = "✗" if span.status.code is StatusCode.ERROR else "✓"
    parts = [
        f"{mark} {printable(span.name)}",
        duration_text(span.duration_ns),
        *([note] if note else ()),
        *_usage_and_cost(span),
    ]
    if span.status.description:
        parts.append(printable(span.status.description.strip().partition("\n")[0][:200]))
    return "  ".join(parts)


def duration_text(nanoseconds: int) -> str:
    """Write a duration for people: ``640 ms`` or ``3.20 s``."""
    return units.seconds(nanoseconds / 1e9)


def _usage_and_cost(span: Span) -> list[str]:
    parts: list[str] = []
    usage, cost = span.usage, span.cost
    if usage is not None and usage.total is not None:
        estimated = "~" if usage.source == "estimated" else ""
        parts.append(f"{estimated}{usage.input}→{usage.output} tokens")
    if cost is not None and cost.total is not None:
        parts.append(units.money(cost.total))
    if span.attributes.get(semconv.CACHE_HIT):
        parts.append("cache hit")
    return parts


def by_trace(spans: Iterable[Span]) -> dict[str, list[Span]]:
    """Group spans by trace, each span once, in the order traces first appear.

    Args:
        spans: The spans; of several with the same id the last counts.
    """
    traces: dict[str, dict[str, Span]] = {}
    for span in spans:
        traces.setdefault(span.trace_id, {})[span.span_id] = span
    return {trace_id: list(found.values()) for trace_id, found in traces.items()}


def tree_lines(
    spans: Iterable[Span], describe: Callable[[Span], str] = summary
) -> Iterator[tuple[str, Span]]:
    """Draw one trace.

    Args:
        spans: Its spans.
        describe: What to say of a span.

    Yields:
        A line and the span it is about, parents before children, in the order of their starts.
        A span whose parent is not there is drawn as a root.
    """
    ordered = sorted(spans, key=lambda span: (span.start_ns, -span.end_ns))
    ids = {span.span_id for span in ordered}
    children: dict[str | None, list[Span]] = defaultdict(list)
    for span in ordered:
        here = span.parent_id if span.parent_id in ids and span.parent_id != span.span_id else None
        children[here].append(span)
    for root in children[None]:
        yield describe(root), root
        for indent, span in _descendants(root, children):
            yield f"{indent} {describe(span)}", span


def _descendants(
    root: Span, children: Mapping[str | None, Sequence[Span]]
) -> Iterator[tuple[str, Span]]:
    """Yield what is below a span, each with its indentation. Not recursive: trees may be deep."""
    seen = {root.span_id}
    levels: list[tuple[str, list[Span]]] = []

    def enter(span: Span, indent: str) -> None:
        below = [child for child in children.get(span.span_id, ()) if child.span_id not in seen]
        seen.update(child.span_id for child in below)
        levels.append((indent, below[::-1]))

    enter(root, "")
    while levels:
        indent, below = levels[-1]
        if not below:
            levels.pop()
            continue
        child = below.pop()
        depth = len(levels)
        yield _shortened(f"{indent}{'├─' if below else '└─'}", depth), child
        enter(child, indent + ("│  " if below else "   ") if depth < _MAX_INDENT else indent)


def _shortened(indent: str, depth: int) -> str:
    """Write the depth where it is too large to be drawn."""
    return indent if depth <= _MAX_INDENT else f"{indent} [{depth} deep]"


def coloured(line: str, span: Span) -> str:
    """Return a line with the colour of its span's status, for a terminal that knows colours."""
    colour = _ANSI[STATUS_COLOURS[span.status.code]]
    mark = "✗" if span.status.code is StatusCode.ERROR else "✓"
    return line.replace(mark, f"\x1b[{colour}m{mark}\x1b[0m", 1)


class TreeSink(SinkBase):
    """Prints each trace as a tree, as soon as its root has ended.

    On a terminal, and with the extra ``rich``, ``load_sink("console:tree")`` draws traces while
    they run instead.

    Args:
        stream: Where to; standard error by default, looked up at each write.
        colour: Whether to use colours; by default where the stream is a terminal and
            ``NO_COLOR`` is not set.
    """

    wants_spool = False

    def __init__(self, stream: TextIO | None = None, *, colour: bool | None = None) -> None:
        self._stream = stream
        self._colour = colour
        self._renew()
        after_fork(self._renew)

    def _renew(self) -> None:
        self._lock = threading.Lock()
        self._traces: dict[str, dict[str, Span]] = {}

    def write(self, spans: Sequence[Span], /) -> None:
        """Keep the spans, and print the traces whose root is among them.

        Raises:
            SinkError: Nobody reads the stream, and it takes no more.
        """
        with self._lock:
            done: list[str] = []
            for span in spans:
                self._traces.setdefault(span.trace_id, {})[span.span_id] = span
                if span.parent_id is None:
                    done.append(span.trace_id)
            waiting = [trace_id for trace_id in self._traces if trace_id not in done]
            too_many = waiting[: max(0, len(waiting) - _MAX_TRACES)]
            self._print([*done, *too_many], deadline_after(_PATIENCE))

    def _print(self, trace_ids: Iterable[str], deadline: float) -> None:
        stream = self._stream or sys.stderr
        for trace_id in dict.fromkeys(trace_ids):
            if stream is not None:  # there is none under pythonw
                paint = self._paints(stream)
                lines = tree_lines(self._traces[trace_id].values())
                text = [coloured(line, span) if paint else line for line, span in lines]
                print_where_read(stream, "\n".join(text) + "\n", deadline)
            del self._traces[trace_id]

    def _paints(self, stream: TextIO) -> bool:
        if self._colour is not None:
            return self._colour
        return stream.isatty() and "NO_COLOR" not in os.environ

    def flush(self, timeout: float = 5.0, /) -> bool:
        """Print the traces whose root has not ended.

        Raises:
            SinkError: Nobody reads the stream, and it takes no more.
        """
        with self._lock:
            self._print(list(self._traces), deadline_after(min(timeout, _PATIENCE)))
        return True

    def close(self, timeout: float = 5.0, /) -> None:
        """Print the traces whose root has not ended; the stream stays open."""
        self.flush(timeout)
