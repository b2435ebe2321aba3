"""Applies a change to every text of a span and copies only what changes."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from itertools import repeat
from operator import is_
from typing import Any, Final, TypeAlias

import attrs

from trace_core._model.parts import Event, Status
from trace_core._model.span import Span
from trace_core._model.values import Value
from trace_core._processors.by_name import (
    Filed,
    concerns,
    filed_under,
    has_names,
    without_listed,
    without_secrets,
)
from trace_core._processors.look import Look, look_at, look_into
from trace_core._processors.many import MANY, ChangeMany, look_through

TextChange: TypeAlias = Callable[[str], "str | None"]
"""Takes a text and returns another, or ``None`` where nothing is to change."""

PLAIN_TYPES: Final = frozenset({bool, int, float, type(None)})
"""Types of values that hold no text."""
_CACHED_KEYS: Final = 1_024
"""Sets of keys, as mappings have them."""
LONGEST_CACHED: Final = 4_096
"""Characters; a cache of longer texts would hold too much memory."""


def map_texts(span: Span, change: TextChange, many: ChangeMany | None = None) -> Span:
    """Apply a change to every text of a span, keys of mappings included.

    Args:
        span: The span.
        change: Takes a text and returns another or ``None``.
        many: Does so for many texts at once.

    Returns:
        The span, the very same if nothing changed.
    """
    return Walk(change, many=many).span(span)


def replaced(span: Span, **fields: Any) -> Span:
    """Return a span with other fields, or the very same if they are the ones it has.

    Args:
        span: The span.
        **fields: Its fields, by name.
    """
    different = {name: new for name, new in fields.items() if getattr(span, name) is not new}
    return attrs.evolve(span, **different) if different else span


class Walk:
    """Goes through a span and copies only what changes.

    Args:
        change: Takes a text and returns another or ``None``.
        cached: The same with a cache, for short texts.
        many: The same for many texts at once.
        by_name: Whether what is filed under the names of secrets is hidden, however it looks.
    """

    def __init__(
        self,
        change: TextChange,
        *,
        cached: TextChange | None = None,
        many: ChangeMany | None = None,
        by_name: bool = False,
    ) -> None:
        self._change = change
        self._cached = cached or change
        self._many = many
        self._by_name = by_name
        self._has_names: Callable[[tuple[Any, ...]], bool] = has_names
        self._filed: Filed = filed_under
        self._resource: object = None
        self._special: Callable[[tuple[str, ...]], bool] = functools.lru_cache(
            maxsize=_CACHED_KEYS
        )(self._is_special)

    def span(self, span: Span) -> Span:
        """Return the span, the very same if nothing in it changed."""
        if span.resource is not self._resource:  # mostly that of the span before
            if not self._leaves(look_into((span.resource,))):
                return self._changed(span)
            self._resource = span.resource
        found = look_at(span)
        if found and self._many and len(found.texts) + len(found.keys) > MANY:
            return self._looked_through(span, found, self._many)
        return span if self._leaves(found) else self._changed(span)

    def _looked_through(self, span: Span, found: Look, many: ChangeMany) -> Span:
        findings = look_through(found, many, by_name=self._by_name)
        if findings is None:
            return span
        walk = Walk(findings.texts.get, by_name=self._by_name)
        walk._special = findings.special.__contains__
        walk._has_names = findings.has_names
        walk._filed = findings.filed_under
        return walk._changed(span)

    def _changed(self, span: Span) -> Span:
        return replaced(
            span,
            name=self._text(span.name),
            status=self._status(span.status),
            inputs=self.value(span.inputs),
            outputs=self.value(span.outputs),
            attributes=self.value(span.attributes),
            events=self._events(span.events) if span.events else span.events,
            resource=self.value(span.resource),
        )

    def _is_special(self, keys: tuple[str, ...]) -> bool:
        """Return whether one of some keys changes or may hide what is under it."""
        if self._by_name and concerns(keys):
            return True
        return any(self._text(key) is not key for key in keys)

    def _leaves(self, found: Look | None) -> bool:
        """Return whether nothing changes, as is so for most spans; False if in doubt."""
        if found is None or found.longest > LONGEST_CACHED:
            return False
        if any(map(self._special, found.keys)):
            return False
        if self._by_name and any(map(self._has_names, found.tuples)):
            return False
        return all(map(is_, map(self._cached, found.texts), repeat(None)))

    def _text(self, text: str) -> str:
        new = (self._cached if len(text) <= LONGEST_CACHED else self._change)(text)
        return text if new is None else new

    def _status(self, status: Status) -> Status:
        if status.description is None:
            return status
        text = self._text(status.description)
        return status if text is status.description else attrs.evolve(status, description=text)

    def _events(self, events: tuple[Event, ...]) -> tuple[Event, ...]:
        changed = tuple(
            Event(self._text(event.name), event.time_ns, self.value(event.attributes))
            for event in events
        )
        return events if changed == events else changed

    def value(self, value: Value) -> Any:
        """Return the value, the very same if nothing in it changed."""
        if isinstance(value, str):
            return self._text(value)
        if type(value) in PLAIN_TYPES:
            return value
        if isinstance(value, (dict, Mapping)):  # asking a dict for Mapping alone is slow
            return self._mapping(value)
        return self._sequence(value) if isinstance(value, (tuple, list)) else value

    def _sequence(self, value: Sequence[Value]) -> Sequence[Value]:
        changed = tuple(map(self.value, value))
        same = value if all(map(is_, changed, value)) else changed
        if self._by_name and self._has_names(tuple(value)):
            return without_listed(same, self._filed)
        return same

    def _mapping(self, value: Mapping[str, Value]) -> Mapping[str, Value]:
        cached, plain = self._cached, PLAIN_TYPES
        changed: dict[str, Value] = {}
        for key, item in value.items():
            kind = type(item)
            if kind is str:
                new = (cached if len(item) <= LONGEST_CACHED else self._change)(item)  # type: ignore[arg-type]
                if new is not None:
                    changed[key] = new
            elif kind not in plain:
                below = self.value(item)
                if below is not item:
                    changed[key] = below
        new_items = {**value, **changed} if changed else value
        return self._special_items(new_items) if self._special(tuple(value)) else new_items

    def _special_items(self, value: Mapping[str, Value]) -> Mapping[str, Value]:
        found = without_secrets(value, self._filed) if self._by_name else value
        keys = {key: self._text(key) for key in found}
        if all(map(is_, keys, keys.values())):
            return found
        return {keys[key]: item for key, item in found.items()}
