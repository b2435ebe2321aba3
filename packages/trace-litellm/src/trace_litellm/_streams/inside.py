"""Looks into LiteLLM's streams for what they do not hand to their caller: usage, mostly."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from trace_core import Value
from trace_core.streams import Deltas

_KEEPS_CHUNKS: Final = "CustomStreamWrapper"
_DEEPEST: Final = 4
"""Generators inside of one another, at the most."""


class WithSource:
    """Combines chunks, and finds the stream that a text completion's chunks come from.

    That one keeps the usage. For some providers a generator makes it, and nothing else has it.

    Args:
        deltas: Combines the chunks.
        stream: The stream of the text completion.
        found: Takes the stream inside.
    """

    def __init__(self, deltas: Deltas, stream: Any, found: Callable[[Any], None]) -> None:
        self._deltas = deltas
        self._inside = getattr(stream, "completion_stream", None)
        self._found = found

    def add(self, chunk: Any) -> None:
        """Take a chunk."""
        self._deltas.add(chunk)
        if self._inside is not None:
            source, self._inside = _made_by(self._inside), None
            if source is not None:
                self._found(source)

    def outputs(self) -> Value:
        """Return the answer so far."""
        return self._deltas.outputs()


def _made_by(generator: Any, deepest: int = _DEEPEST) -> Any:
    """Return the stream that a running generator reads, perhaps through other generators."""
    if type(generator).__name__ == _KEEPS_CHUNKS:
        return generator
    frame = getattr(generator, "gi_frame", None) or getattr(generator, "ag_frame", None)
    if frame is None or not deepest:
        return None
    below = (_made_by(one, deepest - 1) for one in frame.f_locals.values())
    return next((one for one in below if one is not None), None)


def add_last_event(deltas: Deltas, stream: Any) -> None:
    """Take the event in which a provider told a failure: LiteLLM raises instead of handing it out.

    Args:
        deltas: Combines the events.
        stream: The stream that failed.
    """
    last = getattr(stream, "completed_response", None)
    if last is not None:
        deltas.add(last)
