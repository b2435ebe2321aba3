"""For adapters: follow a stream to its end without getting between it and its reader."""

from trace_core.streams._deltas import Deltas, ListDeltas, NoDeltas
from trace_core.streams._proxy import StreamProxy, is_stream
from trace_core.streams._watch import ChunkEvents, Watch

__all__ = [
    "ChunkEvents",
    "Deltas",
    "ListDeltas",
    "NoDeltas",
    "StreamProxy",
    "Watch",
    "is_stream",
]
