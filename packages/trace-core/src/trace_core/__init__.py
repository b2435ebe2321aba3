"""Spans, the tracer that makes them, and sinks to put them in. Knows no provider and no store."""

from importlib import import_module as _import_module
from importlib.metadata import version as _version
from typing import TYPE_CHECKING

from trace_core import semconv
from trace_core._delivery.queue import Background
from trace_core._delivery.retry import BatchWriter, Outcome, Retry, find_refused
from trace_core._delivery.stats import Stats
from trace_core._errors import (
    ConfigurationError,
    Rejected,
    RetryLater,
    SinkClosed,
    SinkError,
    TraceError,
)
from trace_core._failures import failure
from trace_core._lifecycle import after_fork, at_exit, forget_handlers, no_fork
from trace_core._log import log_once, without_secrets
from trace_core._model.parts import (
    Cost,
    Event,
    Scope,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TokenUsage,
    UsageSource,
)
from trace_core._model.span import Span
from trace_core._model.values import Value, snapshot
from trace_core._processors.names import names_credential
from trace_core._processors.secrets import (
    environment_secrets,
    looks_secret,
    remember_secret,
)
from trace_core._settings import setting, unknown_settings
from trace_core._sinks.base import FunctionSink, Sink, SinkBase, SinkLike, as_sink
from trace_core._sinks.memory import MemorySink
from trace_core._tracing.bridges import Bridge
from trace_core._tracing.context import (
    attributes,
    capture_context,
    current_context,
    suppress,
    use_parent,
)
from trace_core._tracing.ids import Clock, IdGenerator
from trace_core._tracing.span import OpenSpan
from trace_core._tracing.stacks import Place, hide_frames, own_line
from trace_core._tracing.tracer import SpanScope, Tracer

if TYPE_CHECKING:  # imported on first use, so that importing this costs a program little
    from trace_core._configuration import (
        default_spec,
        disabled_by_environment,
        load_sink,
        names_server,
        parse_target,
        sink_from_environment,
        sink_names,
    )
    from trace_core._model.json import decode, encode, from_dict, to_dict, to_json
    from trace_core._processors.limits import drop_content, truncate
    from trace_core._processors.payloads import limit_payloads
    from trace_core._processors.pii import redact_pii
    from trace_core._processors.redact import redact
    from trace_core._processors.sampling import sample
    from trace_core._sinks.compose import Processor, pipeline, tee, without_content
    from trace_core._sinks.console import ConsoleSink, TreeSink
    from trace_core._sinks.default import durable
    from trace_core._sinks.files import JsonLinesSink
    from trace_core._sources.base import Selection, SourceBase, Unreadable, Wanted, newest
    from trace_core._sources.configuration import default_source, load_source
    from trace_core._spool.spool import Spool
    from trace_core._suggest import did_you_mean
    from trace_core._tracing.opentelemetry import OpenTelemetryBridge
    from trace_core._view.html import table_html
    from trace_core._view.trace import Trace

_LAZY = {
    **dict.fromkeys(("decode", "encode", "from_dict", "to_dict", "to_json"), "_model.json"),
    **dict.fromkeys(("Processor", "pipeline", "tee", "without_content"), "_sinks.compose"),
    "durable": "_sinks.default",
    **dict.fromkeys(
        (
            "default_spec",
            "disabled_by_environment",
            "load_sink",
            "names_server",
            "parse_target",
            "sink_from_environment",
            "sink_names",
        ),
        "_configuration",
    ),
    **dict.fromkeys(("drop_content", "truncate"), "_processors.limits"),
    "limit_payloads": "_processors.payloads",
    "redact": "_processors.redact",
    "redact_pii": "_processors.pii",
    "sample": "_processors.sampling",
    "Spool": "_spool.spool",
    **dict.fromkeys(("ConsoleSink", "TreeSink"), "_sinks.console"),
    "JsonLinesSink": "_sinks.files",
    **dict.fromkeys(("Selection", "SourceBase", "Unreadable", "Wanted", "newest"), "_sources.base"),
    **dict.fromkeys(("default_source", "load_source"), "_sources.configuration"),
    "did_you_mean": "_suggest",
    "OpenTelemetryBridge": "_tracing.opentelemetry",
    "Trace": "_view.trace",
    "table_html": "_view.html",
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
    "BatchWriter",
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
    "OpenTelemetryBridge",
    "Outcome",
    "Place",
    "Processor",
    "Rejected",
    "Retry",
    "RetryLater",
    "Scope",
    "Selection",
    "Sink",
    "SinkBase",
    "SinkClosed",
    "SinkError",
    "SinkLike",
    "SourceBase",
    "Span",
    "SpanContext",
    "SpanKind",
    "SpanScope",
    "Spool",
    "Stats",
    "Status",
    "StatusCode",
    "TokenUsage",
    "Trace",
    "TraceError",
    "Tracer",
    "TreeSink",
    "Unreadable",
    "UsageSource",
    "Value",
    "Wanted",
    "after_fork",
    "as_sink",
    "at_exit",
    "attributes",
    "capture_context",
    "current_context",
    "decode",
    "default_source",
    "default_spec",
    "did_you_mean",
    "disabled_by_environment",
    "drop_content",
    "durable",
    "encode",
    "environment_secrets",
    "failure",
    "find_refused",
    "forget_handlers",
    "from_dict",
    "hide_frames",
    "limit_payloads",
    "load_sink",
    "load_source",
    "log_once",
    "looks_secret",
    "names_credential",
    "names_server",
    "newest",
    "no_fork",
    "own_line",
    "parse_target",
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
    "table_html",
    "tee",
    "to_dict",
    "to_json",
    "truncate",
    "unknown_settings",
    "use_parent",
    "without_content",
    "without_secrets",
]
