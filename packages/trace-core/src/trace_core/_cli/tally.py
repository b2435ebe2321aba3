"""Counts calls: how many, how slow, how many tokens, how expensive. Used by ``stats``, ``diff``."""

from __future__ import annotations

import math
from array import array
from collections.abc import Sequence
from typing import Any, Final

import attrs

from trace_core import semconv
from trace_core._model.parts import SpanKind, StatusCode
from trace_core._model.span import Span
from trace_core._view import units

_NO_CALLS: Final = (SpanKind.AGENT, SpanKind.CHAIN, SpanKind.TOOL, SpanKind.INTERNAL)
UNKNOWN: Final = "-"


def is_call(span: Span) -> bool:
    """Tell calls of models from agents, chains and tools, which have no tokens of their own."""
    return span.kind not in _NO_CALLS


def percentile(values: Sequence[float], share: float) -> float | None:
    """Return the smallest value that is at least as large as a share of all.

    Args:
        values: The values, in any order.
        share: From 0 to 1.
    """
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else None


def _add(total: float | None, value: float | None) -> float | None:
    """Add up what is known; nothing known is None, not 0."""
    if value is None:
        return total
    return value if total is None else total + value


def _floats() -> array[float]:
    return array("d")


@attrs.define
class Tally:
    """Adds up calls. It holds 16 bytes a call at the most, for the percentiles."""

    count: int = 0
    errors: int = 0
    cache_hits: int = 0
    input_tokens: float | None = None
    output_tokens: float | None = None
    cost: float | None = None
    saved: float | None = None
    unpriced: int = 0
    """Calls that were answered and whose cost is not known."""
    seconds: array[float] = attrs.field(factory=_floats)
    first: array[float] = attrs.field(factory=_floats)

    def add(self, span: Span) -> None:
        """Count a call.

        Args:
            span: The call's.
        """
        usage, cost = span.usage, span.cost
        failed = span.status.code is StatusCode.ERROR
        self.count += 1
        self.errors += failed
        self.cache_hits += bool(span.attributes.get(semconv.CACHE_HIT))
        self.input_tokens = _add(self.input_tokens, usage.input if usage else None)
        self.output_tokens = _add(self.output_tokens, usage.output if usage else None)
        self.cost = _add(self.cost, cost.total if cost else None)
        self.saved = _add(self.saved, cost.saved if cost else None)
        self.unpriced += not failed and (cost is None or cost.total is None)
        self.seconds.append(span.duration_ns / 1e9)
        first = span.attributes.get(semconv.RESPONSE_TIME_TO_FIRST_CHUNK)
        if isinstance(first, (int, float)):
            self.first.append(first)

    def merge(self, other: Tally) -> None:
        """Add what another tally has counted."""
        self.count += other.count
        self.errors += other.errors
        self.cache_hits += other.cache_hits
        self.unpriced += other.unpriced
        self.input_tokens = _add(self.input_tokens, other.input_tokens)
        self.output_tokens = _add(self.output_tokens, other.output_tokens)
        self.cost = _add(self.cost, other.cost)
        self.saved = _add(self.saved, other.saved)
        self.seconds.extend(other.seconds)
        self.first.extend(other.first)

    def figures(self) -> dict[str, Any]:
        """Return everything as plain numbers, for machines."""
        return {
            "count": self.count,
            "errors": self.errors,
            "cache_hits": self.cache_hits,
            "p50_s": percentile(self.seconds, 0.50),
            "p95_s": percentile(self.seconds, 0.95),
            "p99_s": percentile(self.seconds, 0.99),
            "first_chunk_p50_s": percentile(self.first, 0.50),
            "input_tokens": self.input_tokens,
            "output_tokens": self.output_tokens,
            "cost_usd": self.cost,
            "saved_usd": self.saved,
            "cost_unknown": self.unpriced,
        }

    def cells(self, decimals: int) -> dict[str, str]:
        """Return everything as texts for people; nothing known is an empty text.

        Args:
            decimals: Of amounts of money.
        """
        found = self.figures()

        def shown(key: str, write: Any) -> str:
            return "" if found[key] is None else str(write(found[key]))

        return {
            "calls": f"{self.count:,}",
            "errors": f"{self.errors:,}" if self.errors else "",
            "cached": f"{self.cache_hits:,}" if self.cache_hits else "",
            "p50": shown("p50_s", units.seconds),
            "p95": shown("p95_s", units.seconds),
            "first": shown("first_chunk_p50_s", units.seconds),
            "in": shown("input_tokens", units.tokens),
            "out": shown("output_tokens", units.tokens),
            "cost": shown("cost_usd", lambda value: units.money(value, decimals)),
            "saved": shown("saved_usd", lambda value: units.money(value, decimals)),
        }
