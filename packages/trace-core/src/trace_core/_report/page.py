"""Writes the page: the data, the charts' library and our own scripts in one file, nothing else."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timezone
from functools import cache
from html import escape
from importlib.metadata import version
from importlib.resources import files
from typing import Any, Final

from trace_core._cli.tally import is_call
from trace_core._errors import ConfigurationError
from trace_core._model.json import to_json
from trace_core._model.span import Span
from trace_core._report import figures
from trace_core._report.calls import Call, call_of
from trace_core._report.charts import SERIES, charts
from trace_core._report.shorten import LONGEST_TEXT
from trace_core._report.traces import Packs, Trace, newest_first, pack, trace_row
from trace_core._sinks.console import by_trace

EXTREME_CALLS: Final = 10
_KINDS: Final = 50
_SCRIPTS: Final = (
    *("dom.js", "format.js", "charts.js", "messages.js"),
    *("trace.js", "list.js", "main.js"),
)
_UNSAFE: Final = re.compile("[<>&\u2028\u2029]")


def report(
    spans: Iterable[Span],
    *,
    source: str,
    most_bytes: int,
    wanted: Callable[[Span], bool] = lambda _span: True,
    filters: Sequence[str] = (),
) -> str:
    """Return the report about some spans as one page of HTML.

    Args:
        spans: The spans, in any order.
        source: Where they are from, for the page's head.
        most_bytes: The limit of the page's part with messages. Traces beyond it are there
            without theirs.
        wanted: Whether a span counts; traces with any such span are shown whole.
        filters: What ``wanted`` asks for, for the page's head.

    Raises:
        ConfigurationError: What draws the charts is not installed.
    """
    library = chart_library()
    found = {key: those for key, those in by_trace(spans).items() if any(map(wanted, those))}
    traces = newest_first(found)
    everything = (span for trace in traces for span in trace.spans)
    calls = [call_of(span) for span in everything if is_call(span) and wanted(span)]
    extreme = _extreme(calls)
    numbers = _numbers(calls)
    pointed_to = {call.trace_id for found in extreme.values() for call in found}
    pointed_to |= {row["trace"] for row in numbers["errors"]}
    packs = pack(sorted(traces, key=lambda one: one.trace_id not in pointed_to), most_bytes)
    data = {
        "about": {
            **_about(traces, packs),
            "source": source,
            "filters": filters,
            "most_bytes": most_bytes,
        },
        **numbers,
        **{name: [figures.as_row(call) for call in found] for name, found in extreme.items()},
        "traces": _compact(_rows(traces, packs, (row["name"] for row in numbers["models"]))),
    }
    return _html(data, packs.packs, library)


@cache
def chart_library() -> str:
    """Return the library that draws the charts, as one script.

    Raises:
        ConfigurationError: It is not installed.
    """
    try:
        from vl_convert import javascript_bundle
    except ImportError:
        raise ConfigurationError(
            "a report needs vl-convert-python, which draws its charts: "
            "pip install 'trace-core[report]'"
        ) from None
    bundle: str = javascript_bundle("window.vegaEmbed = vegaEmbed;")
    return bundle


def _extreme(calls: Sequence[Call]) -> dict[str, list[Call]]:
    return {
        "slowest": figures.slowest(calls, EXTREME_CALLS),
        "dearest": figures.dearest(calls, EXTREME_CALLS),
    }


def _about(traces: Sequence[Trace], packs: Packs) -> dict[str, Any]:
    starts = [trace.start_ms for trace in traces]
    return {
        "made": int(datetime.now(timezone.utc).timestamp() * 1e3),
        "from": min(starts, default=None),
        "to": max(starts, default=None),
        "version": version("trace-core"),
        "bare": len(packs.bare),
        "longest_text": LONGEST_TEXT,
        "spans": sum(len(trace.spans) for trace in traces),
    }


def _numbers(calls: Sequence[Call]) -> dict[str, Any]:
    models, unit = figures.by_model(calls), figures.time_unit(calls)
    errors = figures.errors_by_kind(calls)
    series = _series([row["name"] for row in models])
    kinds = _series([row["kind"] for row in errors])
    failed = [call for call in calls if call.error is not None]

    def of(call: Call) -> int:
        return series[call.model]

    return {
        "totals": figures.totals(calls),
        "models": [{**row, "s": series[row["name"]]} for row in models],
        "errors": [{**row, "s": kinds[row["kind"]]} for row in errors[:_KINDS]],
        "unit": unit,
        "charts": charts(unit),
        "time": _compact(figures.over_time(calls, unit, of)),
        "failures": _compact(figures.over_time(failed, unit, lambda call: kinds[str(call.error)])),
        "latency": figures.histogram(calls, lambda call: call.seconds, of),
        "first": figures.histogram(calls, lambda call: call.first_chunk, of),
    }


def _series(names: Iterable[str]) -> dict[str, int]:
    """Give each name a colour of its own as long as there are any, and the rest the last one."""
    known = list(names)
    last = SERIES - 1
    return {name: min(number, last) for number, name in enumerate(known)}


def _rows(traces: Sequence[Trace], packs: Packs, models: Iterable[str]) -> list[dict[str, Any]]:
    numbers = {name: number for number, name in enumerate(models)}
    bare = set(packs.bare)
    return [
        {
            **trace_row(trace, numbers),
            "pack": packs.places[trace.trace_id],
            "bare": trace.trace_id in bare,
        }
        for trace in traces
    ]


def _compact(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Write many rows with the same keys: the keys once, and the values of each."""
    return {"keys": list(rows[0]) if rows else [], "rows": [list(row.values()) for row in rows]}


def _html(data: Mapping[str, Any], packs: Iterable[str], library: str) -> str:
    style, page = _asset("report.css"), _asset("report.html")
    ours = '"use strict";(() => {\n' + "\n".join(map(_asset, _SCRIPTS)) + "})();\n"
    library = library.replace("</script", "<\\/script").replace("\r", "\n")
    policy = (
        "default-src 'none'; base-uri 'none'; form-action 'none'; img-src data:; "
        f"script-src {_hash(library)} {_hash(ours)}; style-src {_hash(style)}"
    )
    stored = [f'<script type="text/plain" id="pack{n}">{p}</script>' for n, p in enumerate(packs)]
    parts = {
        "policy": escape(policy),
        "style": style,
        "data": _UNSAFE.sub(_escaped, to_json(data)),
        "packs": "\n".join(stored),
        "library": library,
        "script": ours,
    }
    return re.sub(r"\{\{(\w+)\}\}", lambda found: parts[found.group(1)], page)


def _asset(name: str) -> str:
    return (files("trace_core._report") / "assets" / name).read_text("utf-8")


def _hash(text: str) -> str:
    """Return what allows this very text as a script or style, and no other."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _escaped(found: re.Match[str]) -> str:
    return f"\\u{ord(found.group()):04x}"
