"""Traces as trees of text, for terminals."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator

from trace_core._model import Span, StatusCode
from trace_core._sinks import summary


def by_trace(spans: Iterable[Span]) -> dict[str, list[Span]]:
    """Group spans by trace, each span once, in the order traces first appear.

    Args:
        spans: The spans; of several with the same id the last counts.
    """
    traces: dict[str, dict[str, Span]] = {}
    for span in spans:
        traces.setdefault(span.trace_id, {})[span.span_id] = span
    return {trace_id: list(found.values()) for trace_id, found in traces.items()}


def tree_lines(spans: Iterable[Span]) -> Iterator[tuple[str, Span]]:
    """Draw one trace.

    Args:
        spans: Its spans.

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
        yield summary(root), root
        yield from _below(root, children, "", {root.span_id})


def _below(
    span: Span, children: dict[str | None, list[Span]], indent: str, seen: set[str]
) -> Iterator[tuple[str, Span]]:
    mine = [child for child in children[span.span_id] if child.span_id not in seen]
    for index, child in enumerate(mine):
        last = index == len(mine) - 1
        seen.add(child.span_id)
        yield f"{indent}{'└─' if last else '├─'} {summary(child)}", child
        yield from _below(child, children, indent + ("   " if last else "│  "), seen)


def coloured(line: str, span: Span) -> str:
    """Return a line with the colour of its span's status, for a terminal that knows colours."""
    colour = "31" if span.status.code is StatusCode.ERROR else "32"
    mark = "✗" if span.status.code is StatusCode.ERROR else "✓"
    return line.replace(mark, f"\x1b[{colour}m{mark}\x1b[0m", 1)
