"""Trace every LLM call made through LiteLLM with one line: ``trace_litellm.autolog()``."""

from importlib import import_module as _import_module
from importlib.metadata import version as _version
from typing import TYPE_CHECKING

from trace_litellm._instrument import autolog, instrument

if TYPE_CHECKING:
    from trace_litellm._instrumentation import Instrumentation
    from trace_litellm._patching.preflight import UnsupportedLiteLLM

_LAZY = {"Instrumentation": "_instrumentation", "UnsupportedLiteLLM": "_patching.preflight"}

__all__ = ["Instrumentation", "UnsupportedLiteLLM", "autolog", "instrument"]


def __getattr__(name: str) -> object:
    """Import what a program that only turns tracing on has no name for."""
    if name == "__version__":
        return _version("trace-litellm")
    if name in _LAZY:
        return getattr(_import_module(f"trace_litellm.{_LAZY[name]}"), name)
    raise AttributeError(f"module 'trace_litellm' has no attribute {name!r}")
