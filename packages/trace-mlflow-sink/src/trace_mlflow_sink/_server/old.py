"""Everything for MLflow before 3.16 and for servers on a file store.

To end the support, delete this module, its two tests and the calls of `format_of` and
`FILE_STORE`. What each version needs was measured against real servers.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import attrs

from trace_core import Rejected, SinkError, Span, StatusCode, to_json
from trace_core.otlp import (
    LONGEST_DESCRIPTION,
    LONGEST_NAME,
    ServerFailed,
    WriteValue,
    write_structured,
)
from trace_mlflow_sink._mapping import convert, names, sanitize, trace_info
from trace_mlflow_sink._server.traces import Traces

_OLDEST: Final = (3, 2)
_NESTED: Final = (3, 6)
_JSON_TEXT: Final = (3, 8)
_CURRENT: Final = (3, 16)
_OLD_TRACES: Final = "/api/2.0/mlflow/traces"
_ARTIFACTS: Final = "/api/2.0/mlflow-artifacts/artifacts"
_PROXIED: Final = "mlflow-artifacts:/"


@attrs.frozen
class OldFormat:
    """How an old version wants traces.

    Args:
        otlp: It stores spans sent by OTLP. Without, they go into an artifact (3.2 to 3.5).
        nested: It wants structured attribute values, not JSON text (3.6 and 3.7).
    """

    otlp: bool = True
    nested: bool = False

    @property
    def write_value(self) -> WriteValue:
        """Writes the value of an attribute."""
        return write_structured if self.nested else convert.write_flat

    def write(
        self,
        traces: Traces,
        spans: Sequence[Span],
        send: Callable[[Sequence[Span]], None],
    ) -> None:
        """Write spans, then set the totals of their traces.

        These versions count tokens again when a span is sent again.

        Args:
            traces: The server's traces.
            spans: Finished spans.
            send: Sends spans by OTLP.

        Raises:
            SinkError: Not written.
        """
        if not self.otlp:
            _write_artifacts(traces, spans)
            return
        send(spans)
        traces.link_prompts(spans)
        _recount(traces, spans)


FILE_STORE: Final = OldFormat(otlp=False)
"""A server of any version on a file store, which answers 501 to OTLP."""


def format_of(version: str, name: str) -> OldFormat | None:
    """Return how an old version wants traces; ``None`` if it is not old.

    Args:
        version: What MLflow reports, such as ``3.14.0`` or ``3.18.0.dev0``.
        name: Whose version it is, for the message.

    Raises:
        SinkError: It is too old to store traces with our ids.
    """
    found = _release(version)
    if found >= _CURRENT:
        return None
    if found < _OLDEST:
        raise SinkError(
            f"MLflow {version.strip()} at {name} cannot store traces with ids of our own: upgrade "
            f"it to {_OLDEST[0]}.{_OLDEST[1]} or newer, best {_CURRENT[0]}.{_CURRENT[1]} or newer"
        )
    return OldFormat(otlp=found >= _NESTED, nested=_NESTED <= found < _JSON_TEXT)


def _release(version: str) -> tuple[int, int]:
    match = re.match(r"\s*(\d+)\.(\d+)", version)
    return (int(match[1]), int(match[2])) if match else _CURRENT  # a gateway hides the version


def _recount(traces: Traces, spans: Sequence[Span]) -> None:
    """Set the totals of traces to the sums over their stored spans."""
    for trace_id, part in _by_trace(spans).items():
        totals = trace_info.totals(traces.stored_spans(trace_id))
        root = _root_of(part)
        if root is not None:
            _start(traces, traces.info_of(root, totals))
            continue
        found = traces.read(trace_id)
        if found is not None and found.get("state") != trace_info.IN_PROGRESS:
            found["trace_metadata"] = {**found.get("trace_metadata", {}), **totals}
            traces.post(found)


def _by_trace(spans: Sequence[Span]) -> dict[str, list[Span]]:
    traces: dict[str, list[Span]] = {}
    for span in spans:
        traces.setdefault(span.trace_id, []).append(span)
    return traces


def _root_of(spans: Sequence[Span]) -> Span | None:
    return next((span for span in spans if span.parent_id is None), None)


def _write_artifacts(traces: Traces, spans: Sequence[Span]) -> None:
    """Store traces as MLflow 3.2 to 3.5 keep them: an info, and a file with all spans."""
    for trace_id, part in _by_trace(spans).items():
        written = {span["span_id"]: span for span in traces.stored_spans(trace_id)}
        written.update((span["span_id"], span) for span in map(to_stored, part))
        totals = trace_info.totals(written.values())
        root = _root_of(part)
        if root is not None:
            found = _start(traces, traces.info_of(root, totals))
        else:
            found = traces.read(trace_id) or _start(
                traces, trace_info.running(part, traces.experiment_id, totals)
            )
        _put_artifact(traces, found, {"spans": list(written.values())})


def _start(traces: Traces, info: trace_info.TraceInfo) -> dict[str, Any]:
    """Write the information about a trace, also where a second one is refused.

    MLflow 3.3 and older answers 400 to the second, a file store of any version 500.
    """
    try:
        return traces.write(info)
    except (Rejected, ServerFailed) as error:
        found = traces.read(info.trace_id.removeprefix("tr-"))
        if found is None or not ("UNIQUE" in str(error) or isinstance(error, ServerFailed)):
            raise
        _end(traces, info)
        return found


def _end(traces: Traces, info: trace_info.TraceInfo) -> None:
    """Change the information about a trace that exists already."""
    body = {
        "request_id": info.trace_id,
        "timestamp_ms": info.start_ms + (info.duration_ms or 0),
        "status": info.state,
        "request_metadata": [{"key": k, "value": v} for k, v in info.metadata.items()],
        "tags": [{"key": k, "value": v} for k, v in info.tags.items()],
    }
    path = f"{_OLD_TRACES}/{info.trace_id}"
    traces.client.request("PATCH", path, json=body, headers=traces.headers)


def _put_artifact(traces: Traces, info: Mapping[str, Any], content: object) -> None:
    place = str(info.get("tags", {}).get("mlflow.artifactLocation", ""))
    if not place.startswith(_PROXIED):
        raise SinkError(
            f"MLflow at {traces.client.name} keeps traces at {place!r}, outside the server, "
            "where only MLflow's own client can write: upgrade the server to 3.6 or newer"
        )
    path = f"{_ARTIFACTS}/{place.removeprefix(_PROXIED).lstrip('/')}/traces.json"
    body = to_json(content).encode()
    traces.client.request("PUT", path, content=body, headers=traces.headers)


def to_stored(span: Span) -> dict[str, Any]:
    """Write a span as it is in the ``traces.json`` of MLflow 3.2 to 3.5.

    Args:
        span: A finished span.
    """
    values = convert.mlflow_attributes(span)
    values[names.TRACE_REQUEST_ID] = trace_info.mlflow_id(span.trace_id)
    failed = span.status.code is StatusCode.ERROR
    message = sanitize.shorten(span.status.description or "", LONGEST_DESCRIPTION)
    return {
        "trace_id": _base64(span.trace_id),
        "span_id": _base64(span.span_id),
        "parent_span_id": _base64(span.parent_id or ""),
        "name": sanitize.shorten(span.name, LONGEST_NAME),
        "start_time_unix_nano": span.start_ns,
        "end_time_unix_nano": span.end_ns,
        "events": [
            {
                "name": sanitize.clean_text(event.name),
                "time_unix_nano": event.time_ns,
                "attributes": sanitize.clean_value(event.attributes),
            }
            for event in convert.events(span)
        ],
        "status": {
            "code": "STATUS_CODE_ERROR" if failed else "STATUS_CODE_OK",
            "message": message if failed else "",
        },
        "attributes": {
            sanitize.clean_text(key): sanitize.json_text(value)
            for key, value in values.items()
            if value is not None
        },
    }


def _base64(digits: str) -> str:
    return base64.b64encode(bytes.fromhex(digits)).decode()


def recount_in_database(
    store: Any,
    start: Callable[[trace_info.TraceInfo], None],
    experiment: str,
    run_id: str | None,
    spans: Sequence[Span],
) -> None:
    """Set the totals of traces in a database to the sums over their stored spans.

    Args:
        store: MLflow's tracking store.
        start: Writes the information about a trace.
        experiment: The experiment's id.
        run_id: The run that the traces belong to, if any.
        spans: Spans that are stored.
    """
    for trace_id, part in _by_trace(spans).items():
        trace = store.get_trace(trace_info.mlflow_id(trace_id), allow_partial=True)
        totals = trace_info.totals(span.to_dict() for span in trace.data.spans)
        root = _root_of(part)
        if root is not None:
            start(trace_info.of_root(root, experiment, run_id, totals))
        elif trace.info.state.value != trace_info.IN_PROGRESS:
            trace.info.trace_metadata.update(totals)
            store.start_trace(trace.info)
