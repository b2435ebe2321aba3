"""OpenTelemetry's protocol, OTLP over HTTP: for sinks that send spans to a server.

Needs the extra ``trace-core[otlp]``: httpx and opentelemetry-proto. httpx is imported at the
first request.
"""

from importlib.util import find_spec as _find_spec

try:
    import opentelemetry.proto.trace.v1.trace_pb2 as _trace_pb2  # noqa: F401  # is it there?
except ImportError as error:
    raise ImportError(
        f"trace_core.otlp needs opentelemetry-proto ({error}): pip install 'trace-core[otlp]'"
    ) from error
if _find_spec("httpx") is None:
    raise ImportError("trace_core.otlp needs httpx: pip install 'trace-core[otlp]'")

from trace_core.otlp._client import (
    NotAReceiver,
    NotFound,
    NotSupported,
    OtlpClient,
    ServerFailed,
    Unauthorized,
    Unavailable,
    trusting,
    without_credentials,
)
from trace_core.otlp._encoding import (
    LONGEST_DESCRIPTION,
    LONGEST_NAME,
    SpanView,
    WriteValue,
    fill_attributes,
    fill_span,
    spans_of,
    to_request,
    write_number,
    write_structured,
)
from trace_core.otlp._text import clean_text, clean_value, json_text, shorten

__all__ = [
    "LONGEST_DESCRIPTION",
    "LONGEST_NAME",
    "NotAReceiver",
    "NotFound",
    "NotSupported",
    "OtlpClient",
    "ServerFailed",
    "SpanView",
    "Unauthorized",
    "Unavailable",
    "WriteValue",
    "clean_text",
    "clean_value",
    "fill_attributes",
    "fill_span",
    "json_text",
    "shorten",
    "spans_of",
    "to_request",
    "trusting",
    "without_credentials",
    "write_number",
    "write_structured",
]
