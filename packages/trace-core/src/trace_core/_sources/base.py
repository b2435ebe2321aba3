"""The contract of sources: the base class, and which spans are asked for."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from typing import Final, TypeAlias

import attrs

from trace_core._errors import ConfigurationError, TraceError
from trace_core._model.span import Span
from trace_core._view.trace import Trace

_WINDOW_NS: Final = 600 * 10**9
_MOST_SEEN: Final = 100_000
Wanted: TypeAlias = Callable[[Span], bool]
"""Whether a span is of interest."""


class Unreadable(TraceError):
    """A source is there and cannot be read: a server that is away, a broken database."""


@attrs.frozen
class Selection:
    """Which spans to read. A source may use it to read less.

    Args:
        since_ns: Those that started at this moment or later, in nanoseconds since the epoch.
        until_ns: Those that started before this moment.
        trace: Those of traces whose id begins with this.
    """

    since_ns: int | None = None
    until_ns: int | None = None
    trace: str = ""

    def covers(self, span: Span) -> bool:
        """Tell whether a span is selected."""
        return (
            (self.since_ns is None or span.start_ns >= self.since_ns)
            and (self.until_ns is None or span.start_ns < self.until_ns)
            and span.trace_id.startswith(self.trace)
        )


EVERYTHING: Final = Selection()


def _ignore(_text: str) -> None:
    """Say nothing."""


def _raise(_place: str, error: Exception) -> None:
    """Raise what is wrong."""
    raise error


class SourceBase(ABC):
    """Base class of sources. Only `place` and `spans` are required."""

    problem: Callable[[str, Exception], None] = staticmethod(_raise)
    """Told of what cannot be read, and where; what is left is read if it does not raise."""

    remark: Callable[[str], None] = staticmethod(_ignore)
    """Told what a reader should know of what is read, such as what is left out."""

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self.place}>"

    @property
    @abstractmethod
    def place(self) -> str:
        """What people call it, without secrets: a file, or a server and its experiment."""

    @property
    def is_empty(self) -> bool:
        """Whether there is certainly nothing to read, as where a file does not exist."""
        return False

    def choose_experiment(self, name: str | None, /) -> None:
        """Read one experiment of a store that has several, or all of them.

        By default there are none.

        Args:
            name: The experiment's; ``None`` for all.

        Raises:
            ConfigurationError: This source has no experiments.
        """
        raise ConfigurationError(f"{self.place} has no experiments to choose from")

    @abstractmethod
    def spans(self, selection: Selection = EVERYTHING, /) -> Iterator[Span]:
        """Read spans, with bounded memory, the oldest traces first as far as that is known.

        Args:
            selection: Which.

        Raises:
            ConfigurationError: The source is not there.
            Unreadable: It cannot be read.
        """

    def traces(
        self, wanted: Wanted, last: int, selection: Selection = EVERYTHING, /
    ) -> list[Trace]:
        """Read the newest traces in which at least one span is wanted.

        By default everything is read twice: for their ids, then for their spans.

        Args:
            wanted: Whether a span is.
            last: How many traces at the most.
            selection: Which spans are asked for.

        Returns:
            All spans of each trace, the newest trace last.
        """
        ids: OrderedDict[str, None] = OrderedDict()
        for span in self.spans(selection):
            if wanted(span):
                ids[span.trace_id] = None
                if len(ids) > last:
                    ids.popitem(last=False)
        found: dict[str, dict[str, Span]] = {trace_id: {} for trace_id in ids}
        for span in self.spans() if ids else ():
            if span.trace_id in found:
                found[span.trace_id][span.span_id] = span
        return [Trace(spans.values()) for spans in found.values() if spans]

    def follow(self, selection: Selection = EVERYTHING, /, *, every: float = 2.0) -> Iterator[Span]:
        """Read spans that arrive from now on, for ever.

        By default the last ten minutes are read again and again, so that a trace is found whose
        spans arrive late.

        Args:
            selection: Which spans.
            every: Seconds between two looks.
        """
        seen = OrderedDict((span.context, None) for span in self.spans(_recent(selection)))
        while True:
            for span in self.spans(_recent(selection)):
                if span.context not in seen:
                    yield span
                seen[span.context] = None
                if len(seen) > _MOST_SEEN:
                    seen.popitem(last=False)
            time.sleep(every)

    def trace_url(self, trace_id: str, /) -> str | None:
        """Return where a trace can be looked at in a browser, if anywhere."""
        return None


def _recent(selection: Selection) -> Selection:
    since = max(selection.since_ns or 0, time.time_ns() - _WINDOW_NS)
    return attrs.evolve(selection, since_ns=since)


def newest(
    traces: Iterator[Sequence[Span]], wanted: Wanted, last: int, selection: Selection
) -> list[Trace]:
    """Choose traces from a store that gives them newest first.

    Args:
        traces: All spans of each trace.
        wanted: Whether a span is.
        last: How many traces at the most.
        selection: Which spans are asked for.

    Returns:
        What `SourceBase.traces` returns.
    """
    found: list[Trace] = []
    for spans in traces if last > 0 else ():
        if any(selection.covers(span) and wanted(span) for span in spans):
            found.append(Trace(spans))
        if len(found) == last:
            break
    return found[::-1]
