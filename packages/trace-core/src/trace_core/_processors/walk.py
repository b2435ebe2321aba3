"""Applies a change to every text of a span and copies only what changes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from operator import is_
from typing import Any, Final, TypeAlias

import attrs

from trace_core._model.span import Event, Span, Status
from trace_core._model.values import Value

TextChange: TypeAlias = Callable[[str], str]
"""Takes a text and returns one: the very same object where nothing is to change."""

PLAIN_TYPES: Final = frozenset({bool, int, float, type(None)})
"""Types of values that hold no text."""


def nothing_hidden(_key: str) -> bool:
    """Return False: texts under every key are treated alike."""
    return False


def map_texts(
    span: Span, change: TextChange, hides: Callable[[str], bool] = nothing_hidden
) -> Span:
    """Apply a change to every text of a span, keys of mappings included.

    Args:
        span: The span.
        change: Takes a text and returns one.
        hides: Says of a key whether all texts under it are to be replaced.

    Returns:
        The span, the very same if nothing changed.
    """
    walk = Walk(change, hides)
    return replaced(
        span,
        name=change(span.name),
        status=_changed_status(span.status, change),
        inputs=walk.value(span.inputs),
        outputs=walk.value(span.outputs),
        attributes=walk.value(span.attributes),
        events=_changed_events(span.events, walk) if span.events else span.events,
        resource=walk.value(span.resource),
    )


def replaced(span: Span, **fields: Any) -> Span:
    """Return a span with other fields, or the very same if they are the ones it has.

    Args:
        span: The span.
        **fields: Its fields, by name.
    """
    different = {name: new for name, new in fields.items() if getattr(span, name) is not new}
    return attrs.evolve(span, **different) if different else span


def _changed_status(status: Status, change: TextChange) -> Status:
    if status.description is None:
        return status
    text = change(status.description)
    return status if text is status.description else attrs.evolve(status, description=text)


def _changed_events(events: tuple[Event, ...], walk: Walk) -> tuple[Event, ...]:
    changed = tuple(
        Event(walk.change(event.name), event.time_ns, walk.value(event.attributes))
        for event in events
    )
    same = all(
        new.attributes is old.attributes and new.name is old.name
        for new, old in zip(changed, events, strict=True)
    )
    return events if same else changed


class Walk:
    """Goes through a value and copies only what changes.

    Args:
        change: Takes a text and returns one.
        hides: Says of a key whether all texts under it are to be replaced.
    """

    def __init__(self, change: TextChange, hides: Callable[[str], bool]) -> None:
        self.change = change
        self._hides = hides

    def value(self, value: Value) -> Any:
        """Return the value, the very same if nothing in it changed."""
        kind = type(value)
        if kind is str:
            return self.change(value)  # type: ignore[arg-type]
        if kind in PLAIN_TYPES:
            return value
        if kind is dict or isinstance(value, Mapping):
            return self._mapping(value)  # type: ignore[arg-type]
        if isinstance(value, (tuple, list)):
            return self._sequence(value)
        return self.change(value) if isinstance(value, str) else value

    def _sequence(self, value: Sequence[Value]) -> Sequence[Value]:
        changed = tuple(map(self.value, value))
        return value if all(map(is_, changed, value)) else changed

    def _mapping(self, value: Mapping[str, Value]) -> Mapping[str, Value]:
        keys = list(map(self.change, value))
        items = list(map(self.value, value.values()))
        if any(map(self._hides, value)):
            items = [
                hidden(item) if self._hides(key) else new
                for (key, item), new in zip(value.items(), items, strict=True)
            ]
        if all(map(is_, items, value.values())) and all(map(is_, keys, value)):
            return value
        return dict(zip(keys, items, strict=True))


_KEPT_SHORT: Final = 4  # "none", "true", "" under such a key tell nothing


def hidden(value: Value) -> Value:
    """Replace every text in a value.

    Args:
        value: What is under a key that names a secret.
    """
    if isinstance(value, str):
        return value if len(value) <= _KEPT_SHORT else "[redacted:by name]"
    if isinstance(value, Mapping):
        return {key: hidden(item) for key, item in value.items()}
    if isinstance(value, (tuple, list)):
        return tuple(map(hidden, value))
    return value
