"""Writes a trace into a sink and reads it back: ``doctor --write``."""

from __future__ import annotations

import time

from trace_core._errors import SinkError
from trace_core._model.parts import SpanContext, SpanKind, Status, StatusCode
from trace_core._model.span import Span
from trace_core._sinks.base import SinkBase
from trace_core._sources.base import Selection
from trace_core._sources.configuration import load_source, source_names
from trace_core._tracing.ids import RandomIds


def probe(sink: SinkBase, spec: str, timeout: float) -> str:
    """Write a trace of one span and read it back, where that is possible.

    Args:
        sink: Where to.
        spec: What it was made from.
        timeout: Seconds the sink may take to deliver it.

    Returns:
        What became of it.

    Raises:
        Exception: It could not be written, or is not there.
    """
    span = _span()
    sink.write((span,))
    if not sink.flush(timeout):
        raise SinkError(f"a trace was written and is not delivered after {timeout:g} s")
    if spec.partition(":")[0] not in source_names():
        return "a trace was written, and cannot be read back from here"
    found = load_source(spec).traces(_always, 1, Selection(trace=span.trace_id))
    if not found or found[0][0].context != span.context:
        raise SinkError(f"trace {span.trace_id} was written and is not there")
    url = sink.trace_url(span.trace_id)
    return "a trace was written and read back" + (f": {url}" if url else "")


def _always(_span: Span) -> bool:
    return True


def _span() -> Span:
    ids, now = RandomIds(), time.time_ns()
    return Span(
        context=SpanContext(ids.trace_id(), ids.span_id()),
        parent_id=None,
        name="doctor",
        kind=SpanKind.INTERNAL,
        start_ns=now - 1_000_000,
        end_ns=now,
        status=Status(StatusCode.OK),
        inputs="written by doctor --write",
        outputs="and read back",
    )
