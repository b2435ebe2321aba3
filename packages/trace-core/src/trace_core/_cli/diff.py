"""``diff``: what has changed between two runs or two periods, by model."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable
from typing import Any, Final

from trace_core._cli.draw import Problems, say, say_json
from trace_core._cli.filters import Filter, filter_of
from trace_core._cli.sources import source_of
from trace_core._cli.stats import count
from trace_core._cli.tables import say_csv, say_table
from trace_core._cli.tally import Tally
from trace_core._errors import ConfigurationError
from trace_core._model.span import Span
from trace_core._sources.base import Selection
from trace_core._view import units

_TWO: Final = 2
_FIGURES: Final[dict[str, tuple[str, Callable[[float], str]]]] = {
    "calls": ("count", lambda value: f"{value:,.0f}"),
    "errors": ("errors", lambda value: f"{value:,.0f}"),
    "in": ("input_tokens", units.tokens),
    "out": ("output_tokens", units.tokens),
    "cost": ("cost_usd", units.money),
    "p50": ("p50_s", units.seconds),
    "p95": ("p95_s", units.seconds),
}
"""Columns: the figure, and how it is written."""


def run(options: argparse.Namespace) -> int:
    """Print what has changed from one run or period to another."""
    problems = Problems()
    before, after = (
        count(spans, ("model",)) for spans in _both_sides(options, filter_of(options), problems)
    )
    models = [*before, *(key for key in after if key not in before)]
    pairs = {key[0]: (before.get(key, Tally()), after.get(key, Tally())) for key in models}
    if options.json or options.csv:
        rows = [_row(model, *pair) for model, pair in pairs.items()]
        (say_json if options.json else say_csv)(rows)
    elif pairs:
        _say(pairs)
    else:
        say("no calls of models found")
    return int(problems.found)


def _both_sides(
    options: argparse.Namespace, wanted: Filter, problems: Problems
) -> Iterable[Iterable[Span]]:
    periods = (options.before, options.after)
    sources: list[str] = options.source
    chosen_periods = sum(period is not None for period in periods)
    chosen: list[tuple[str | None, Selection]]
    if len(sources) == _TWO and not chosen_periods:
        chosen = [(source, wanted.selection) for source in sources]
    elif len(sources) < _TWO and chosen_periods == _TWO:
        source = sources[0] if sources else None
        chosen = [(source, Selection(*period)) for period in periods if period is not None]
    else:
        raise ConfigurationError(
            "diff compares two sources (diff monday.jsonl tuesday.jsonl), or two periods of one "
            "(diff --before 2026-11-01..2026-11-07 --after 2026-11-08..2026-11-14)"
        )
    names = dict.fromkeys(source for source, _ in chosen)
    given = vars(options)
    found = {
        name: source_of(argparse.Namespace(**{**given, "source": name}), problems) for name in names
    }
    for name, selection in chosen:
        yield filter(wanted.accepts, found[name].spans(selection))


def _row(model: str, before: Tally, after: Tally) -> dict[str, Any]:
    old, new = before.figures(), after.figures()
    found: dict[str, Any] = {"model": model}
    for key, _ in _FIGURES.values():
        found |= {f"{key}_before": old[key], f"{key}_after": new[key]}
    return found


def _say(pairs: dict[str, tuple[Tally, Tally]]) -> None:
    whole = Tally(), Tally()
    for pair in pairs.values():
        for total, tally in zip(whole, pair, strict=True):
            total.merge(tally)
    rows = [cells for model, pair in pairs.items() for cells in _cells(model, *pair)]
    if len(pairs) > 1:
        rows += _cells("total", *whole)
    say_table(rows, names=2)


def _cells(model: str, before: Tally, after: Tally) -> list[dict[str, str]]:
    """Return three rows for a model: what was, what is, and the change."""
    old, new = before.figures(), after.figures()
    rows = [{"model": model, " ": "before"}, {"model": " ", " ": "after"},
            {"model": " ", " ": "change"}]  # fmt: skip
    for column, (key, write) in _FIGURES.items():
        values = old[key], new[key]
        for row, value in zip(rows, values, strict=False):
            row[column] = "" if value is None else write(value)
        rows[2][column] = _change(*values)
    return rows


def _change(before: float | None, after: float | None) -> str:
    if before is None or after is None:
        return ""
    if before == after:
        return "="
    return f"{(after - before) / before:+.0%}" if before else "new"
