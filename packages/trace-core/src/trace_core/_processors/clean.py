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
from trace_core._processors.many import BETWEEN, MANY, Changed, of_length, spread, with_digits
from trace_core._processors.scan import SHORTEST_KEY, find
from trace_core._processors.secrets import MIN_LENGTH, environment_secrets, remembered_secrets
from trace_core._processors.told import replaced, told_by, told_places

_CACHED_TEXTS: Final = 2_048
_JUDGED_ALONE: Final = 100
"""Texts that are searched alone after all, where too much was found in all together."""
_LONGEST_JOINED: Final = 4_096
"""Characters of a text that is searched together with others."""
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
        for name, pattern in self._patterns.items():
            found += [(*match.span(), name) for match in pattern.finditer(cleaned)]
        if found:
            return replaced(cleaned, found), told
        return None if cleaned is text else (cleaned, told)

    def change(self, texts: Sequence[str]) -> Changed:
        """Return those of some texts that change, with what they become, and what they tell.

        Args:
            texts: The texts.
        """
        # A pattern of the user's may look at the ends of a text.
        together = len(texts) > MANY and not self._patterns
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
        short = of_length(texts, MIN_LENGTH, _LONGEST_JOINED)
        alone = [] if short is texts else [one for one in texts if len(one) > _LONGEST_JOINED]
        known, _ = spread(short, list(self._known.places(BETWEEN.join(short))))
        first = {text: replaced(text, places) for text, places in known.items()}
        left = list(dict.fromkeys(map(first.get, short, short))) if first else short
        changed = self._change_joined(left, alone)
        if not first:
            return changed
        both = {text: changed.texts.get(cleaned, cleaned) for text, cleaned in first.items()}
        return changed._replace(texts={**changed.texts, **both})

    def _change_joined(self, short: Sequence[str], alone: Sequence[str]) -> Changed:
        # A short word of letters and digits is neither a key nor what a name stands in.
        are_words = list(map(str.isidentifier, short))
        words, some = list(compress(short, are_words)), list(compress(short, map(not_, are_words)))
        some += of_length(words, SHORTEST_KEY, _LONGEST_JOINED)
        if not "".join(words).isascii():
            some += [word for word in words if len(word) < SHORTEST_KEY and not word.isascii()]
        joined = BETWEEN.join(some)
        matches = _found(joined)
        told = [one for one in _told(joined, matches) if BETWEEN not in one]
        found, unjudged = spread(some, matches)
        left = with_digits(unjudged[_JUDGED_ALONE:])  # few secrets have no digit
        changed = dict.fromkeys(left, f"[redacted:{UNJUDGED}]")
        for text, places in found.items():
            changed.setdefault(text, replaced(text, places))
        each = self._change_each((*alone, *unjudged[:_JUDGED_ALONE]))
        changed.update(each.texts)
        return Changed(changed, [*told, *each.told])


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
