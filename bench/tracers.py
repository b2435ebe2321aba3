"""Who traces: ours, its peers and nobody. Each is turned on and off again within one process."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Switch:
    """A tracer that is ready to be turned on.

    Attributes:
        on: Starts tracing.
        off: Makes LiteLLM what it was.
        flush: Waits until what was traced is where it is stored.
    """

    on: Callable[[], Any]
    off: Callable[[], Any]
    flush: Callable[[], Any] = lambda: None


class Discard:
    """A sink that takes everything and keeps nothing."""

    def write(self, spans: Sequence[Any], /) -> None:
        """Drop the spans."""

    def flush(self, timeout: float = 5.0, /) -> bool:
        """Have nothing to do."""
        return True

    def close(self, timeout: float = 5.0, /) -> None:
        """Have nothing to do."""


def nobody() -> Switch:
    """Trace nothing: what is measured then is the noise."""
    return Switch(lambda: None, lambda: None)


def _ours(sink: Any) -> Switch:
    import trace_litellm
    from trace_core import Tracer

    tracer = Tracer(sink)
    on: list[Any] = []
    return Switch(
        lambda: on.append(trace_litellm.instrument(tracer)),
        lambda: on.pop().uninstrument(),
        lambda: tracer.flush(30),
    )


def in_memory() -> Switch:
    """Trace with trace_litellm, through the queue and no further."""
    from trace_core import Background

    return _ours(Background(Discard()))


def durable() -> Switch:
    """Trace with trace_litellm as ``autolog`` does: redaction, spool and delivery."""
    import trace_core

    return _ours(trace_core.durable(Discard(), spool_dir=tempfile.mkdtemp(), environ={}))


TRACERS: dict[str, Callable[[], Switch]] = {
    "nobody": nobody,
    "trace_litellm, in memory": in_memory,
    "trace_litellm": durable,
}
