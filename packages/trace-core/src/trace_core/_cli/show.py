"""``show`` draws traces as trees, ``tail`` prints spans one a line."""

from __future__ import annotations

import argparse
from collections import deque
from collections.abc import Iterable
from datetime import timezone
from typing import Any

from trace_core import semconv
from trace_core._cli.draw import Problems, draw_traces, say, say_json
from trace_core._cli.filters import filter_of
from trace_core._cli.sources import source_of
from trace_core._cli.tables import fit, paints, say_csv, width
from trace_core._model.json import encode, to_dict
from trace_core._model.span import Span
from trace_core._sinks.console import coloured, summary
from trace_core._view import units


def show(options: argparse.Namespace) -> int:
    """Draw traces as trees."""
    problems, wanted = Problems(), filter_of(options)
    source = source_of(options, problems)
    traces = source.traces(wanted.accepts, options.last, wanted.selection)
    if options.json:
        say_json({found[0].trace_id: [to_dict(span) for span in found] for found in traces})
    elif options.csv:
        say_csv([row(span) for found in traces for span in found])
    else:
        draw_traces(traces, verbose=options.verbose, url=source.trace_url)
    return int(problems.found)


def tail(options: argparse.Namespace) -> int:
    """Print the newest spans one a line, and go on doing so if asked to."""
    problems, wanted = Problems(), filter_of(options)
    source = source_of(options, problems, may_be_empty=options.follow)
    added = source.follow(wanted.selection) if options.follow else iter(())
    past: Iterable[Span] = () if source.is_empty else source.spans(wanted.selection)
    kept = deque(filter(wanted.accepts, past), maxlen=options.last or None)
    _print(kept, options)
    shown = {span.context for span in kept}
    for span in added:
        if wanted.accepts(span) and span.context not in shown:
            _print((span,), options)
    return int(problems.found)


def _print(spans: Iterable[Span], options: argparse.Namespace) -> None:
    if options.csv:
        say_csv([row(span) for span in spans])
        return
    for span in spans:
        say(encode(span).decode() if options.json else _line(span))


def _line(span: Span) -> str:
    clock = units.local(span.start_ns).strftime("%H:%M:%S")
    line = fit(f"{clock}  {summary(span)}", width())
    return coloured(line, span) if paints() else line


def row(span: Span) -> dict[str, Any]:
    """Return a span as a row of CSV.

    Args:
        span: The span.
    """
    told, usage, cost = span.attributes, span.usage, span.cost
    return {
        "trace_id": span.trace_id,
        "span_id": span.span_id,
        "parent_id": span.parent_id,
        "start": units.local(span.start_ns).astimezone(timezone.utc).isoformat(),
        "seconds": span.duration_ns / 1e9,
        "name": span.name,
        "kind": span.kind.value,
        "model": _text(told.get(semconv.REQUEST_MODEL)),
        "provider": _text(told.get(semconv.PROVIDER_NAME)),
        "status": span.status.code.value,
        "error": span.status.description,
        "input_tokens": usage.input if usage else None,
        "output_tokens": usage.output if usage else None,
        "cost_usd": cost.total if cost else None,
        "first_chunk_seconds": told.get(semconv.RESPONSE_TIME_TO_FIRST_CHUNK),
        "session": _text(told.get(semconv.SESSION_ID)),
        "user": _text(told.get(semconv.USER_ID)),
    }


def _text(value: object) -> str | None:
    return None if value is None else str(value)
