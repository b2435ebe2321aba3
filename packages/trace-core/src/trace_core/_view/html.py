"""Spans and traces as HTML, for notebooks. Everything that comes from spans is escaped."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from html import escape
from typing import Final

from trace_core._model.parts import StatusCode
from trace_core._model.span import Span
from trace_core._printable import printable
from trace_core._sinks.console import summary
from trace_core._view.details import details, totals

_MOST_DEEP: Final = 50
_STYLE: Final = "font-family:monospace;font-size:13px;line-height:1.5"
_INNER: Final = "margin:0 0 .4em 1.4em;white-space:pre-wrap;opacity:.8"
_COLOURS: Final = {True: "#c0392b", False: "inherit"}


def trace_html(spans: Sequence[Span]) -> str:
    """Return a trace as a tree that opens, with messages.

    Args:
        spans: Its spans; at least one.
    """
    ids = {span.span_id for span in spans}
    below: defaultdict[str | None, list[Span]] = defaultdict(list)
    for span in sorted(spans, key=lambda span: (span.start_ns, -span.end_ns)):
        parent = span.parent_id if span.parent_id in ids else None
        below[None if parent == span.span_id else parent].append(span)
    head = f"trace {spans[0].trace_id}  {totals(spans)}"
    body = "".join(piece for root in below[None] for piece in _tree(root, below, {root.span_id}, 0))
    return f'<div style="{_STYLE}"><div>{_text(head)}</div>{body}</div>'


def span_html(span: Span) -> str:
    """Return a span alone, with its messages.

    Args:
        span: The span.
    """
    return f'<div style="{_STYLE}">{"".join(_tree(span, {}, set(), 0))}</div>'


def _tree(
    span: Span, below: dict[str | None, list[Span]], seen: set[str], depth: int
) -> Iterator[str]:
    colour = _COLOURS[span.status.code is StatusCode.ERROR]
    is_open = " open" if depth < 1 else ""
    yield f'<details{is_open} style="margin-left:{1.2 if depth else 0}em">'
    yield f'<summary style="color:{colour};cursor:pointer">{_text(summary(span))}</summary>'
    told = "\n".join(details(span, None))
    if told:
        yield f'<div style="{_INNER}">{escape(told)}</div>'
    for child in below.get(span.span_id, ()) if depth < _MOST_DEEP else ():
        if child.span_id not in seen:
            seen.add(child.span_id)
            yield from _tree(child, below, seen, depth + 1)
    yield "</details>"


def _text(text: str) -> str:
    return escape(printable(text))


def table_html(caption: str, rows: Iterable[tuple[str, str]]) -> str:
    """Return names and values as a table.

    Args:
        caption: Its heading.
        rows: The names and values.
    """
    cells = "".join(
        f'<tr><th style="text-align:left">{_text(name)}</th>'
        f'<td style="text-align:left">{_text(value)}</td></tr>'
        for name, value in rows
    )
    return f'<table style="{_STYLE}"><caption>{_text(caption)}</caption>{cells}</table>'
