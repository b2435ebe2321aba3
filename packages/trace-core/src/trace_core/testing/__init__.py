"""Helpers for tests: a fixed clock, ids that repeat, and what sinks and adapters must pass."""

from trace_core.testing._adapters import AdapterContract
from trace_core.testing._doubles import FakeClock, SequentialIds, no_open_spans
from trace_core.testing._sinks import SinkContract, hostile_span, sample_spans

__all__ = [
    "AdapterContract",
    "FakeClock",
    "SequentialIds",
    "SinkContract",
    "hostile_span",
    "no_open_spans",
    "sample_spans",
]
