"""Applies a change to every text of a span and copies only what changes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeAlias

import attrs

from trace_core._model.parts import Event, Status
from trace_core._model.span import Span
from trace_core._model.values import Value
from trace_core._processors.budget import UNJUDGED
from trace_core._processors.by_name import named_pair, without_listed, without_secrets
from trace_core._processors.look import LONGEST_SEEN, Seen, look_at, look_into
from trace_core._processors.many import ChangeMany, names_among

TextChange: TypeAlias = Callable[[str], "str | None"]
"""Takes a text and returns another, or ``None`` where nothing is to change."""

PLAIN_TYPES: Final = frozenset({bool, int, float, type(None)})
"""Types of values that hold no text."""
_MANY: Final = 1_000
"""Texts that are searched as one."""
_SEVERAL: Final = 64
"""Items of a list that may hold names and values by turns."""
_MOST_SPECIAL: Final = 1_000
"""Containers of a span in which what is filed under the name of a secret is judged."""
_TOO_MANY: Final = f"[redacted:{UNJUDGED}]"


def replaced(span: Span, **fields: Any) -> Span:
    """Return a span with other fields, or the very same if they are the ones it has.

    Args:
        span: The span.
        **fields: Its fields, by name.
    """
    different = {name: new for name, new in fields.items() if getattr(span, name) is not new}
    return attrs.evolve(span, **different) if different else span


class Walk:
    """Changes the texts of spans, keys of mappings included.

    Most spans have nothing to change: names, models and system prompts come again with every call,
    and are known to stay as they are. So a span is looked at once, and its new texts are judged.

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
        self._stays = Seen()
        self._resource: object = None

    def span(self, span: Span) -> Span:
        """Return the span, the very same if nothing in it changes.

        Raises:
            ValueError: It contains itself.
        """
        texts = look_at(span).texts
        if span.resource is not self._resource:  # mostly that of the span before
            texts = [*texts, *look_into((span.resource,)).texts]
        new = self._stays.new(texts)
        changes = self._changes(new) if new else None
        if changes is not None:
            return changes.span(span)
        self._resource = span.resource
        return span

    def _changes(self, new: dict[str, None]) -> _Changes | None:
        """Return what is to change because of some texts; ``None`` if nothing is."""
        texts = self._changed(new)
        names = names_among(new) if self._by_name else {}
        if len(new) < _MANY:
            self._stays.add(new.keys() - {*texts, *names} if texts or names else new)
        return _Changes(texts, names) if texts or names else None

    def _changed(self, new: dict[str, None]) -> Mapping[str, str]:
        if len(new) > _MANY and self._many is not None:
            return self._many(list(new))
        changed = {}
        for text in new:
            after = (self._cached if len(text) <= LONGEST_SEEN else self._change)(text)
            if after is not None:
                changed[text] = after
        return changed


class _Changes:
    """What is to change in a span.

    Args:
        texts: Texts that change, with what they become.
        names: The names of secrets among the texts, with the kinds of secrets.
    """

    def __init__(self, texts: Mapping[str, str], names: Mapping[str, str]) -> None:
        self._texts = texts
        self._names = names
        self._special = texts.keys() | names.keys()
        self._left = _MOST_SPECIAL

    def span(self, span: Span) -> Span:
        """Return the span with the changes."""
        return replaced(
            span,
            attributes=self._mapping(span.attributes, stays=True),
            name=self._texts.get(span.name, span.name),
            status=self._status(span.status),
            inputs=self._value(span.inputs),
            outputs=self._value(span.outputs),
            events=self._events(span.events) if span.events else span.events,
            resource=self._mapping(span.resource, stays=True),
        )

    def _status(self, status: Status) -> Status:
        new = self._texts.get(status.description or "")
        return status if new is None else attrs.evolve(status, description=new)

    def _events(self, events: tuple[Event, ...]) -> tuple[Event, ...]:
        get = self._texts.get
        changed = tuple(
            Event(get(e.name, e.name), e.time_ns, self._mapping(e.attributes, stays=True))
            for e in events
        )
        return events if changed == events else changed

    def _value(self, value: Value) -> Any:
        if isinstance(value, str):
            return self._texts.get(value, value)
        if isinstance(value, (dict, Mapping)):  # asking a dict for Mapping alone is slow
            return self._mapping(value)
        return self._sequence(value) if isinstance(value, (tuple, list)) else value

    def _mapping(self, value: Mapping[str, Value], *, stays: bool = False) -> Any:
        """Change a mapping; one that stays a mapping may hold anything."""
        special = stays or not self._special.isdisjoint(value)
        if not special and self._names and ("value" in value or "Value" in value):  # as of few
            special = named_pair(value) is not None
        if special and self._left <= 0 and not stays:
            return _TOO_MANY
        # The loop stands in `_sequence` as well: one more call a container takes a tenth longer.
        get, plain, changed = self._texts.get, PLAIN_TYPES, None
        item: Any
        for key, item in value.items():
            if (kind := type(item)) is str:
                new: Any = get(item, item)
            elif kind in plain:
                continue
            elif kind is dict:
                new = self._mapping(item)
            elif kind is tuple:
                new = self._sequence(item)
            else:
                new = self._value(item)
            if new is not item:
                changed = changed or {**value}
                changed[key] = new
        return self._without_names(changed or value) if special else changed or value

    def _without_names(self, value: Mapping[str, Value]) -> Mapping[str, Value]:
        """Hide what is filed under the names of secrets, and change the keys."""
        self._left -= 1
        found = without_secrets(value, self._names.get) if self._names else value
        if self._texts.keys().isdisjoint(found):
            return found
        return {self._texts.get(key, key): item for key, item in found.items()}

    def _sequence(self, value: Sequence[Value]) -> Any:
        special = self._names and not self._names.keys().isdisjoint(
            [one for one in value[:_SEVERAL] if type(one) is str]
        )
        if special and self._left <= 0:
            return _TOO_MANY
        get, plain, changed = self._texts.get, PLAIN_TYPES, None
        item: Any
        for index, item in enumerate(value):
            if (kind := type(item)) is str:
                new: Any = get(item, item)
            elif kind in plain:
                continue
            elif kind is dict:
                new = self._mapping(item)
            else:
                new = self._value(item)
            if new is not item:
                changed = changed or list(value)
                changed[index] = new
        found = tuple(changed) if changed else value
        if not special:
            return found
        self._left -= 1
        return without_listed(found, self._names.get)
