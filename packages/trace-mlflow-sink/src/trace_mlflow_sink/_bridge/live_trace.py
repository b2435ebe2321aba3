"""Keeps traces that hold spans of ours and of MLflow complete in MLflow's memory.

Two cases: a trace that MLflow started gets our finished spans, so that its totals count them; a
trace that we started is registered, so that MLflow keeps the spans it starts in it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from typing import Any, Final

from trace_core import Span, Value, after_fork, semconv
from trace_core.otlp import LONGEST_NAME
from trace_mlflow_sink._bridge.mlflow_api import SAMPLED, MlflowApi
from trace_mlflow_sink._mapping import chat_view, convert, names, sanitize, tags, trace_info

_NOTHING: Final[Mapping[str, Value]] = {}
_ENDED_SECONDS: Final = 15.0
"""How long MLflow's exporter may need a trace after its end; it exports every 5 seconds."""
_OPEN_SECONDS: Final = 3600.0
"""How long a trace stays registered if its end is never seen."""
_MOST_ADDITIONS: Final = 1_000


class OurTraces:
    """The traces of ours that are registered in MLflow's memory. Thread-safe."""

    def __init__(self) -> None:
        self._reset()
        after_fork(self._reset)

    def _reset(self) -> None:
        self._lock = threading.Lock()
        self._registered: dict[int, float] = {}  # OpenTelemetry's trace ids, and until when
        self._additions: dict[str, dict[str, Value]] = {}

    def __contains__(self, otel_trace_id: int) -> bool:
        return otel_trace_id in self._registered

    def register(self, api: MlflowApi, otel_trace_id: int, experiment_id: str | None) -> None:
        """Register a trace, so that MLflow keeps the spans it starts in it.

        Args:
            api: MLflow.
            otel_trace_id: The trace.
            experiment_id: Its experiment; if ``None``, MLflow's exporter finds it out.
        """
        from mlflow.entities.trace_info import TraceInfo
        from mlflow.entities.trace_location import TraceLocation
        from mlflow.entities.trace_state import TraceState

        location = TraceLocation.from_experiment_id(experiment_id) if experiment_id else None
        info = TraceInfo(
            trace_id=f"tr-{otel_trace_id:032x}",
            trace_location=location,  # type: ignore[arg-type]  # may be missing until the export
            request_time=time.time_ns() // 1_000_000,
            state=TraceState.IN_PROGRESS,
            tags={names.TAG_SPANS_LOCATION: "TRACKING_STORE"},
        )
        self.remove_ended(api)
        api.manager().register_trace(otel_trace_id, info, is_remote_trace=True)
        with self._lock:
            self._registered[otel_trace_id] = time.monotonic() + _OPEN_SECONDS

    def end(self, api: MlflowApi, root: Span) -> None:
        """Keep what ``mlflow.update_current_trace`` changed while our root span was open.

        Args:
            api: MLflow.
            root: The root span, which has ended.
        """
        with api.manager().get_trace(f"tr-{root.trace_id}") as trace:
            if trace is not None:
                added: dict[str, Value] = {
                    names.TAGS: _tags_of_users(trace.info.tags),
                    names.METADATA: dict(trace.info.trace_metadata),
                    names.INFO: _changes(trace.info),
                }
                if any(added.values()) and len(self._additions) < _MOST_ADDITIONS:
                    self._additions[root.trace_id] = added
        with self._lock:
            self._registered[int(root.trace_id, 16)] = time.monotonic() + _ENDED_SECONDS

    def additions(self, trace_id: str) -> Mapping[str, Value]:
        """Return what the program told MLflow about a trace of ours, as attributes of its root.

        Args:
            trace_id: The trace.
        """
        return self._additions.get(trace_id, _NOTHING)

    def drop_additions(self, trace_id: str) -> None:
        """Drop `additions` once they are stored.

        Args:
            trace_id: The trace.
        """
        self._additions.pop(trace_id, None)

    def remove_ended(self, api: MlflowApi) -> None:
        """Remove traces that ended a while ago from MLflow's memory, which holds 1000.

        Args:
            api: MLflow.
        """
        now = time.monotonic()
        with self._lock:
            ended = [trace for trace, until in self._registered.items() if until < now]
        for otel_trace_id in ended:
            if not api.manager().has_open_spans(otel_trace_id):
                with self._lock:
                    self._registered.pop(otel_trace_id, None)
                api.manager().pop_trace(otel_trace_id)


