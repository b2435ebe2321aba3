"""A trace-core sink for every backend that takes OpenTelemetry's protocol."""

from importlib.metadata import version as _version

from trace_otlp_sink._convert import DIALECTS, to_attributes
from trace_otlp_sink._metrics import OtelMetricsSink
from trace_otlp_sink._sink import OtlpSink

__version__ = _version("trace-otlp-sink")

__all__ = ["DIALECTS", "OtelMetricsSink", "OtlpSink", "to_attributes"]
