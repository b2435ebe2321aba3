"""``stats``: how many calls, how slow, how many tokens, how expensive, by group and in total."""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any, Final

from trace_core import semconv
from trace_core._cli.draw import Problems, say, say_json
from trace_core._cli.filters import filter_of
from trace_core._cli.sources import source_of
from trace_core._cli.tables import say_csv, say_table
from trace_core._cli.tally import UNKNOWN, Tally, is_call
from trace_core._log import counted
from trace_core._model.span import Span
from trace_core._suggest import did_you_mean
from trace_core._view import units

_ATTRIBUTES: Final = {
    "model": semconv.REQUEST_MODEL,
    "provider": semconv.PROVIDER_NAME,
    "session": semconv.SESSION_ID,
    "user": semconv.USER_ID,
    "error": semconv.ERROR_TYPE,
}
GROUPS: Final = ("day", "hour", *_ATTRIBUTES, "status", "name", "kind")
"""What can be grouped by."""
_IN_TIME: Final = ("day", "hour")
Counts = dict[tuple[str, ...], Tally]


def groups(text: str) -> tuple[str, ...]:
    """Read what to group by.

    Args:
        text: Names out of `GROUPS`, separated by commas.

    Raises:
        argparse.ArgumentTypeError: One is not known.
    """
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    for name in names or (text,):
        if name not in GROUPS:
            raise argparse.ArgumentTypeError(
                f"cannot group by {name!r}{did_you_mean(name, GROUPS)}; choose from "
                f"{', '.join(GROUPS)}, several with commas between"
            )
    return tuple(dict.fromkeys(names))


def run(options: argparse.Namespace) -> int:
    """Print a row of figures for each group of calls, and their total."""
    problems, wanted = Problems(), filter_of(options)
    spans = source_of(options, problems).spans(wanted.selection)
    counts = count(filter(wanted.accepts, spans), options.by)
    if options.json or options.csv:
        rows = [{**dict(zip(options.by, key, strict=True)), **t.figures()}
                for key, t in counts.items()]  # fmt: skip
        (say_json if options.json else say_csv)(rows)
    elif counts:
        _say(counts, options.by)
    else:
        say("no calls of models found")
    return int(problems.found)


def count(spans: Iterable[Span], by: Sequence[str]) -> Counts:
    """Add up the spans that are calls of models.

    Args:
        spans: The spans; those of agents, chains and tools are left out.
        by: Out of `GROUPS`.

    Returns:
        The sums by group: in the order of time if that is grouped by, else the largest first.
    """
    found: defaultdict[tuple[str, ...], Tally] = defaultdict(Tally)
    for span in filter(is_call, spans):
        found[tuple(_group(span, name) for name in by)].add(span)
    times = [i for i, name in enumerate(by) if name in _IN_TIME]

    def order(item: tuple[tuple[str, ...], Tally]) -> Any:
        return [item[0][i] for i in times], -item[1].count

    return dict(sorted(found.items(), key=order))


def _group(span: Span, name: str) -> str:
    if name in _ATTRIBUTES:
        return str(span.attributes.get(_ATTRIBUTES[name], UNKNOWN))
    if name in _IN_TIME:
        moment = units.local(span.start_ns)
        return moment.strftime("%Y-%m-%d" if name == "day" else "%Y-%m-%d %H:00")
    return {"status": span.status.code.value, "name": span.name, "kind": span.kind.value}[name]


def _say(counts: Counts, by: Sequence[str]) -> None:
    whole = Tally()
    for tally in counts.values():
        whole.merge(tally)
    decimals = units.decimals_for([whole.cost or 0.0, whole.saved or 0.0])
    rows = [
        {**dict(zip(by, key, strict=True)), **tally.cells(decimals)}
        for key, tally in counts.items()
    ]
    blank = dict.fromkeys(by[1:], " ")
    total = {by[0]: "total", **blank, **whole.cells(decimals)}
    say_table(rows, names=len(by), total=total if len(rows) > 1 else None)
    if whole.unpriced:
        say(f"the cost of {counted(whole.unpriced, 'call')} is not known")
