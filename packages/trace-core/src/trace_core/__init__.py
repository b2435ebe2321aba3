"""Spans, the tracer that makes them, and sinks to put them in. Knows no provider and no store."""

from importlib import import_module as _import_module
from importlib.metadata import version as _version
from typing import TYPE_CHECKING

from trace_core import semconv
from trace_core._background import Background
from trace_core._context import (
    attributes,
    capture_context,
    current_context,
    suppress,
    use_parent,
)
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
from trace_core._process import after_fork, at_exit, no_fork
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
from trace_core._stats import Stats
from trace_core._tracer import Bridge, Clock, IdGenerator, OpenSpan, SpanScope, Tracer

if TYPE_CHECKING:  # imported on first use, so that importing this costs a program little
    from trace_core._codec import decode, encode, from_dict, to_dict, to_json
    from trace_core._compose import Processor, pipeline, tee, without_content
    from trace_core._durable import durable
    from trace_core._plugins import (
        disabled_by_environment,
        load_sink,
        sink_from_environment,
        sink_names,
    )
    from trace_core._processors import drop_content, limit_payloads, redact_pii, sample, truncate
    from trace_core._redact import redact
    from trace_core._spool import Spool
    from trace_core._tree import TreeSink

_LAZY = {
    **dict.fromkeys(("decode", "encode", "from_dict", "to_dict", "to_json"), "_codec"),
    **dict.fromkeys(("Processor", "pipeline", "tee", "without_content"), "_compose"),
    "durable": "_durable",
    **dict.fromkeys(
        ("disabled_by_environment", "load_sink", "sink_from_environment", "sink_names"),
        "_plugins",
    ),
    **dict.fromkeys(
        ("drop_content", "limit_payloads", "redact_pii", "sample", "truncate"), "_processors"
    ),
    "redact": "_redact",
    "Spool": "_spool",
    "TreeSink": "_tree",
}


def __getattr__(name: str) -> object:
    """Import what is not needed to trace at all, such as the spool, when it is asked for."""
    if name == "__version__":
        found: object = _version("trace-core")
    elif name in _LAZY:
        found = getattr(_import_module(f"trace_core.{_LAZY[name]}"), name)
    else:
        raise AttributeError(f"module 'trace_core' has no attribute {name!r}")
    globals()[name] = found
    return found


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
    "no_fork",
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
