"""Goes through a span with many texts at once: a search in all costs less than one in each."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import accumulate, chain
from typing import Any, Final, TypeAlias

import attrs

from trace_core._processors.budget import Match
from trace_core._processors.by_name import UNJUDGED, filed_under, may_be_name, named_pair
from trace_core._processors.look import Look

ChangeMany: TypeAlias = Callable[[Sequence[str]], "dict[str, str]"]
"""Takes texts and returns those that change, with what they become."""
MANY: Final = 1_000
"""Texts and containers of a span."""
BETWEEN: Final = "\n\0\n\0\n"
"""Between two texts that are searched as one: no pattern matches it, and no name has it behind."""
_JUDGED: Final = 2_000
"""Names of secrets in a span that are told from one another."""
_LONGEST_NAME: Final = 64
"""Characters; longer texts are not looked at for whether they are names."""
_SEVERAL: Final = 64
"""Items of a list that may hold names and values by turns."""


@attrs.define
class Findings:
    """What is to change in a span.

    Args:
        texts: Texts that change, with what they become.
        special: The keys of mappings that may hide something.
        names: The names of secrets, among keys and texts, with the kinds of secrets.
    """

    texts: Mapping[str, str]
    special: frozenset[tuple[str, ...]]
    names: Mapping[str, str]
    _left: int = _JUDGED

    def has_names(self, items: Sequence[Any]) -> bool:
        """Return whether a list holds the name of a secret."""
        return any(type(one) is str and one in self.names for one in items[:_SEVERAL])

    def filed_under(self, name: str, /) -> str | None:
        """Return what kind of secret is filed under a name."""
        kind = self.names.get(name)
        if kind is not None:
            self._left -= 1
        return kind if kind is None or self._left > 0 else UNJUDGED


def look_through(found: Look, change: ChangeMany, *, by_name: bool) -> Findings | None:
    """Find out what is to change in a span with many texts.

    Args:
        found: What the span holds.
        change: Returns the texts that change.
        by_name: Whether what is filed under the names of secrets is hidden.

    Returns:
        What is to change; ``None`` if nothing is.
    """
    mappings = frozenset(found.keys)
    keys = frozenset(chain.from_iterable(mappings))
    everything = dict.fromkeys(chain(found.texts, keys))
    texts = change(list(everything))
    names = _names(everything) if by_name else {}
    concerned = keys.intersection(chain(names, texts))
    special = frozenset(
        one
        for one in mappings
        if not concerned.isdisjoint(one) or (by_name and named_pair(one) is not None)
    )
    return Findings(texts, special, names) if texts or special or names else None


def _names(texts: Iterable[str]) -> dict[str, str]:
    """Return the names of secrets, with the kinds of secrets; of too many, without."""
    found: dict[str, str] = {}
    for name in filter(may_be_name, [text for text in texts if len(text) <= _LONGEST_NAME]):
        kind = filed_under(name) if len(found) < _JUDGED else UNJUDGED
        if kind is not None:
            found[name] = kind
    return found


def spread(texts: Sequence[str], matches: Iterable[Match]) -> dict[int, list[Match]]:
    """Tell which of some texts, joined by `BETWEEN`, have matches, and where in them.

    Args:
        texts: The texts.
        matches: Where something was found in all of them joined.
    """
    starts = list(accumulate((len(text) + len(BETWEEN) for text in texts), initial=0))
    found: dict[int, list[Match]] = {}
    for begin, end, kind in matches:
        index = bisect_right(starts, begin) - 1
        while index < len(texts) and starts[index] < end:
            start, length = starts[index], len(texts[index])
            inside = (max(0, begin - start), min(length, end - start), kind)
            if inside[0] < inside[1]:
                found.setdefault(index, []).append(inside)
            index += 1
    return found
