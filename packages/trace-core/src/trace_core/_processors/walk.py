"""Applies a change to every text of a span and copies only what changes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain, islice
from typing import Any, Final

import attrs

from trace_core._model.parts import Event, Status
from trace_core._model.span import Span
from trace_core._model.values import Value
from trace_core._processors.budget import UNJUDGED
from trace_core._processors.by_name import named_pair, without_listed, without_secrets
from trace_core._processors.look import PLAIN_TYPES, Look, Seen, look_at, look_into
from trace_core._processors.many import MANY, Change, Changed, names_among
from trace_core._processors.names import MOST_LISTED, VALUES
from trace_core._processors.told import told_under, without_told

_MOST_SPECIAL: Final = 1_000
"""Containers of a span in which what is filed under the name of a secret is judged."""
_MOST_TOLD: Final = 100
"""Secrets that are hidden by their names and may be looked for elsewhere in the span."""
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
        change: Takes texts and changes some.
        by_name: Whether what is filed under the names of secrets is hidden, however it looks.
    """

    def __init__(self, change: Change, *, by_name: bool = False) -> None:
        self._change = change
        self._by_name = by_name
        self._stays = Seen()
        self._resource: object = None

    def span(self, span: Span) -> Span:
        """Return the span, the very same if nothing in it changes.

        Raises:
            ValueError: It contains itself.
        """
        look = look_at(span)
        same = span.resource is self._resource  # mostly that of the span before
        looks = (look,) if same else (look, look_into((span.resource,)))
        new = self._stays.new(chain(*(one.texts for one in looks)))
        changes = self._changes(new, looks) if new else None
        if changes is not None:
            return changes.span(span, look)
        self._resource = span.resource
        return span

    def _changes(self, new: dict[str, None], looks: Sequence[Look]) -> _Changes | None:
        """Return what is to change because of some texts; ``None`` if nothing is."""
        texts = list(new)
        changed = self._change(texts)
        many = len(new) > max(MANY, sum(len(look.containers) for look in looks))
        if many and self._by_name:  # few of them stand where names do
            texts = [name for look in looks for name in look.names() if name in new]
        names = names_among(texts) if self._by_name else {}
        some = changed.texts or names
        if len(new) < MANY:
            self._stays.add(new.keys() - {*changed.texts, *names} if some else new)
        return _Changes(changed, names) if some else None


class _Changes:
    """What is to change in a span.

    Args:
        changed: Texts that change.
        names: The names of secrets among the texts, with the kinds of secrets.
    """

    def __init__(self, changed: Changed, names: Mapping[str, str]) -> None:
        self._told = list(changed.told)
        self._texts, self._names = changed.texts, names
        self._telling = set[str]()
        self._left = _MOST_SPECIAL
        self._around: set[int] | None = None

    def span(self, span: Span, look: Look) -> Span:
        """Return the span with the changes, and without the secrets that one of its texts told.

        Args:
            span: The span.
            look: What it holds.
        """
        changed = self.applied(span, look.around(look.texts, self._texts, self._names))
        if not self._told:
            return changed
        texts = list(map(self._texts.get, look.texts, look.texts))
        again = without_told([*texts, *look_into((changed.resource,)).texts], self._told)
        if not again:
            return changed
        around = None if self._around is None else look.around(texts, again)
        if around is not None and self._around is not None:
            around |= self._around  # what is new was changed
        return _Changes(Changed(again), {}).applied(changed, around)

    def applied(self, span: Span, around: set[int] | None) -> Span:
        """Return the span with the changes.

        Args:
            span: The span.
            around: The ids of the containers to look into; ``None`` for all.
        """
        resource = self._mapping(span.resource, stays=True)  # all of it
        self._around = around
        return replaced(
            span,
            attributes=self._mapping(span.attributes, stays=True),
            name=self._texts.get(span.name, span.name),
            status=self._status(span.status),
            inputs=self._value(span.inputs),
            outputs=self._value(span.outputs),
            events=self._events(span.events) if span.events else span.events,
            resource=resource,
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
        if isinstance(value, (tuple, list)):
            return self._sequence(value)
        # Asking for Mapping alone is slow.
        return self._mapping(value) if isinstance(value, (dict, Mapping)) else value

    def _mapping(self, value: Mapping[str, Value], *, stays: bool = False) -> Any:
        """Change a mapping; one that stays a mapping may hold anything."""
        around = self._around
        if around is not None and id(value) not in around and type(value) is dict and not stays:
            return value
        special = stays or (
            not (self._telling or self._all_telling()).isdisjoint(value) and self._is_special(value)
        )
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
        found = self._without_names(changed or value) if special else changed or value
        if around is not None and found is not value:
            around.add(id(found))
        return found

    def _all_telling(self) -> set[str]:
        """Return the keys of mappings that may be special: needed once there is a mapping."""
        more = ("kind", *VALUES) if self._names else ()
        self._telling = {*self._texts, *self._names, *more}
        return self._telling

    def _is_special(self, value: Mapping[str, Value]) -> bool:
        """Return whether keys of a mapping change, or tell of secrets in it."""
        ordinary = self._texts.keys().isdisjoint(value) and self._names.keys().isdisjoint(value)
        return not ordinary or value.get("kind") == "Secret" or named_pair(value) is not None

    def _without_names(self, value: Mapping[str, Value]) -> Mapping[str, Value]:
        """Hide what is filed under the names of secrets, and change the keys."""
        self._left -= 1
        found = without_secrets(value, self._names.get) if self._names else value
        if found is not value:
            hidden = [key for key in found if found[key] is not value[key]]
            self._note((key, value[key]) for key in hidden)
            if self._around is not None:  # a secret may stand again in what is left there
                made = look_into([found[key] for key in hidden]).containers
                self._around.update(map(id, made))
        if self._texts.keys().isdisjoint(found):
            return found
        return {self._texts.get(key, key): item for key, item in found.items()}

    def _sequence(self, value: Sequence[Value]) -> Any:
        around = self._around
        if around is not None and id(value) not in around:
            return value
        special = self._names and not self._names.keys().isdisjoint(
            [one for one in value[:MOST_LISTED] if type(one) is str]
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
        if special:
            found = self._without_listed(found)
        if around is not None and found is not value:
            around.add(id(found))
        return found

    def _without_listed(self, value: Sequence[Value]) -> Sequence[Value]:
        """Hide what stands behind the names of secrets in a list."""
        self._left -= 1
        found = without_listed(value, self._names.get)
        self._note(("", old) for old, new in zip(value, found, strict=True) if new is not old)
        return found

    def _note(self, hidden: Iterable[tuple[str, Value]]) -> None:
        """Note what was hidden by its name: it may stand elsewhere."""
        for name, value in islice(hidden, max(0, _MOST_TOLD - len(self._told))):
            self._told += told_under(name, value)
