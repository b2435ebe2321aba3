"""Batches: spans of a spool to deliver together, and how spans are read out of frames."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import attrs

from trace_core._errors import ConfigurationError
from trace_core._log import log_once
from trace_core._model.span import Span
from trace_core._spool.frames import SPAN, Frame, span_in
from trace_core._spool.segments import Position


@attrs.define(eq=False)
class Batch:
    """Spans to deliver together.

    Args:
        spans: The spans, in the order they were handed over.
        end: The place behind the last of them.
        damaged: Stretches on disk that could not be read on the way to them.
    """

    spans: tuple[Span, ...]
    end: Position
    damaged: int = 0


NOTHING: Final = Batch((), (0, 0))


def spans_of(frames: Iterable[Frame]) -> list[Span]:
    """Return the finished spans among frames.

    Args:
        frames: What was read.

    Raises:
        ConfigurationError: One is of a version this one does not know.
    """
    return [span_in(payload) for kind, payload, _ in frames if kind == SPAN]


def decoded(payload: bytes) -> Span | None:
    """Return the span of a frame, or ``None`` and a log message if it cannot be decoded.

    Args:
        payload: The frame's.
    """
    try:
        return span_in(payload)
    except ConfigurationError as error:  # its checksum is right: perhaps of a later version
        log_once("spool:unreadable", "tracing: a spooled span cannot be read: %s", error)
        return None


def readable_spans(frames: Iterable[Frame]) -> tuple[Span, ...]:
    """Return the finished spans among frames, without those that cannot be decoded.

    Args:
        frames: What was read.
    """
    spans = (decoded(payload) for kind, payload, _ in frames if kind == SPAN)
    return tuple(span for span in spans if span is not None)
