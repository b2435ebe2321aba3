"""Offering spans to a sink, and finding out which of them it is that it cannot take."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import attrs

from trace_core._errors import Rejected, SinkError
from trace_core._log import text_of
from trace_core._model.span import Span
from trace_core._sinks.base import Sink

Refusal: TypeAlias = "tuple[Span, str]"
"""A span that will never be accepted, and why."""


@attrs.frozen
class Outcome:
    """What came of offering spans to a sink.

    Args:
        refused: Those it will never take; all others are delivered, unless there is an error.
        error: Why nothing was delivered, if so.
    """

    refused: tuple[Refusal, ...] = ()
    error: BaseException | None = None


def attempt(sink: Sink, spans: Sequence[Span]) -> Outcome:
    """Write spans to a sink. Never raises: not even what ends a thread goes through.

    Args:
        sink: The sink.
        spans: The spans.
    """
    if not spans:
        return Outcome()
    try:
        sink.write(spans)
    except Rejected as refusal:
        if refusal.spans is None and len(spans) > 1:
            return Outcome(error=refusal)  # which of them, `isolate` finds out
        return Outcome(refused=_refused(spans, refusal))
    except BaseException as error:
        return Outcome(error=error)
    return Outcome()


def _refused(spans: Sequence[Span], refusal: Rejected) -> tuple[Refusal, ...]:
    bad = {span.context for span in (spans if refusal.spans is None else refusal.spans)}
    why = text_of(refusal)
    return tuple((span, why) for span in spans if span.context in bad)


def is_the_spans_fault(error: BaseException) -> bool:
    """Guess whether an error is about what is in a span, rather than about the way to the store.

    Args:
        error: What the sink raised.
    """
    if isinstance(error, Rejected):
        return True
    return isinstance(error, Exception) and not isinstance(error, (OSError, SinkError))


def isolate(sink: Sink, spans: Sequence[Span], whole: Outcome) -> Outcome:
    """Offer spans one by one, so that one that the sink chokes on does not hold up the others.

    Args:
        sink: The sink.
        spans: The spans.
        whole: What came of offering them together.

    Returns:
        The spans it choked on as refused, if it took any other; else the failure as it was.
    """
    refused: list[Refusal] = []
    for span in spans:
        outcome = attempt(sink, (span,))
        refused.extend(outcome.refused)
        if outcome.error is not None:
            if not is_the_spans_fault(outcome.error):
                return whole
            refused.append((span, f"{type(outcome.error).__name__}: {text_of(outcome.error)}"))
    return Outcome(tuple(refused)) if len(refused) < len(spans) else whole
