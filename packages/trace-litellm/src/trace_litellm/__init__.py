"""Trace every LLM call made through LiteLLM with one line: ``trace_litellm.autolog()``."""

from importlib import import_module as _import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # imported on first use: pytest loads our plug-in for tests that need none of it
    from trace_litellm._instrument import autolog, instrument
    from trace_litellm._instrumentation import Instrumentation
    from trace_litellm._patching.preflight import UnsupportedLiteLLM
    from trace_litellm._replay.block import Replay, replay
    from trace_litellm._replay.errors import NotRecorded
    from trace_litellm._replay.record import record

_LAZY = {
    "Instrumentation": "_instrumentation",
    "NotRecorded": "_replay.errors",
    "Replay": "_replay.block",
    "UnsupportedLiteLLM": "_patching.preflight",
    "autolog": "_instrument",
    "instrument": "_instrument",
    "record": "_replay.record",
    "replay": "_replay.block",
}

__all__ = [
    "Instrumentation",
    "NotRecorded",
    "Replay",
    "UnsupportedLiteLLM",
    "autolog",
    "instrument",
    "record",
    "replay",
]


def __getattr__(name: str) -> object:
    """Import what is asked for."""
    if name == "__version__":
        from importlib.metadata import version

        found: object = version("trace-litellm")
    elif name in _LAZY:
        found = getattr(_import_module(f"trace_litellm.{_LAZY[name]}"), name)
    else:
        raise AttributeError(f"module 'trace_litellm' has no attribute {name!r}")
    globals()[name] = found
    return found
