"""Seeing at a glance that processors leave a span as it is, as they do with nearly every span.

To walk through a span once for each processor, prepared to change it everywhere, costs more than
all else that is done with it. A glance does for several of them, and only asks: are all keys
known, and all texts? What has not been seen before is looked at by all rules, and only a span in
which something is to be changed is walked through.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from itertools import islice
from typing import Any, Final

import attrs

from trace_core._model.span import Span

_MAX_HARMLESS: Final = 1_000_000
"""Characters of texts to remember as harmless, at the most."""
_MAX_REMEMBERED_TEXT: Final = 20_000
MOST_KEYS: Final = 4_096
_SET_ENTRY: Final = 100
"""Bytes that remembering a text takes beside its characters."""
NUMBERS: Final = frozenset({int, float})
PLAIN_TYPES: Final = frozenset({bool, int, float, type(None)})
"""Types of values that hold no text."""
_MOST_CONTAINERS: Final = 200_000  # there are more if one is in itself


@attrs.define
class KnownGood:
    """What is known to stay as it is: looking there is quicker than asking again.

    Args:
        texts: Texts, to look into; `remember` adds to them.
        keys: Keys of mappings under which nothing is hidden. At most `MOST_KEYS`.
    """

    texts: set[str] = attrs.field(factory=set)
    keys: set[str] = attrs.field(factory=set)
    _room: int = _MAX_HARMLESS

    def remember(self, text: str) -> None:
        """Add a text, unless it is long; when there is no more room, forget all the others."""
        if len(text) > _MAX_REMEMBERED_TEXT:
            return
        self._room -= len(text) + _SET_ENTRY
        if self._room < 0:
            self.texts = set()  # another thread may be looking into the old one
            self._room = _MAX_HARMLESS
        self.texts.add(text)


@attrs.frozen(eq=False)
class Rules:
    """What a processor leaves as it is; if in doubt, they say no, never yes.

    Args:
        leaves_text: Says of a text, keys of mappings included, that it stays as it is.
        leaves_key: Says of a key that what is under it is treated like all the rest.
        longest: Longer sequences of numbers are changed.
    """

    leaves_text: Callable[[str], bool]
    leaves_key: Callable[[str], bool] = lambda _key: True
    longest: int = sys.maxsize


class ByRules:
    """A processor that changes nothing in a span but what its rules are about."""

    def rules(self) -> Rules:
        """Return the rules as they are now: the very same object while they stay the same."""
        raise NotImplementedError

    def __call__(self, span: Span, /) -> Span:
        """Return the span as the rules want it; the same one if nothing is to be changed."""
        raise NotImplementedError


class Glance:
    """Tells which spans some processors leave as they are. Safe on several threads.

    Args:
        processors: The processors, one after the other.
    """

    def __init__(self, processors: Sequence[ByRules]) -> None:
        self._processors = processors
        self._look = _Look([])

    def passes(self, span: Span) -> bool:
        """Say whether nothing in a span is to be changed; if in doubt, no.

        Args:
            span: The span.
        """
        try:
            rules = [processor.rules() for processor in self._processors]
            look = self._look
            if rules != look.rules:
                look = self._look = _Look(rules)
            return look.passes(span)
        except Exception:  # the processor will raise it too, and there it is dealt with
            return False


class _Look:
    """What some rules are known to leave as it is."""

    def __init__(self, rules: list[Rules]) -> None:
        self.rules = rules
        self._longest = min((rule.longest for rule in rules), default=sys.maxsize)
        self._known = KnownGood()
        self._resource: object = None

    def passes(self, span: Span) -> bool:
        inside: list[Any] = [
            (span.name, span.status.description, span.inputs, span.outputs, span.attributes)
        ]
        if span.events:
            inside += [(event.name, event.attributes) for event in span.events]
        resource = span.resource
        if resource is not self._resource:  # mostly where the span before it was produced
            if not self._leaves([resource]):
                return False
            self._resource = resource
        return self._leaves(inside)

    def _leaves(self, containers: list[Any]) -> bool:
        """Look into containers, and those in them. For most spans this is all that is done."""
        texts, keys = self._known.texts, self._known.keys
        plain, longest = PLAIN_TYPES, self._longest
        for container in islice(containers, _MOST_CONTAINERS):  # which grow in number meanwhile
            items = container
            if type(container) is dict:
                if not (container.keys() <= keys or self._learn_keys(container)):
                    return False
                items = container.values()
            elif type(container) is not tuple or (
                len(container) > longest and NUMBERS.issuperset(map(type, container))
            ):
                return False
            for item in items:
                kind = type(item)
                if kind is str:
                    if item not in texts and not self._learn_text(item):
                        return False
                elif kind not in plain:
                    containers.append(item)
        return len(containers) <= _MOST_CONTAINERS

    def _learn_text(self, text: str) -> bool:
        for rule in self.rules:
            if not rule.leaves_text(text):
                return False
        self._known.remember(text)
        return True

    def _learn_keys(self, mapping: dict[Any, Any]) -> bool:
        for key in mapping.keys() - self._known.keys:
            if type(key) is not str or not all(rule.leaves_key(key) for rule in self.rules):
                return False
            if not self._learn_text(key):
                return False
            if len(self._known.keys) < MOST_KEYS:
                self._known.keys.add(key)
        return True
