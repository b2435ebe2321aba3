"""Trace every LLM call made through LiteLLM with one line: ``trace_litellm.autolog()``."""

from importlib.metadata import version as _version

from trace_litellm._instrument import Instrumentation, autolog, instrument
from trace_litellm._targets import UnsupportedLiteLLM

__version__ = _version("trace-litellm")

__all__ = ["Instrumentation", "UnsupportedLiteLLM", "autolog", "instrument"]
