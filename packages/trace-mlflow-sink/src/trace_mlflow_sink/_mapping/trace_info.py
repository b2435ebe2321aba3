"""What MLflow keeps of a trace as a whole, where its spans alone do not say it.

Servers before 3.16 count tokens again when a span is sent again, so there the totals are set
after every batch, computed from what the server has stored. Newer ones are told only what no
span can say: custom metadata, and a preview of an answer made of tool calls.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta, timezone
from statistics import quantiles
from typing import Any, Final

import attrs
from opentelemetry.proto.trace.v1.trace_pb2 import Span as OtlpSpan

from trace_core import Span, StatusCode, Value, semconv
from trace_mlflow_sink._mapping import chat_view, convert, names, previews, sanitize, tags

IN_PROGRESS: Final = "IN_PROGRESS"
_LONGEST_METADATA: Final = 250
_MOST_CLOSED: Final = 10_000
_MOST_OPEN: Final = 1_000
_FEW_ROOTS: Final = 10
_SCHEMA: Final = "3"
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=timezone.utc)


def mlflow_id(trace_id: str) -> str:
    """Return MLflow's id of a trace, which has a prefix."""
    return f"tr-{trace_id}"


@attrs.frozen
class TraceInfo:
    """What MLflow keeps of a trace.

    Args:
        trace_id: MLflow's id.
        experiment_id: Its experiment.
        start_ms: Milliseconds since the epoch.
        duration_ms: How long it took; ``None`` while it runs.
        state: ``OK``, ``ERROR`` or ``IN_PROGRESS``.
        request_preview: What the list shows of the inputs.
        response_preview: What it shows of the outputs.
        metadata: Names to texts; written once.
        tags: Names to texts; may be changed later.
        client_request_id: What the program calls the request, if anything.
    """

    trace_id: str
    experiment_id: str
    start_ms: int
    duration_ms: int | None
    state: str
    request_preview: str | None = None
    response_preview: str | None = None
    metadata: Mapping[str, str] = attrs.field(factory=dict)
    tags: Mapping[str, str] = attrs.field(factory=dict)
    client_request_id: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Return it as MLflow's REST interface writes it."""
        started = _EPOCH + timedelta(milliseconds=self.start_ms)
        fields: dict[str, Any] = {
            "trace_id": self.trace_id,
            "trace_location": {
                "type": "MLFLOW_EXPERIMENT",
                "mlflow_experiment": {"experiment_id": self.experiment_id},
            },
            "request_time": started.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "state": self.state,
            "request_preview": self.request_preview,
            "response_preview": self.response_preview,
            "trace_metadata": dict(self.metadata),
            "tags": dict(self.tags),
            "client_request_id": self.client_request_id,
        }
        if self.duration_ms is not None:
            fields["execution_duration"] = f"{self.duration_ms / 1000:.3f}s"
        return {key: value for key, value in fields.items() if value is not None}


class ClosedTraces:
    """Remembers the traces whose information was written, for which MLflow adds up no more."""

    def __init__(self) -> None:
        self._ids: dict[str, None] = {}  # oldest first

    def add(self, roots: Iterable[Span]) -> None:
        """Remember the traces of root spans."""
        for root in roots:
            self._ids[root.trace_id] = None
        while len(self._ids) > _MOST_CLOSED:
            del self._ids[next(iter(self._ids))]

    def late(self, spans: Iterable[Span]) -> list[Span]:
        """Return the spans of such traces, and of those that MLflow itself closes."""
        return [s for s in spans if s.trace_id in self._ids or names.LIVE in s.attributes]


class Sizes:
    """Remembers how large the stored spans of traces are whose root has not come yet."""

    def __init__(self) -> None:
        self._sizes: dict[str, dict[str, int]] = {}  # by trace and span, the oldest trace first

    def add(self, spans: Iterable[OtlpSpan]) -> None:
        """Remember spans that are stored: MLflow waits for as many as it is told there are."""
        for span in spans:
            of_trace = self._sizes.setdefault(span.trace_id.hex(), {})
            of_trace[span.span_id.hex()] = span.ByteSize()
        while len(self._sizes) > _MOST_OPEN:
            del self._sizes[next(iter(self._sizes))]

    def pop(self, trace_id: str) -> dict[str, str]:
        """Return what MLflow keeps of the sizes of a trace, in bytes as sent, and forget them."""
        return _sizes(self._sizes.pop(trace_id, {}).values())


