"""Traces calls of the openai SDK: chat completions and responses."""

from __future__ import annotations

from functools import partial
from importlib.metadata import version
from typing import Final

from trace_core import Scope, Tracer
from trace_core.adapters import Adapter
from trace_openai._requests import CHAT, RESPONSES, open_call

__all__ = ["instrument"]

_FUNCTIONS: Final = {
    f"openai.resources.{module}": {
        f"{prefix}{name}.{method}": partial(open_call, api)
        for prefix in ("", "Async")
        for method in ("create", "parse")
    }
    for module, name, api in (
        ("chat.completions", "Completions", CHAT),
        ("responses", "Responses", RESPONSES),
    )
}


def instrument(tracer: Tracer) -> Adapter:
    """Trace the openai SDK from now on, also if the program imports it later.

    Args:
        tracer: Makes the spans. With trace-litellm, use its tracer: ``autolog().tracer``.

    Returns:
        What turns it off again: by ``remove()``, or as a context manager.
    """
    adapter = Adapter(tracer, Scope("trace_openai", version("trace-openai")), _FUNCTIONS)
    adapter.install()
    return adapter
