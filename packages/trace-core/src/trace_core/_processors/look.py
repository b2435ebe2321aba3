"""Collects the texts and containers of a span at once, for processors that mostly only look."""

from __future__ import annotations

from collections.abc import Iterable
from types import NoneType
from typing import Any, Final

import attrs

from trace_core._model.span import Span

_ATOMS: Final = frozenset({bool, int, float, NoneType})
_MOST_ITEMS: Final = 1_000_000
"""To look at; a span with more has a container that contains itself, or nearly."""
_KEPT_TEXTS: Final = 1_000
_KEPT_CHARACTERS: Final = 4_096
"""The longest text of a span that is kept from one processor to the next."""


@attrs.frozen
class Look:
    """What a span holds, in no particular order.

    Args:
        texts: All texts in values; of a span without any, none.
        keys: The keys of each mapping.
        tuples: All sequences.
        longest: Characters of the longest text.
    """

    texts: list[str]
    keys: list[tuple[str, ...]]
    tuples: list[tuple[Any, ...]]
    longest: int


_last: tuple[Span, Look] | None = None


def look_at(span: Span) -> Look | None:
    """Collect what a span holds, but for its resource, which is mostly that of the span before.

    Args:
        span: The span.

    Returns:
        What it holds; ``None`` if it holds something else than plain values, or too much.
    """
    global _last  # noqa: PLW0603  # the next processor looks at the same span
    last = _last
    if last is not None and last[0] is span:
        return last[1]
    root: list[Any] = [span.name, span.status.description, span.inputs, span.outputs]
    root.append(span.attributes)
    for event in span.events:
        root += (event.name, event.attributes)
    found = look_into(root)
    if found and found.longest <= _KEPT_CHARACTERS and len(found.texts) <= _KEPT_TEXTS:
        _last = (span, found)
    return found


def look_into(values: Iterable[Any]) -> Look | None:
    """Collect what some values hold, level by level.

    Args:
        values: The values.

    Returns:
        What they hold; ``None`` if that is something else than plain values, or too much.
    """
    texts: list[str] = []
    keys: list[tuple[str, ...]] = []
    tuples: list[tuple[Any, ...]] = []
    items, seen = list(values), 0
    while items:
        seen += len(items)
        if seen > _MOST_ITEMS:
            return None
        below: list[Any] = []
        for item in items:
            kind = type(item)
            if kind is str:
                texts.append(item)
            elif kind is dict:
                keys.append(tuple(item))
                below += item.values()
            elif kind is tuple:
                tuples.append(item)
                below += item
            elif kind not in _ATOMS:
                return None
        items = below
    return Look(texts, keys, tuples, max(map(len, texts), default=0))
