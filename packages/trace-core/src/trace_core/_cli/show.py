"""``trace-core show`` draws traces as trees, ``trace-core tail`` prints spans one a line."""

from __future__ import annotations

import argparse

from trace_core._cli.draw import Problems, draw_traces, say
from trace_core._model.json import encode
from trace_core._sinks.console import summary
from trace_core._spool.reader import follow, read_spans


def show(options: argparse.Namespace) -> int:
    """Draw traces as trees."""
    problems = Problems()
    spans = read_spans(options.source, problems)
    draw_traces(spans, as_json=options.json, trace=options.trace, last=options.last)
    return int(problems.found)


def tail(options: argparse.Namespace) -> int:
    """Print spans one a line, and go on doing so if asked to."""
    problems = Problems()
    read = follow if options.follow else read_spans
    for span in read(options.source, problems):
        say(encode(span).decode() if options.json else summary(span))
    return int(problems.found)
