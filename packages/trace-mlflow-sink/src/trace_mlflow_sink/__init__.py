"""A trace-core sink that persists spans into MLflow Tracing."""

from importlib.metadata import version as _version

from trace_mlflow_sink._sink import MlflowSink

__version__ = _version("trace-mlflow-sink")

__all__ = ["MlflowSink"]
