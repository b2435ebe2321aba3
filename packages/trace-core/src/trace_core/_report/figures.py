"""The report's numbers: totals, sums over time, distributions, errors, and the extreme calls."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, TypeVar

import attrs

from trace_core._cli.tally import percentile
from trace_core._report.calls import Call, Sum, cost_of, input_of, output_of, saved_by

Item = TypeVar("Item")
Key = TypeVar("Key")
Row = dict[str, Any]

_BINS_PER_DECADE: Final = 8
_SMALLEST_BIN: Final = 0.001
"""Seconds. What is quicker is counted as this quick: a cache hit, mostly."""
_QUARTER_HOUR_MS: Final = 900_000
_MINUTE_MS: Final = 60_000
_HOUR_MS: Final = 3_600_000
_UNITS: Final = (
    (3 * _HOUR_MS, "yearmonthdatehoursminutes"),
    (3 * 24 * _HOUR_MS, "yearmonthdatehours"),
    (120 * 24 * _HOUR_MS, "yearmonthdate"),
    (800 * 24 * _HOUR_MS, "yearweek"),
)


def grouped(items: Iterable[Item], key: Callable[[Item], Key]) -> dict[Key, list[Item]]:
    """Group items, the largest group first."""
    groups: dict[Key, list[Item]] = defaultdict(list)
    for item in items:
        groups[key(item)].append(item)
    return dict(sorted(groups.items(), key=lambda group: -len(group[1])))


def totals(calls: Sequence[Call]) -> Row:
    """Return the figures of some calls together; a figure that is not known is ``None``."""
    seconds = [call.seconds for call in calls if call.seconds is not None]
    first = [call.first_chunk for call in calls if call.first_chunk is not None]
    return {
        "calls": len(calls),
        "errors": sum(call.error is not None for call in calls),
        "hits": sum(call.cache_hit for call in calls),
        "latency": _percentiles(seconds),
        "first": _percentiles(first),
        "input": packed(input_of(calls)),
        "output": packed(output_of(calls)),
        "cost": packed(cost_of(calls)),
        "saved": saved_by(calls),
    }


def _percentiles(values: Sequence[float]) -> Row:
    shares = {"p50": 0.50, "p95": 0.95, "p99": 0.99}
    found = {name: percentile(values, share) for name, share in shares.items()}
    return {"n": len(values), **found}


def packed(total: Sum) -> list[float | None]:
    """Return a sum as the page has it, without names: there is one in every row."""
    return [total.value, total.missing, total.estimated, total.known]


def by_model(calls: Sequence[Call]) -> list[Row]:
    """Return the figures of each model, the most used first."""
    groups = grouped(calls, lambda call: call.model)
    return [{"name": name, **totals(found)} for name, found in groups.items()]


def time_unit(calls: Sequence[Call]) -> str:
    """Return what the charts over time have a bar for, as Vega-Lite calls it: a day, an hour ..."""
    starts = [call.start_ms for call in calls]
    length = max(starts, default=0) - min(starts, default=0)
    return next((unit for longest, unit in _UNITS if length <= longest), "yearmonth")


def over_time(calls: Sequence[Call], unit: str, series: Callable[[Call], int]) -> list[Row]:
    """Add up calls by the quarter of an hour in which they began, or by the minute.

    Every time zone is off by whole quarters of an hour, so that the page can add these up to the
    days, weeks and months of whoever looks at it.

    Args:
        calls: The calls.
        unit: What the charts have a bar for; by the minute if that is minutes.
        series: The number of the series that a call belongs to.

    Returns:
        A row for each time and series; ``cost``, ``input`` and ``output`` are ``None`` if they
        are known of none of its calls.
    """
    step = _MINUTE_MS if unit.endswith("minutes") else _QUARTER_HOUR_MS
    groups = grouped(calls, lambda call: (call.start_ms // step * step, series(call)))
    return [
        {
            "t": start,
            "s": number,
            "n": len(found),
            "cost": cost_of(found).value,
            "input": input_of(found).value,
            "output": output_of(found).value,
        }
        for (start, number), found in sorted(groups.items())
    ]


def histogram(
    calls: Iterable[Call],
    value: Callable[[Call], float | None],
    series: Callable[[Call], int],
) -> list[Row]:
    """Count durations in bins that grow by a third each, as latencies differ by powers of ten.

    Args:
        calls: The calls.
        value: A call's duration in seconds; a call without one is not counted.
        series: The number of the series that a call belongs to.

    Returns:
        A row for each bin and series that is not empty.
    """
    counts = Counter(
        (_bin(seconds), series(call)) for call in calls if (seconds := value(call)) is not None
    )
    return [
        {"lo": _edge(number), "hi": _edge(number + 1), "s": one, "n": n}
        for (number, one), n in sorted(counts.items())
    ]


def _bin(seconds: float) -> int:
    return math.floor(math.log10(max(seconds, _SMALLEST_BIN)) * _BINS_PER_DECADE + 1e-9)


def _edge(number: int) -> float:
    return float(f"{10 ** (number / _BINS_PER_DECADE):.4g}")


def errors_by_kind(calls: Sequence[Call]) -> list[Row]:
    """Return a row for each kind of error, the most frequent first."""
    failed = [call for call in calls if call.error is not None]
    return [_error_row(str(kind), found) for kind, found in grouped(failed, _error_of).items()]


def _error_of(call: Call) -> str | None:
    return call.error


def _error_row(kind: str, calls: Sequence[Call]) -> Row:
    last = max(calls, key=lambda call: call.start_ms)
    return {
        "kind": kind,
        "n": len(calls),
        "statuses": sorted({call.http_status for call in calls if call.http_status is not None}),
        "models": list(grouped(calls, lambda call: call.model)),
        "last": last.start_ms,
        "message": last.message,
        "trace": last.trace_id,
        "span": last.span_id,
    }


def slowest(calls: Iterable[Call], most: int) -> list[Call]:
    """Return the calls that took longest, the slowest first."""
    known = [(call.seconds, call) for call in calls if call.seconds is not None]
    return [call for _, call in sorted(known, key=lambda found: -found[0])[:most]]


def dearest(calls: Iterable[Call], most: int) -> list[Call]:
    """Return the calls that cost most, the most expensive first; none that cost nothing."""
    known = [(call.cost, call) for call in calls if call.cost]
    return [call for _, call in sorted(known, key=lambda found: -found[0])[:most]]


def as_row(call: Call) -> Row:
    """Return a call as the page's tables have it."""
    return attrs.asdict(call)
