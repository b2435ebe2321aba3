"""``trace-core stats``: how many calls, how slow, how many tokens, how expensive, by group."""

from __future__ import annotations

import argparse
import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any, Final

from trace_core import semconv
from trace_core._cli.draw import Problems, say, say_json, table
from trace_core._model.parts import SpanKind, StatusCode
from trace_core._model.span import Span
from trace_core._spool.reader import read_spans

GROUPS: Final = ("model", "provider", "status", "name", "kind")
"""What `statistics` can group by."""


def run(options: argparse.Namespace) -> int:
    """Print a row of figures for each group of calls."""
    problems = Problems()
    rows = statistics(read_spans(options.source, problems), options.by)
    if options.json:
        say_json(rows)
    else:
        say(table(rows) if rows else "no calls of models found")
    return int(problems.found)


def percentile(values: Sequence[float], share: float) -> float | None:
    """Return the smallest value that is at least as large as a share of all.

    Args:
        values: The values, in any order.
        share: From 0 to 1.
    """
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else None


def statistics(spans: Iterable[Span], group: str = "model") -> list[dict[str, Any]]:
    """Summarise the spans that are calls of models.

    Args:
        spans: The spans; those of agents, chains and tools are left out.
        group: One of `GROUPS`.

    Returns:
        A row per group, the most frequent first.
    """
    groups: dict[str, list[Span]] = defaultdict(list)
    for span in spans:
        if span.kind not in (SpanKind.AGENT, SpanKind.CHAIN, SpanKind.TOOL, SpanKind.INTERNAL):
            groups[_group_of(span, group)].append(span)
    rows = [_row(name, found) for name, found in groups.items()]
    return sorted(rows, key=lambda row: -row["count"])


def _group_of(span: Span, group: str) -> str:
    attribute = {"model": semconv.REQUEST_MODEL, "provider": semconv.PROVIDER_NAME}.get(group)
    if attribute is not None:
        return str(span.attributes.get(attribute, "-"))
    found = {"status": span.status.code.value, "name": span.name, "kind": span.kind.value}
    return found[group]


def _row(name: str, spans: list[Span]) -> dict[str, Any]:
    seconds = [span.duration_ns / 1e9 for span in spans]
    first = [
        value
        for span in spans
        if isinstance(value := span.attributes.get(semconv.RESPONSE_TIME_TO_FIRST_CHUNK), float)
    ]
    return {
        "group": name,
        "count": len(spans),
        "errors": sum(span.status.code is StatusCode.ERROR for span in spans),
        "cache_hits": sum(bool(span.attributes.get(semconv.CACHE_HIT)) for span in spans),
        "p50_s": percentile(seconds, 0.50),
        "p95_s": percentile(seconds, 0.95),
        "p99_s": percentile(seconds, 0.99),
        "first_chunk_p50_s": percentile(first, 0.50),
        "input_tokens": _total(s.usage.input if s.usage else None for s in spans),
        "output_tokens": _total(s.usage.output if s.usage else None for s in spans),
        "cost_usd": _total(s.cost.total if s.cost else None for s in spans),
        "saved_usd": _total(s.cost.saved if s.cost else None for s in spans),
    }


def _total(values: Iterable[float | None]) -> float | None:
    """Add up what is known; nothing known is None, not 0."""
    known = [value for value in values if value is not None]
    return sum(known) if known else None
