"""A sink that draws traces as trees on a terminal while they run. Needs the extra ``rich``."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import Final

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from trace_core._lifecycle import after_fork
from trace_core._model.span import Span
from trace_core._printable import printable
from trace_core._sinks.base import SinkBase
from trace_core._sinks.console import STATUS_COLOURS, duration_text, summary, tree_lines

_PICTURES_PER_SECOND: Final = 8
_MAX_DRAWN: Final = 20
_MAX_TRACES: Final = 1_000


class LiveTreeSink(SinkBase):
    """Draws traces while they run, and leaves each on the terminal once its root has ended.

    Args:
        console: Rich's; standard error by default.
    """

    wants_spool = False

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True)
        self._renew()
        after_fork(self._renew)

    def _renew(self) -> None:
        self._lock = threading.RLock()  # the picture is drawn by a thread of rich
        self._traces: dict[str, dict[str, Span]] = {}
        self._live: Live | None = None

    @property
    def place(self) -> str:
        """The terminal."""
        return "standard error"

    def write_started(self, spans: Sequence[Span], /) -> None:
        """Draw spans that have started."""
        with self._lock:
            for span in spans:
                self._traces.setdefault(span.trace_id, {}).setdefault(span.span_id, span)
            self._show()

    def write(self, spans: Sequence[Span], /) -> None:
        """Draw the spans as finished; print the traces whose root is among them for good."""
        with self._lock:
            for span in spans:
                self._traces.setdefault(span.trace_id, {})[span.span_id] = span
            done = dict.fromkeys(span.trace_id for span in spans if span.parent_id is None)
            too_many = list(self._traces)[: max(0, len(self._traces) - _MAX_TRACES)]
            self._print([*done, *too_many])
            self._show()

    def _print(self, trace_ids: Sequence[str]) -> None:
        for trace_id in trace_ids:
            found = self._traces.pop(trace_id, {}).values()
            if finished := [span for span in found if span.end_ns]:
                self._console.print(_drawn(finished), soft_wrap=True)

    def _show(self) -> None:
        """Start drawing when there are traces, and stop when there are none."""
        if self._traces and self._live is None:
            self._live = Live(
                console=self._console,
                get_renderable=self._picture,
                refresh_per_second=_PICTURES_PER_SECOND,
                transient=True,
                redirect_stdout=False,
                redirect_stderr=False,
            )
            self._live.start()
        elif not self._traces and self._live is not None:
            live, self._live = self._live, None
            live.stop()

    def _picture(self) -> RenderableType:
        with self._lock:
            newest = list(self._traces.values())[-_MAX_DRAWN:]
            return Group(*[_drawn(list(found.values())) for found in newest])

    def flush(self, timeout: float = 5.0, /) -> bool:
        """Print the finished spans of unfinished traces."""
        with self._lock:
            self._print(list(self._traces))
            self._show()
        return True

    def close(self, timeout: float = 5.0, /) -> None:
        """Print the finished spans and stop drawing; the console stays open."""
        self.flush(timeout)


def _drawn(spans: Sequence[Span]) -> Text:
    text = Text(no_wrap=True)
    for line, span in tree_lines(spans, _description):
        text.append(
            f"{line}\n", style=STATUS_COLOURS[span.status.code] if span.end_ns else "yellow"
        )
    text.rstrip()
    return text


def _description(span: Span) -> str:
    if span.end_ns:
        return summary(span)
    return f"… {printable(span.name)}  {duration_text(max(0, time.time_ns() - span.start_ns))}"
