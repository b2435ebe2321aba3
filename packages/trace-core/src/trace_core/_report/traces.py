"""The traces of a report: a row for each in its list, and all of a trace packed for a click."""

from __future__ import annotations

import base64
import gzip
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import attrs

from trace_core import semconv
from trace_core._cli.tally import is_call
from trace_core._model.json import to_dict, to_json
from trace_core._model.parts import StatusCode
from trace_core._model.span import Span
from trace_core._report.calls import call_of, cost_of, error_kind, input_of, output_of
from trace_core._report.figures import packed
from trace_core._report.shorten import preview, shortened

_PACK_CHARACTERS: Final = 400_000
_CONTENT: Final = ("inputs", "outputs", "events", "resource")
_UNNEEDED: Final = ("schema", "trace_id", "start_ns", "end_ns")


@attrs.frozen
class Trace:
    """A trace.

    Args:
        trace_id: Its id.
        spans: Its spans by their starts.
    """

    trace_id: str
    spans: Sequence[Span]

    @property
    def root(self) -> Span:
        """The span without a parent, or else the first one."""
        return next((span for span in self.spans if span.parent_id is None), self.spans[0])

    @property
    def start_ms(self) -> int:
        """When it began, in milliseconds since the epoch."""
        return self.spans[0].start_ns // 1_000_000


def newest_first(found: Mapping[str, Iterable[Span]]) -> list[Trace]:
    """Return traces, the newest first.

    Args:
        found: The spans of each by its id.
    """
    traces = [
        Trace(trace_id, sorted(spans, key=lambda span: (span.start_ns, -span.end_ns)))
        for trace_id, spans in found.items()
    ]
    return sorted(traces, key=lambda trace: -trace.start_ms)


def trace_row(trace: Trace, models: Mapping[str, int]) -> dict[str, Any]:
    """Describe a trace for the list.

    Args:
        trace: The trace.
        models: The number of each model that the report is about.
    """
    spans, root = trace.spans, trace.root
    calls = [call_of(span) for span in spans if is_call(span)]
    failed = [span for span in spans if span.status.code is StatusCode.ERROR]
    last = max(span.end_ns for span in spans)
    return {
        "id": trace.trace_id,
        "name": _text(root.attributes.get(semconv.TRACE_NAME)) or root.name,
        "t": trace.start_ms,
        "d": (last - spans[0].start_ns) / 1e9 if last >= spans[0].start_ns else None,
        "calls": len(calls),
        "models": list(dict.fromkeys(models[call.model] for call in calls if call.model in models)),
        "tokens": _tokens(packed(input_of(calls)), packed(output_of(calls))),
        "cost": packed(cost_of(calls)),
        "error": error_kind(root) if root.status.code is StatusCode.ERROR else None,
        "failed": len(failed),
        "text": _question(trace),
        "who": " ".join(_who(trace)),
    }


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _question(trace: Trace) -> str:
    asked = (preview(span.inputs) for span in (trace.root, *trace.spans))
    return next(filter(None, asked), "")


def _who(trace: Trace) -> list[str]:
    """Return the sessions and users of a trace."""
    names = (semconv.SESSION_ID, semconv.CONVERSATION_ID, semconv.USER_ID)
    found = (_text(span.attributes.get(name)) for span in trace.spans for name in names)
    return list(dict.fromkeys(filter(None, found)))


def _tokens(one: list[float | None], other: list[float | None]) -> list[float | None]:
    """Add up two sums; one that is not known at all leaves the other."""
    known = [value for value in (one[0], other[0]) if value is not None]
    missing, estimated = (max(one[i] or 0, other[i] or 0) for i in (1, 2))
    return [sum(known) if known else None, missing, estimated]


@attrs.frozen
class Packs:
    """Traces in compressed packs, of which the page opens the one that it needs.

    Args:
        packs: JSON lists of traces, by gzip and base64.
        places: For each trace id the number of its pack and its place in it.
        bare: The ids of the traces whose messages were left out to keep the page small.
    """

    packs: Sequence[str]
    places: Mapping[str, tuple[int, int]]
    bare: Sequence[str]


def pack(traces: Iterable[Trace], most_bytes: int) -> Packs:
    """Pack traces, the first ones whole, and the rest without messages once a limit is reached.

    Args:
        traces: The traces, the most interesting first.
        most_bytes: The limit, in bytes of all packs with messages.
    """
    packs: list[str] = []
    places: dict[str, tuple[int, int]] = {}
    bare: list[str] = []
    waiting: list[str] = []
    size = written = 0
    for trace in traces:
        whole = written < most_bytes
        text = to_json([_detail(span, whole) for span in trace.spans])
        places[trace.trace_id] = (len(packs), len(waiting))
        waiting.append(text)
        bare += [] if whole else [trace.trace_id]
        size += len(text)
        if size > _PACK_CHARACTERS:
            packs.append(_compressed(waiting))
            written += len(packs[-1])
            waiting, size = [], 0
    if waiting:
        packs.append(_compressed(waiting))
    return Packs(packs, places, bare)


def _compressed(traces: Sequence[str]) -> str:
    text = f"[{','.join(traces)}]"
    return base64.b64encode(gzip.compress(text.encode(), 6, mtime=0)).decode()


def _detail(span: Span, whole: bool) -> dict[str, Any]:
    data = to_dict(span)
    left_out = _UNNEEDED if whole else (*_UNNEEDED, *_CONTENT)
    kept = {key: shortened(value) for key, value in data.items() if key not in left_out}
    if not whole:
        kept["attributes"] = _without_content(span)
        kept["status"] = {"code": span.status.code.value, "description": call_of(span).message}
        kept["bare"] = True
    kept["start"] = span.start_ns / 1e6
    kept["end"] = span.end_ns / 1e6 if span.end_ns >= span.start_ns else None
    return {key: value for key, value in kept.items() if value not in ({}, [])}


def _without_content(span: Span) -> dict[str, Any]:
    said = semconv.CONTENT_ATTRIBUTES
    return {key: shortened(v) for key, v in span.attributes.items() if key not in said}
