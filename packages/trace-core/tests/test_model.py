"""Spans and their identities."""

from __future__ import annotations

from collections.abc import Callable

import attrs
import pytest

from trace_core import ConfigurationError, Span, SpanContext

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


def test_traceparent_round_trip() -> None:
    """A context written as a traceparent header is read back equal."""
    context = SpanContext(TRACE, SPAN)
    assert context.to_traceparent() == f"00-{TRACE}-{SPAN}-01"
    assert SpanContext.from_traceparent(context.to_traceparent()) == context


def test_later_traceparent_versions_are_read() -> None:
    """The specification promises that later versions only add at the end."""
    assert SpanContext.from_traceparent(f"01-{TRACE}-{SPAN}-01-more").trace_id == TRACE


@pytest.mark.parametrize(
    "header",
    [
        "",
        "nonsense",
        f"00-{TRACE}-{SPAN}",
        f"00-{TRACE}-{SPAN}-01-more",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE[:-1]}-{SPAN}-01",
    ],
)
def test_bad_traceparents_are_refused(header: str) -> None:
    """A header that breaks the format is an error that quotes it."""
    with pytest.raises(ConfigurationError, match="traceparent"):
        SpanContext.from_traceparent(header)


def test_spans_are_frozen(make_span: Callable[..., Span]) -> None:
    """A finished span cannot be changed, only evolved into another."""
    span = make_span()
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        span.name = "other"
    assert attrs.evolve(span, name="other").context == span.context
    assert span.duration_ns == 500_000_000
