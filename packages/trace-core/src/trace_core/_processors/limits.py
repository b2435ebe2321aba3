"""Processors that make spans smaller: `truncate` and `drop_content`."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import attrs

from trace_core import _arguments as arguments
from trace_core import semconv
from trace_core._model.parts import Event
from trace_core._model.span import Span
from trace_core._model.values import Value
from trace_core._processors.look import LONG, look_at
from trace_core._processors.many import one_by_one
from trace_core._processors.walk import Walk


def truncate(max_chars: int = 32_768) -> Callable[[Span], Span]:
    """Make a processor that shortens long texts.

    Args:
        max_chars: Characters kept of each text.

    Returns:
        A processor.

    Raises:
        ConfigurationError: ``max_chars`` is not a whole number of at least 1.
    """
    arguments.count(max_chars, "max_chars")

    def shorten(text: str) -> str | None:
        if len(text) <= max_chars:
            return None
        return f"{text[:max_chars]}… ({len(text)} characters)"

    walk = Walk(lambda texts: one_by_one(texts, shorten))

    def processor(span: Span) -> Span:
        found = look_at(span)
        may_be_long = found.long if max_chars >= LONG else found.texts
        return walk.span(span) if any(len(text) > max_chars for text in may_be_long) else span

    processor.__name__ = "truncate"
    return processor


def drop_content() -> Callable[[Span], Span]:
    """Make a processor that keeps metadata alone: no prompts, no answers, no error texts.

    What stays: names, times, status, types of errors, model, parameters, usage, cost, tags.

    Returns:
        A processor.
    """
    return _metadata_only


def _metadata_only(span: Span) -> Span:
    return attrs.evolve(
        span,
        inputs=None,
        outputs=None,
        status=attrs.evolve(span.status, description=None),
        attributes=_metadata(span.attributes),
        events=tuple(Event(e.name, e.time_ns, _metadata(e.attributes)) for e in span.events),
    )


def _metadata(attributes: Mapping[str, Value]) -> Mapping[str, Value]:
    return {name: v for name, v in attributes.items() if name not in semconv.CONTENT_ATTRIBUTES}
