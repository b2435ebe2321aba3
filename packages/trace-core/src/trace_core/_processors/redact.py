"""Keeping secrets out of spans, before anything of them reaches a disk or a network."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain
from operator import is_
from typing import Any, Final, TypeAlias, TypeVar

import attrs

from trace_core._model.span import Event, Span, Status
from trace_core._model.values import Value
from trace_core._processors.glance import MOST_KEYS, PLAIN_TYPES, ByRules, KnownGood, Rules
from trace_core._processors.rules import Match, matches, may_match
from trace_core._processors.secrets import (
    MIN_LENGTH,
    EnvironmentSecrets,
    rarest_of,
    remembered_secrets,
)

Known: TypeAlias = "Iterable[str] | Callable[[], Iterable[str]]"
TextChange: TypeAlias = Callable[[str], str]
_Values = TypeVar("_Values", bound=Iterable[str])

_SECRET_KEY: Final = re.compile(
    r"(?:apikey|secret|secretkey|secretaccesskey|password|passwd|passphrase|accesstoken|authtoken"
    r"|refreshtoken|sessiontoken|securitytoken|bearertoken|privatekey|authorization|subscriptionkey"
    r"|credentials?|cookie)$"
)
_SHORTEST: Final = 10  # no rule finds anything in less
_QUICKLY_DONE: Final = 100  # characters: to look through them takes no longer than to remember
_KEPT_SHORT: Final = 4  # "none", "true", "" under such a key tell nothing


def redact(
    *,
    known: Known = (),
    patterns: Mapping[str, str] | None = None,
    environment: bool = True,
) -> Callable[[Span], Span]:
    """Make a processor that replaces secrets in spans by ``[redacted:KIND]``.

    It looks at every text of a span, keys of mappings included: names and values of inputs,
    outputs and attributes, events, error texts. It removes provider keys, bearer tokens, JSON web
    tokens, private keys, credentials and signatures in URLs, assignments like ``password=...``,
    everything under a key such as ``api_key`` or ``authorization``, and the exact values that are
    known: of environment variables named like secrets, of `remember_secret`, and of ``known``.

    Args:
        known: More secrets, or a function that returns them, called for every span.
        patterns: More kinds of secrets: what to call each, and a regular expression.
        environment: Whether to look for secrets in the environment.

    Returns:
        A processor.
    """
    return Redactor(known, patterns or {}, environment=environment)


class Redactor(ByRules):
    """Made by `redact`."""

    def __init__(self, known: Known, patterns: Mapping[str, str], *, environment: bool) -> None:
        self.__name__ = "redact"
        self._known = known if callable(known) else _constant(frozenset(known))
        self._environment = EnvironmentSecrets() if environment else _constant(())
        self._patterns = [(name, re.compile(pattern)) for name, pattern in patterns.items()]
        self._scan: Callable[[str], Iterable[Match]] = fast_matches() or matches
        self._cleaner = _Cleaner(((),), self._patterns, self._scan)

    def rules(self) -> Rules:
        """Return the rules of the secrets known now."""
        return self._current_cleaner().rules

    def __call__(self, span: Span) -> Span:
        """Return the span without secrets; the same one if there are none."""
        cleaner = self._current_cleaner()
        return map_texts(span, cleaner, hide_key=is_secret_key, known=cleaner.known_good)

    def _current_cleaner(self) -> _Cleaner:
        """Return what cleans by the secrets known now, with what it has learned if it may."""
        told = (self._environment(), remembered_secrets(), frozenset(self._known()))
        cleaner = self._cleaner
        if told != cleaner.told:
            cleaner = self._cleaner = _Cleaner(told, self._patterns, self._scan)
        return cleaner


class _Cleaner:
    """Removes secrets from texts, and remembers texts that have none.

    Names, models and prompts come again with every call: looking them up costs a fraction of
    looking through them. What has no secret may have one once another is known: then there is
    a new cleaner.

    Args:
        told: Values that are secrets, by where they are known from.
        patterns: More kinds of secrets.
        scan: Finds the usual kinds.
    """

    def __init__(
        self,
        told: tuple[Iterable[str], ...],
        patterns: Sequence[tuple[str, re.Pattern[str]]],
        scan: Callable[[str], Iterable[Match]],
    ) -> None:
        self.told = told
        long_enough = {secret for secret in chain(*told) if len(secret) >= MIN_LENGTH}
        longest_first = sorted(long_enough, key=len, reverse=True)  # one may contain another
        self._secrets = [(secret, rarest_of(secret)) for secret in longest_first]
        self._patterns = patterns
        self._scan = scan
        self.known_good = KnownGood()
        self.rules = Rules(self._leaves, hides_nothing)

    def __call__(self, text: str) -> str:
        if text in self.known_good.texts:
            return text
        cleaned = self._clean(text)
        if cleaned is text:
            self.known_good.remember(text)
        return cleaned

    def _leaves(self, text: str) -> bool:
        """Say whether a text stays as it is.

        One that takes its time is remembered: if it is not the only one in its span, and another
        is to be changed, it will be asked for again.
        """
        return (self._clean(text) if len(text) < _QUICKLY_DONE else self(text)) is text

    def _clean(self, text: str) -> str:
        if len(text) < MIN_LENGTH:
            return text
        for secret, rare in self._secrets:
            for character in rare:
                if character not in text:
                    break
            else:  # only now the search that takes its time, once for each secret
                if secret in text:
                    text = text.replace(secret, "[redacted:known]")
        if not (self._patterns or (len(text) >= _SHORTEST and may_match(text))):
            return text
        found = [match for match in self._scan(text) if text[match[0]] != "["]
        for name, pattern in self._patterns:
            found += [(*match.span(), name) for match in pattern.finditer(text)]
        return _replaced(text, found) if found else text


_environment = EnvironmentSecrets()


def clean_text(text: str) -> str:
    """Remove secrets from a text that is not part of a span, such as a message to be logged.

    Args:
        text: The text.
    """
    told = (_environment(), remembered_secrets())
    return _Cleaner(told, (), fast_matches() or matches)(text)


def _constant(values: _Values) -> Callable[[], _Values]:
    return lambda: values


def _replaced(text: str, found: list[Match]) -> str:
    """Put markers in the place of secrets; of two that overlap, one marker covers both."""
    found.sort()
    parts: list[str] = []
    done = 0
    covered = 0
    for begin, end, name in found:
        if begin >= covered:
            parts += (text[done:begin], f"[redacted:{name}]")
        covered = done = max(covered, end)
    parts.append(text[done:])
    return "".join(parts)


_key_answers: dict[str, bool] = {}
_MAX_KEY_ANSWERS: Final = 4_096


def is_secret_key(key: str) -> bool:
    """Say whether what is filed under a key is a secret.

    Args:
        key: A key of a mapping, a header's or attribute's name.
    """
    answer = _key_answers.get(key)
    if answer is None:
        plain = re.sub(r"[^a-z]", "", key.lower())
        answer = _SECRET_KEY.search(plain) is not None
        if len(_key_answers) < _MAX_KEY_ANSWERS:
            _key_answers[key] = answer
    return answer


def hides_nothing(key: str) -> bool:
    """Say whether what is under a key may be shown, if there is no secret in it.

    Args:
        key: The key.
    """
    return not is_secret_key(key)


def map_texts(
    span: Span,
    change: TextChange,
    *,
    hide_key: Callable[[str], bool] | None = None,
    known: KnownGood | None = None,
) -> Span:
    """Apply a change to every text of a span.

    Args:
        span: The span.
        change: Takes a text and returns one; the very same where nothing is to change.
        hide_key: Says of a key whether all texts under it are to be replaced.
        known: What is known not to change: looking is quicker than calling.

    Returns:
        The span, the very same if nothing changed.
    """
    walk = _Walk(change, hide_key or _nothing_is_hidden, known or KnownGood())
    return replaced(
        span,
        name=change(span.name),
        status=_changed_status(span.status, change),
        inputs=walk.value(span.inputs),
        outputs=walk.value(span.outputs),
        attributes=walk.value(span.attributes),
        events=_changed_events(span.events, walk),
        resource=walk.value(span.resource),
    )


def _nothing_is_hidden(_key: str) -> bool:
    return False


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


def _changed_events(events: tuple[Event, ...], walk: _Walk) -> tuple[Event, ...]:
    changed = tuple(
        Event(walk.change(event.name), event.time_ns, walk.value(event.attributes))
        for event in events
    )
    same = all(
        new.attributes is old.attributes and new.name is old.name
        for new, old in zip(changed, events, strict=True)
    )
    return events if same else changed


class _Walk:
    """Goes through a value and copies only what changes."""

    def __init__(
        self, change: TextChange, hide_key: Callable[[str], bool], known: KnownGood
    ) -> None:
        self.change = change
        self._hide_key = hide_key
        self._texts, self._keys = known.texts, known.keys

    def value(self, value: Value) -> Any:
        if isinstance(value, str):
            return value if value in self._texts else self.change(value)
        if type(value) in PLAIN_TYPES:
            return value
        if isinstance(value, (dict, Mapping)):  # asking a dict for Mapping alone is slow
            return self._mapping(value)
        if isinstance(value, (tuple, list)):
            return self._sequence(value)
        return value

    def _sequence(self, value: Sequence[Value]) -> Sequence[Value]:
        changed = tuple([self.value(item) for item in value])
        return value if all(map(is_, changed, value)) else changed

    def _mapping(self, value: Mapping[str, Value]) -> Mapping[str, Value]:
        texts, keys = self._texts, self._keys
        changed: dict[str, tuple[str, Value]] = {}
        for key, item in value.items():
            cls = type(item)
            if key in keys:
                if cls in PLAIN_TYPES or (cls is str and item in texts):
                    continue
                new_key, new = key, self.value(item)
            else:
                new_key, new = self._unknown(key, item)
            if new is not item or new_key is not key:
                changed[key] = new_key, new
        if not changed:
            return value
        return dict(changed.get(key, (key, item)) for key, item in value.items())

    def _unknown(self, key: str, item: Value) -> tuple[str, Value]:
        """Look at a key that has not been seen before, or that hides what is under it."""
        new_key = self.change(key)
        if self._hide_key(key):
            return new_key, _hidden(item)
        if new_key is key and len(self._keys) < MOST_KEYS:
            self._keys.add(key)
        return new_key, self.value(item)


def _hidden(value: Value) -> Value:
    """Replace every text in a value."""
    if isinstance(value, str):
        return value if len(value) <= _KEPT_SHORT else "[redacted:by name]"
    if isinstance(value, Mapping):
        return {key: _hidden(item) for key, item in value.items()}
    if isinstance(value, (tuple, list)):
        return tuple(_hidden(item) for item in value)
    return value


@functools.cache  # one that is not there is looked for anew by each import, on whichever thread
def fast_matches() -> Callable[[str], Iterable[Match]] | None:
    """Return the search by google-re2, of the extra ``fast``, if it is installed."""
    try:
        from trace_core._processors import re2 as _re2
    except ImportError:
        return None
    return _re2.matches
