"""Which of a sink's and of OpenTelemetry's bridges `autolog` uses."""

from __future__ import annotations

import sys
from functools import lru_cache
from typing import Final

from trace_core import Bridge, OpenTelemetryBridge, SinkBase, setting

_LISTS: Final = (
    "callbacks",
    "success_callback",
    "failure_callback",
    "_async_success_callback",
    "_async_failure_callback",
)
_NAMES: Final = frozenset(
    {
        "agentops", "arize", "arize_phoenix", "langfuse_otel", "langtrace", "levo", "logfire",
        "otel", "signoz", "weave_otel",
    }
)  # fmt: skip
"""LiteLLM's callbacks that are made of its class for OpenTelemetry."""
_CLASSES: Final = frozenset({"OpenTelemetry", "OpenTelemetryV2"})


def bridges_for(sink: SinkBase) -> tuple[Bridge, ...]:
    """Return the sink's bridges, which know the sink's own store, before OpenTelemetry's.

    Args:
        sink: Where spans go.

    Raises:
        ConfigurationError: An environment variable makes no sense.
    """
    if not setting("TRACE_OTEL_BRIDGE"):
        return sink.bridges
    return (*sink.bridges, CallBridge())


def litellm_records() -> bool:
    """Return whether LiteLLM has a callback that makes OpenTelemetry spans."""
    litellm = sys.modules.get("litellm")
    try:  # this is asked for each span, and to look into five empty lists takes a while
        if not any(map(litellm.__dict__.__getitem__, _LISTS)):
            return False
    except (AttributeError, KeyError):  # not imported, or another release of it
        pass
    return any(
        one in _NAMES if isinstance(one, str) else _makes_spans(type(one))  # type: ignore[arg-type]  # a class
        for name in _LISTS
        for one in getattr(litellm, name, None) or ()
    )


@lru_cache(maxsize=256)
def _makes_spans(cls: type[object]) -> bool:
    return any(base.__name__ in _CLASSES for base in cls.__mro__)


class CallBridge(OpenTelemetryBridge):
    """Leaves LiteLLM's own OpenTelemetry callbacks what they record.

    Where a span is current, they write into that one instead of making one of their own. Ours
    passes on what is written to it; so it must not be current where there is no other.
    """

    def _stands_back(self) -> bool:
        return litellm_records()
