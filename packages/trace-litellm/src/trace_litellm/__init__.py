"""Trace every LLM call made through LiteLLM with one line: ``trace_litellm.autolog()``."""

from importlib.metadata import version as _version
from typing import TYPE_CHECKING

from trace_litellm._instrument import Instrumentation, autolog, instrument

if TYPE_CHECKING:
    from trace_litellm._targets import UnsupportedLiteLLM

__all__ = ["Instrumentation", "UnsupportedLiteLLM", "autolog", "instrument"]


def __getattr__(name: str) -> object:
    """Import what a program that only starts tracing does not need."""
    if name == "__version__":
        return _version("trace-litellm")
    if name == "UnsupportedLiteLLM":
        from trace_litellm._targets import UnsupportedLiteLLM

        return UnsupportedLiteLLM
    raise AttributeError(f"module 'trace_litellm' has no attribute {name!r}")
