"""Spans, the tracer that makes them, and sinks to put them in. Knows no provider and no store."""

from importlib.metadata import version as _version

from trace_core import semconv
from trace_core._background import Background
from trace_core._codec import decode, encode, from_dict, to_dict, to_json
from trace_core._compose import Processor, pipeline, tee, without_content
from trace_core._context import (
    attributes,
    capture_context,
    current_context,
    suppress,
    use_parent,
)
from trace_core._durable import durable
from trace_core._errors import (
    ConfigurationError,
    Rejected,
    RetryLater,
    SinkClosed,
    SinkError,
    TraceError,
    log_once,
)
from trace_core._model import (
    Cost,
    Event,
    Scope,
    Span,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TokenUsage,
    UsageSource,
)
from trace_core._plugins import (
    disabled_by_environment,
    load_sink,
    sink_from_environment,
    sink_names,
)
from trace_core._process import after_fork, at_exit
from trace_core._processors import drop_content, limit_payloads, redact_pii, sample, truncate
from trace_core._redact import redact
from trace_core._retry import Retry
from trace_core._secrets import remember_secret
from trace_core._settings import setting
from trace_core._sinks import (
    ConsoleSink,
    FunctionSink,
    JsonLinesSink,
    MemorySink,
    Sink,
    SinkLike,
    as_sink,
)
from trace_core._snapshot import Value, snapshot
from trace_core._spool import Spool
from trace_core._stats import Stats
from trace_core._tracer import Bridge, Clock, IdGenerator, OpenSpan, SpanScope, Tracer
from trace_core._tree import TreeSink

__version__ = _version("trace-core")

__all__ = [
    "Background",
    "Bridge",
    "Clock",
    "ConfigurationError",
    "ConsoleSink",
    "Cost",
    "Event",
    "FunctionSink",
    "IdGenerator",
    "JsonLinesSink",
    "MemorySink",
    "OpenSpan",
    "Processor",
    "Rejected",
    "Retry",
    "RetryLater",
    "Scope",
    "Sink",
    "SinkClosed",
    "SinkError",
    "SinkLike",
    "Span",
    "SpanContext",
    "SpanKind",
    "SpanScope",
    "Spool",
    "Stats",
    "Status",
    "StatusCode",
    "TokenUsage",
    "TraceError",
    "Tracer",
    "TreeSink",
    "UsageSource",
    "Value",
    "after_fork",
    "as_sink",
    "at_exit",
    "attributes",
    "capture_context",
    "current_context",
    "decode",
    "disabled_by_environment",
    "drop_content",
    "durable",
    "encode",
    "from_dict",
    "limit_payloads",
    "load_sink",
    "log_once",
    "pipeline",
    "redact",
    "redact_pii",
    "remember_secret",
    "sample",
    "semconv",
    "setting",
    "sink_from_environment",
    "sink_names",
    "snapshot",
    "suppress",
    "tee",
    "to_dict",
    "to_json",
    "truncate",
    "use_parent",
    "without_content",
]