def _tags_of_users(tags: Mapping[str, str]) -> dict[str, Value]:
    kept = names.TAG_LINKED_PROMPTS  # set by ``mlflow.genai.load_prompt`` in a traced function
    return {k: v for k, v in tags.items() if not k.startswith("mlflow.") or k == kept}


def _changes(info: Any) -> dict[str, Value]:
    """Return what ``mlflow.update_current_trace`` has set on a trace besides tags and metadata."""
    fields = ("request_preview", "response_preview", "client_request_id")
    found: dict[str, Value] = {name: getattr(info, name, None) for name in fields}
    state = getattr(info.state, "value", info.state)
    found["state"] = None if state == trace_info.IN_PROGRESS else state
    return {name: str(value) for name, value in found.items() if value is not None}


def inject(api: MlflowApi, span: Span) -> None:
    """Put a finished span into the open trace of MLflow's that it belongs to.

    The sink writes the span as well: MLflow would never store one that is only injected.

    Args:
        api: MLflow.
        span: The span.
    """
    from mlflow.entities.span import LiveSpan
    from mlflow.entities.span import Span as MlflowSpan

    trace_id = trace_info.mlflow_id(span.trace_id)
    live: Any = LiveSpan.__new__(LiveSpan)
    init: Any = MlflowSpan.__init__
    init(live, _readable(api, span, trace_id))
    manager = api.manager()
    with manager.get_trace(trace_id) as trace:
        if trace is not None:
            manager.register_span(live)
            _update(trace.info, span)


def _readable(api: MlflowApi, span: Span, trace_id: str) -> Any:
    """Make OpenTelemetry's object of a span, without content, which only the sink writes."""
    from opentelemetry.sdk.trace import ReadableSpan

    otel = api.otel

    def context(span_id: str) -> Any:
        flags = otel.TraceFlags(SAMPLED)
        return otel.SpanContext(
            int(span.trace_id, 16), int(span_id, 16), is_remote=False, trace_flags=flags
        )

    return ReadableSpan(
        name=sanitize.shorten(span.name, LONGEST_NAME),
        context=context(span.span_id),
        parent=context(span.parent_id) if span.parent_id else None,
        start_time=span.start_ns,
        end_time=span.end_ns,
        attributes=_attributes_for_totals(span, trace_id),
        status=otel.Status(otel.StatusCode[span.status.code.value]),
    )


def _attributes_for_totals(span: Span, trace_id: str) -> dict[str, str]:
    usage = convert.token_usage(span) or chat_view.usage_in(span.outputs)
    found = {
        names.TRACE_REQUEST_ID: trace_id,
        names.SPAN_TYPE: convert.span_type(span),
        names.CHAT_TOKEN_USAGE: usage if convert.is_model_call(span) else None,
        names.LLM_COST: convert.cost(span),
    }
    return {key: sanitize.json_text(value) for key, value in found.items() if value is not None}


def _update(info: Any, span: Span) -> None:
    """Give an open trace the session, user and tags of a call in it, where it has none."""
    for name, key in (
        (semconv.SESSION_ID, names.METADATA_SESSION),
        (semconv.USER_ID, names.METADATA_USER),
    ):
        value = span.attributes.get(name)
        if value is not None:
            info.trace_metadata.setdefault(key, sanitize.shorten_id(value, convert.LONGEST_SESSION))
    for key, tag in tags.given(span).items():
        info.tags.setdefault(key, tag)
