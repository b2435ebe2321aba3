"""Removes secrets from a text: known values, and what looks like one.

Depends on nothing that logs, because logging uses it.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice
from typing import Final

from trace_core._processors.assignments import ASSIGNED
from trace_core._processors.budget import UNJUDGED, Match
from trace_core._processors.known import Known
from trace_core._processors.many import BETWEEN, spread
from trace_core._processors.near import all_places
from trace_core._processors.scan import find
from trace_core._processors.secrets import MIN_LENGTH, environment_secrets, remembered_secrets
from trace_core._processors.values import DIGIT

_CACHED_TEXTS: Final = 2_048
_JUDGED_ALONE: Final = 100
"""Texts that are searched alone after all, where too much was found in all together."""
_LONGEST_JOINED: Final = 4_096
"""Characters of a text that is searched together with others."""
_REPEATED: Final = re.compile(r"(?s).([xX*#0-9])\1{7}$")
_MOST_TOLD: Final = 16
"""Secrets that are looked for elsewhere in their text, each at so many ..."""
_MOST_PLACES: Final = 1_000
"""... places."""


class Cleaner:
    """Removes secrets from texts.

    Args:
        known: Values that are secrets.
        patterns: More kinds of secrets: what to call each, and what it looks like.

    Attributes:
        cached: The same as `change` with a cache. Names, models and system prompts come again with
            every call: looking them up costs a fraction of a search.
    """

    def __init__(
        self, known: Iterable[str] = (), patterns: Mapping[str, re.Pattern[str]] | None = None
    ) -> None:
        self._known = Known(known)
        self._patterns = dict(patterns or {})
        self._shortest = 1 if patterns else MIN_LENGTH
        self.cached = functools.lru_cache(maxsize=_CACHED_TEXTS)(self.change)

    def change(self, text: str) -> str | None:
        """Return the text with markers in the place of secrets; ``None`` if there are none.

        Args:
            text: The text.
        """
        if len(text) < self._shortest:
            return None
        cleaned = self._known.without(text)
        found = _found(cleaned)
        for name, pattern in self._patterns.items():
            found += [(*match.span(), name) for match in pattern.finditer(cleaned)]
        if found:
            cleaned = _replaced(cleaned, found)
        return None if cleaned is text else cleaned

    @property
    def joins(self) -> bool:
        """Whether texts may be searched as one: a pattern of the user's may look at its ends."""
        return not self._patterns

    def change_many(self, texts: Sequence[str]) -> dict[str, str]:
        """Return those of some texts that change, with what they become.

        Args:
            texts: The texts.
        """
        changed = {}
        short = [text for text in texts if MIN_LENGTH <= len(text) <= _LONGEST_JOINED]
        for text in [text for text in texts if len(text) > _LONGEST_JOINED]:
            if (new := self.change(text)) is not None:
                changed[text] = new
        joined = BETWEEN.join(short)
        matches = chain(_found(joined), self._known.places(joined))
        found, unjudged = spread(short, list(matches))
        for index, places in found.items():
            changed[short[index]] = _replaced(short[index], places)
        some = sorted(unjudged)
        for index in some[:_JUDGED_ALONE]:
            new = self.change(short[index])
            if new is not None:
                changed[short[index]] = new
        # Few secrets have no digit.
        left = filter(DIGIT.match, [short[index] for index in some[_JUDGED_ALONE:]])
        return {**changed, **dict.fromkeys(left, f"[redacted:{UNJUDGED}]")}


def _found(text: str) -> list[Match]:
    """Find secrets in a text that are neither markers nor placeholders: ``AKIAXXXXXXXXXXXX``."""
    return [
        (begin, end, kind)
        for begin, end, kind in find(text)
        if text[begin] != "[" and (kind == UNJUDGED or not _REPEATED.match(text, end - 9, end))
    ]


def _elsewhere(text: str, found: Iterable[Match]) -> Iterator[Match]:
    """Find the secrets that their names tell where they stand again without."""
    told = dict.fromkeys(text[begin:end] for begin, end, kind in found if kind == ASSIGNED)
    secrets = (one for one in told if len(one) >= MIN_LENGTH and DIGIT.match(one))
    for secret in islice(secrets, _MOST_TOLD):
        for at in islice(all_places(text, secret, len(secret)), _MOST_PLACES):
            end = at + len(secret)
            if not (text[at - 1 : at].isalnum() or text[end : end + 1].isalnum()):
                yield at, end, ASSIGNED


def _replaced(text: str, found: list[Match]) -> str:
    """Put markers in the place of secrets; where two overlap, one marker covers both."""
    found += _elsewhere(text, tuple(found))
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


def clean_text(text: str) -> str:
    """Remove secrets from a text that is not part of a span, such as a message to be logged.

    Args:
        text: The text.
    """
    cleaned = Cleaner((*environment_secrets(), *remembered_secrets())).change(text)
    return text if cleaned is None else cleaned
