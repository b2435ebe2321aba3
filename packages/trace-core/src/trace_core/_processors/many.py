"""Finds out what is to change in a span: a search in many texts at once costs less than in each."""

from __future__ import annotations

import sys
from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import accumulate, compress, count
from operator import add
from typing import Final, NamedTuple, TypeAlias

from trace_core._processors.budget import UNJUDGED, Match
from trace_core._processors.by_name import PARTS, UNJUDGED_NAME, filed_under, has_part

MANY: Final = 1_000
"""Texts that are searched as one."""
BETWEEN: Final = "\n\0\n"
"""Between two texts that are searched as one: no pattern matches it, and no name has it behind."""
_NUL: Final = "\0"
_MARK: Final = "\1"
_BUT_MARKS: Final = bytes({*range(256)} - {*b"\0\1"})
_BUT_SIGNS: Final = bytes({*range(256)} - {*b"\x000123456789=:"})
_LONGEST_WITHHELD: Final = 4_096
"""Characters of a text that is withheld as a whole, not in part."""
_JUDGED: Final = 1_000
"""Names of secrets in a span that are told from one another."""
_LONGEST_NAME: Final = 64
"""Characters; longer texts are not looked at for whether they are names."""


class Changed(NamedTuple):
    """What becomes of some texts.

    Args:
        texts: Those that change, with what they become.
        told: Secrets in them that may stand in other texts without what told them here.
    """

    texts: Mapping[str, str]
    told: Sequence[str] = ()


Change: TypeAlias = Callable[[Sequence[str]], Changed]
"""Takes texts and changes some."""


def one_by_one(texts: Iterable[str], change: Callable[[str], str | None]) -> Changed:
    """Change each of some texts on its own.

    Args:
        texts: The texts.
        change: Takes a text and returns another, or ``None`` where nothing is to change.
    """
    return Changed({text: new for text in texts if (new := change(text)) is not None})


def of_length(texts: Sequence[str], least: int, most: int = sys.maxsize) -> Sequence[str]:
    """Return the texts that are neither shorter nor longer, which are mostly all: told at once.

    Args:
        texts: The texts.
        least: Characters.
        most: Characters.
    """
    lengths = set(map(len, texts))
    if min(lengths, default=least) >= least and max(lengths, default=most) <= most:
        return texts
    return [text for text in texts if least <= len(text) <= most]


def names_among(texts: Sequence[str]) -> dict[str, str]:
    """Return the names of secrets, with the kinds of secrets; of too many, without.

    Args:
        texts: The texts.
    """
    names = list(_with_parts(of_length(texts, 0, _LONGEST_NAME)))
    judged = {name: kind for name in names[:_JUDGED] if (kind := filed_under(name))}
    return judged | dict.fromkeys(names[_JUDGED:], UNJUDGED_NAME)


def _with_parts(texts: Sequence[str]) -> Iterable[str]:
    """Return the texts that hold a part of a secret's name."""
    joined = _joined(texts).lower()
    if not has_part(joined):  # as of most spans: their new texts are ids
        return ()
    joined = joined.replace(_MARK, " ")
    for part in PARTS:  # to look for one in all of the texts is faster than for any
        joined = joined.replace(part, _MARK)
    return _having(texts, joined, _BUT_MARKS)


def with_signs(texts: Sequence[str]) -> Iterable[str]:
    """Return the texts that hold a digit or what stands between a name and a value.

    Args:
        texts: The texts.
    """
    return _having(texts, _joined(texts), _BUT_SIGNS)


def _joined(texts: Sequence[str]) -> str:
    joined = _NUL.join(texts)
    if joined.count(_NUL) >= len(texts):  # there is one in a text
        joined = _NUL.join([text.replace(_NUL, " ") for text in texts])
    return joined


def _having(texts: Sequence[str], joined: str, others: bytes) -> Iterable[str]:
    """Return the texts of which something is left without some characters, all of them joined."""
    return compress(texts, joined.encode("ascii", "replace").translate(None, others).split(b"\0"))


def _starts(texts: Sequence[str]) -> list[int]:
    """Return where texts begin when they are joined, and where one more would."""
    return list(map(add, accumulate(map(len, texts), initial=0), count(0, len(BETWEEN))))


def spread(
    texts: Sequence[str], matches: Sequence[Match]
) -> tuple[dict[str, list[Match]], list[str]]:
    """Tell which of some texts, joined by `BETWEEN`, have matches, and where in them.

    Args:
        texts: The texts, each once.
        matches: Where something was found in all of them joined.

    Returns:
        The matches in each text that has some, and the texts that were not judged.
    """
    starts = _starts(texts) if matches else []
    found: dict[str, list[Match]] = {}
    unjudged = bytearray(len(texts))
    for begin, end, kind in matches:
        first = bisect_right(starts, begin) - 1
        last = min(bisect_right(starts, end - 1), len(texts))
        some: Iterable[int] = range(first, last)
        if kind == UNJUDGED:  # only the outer ones may be withheld in part
            unjudged[first + 1 : last - 1] = b"\1" * (last - first - 2)
            some = {first, last - 1}
        for index in some:
            start, length = starts[index], len(texts[index])
            if kind == UNJUDGED and length <= _LONGEST_WITHHELD:
                unjudged[index] = True
                continue
            inside = (max(0, begin - start), min(length, end - start), kind)
            if inside[0] < inside[1]:
                found.setdefault(texts[index], []).append(inside)
    return found, list(compress(texts, unjudged))
