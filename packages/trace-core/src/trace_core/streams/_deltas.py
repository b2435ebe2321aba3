"""The protocol for combining the chunks of a stream, and two for streams of no known format."""

from __future__ import annotations

from typing import Any, Final, Protocol

from trace_core._model.values import Value, snapshot


class Deltas(Protocol):
    """Combines the chunks of one kind of stream; ``add`` runs on the caller's thread."""

    def add(self, chunk: Any, /) -> None:
        """Copy what is new in a chunk; keep no reference to the chunk."""
        ...

    def outputs(self) -> Value:
        """Return the answer so far, in the shape of one that was not streamed."""
        ...


class NoDeltas:
    """Keeps nothing: the child spans have the content."""

    def add(self, chunk: Any) -> None:
        """Do nothing."""

    def outputs(self) -> Value:
        """Return nothing."""
        return None


class ListDeltas:
    """Keeps the chunks of a stream of unknown format, up to a limit."""

    LIMIT: Final = 1_000

    def __init__(self) -> None:
        self._chunks: list[Value] = []
        self._left_out = 0

    def add(self, chunk: Any) -> None:
        """Keep a copy of a chunk."""
        if len(self._chunks) < self.LIMIT:
            self._chunks.append(
                chunk.decode("utf-8", "replace") if chunk.__class__ is bytes else snapshot(chunk)
            )
        else:
            self._left_out += 1

    def outputs(self) -> Value:
        """Return the chunks, and the number of those above the limit."""
        result: dict[str, Value] = {"chunks": tuple(self._chunks)}
        if self._left_out:
            result["chunks_left_out"] = self._left_out
        return result
