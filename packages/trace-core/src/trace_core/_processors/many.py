"""Finds out what is to change in a span: a search in many texts at once costs less than in each."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import accumulate
from typing import Final, TypeAlias

from trace_core._processors.budget import UNJUDGED, Match
from trace_core._processors.by_name import PARTS, UNJUDGED_NAME, filed_under, has_part

ChangeMany: TypeAlias = Callable[[Sequence[str]], "dict[str, str]"]
"""Takes texts and returns those that change, with what they become."""
BETWEEN: Final = "\n\0\n\0\n"
"""Between two texts that are searched as one: no pattern matches it, and no name has it behind."""
_JUDGED: Final = 1_000
"""Names of secrets in a span that are told from one another."""
_LONGEST_NAME: Final = 64
"""Characters; longer texts are not looked at for whether they are names."""


def names_among(texts: Iterable[str]) -> dict[str, str]:
    """Return the names of secrets, with the kinds of secrets; of too many, without.

    Args:
        texts: The texts.
    """
    short = [text for text in texts if len(text) <= _LONGEST_NAME]
    if not has_part(BETWEEN.join(short).lower()):  # as of most spans: their new texts are ids
        return {}
    some = short if len(short) < _JUDGED else _with_parts(short)
    names = [text for text in some if has_part(text.lower())]
    found = {name: kind for name in names[:_JUDGED] if (kind := filed_under(name)) is not None}
    return {**found, **dict.fromkeys(names[_JUDGED:], UNJUDGED_NAME)}


def _with_parts(texts: Sequence[str]) -> Sequence[str]:
    """Return the texts that may hold a part of a secret's name, which mostly are few."""
    joined = BETWEEN.join(texts).lower()
    if len(joined) != sum(map(len, texts)) + len(BETWEEN) * (len(texts) - 1):
        return texts  # in lower case some letter becomes two
    parts = [part for part in PARTS if part in joined]
    if sum(map(joined.count, parts)) > len(texts) // 4:
        return texts
    starts = _starts(texts)
    indexes = {bisect_right(starts, at) - 1 for part in parts for at in _all_places(joined, part)}
    return [texts[index] for index in sorted(indexes) if index < len(texts)]


def _all_places(joined: str, part: str) -> Iterator[int]:
    at = joined.find(part)
    while at >= 0:
        yield at
        at = joined.find(part, at + len(part))


def _starts(texts: Sequence[str]) -> list[int]:
    joined = accumulate(map(len, texts), initial=0)
    return [length + index * len(BETWEEN) for index, length in enumerate(joined)]


def spread(
    texts: Sequence[str], matches: Iterable[Match]
) -> tuple[dict[int, list[Match]], set[int]]:
    """Tell which of some texts, joined by `BETWEEN`, have matches, and where in them.

    Args:
        texts: The texts.
        matches: Where something was found in all of them joined.

    Returns:
        The matches in a text by its index, and the indexes of texts that were not judged.
    """
    starts = _starts(texts)
    found: dict[int, list[Match]] = {}
    unjudged: set[int] = set()
    for begin, end, kind in matches:
        first = bisect_right(starts, begin) - 1
        last = min(bisect_right(starts, end - 1), len(texts))
        if kind == UNJUDGED:
            unjudged.update(range(first, last))
            continue
        for index in range(first, last):
            start, length = starts[index], len(texts[index])
            inside = (max(0, begin - start), min(length, end - start), kind)
            if inside[0] < inside[1]:
                found.setdefault(index, []).append(inside)
    return found, unjudged
