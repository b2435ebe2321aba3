"""Removes secrets from a text: known values, and what looks like one.

Depends on nothing that logs, because logging uses it.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from trace_core._processors.budget import UNJUDGED, Match
from trace_core._processors.known import Known
from trace_core._processors.many import BETWEEN, spread
from trace_core._processors.scan import find
from trace_core._processors.secrets import MIN_LENGTH, environment_secrets, remembered_secrets
from trace_core._processors.values import DIGIT

_CACHED_TEXTS: Final = 2_048
_JUDGED_ALONE: Final = 100
"""Texts that are searched alone after all, where too much was found in all together."""
_LONGEST_JOINED: Final = 4_096
"""Characters of a text that is searched together with others."""


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
        found = [match for match in find(cleaned) if cleaned[match[0]] != "["]
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
        matches = [match for match in find(joined) if joined[match[0]] != "["]
        matches += self._known.places(joined)
        found, unjudged = spread(short, matches)
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


def _replaced(text: str, found: list[Match]) -> str:
    """Put markers in the place of secrets; where two overlap, one marker covers both."""
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
