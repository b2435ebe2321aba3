"""Removes secrets from a text: known values, and what looks like one.

Depends on nothing that logs, because logging uses it.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import compress
from operator import not_
from typing import Final

from trace_core._processors.budget import UNJUDGED, Match
from trace_core._processors.known import Known
from trace_core._processors.look import LONGEST_SEEN
from trace_core._processors.many import BETWEEN, MANY, Changed, of_length, spread, with_signs
from trace_core._processors.scan import SHORTEST_KEY, find
from trace_core._processors.secrets import MIN_LENGTH, environment_secrets, remembered_secrets
from trace_core._processors.told import replaced, told_by, told_places

_CACHED_TEXTS: Final = 2_048
_MUCH: Final = 32 * 1024
"""Characters of texts that are searched as one, however few they are."""
_LONGEST_VALUE: Final = 16 * 1024
"""Characters of a value that goes on behind what is withheld, at the most."""
_ENDS_VALUE: Final = re.compile(r"[\s\"']")
_REPEATED: Final = re.compile(r"(?s).([xX*#0-9])\1{7}$")


class Cleaner:
    """Removes secrets from texts.

    Args:
        known: Values that are secrets.
        patterns: More kinds of secrets: what to call each, and what it looks like.

    Attributes:
        cached: The same as `clean` with a cache. Names, models and system prompts come again with
            every call: looking them up costs a fraction of a search.
    """

    def __init__(
        self, known: Iterable[str] = (), patterns: Mapping[str, re.Pattern[str]] | None = None
    ) -> None:
        self._known = Known(known)
        self._patterns = dict(patterns or {})
        self._shortest = 1 if patterns else MIN_LENGTH
        self.cached = functools.lru_cache(maxsize=_CACHED_TEXTS)(self.clean)

    def clean(self, text: str) -> tuple[str, tuple[str, ...]] | None:
        """Return the text with markers in the place of secrets; ``None`` if there are none.

        Args:
            text: The text.

        Returns:
            The text, and secrets of it that may stand elsewhere without what told them here.
        """
        if len(text) < self._shortest:
            return None
        cleaned = self._known.without(text)
        found = _found(cleaned)
        told = _told(cleaned, found)
        found += self._own(cleaned)
        if found:
            return replaced(cleaned, found), told
        return None if cleaned is text else (cleaned, told)

    def change(self, texts: Sequence[str]) -> Changed:
        """Return those of some texts that change, with what they become, and what they tell.

        Args:
            texts: The texts.
        """
        # What is allowed is allowed to all of them: one by one, many could take long.
        together = len(texts) > MANY or sum(map(len, texts)) > _MUCH
        return self.change_many(texts) if together else self._change_each(texts)

    def _change_each(self, texts: Iterable[str]) -> Changed:
        changed, told = {}, list[str]()
        for text in texts:
            cleaned = (self.cached if len(text) <= LONGEST_SEEN else self.clean)(text)
            if cleaned is not None:
                changed[text] = cleaned[0]
                told += cleaned[1]
        return Changed(changed, told)

    def change_many(self, texts: Sequence[str]) -> Changed:
        """Do the same by a search in all of them at once.

        Args:
            texts: The texts.
        """
        some = of_length(texts, self._shortest)
        known, _ = spread(some, list(self._known.places(BETWEEN.join(some))))
        first = {text: replaced(text, places) for text, places in known.items()}
        changed = self._change_joined(
            list(dict.fromkeys(map(first.get, some, some))) if first else some
        )
        both = {text: changed.texts.get(cleaned, cleaned) for text, cleaned in first.items()}
        return changed._replace(texts={**changed.texts, **both})

    def _change_joined(self, texts: Sequence[str]) -> Changed:
        some = _with_more_than_a_word(texts)
        joined = BETWEEN.join(some)
        matches = _found(joined)
        found, unjudged = spread(some, matches)
        for text in texts if self._patterns else ():
            if own := self._own(text):
                found.setdefault(text, []).extend(own)
        # Few secrets have neither a digit nor a sign before them.
        changed = dict.fromkeys(with_signs(unjudged), f"[redacted:{UNJUDGED}]")
        for text, places in found.items():
            changed.setdefault(text, replaced(text, places))
        return Changed(changed, [one for one in _told(joined, matches) if BETWEEN not in one])

    def _own(self, text: str) -> list[Match]:
        """Return what patterns of the user find in a text."""
        some = self._patterns.items()
        return [(*one.span(), name) for name, own in some for one in own.finditer(text)]


def _with_more_than_a_word(texts: Sequence[str]) -> list[str]:
    """Return the texts that may hold secrets; a short word is no key, and no name stands in it."""
    are_words = list(map(str.isidentifier, texts))
    words, some = list(compress(texts, are_words)), list(compress(texts, map(not_, are_words)))
    some += of_length(words, SHORTEST_KEY)
    if not "".join(words).isascii():
        some += [word for word in words if len(word) < SHORTEST_KEY and not word.isascii()]
    return some


def _found(text: str) -> list[Match]:
    """Find secrets in a text that are neither markers nor placeholders: ``AKIAXXXXXXXXXXXX``."""
    return [
        (begin, _end_of_value(text, end) if kind == UNJUDGED else end, kind)
        for begin, end, kind in find(text)
        if text[begin] != "[" and (kind == UNJUDGED or not _REPEATED.match(text, end - 9, end))
    ]


def _end_of_value(text: str, end: int) -> int:
    """Return where a value ends that may go on behind what is withheld."""
    most = min(len(text), end + _LONGEST_VALUE)
    found = _ENDS_VALUE.search(text, end, most)
    return most if found is None else found.start()


def _told(text: str, found: Iterable[Match]) -> tuple[str, ...]:
    parts = dict.fromkeys((kind, text[begin:end]) for begin, end, kind in found)
    return tuple(one for kind, secret in parts for one in told_by(kind, secret))


def clean_text(text: str) -> str:
    """Remove secrets from a text that is not part of a span, such as a message to be logged.

    Args:
        text: The text.
    """
    cleaned = Cleaner((*environment_secrets(), *remembered_secrets())).clean(text)
    if cleaned is None:
        return text
    return replaced(cleaned[0], list(told_places(*cleaned)))
