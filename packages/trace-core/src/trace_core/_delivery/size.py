"""A rough size of a span in memory, for the limits of queues."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from typing import Final

from trace_core._model.span import Span
from trace_core._tracing.span import OpenSpan

_VALUES_SEEN: Final = 200
_ITEMS_SEEN: Final = 40
_OVERHEAD: Final = 64


def rough_size(*values: object) -> int:
    """Estimate how much memory values take, in bytes, without looking into any text.

    Args:
        *values: Texts, numbers, mappings and sequences of them. Of a long one some items stand for
            all, and 200 values are looked at in all.
    """
    total, left = 0.0, _VALUES_SEEN
    rest = [(value, 1.0) for value in values]  # each with how many it stands for
    while rest and left:
        left -= 1
        value, times = rest.pop()
        total += times * _OVERHEAD
        if isinstance(value, (str, bytes)):
            total += times * len(value)
        elif isinstance(value, (Mapping, tuple, list)) and value:
            seen = min(len(value), _ITEMS_SEEN)
            items = value.values() if isinstance(value, Mapping) else value
            rest += [(item, times * len(value) / seen) for item in islice(items, seen)]
    return round(total + _OVERHEAD * sum(times for _, times in rest))


def size_of_span(span: Span | OpenSpan) -> int:
    """Estimate how much memory a span takes, in bytes."""
    description = span.status.description if span.status is not None else None
    return rough_size(span.inputs, span.outputs, span.attributes, description)