def of_root(
    root: Span, experiment_id: str, run_id: str | None, totals: Mapping[str, str]
) -> TraceInfo:
    """Describe a trace by its root span.

    Args:
        root: The root span.
        experiment_id: The trace's experiment.
        run_id: The run it belongs to, if any.
        totals: What `totals` returned; sizes alone where the server adds up the rest.
    """
    said = {k: str(v) for k, v in chat_view.as_object(root.attributes.get(names.INFO)).items()}
    failed = root.status.code is StatusCode.ERROR
    return TraceInfo(
        trace_id=mlflow_id(root.trace_id),
        experiment_id=experiment_id,
        start_ms=root.start_ns // 1_000_000,
        duration_ms=max(root.end_ns // 1_000_000 - root.start_ns // 1_000_000, 0),
        state=said.get("state") or ("ERROR" if failed else "OK"),
        request_preview=said.get("request_preview") or previews.request_preview(root),
        response_preview=said.get("response_preview") or previews.response_preview(root),
        metadata={**totals, **_metadata(root, run_id)},
        tags=tags.of_trace(root),
        client_request_id=said.get("client_request_id"),
    )


def running(spans: Sequence[Span], experiment_id: str, totals: Mapping[str, str]) -> TraceInfo:
    """Describe a trace whose root has not come yet.

    Args:
        spans: Some of its spans.
        experiment_id: The trace's experiment.
        totals: What `totals` returned.
    """
    return TraceInfo(
        trace_id=mlflow_id(spans[0].trace_id),
        experiment_id=experiment_id,
        start_ms=min(span.start_ns for span in spans) // 1_000_000,
        duration_ms=None,
        state=IN_PROGRESS,
        metadata=totals,
    )


def _metadata(root: Span, run_id: str | None) -> dict[str, str]:
    found: dict[str, Value] = {
        **custom_metadata(root),
        **chat_view.as_object(root.attributes.get(names.SOURCE)),
        **_texts(root),
        names.METADATA_SCHEMA: _SCHEMA,
    }
    said = chat_view.as_object(root.attributes.get(names.METADATA))
    for name, key in (
        (semconv.SESSION_ID, names.METADATA_SESSION),
        (semconv.USER_ID, names.METADATA_USER),
    ):
        value = root.attributes.get(name, said.get(key))
        if value not in convert.NO_ID:
            found[key] = sanitize.shorten_id(value, convert.LONGEST_SESSION)
    if run_id is not None:
        found[names.METADATA_SOURCE_RUN] = run_id
    if names.MODEL_ID in root.attributes:
        found[names.METADATA_MODEL_ID] = root.attributes[names.MODEL_ID]
    return {
        sanitize.shorten_id(key, _LONGEST_METADATA): sanitize.shorten(
            value if isinstance(value, str) else sanitize.json_text(value), _LONGEST_METADATA
        )
        for key, value in found.items()
    }


def _texts(root: Span) -> dict[str, Value]:
    """Return the beginning of inputs and outputs, which older filters and UIs look at."""
    texts = {names.METADATA_INPUTS: root.inputs, names.METADATA_OUTPUTS: root.outputs}
    return {name: value for name, value in texts.items() if value is not None}


def custom_metadata(root: Span) -> dict[str, Value]:
    """Return what ``mlflow.tracing.context(metadata=...)`` and the call's own ``metadata`` said.

    Without session, user and tags, which have places of their own.

    Args:
        root: The root span of the trace.
    """
    said = chat_view.as_object(root.attributes.get(names.METADATA))
    prefix = semconv.METADATA_PREFIX
    own = {k.removeprefix(prefix): v for k, v in root.attributes.items() if k.startswith(prefix)}
    found = {**said, **own}
    return {k: v for k, v in found.items() if k and v is not None and not k.startswith("mlflow.")}


def to_describe(spans: Iterable[Span], run_id: str | None) -> list[Span]:
    """Return the roots whose traces have something to say that spans cannot.

    What a program is, is said only while few traces come at once: a server takes five times as
    long for a trace with a description.

    Args:
        spans: Finished spans that are stored.
        run_id: The run their traces belong to, if any.
    """
    roots = [span for span in spans if span.parent_id is None]
    few = len(roots) <= _FEW_ROOTS
    return [
        root
        for root in roots
        if (few and names.SOURCE in root.attributes) or _says_more(root, run_id)
    ]


def _says_more(root: Span, run_id: str | None) -> bool:
    attributes = root.attributes
    if run_id is not None or names.MODEL_ID in attributes or attributes.get(names.INFO):
        return True
    return bool(custom_metadata(root)) or previews.reads_better(root)


def totals(spans: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Sum up what stored spans say of their trace: tokens, cost, size, session and user.

    Args:
        spans: All spans of a trace, as MLflow's JSON has them.

    Returns:
        Metadata of the trace; without what no span knows.
    """
    spans = list(spans)
    stored = [span.get("attributes") or {} for span in spans]
    found = _sizes(len(json.dumps(span, default=str)) for span in spans)
    for name, key in (
        (semconv.SESSION_ID, names.METADATA_SESSION),
        (semconv.USER_ID, names.METADATA_USER),
    ):
        said = (_unwrapped(attributes.get(name)) for attributes in stored)
        known = next((one for one in said if isinstance(one, str)), None)
        found.update({key: known} if known else {})
    for name, key in (
        (names.CHAT_TOKEN_USAGE, names.METADATA_TOKEN_USAGE),
        (names.LLM_COST, names.METADATA_COST),
    ):
        total = _sum(_topmost(spans, name))
        found.update({key: json.dumps(total)} if total else {})
    return found


def _topmost(spans: Sequence[Mapping[str, Any]], name: str) -> list[Any]:
    """Return what spans have under a name, without what lies below a span that has it too.

    MLflow's integrations of frameworks put the tokens of a call on a span around ours.
    """
    parents = {span.get("span_id"): span.get("parent_span_id") for span in spans}
    values = {
        span.get("span_id"): _unwrapped((span.get("attributes") or {}).get(name)) for span in spans
    }
    return [
        value
        for span_id, value in values.items()
        if value and not any(values.get(above) for above in _above(span_id, parents))
    ]


def _above(span_id: Any, parents: Mapping[Any, Any]) -> Iterable[Any]:
    seen = {span_id}
    while (span_id := parents.get(span_id)) and span_id not in seen:
        seen.add(span_id)
        yield span_id


def _sizes(of_spans: Iterable[int]) -> dict[str, str]:
    """Return how large the spans of a trace are, in bytes, as MLflow tells it."""
    sizes = sorted(of_spans)
    if not sizes:
        return {}
    quarters = quantiles([*sizes, *sizes[:1]] if len(sizes) == 1 else sizes, method="inclusive")
    stats = {
        "total_size_bytes": sum(sizes),
        "num_spans": len(sizes),
        "max": sizes[-1],
        **{name: int(size) for name, size in zip(("p25", "p50", "p75"), quarters, strict=True)},
    }
    return {
        names.METADATA_SIZE_STATS: json.dumps(stats),
        names.METADATA_SIZE_BYTES: str(stats["total_size_bytes"]),
    }


def late_totals(stored: Mapping[str, str], counted: Mapping[str, str]) -> dict[str, str]:
    """Return the totals that a trace lacks because spans came after MLflow had closed it.

    Either side may know spans that the other does not yet, so the larger number is right.

    Args:
        stored: The trace's metadata.
        counted: What `totals` made of its stored spans.
    """
    found: dict[str, str] = {}
    if names.METADATA_FINAL not in stored:
        return found
    for key in (names.METADATA_TOKEN_USAGE, names.METADATA_COST):
        before = _sum([_unwrapped(stored.get(key))])
        now = _sum([_unwrapped(counted.get(key))])
        merged = {name: max(before.get(name, 0), now.get(name, 0)) for name in {**before, **now}}
        if merged != before:
            found[key] = json.dumps(merged)
    return found


def _sum(parts: Iterable[Any]) -> dict[str, float]:
    total: dict[str, float] = {}
    for part in parts:
        for name, number in part.items() if isinstance(part, dict) else ():
            total[name] = total.get(name, 0) + number
    return total


def _unwrapped(value: Any) -> Any:
    """Read an attribute that was written as JSON text once or, by older servers, twice."""
    for _ in range(3):
        if not isinstance(value, str):
            break
        try:
            value = json.loads(value)
        except ValueError:
            break
    return value
