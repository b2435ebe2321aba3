"""A rough size of a span in memory, for the limits of queues."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from typing import Final

from trace_core._model.span import Span
from trace_core._tracing.span import OpenSpan

_VALUES_SEEN: Final = 200
_OVERHEAD: Final = 64


def rough_size(*values: object) -> int:
    """Estimate how much memory values take, in bytes, without looking into any text.

    Args:
        *values: Texts, numbers, mappings and tuples of them. Of many, the first 200 count.
    """
    total, left, rest = 0, _VALUES_SEEN, list(values)
    while rest and left:
        left -= 1
        value = rest.pop()
        total += _OVERHEAD
        if isinstance(value, (str, bytes)):
            total += len(value)
        elif isinstance(value, Mapping):
            rest += islice(value.values(), left)
        elif isinstance(value, (tuple, list)):
            rest += islice(value, left)
    return total


def size_of_span(span: Span | OpenSpan) -> int:
    """Estimate how much memory a span takes, in bytes."""
    description = span.status.description if span.status is not None else None
    return rough_size(span.inputs, span.outputs, span.attributes, description)
