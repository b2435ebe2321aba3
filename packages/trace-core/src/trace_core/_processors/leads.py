"""Tells the words apart that something may lead to: a text may be full of words."""

from __future__ import annotations

import functools
import re
import string
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate, compress, repeat
from operator import sub
from typing import Final

from trace_core._processors.budget import GLANCE, Budget, Place
from trace_core._processors.near import ALL_NAMES, PIECE

JOINED: Final = "+/~!#$%^@"
"""What words are joined by in a password, besides what is in words."""
OF_WORDS: Final = f"{string.ascii_letters}{string.digits}_.-{JOINED}"
"""Characters of words and of what joins words in a password."""
LONGEST_JOINED: Final = 64
"""Characters of a password before the first word in it that has a digit, at the most."""
BEFORE: Final = 120
"""Characters before a value that are looked at."""
SAID: Final = (
    *("is", "was", "are", "now", "you", "provided", "supplied", "given", "used", "passed"),
    *("received", "here", "has", "been", "still", "ist", "lautet", "est", "es", "é", "è", "er"),
    *("är", "jest", "это"),
)
"""Words between a name and its value."""
_SUFFIXES: Final = (
    *("value", "default", "example", "text", "tstring", "tstr", "rd's", "_prod", "_dev", "_live"),
)
_OF: Final = (" for ", " to ", " of ", " für ", " d'", " de ", " di ", " pour ", " para ")
"""What stands between a name and a colon that is not directly behind it."""
_CROWD: Final = 160
"""Words in a piece, at the most, that a text may have all over."""
_ALIKE: Final = {"a": string.ascii_letters, "1": string.digits, "-": "_-.", "%": "%", "+": JOINED}
"""Characters of words and of what joins them, by kind."""
_KINDS: Final = bytes(
    next((ord(kind) for kind, some in _ALIKE.items() if chr(byte) in some), ord(" "))
    for byte in range(256)
)
_NUMBERS: Final = b"|".join(b"(?<= %s )" % (b"1" * digits) for digits in range(1, 8))
_NUMBERED: Final = rb"(?=[1\-]*a)(?=[a\-]*1)"
_WORD: Final = rb"[a1\-]{6,}"
_JOINED: Final = rb"(?:[a1\-]*[+%])*?(?<!%)"
"""Behind a percent sign there are two characters that are no part of a word."""
_NEXT: Final = re.compile(rb"[+%%]%s%s(%s)" % (_JOINED, _NUMBERED, _WORD))
"""A word that is joined to the one before."""
_SIGN: Final = ord("-")
_LEAST_BEFORE: Final = 10
"""Characters that tell whether there is a number before a word."""


@functools.cache
def _words(joined: bool, numbers: bool) -> re.Pattern[bytes]:
    """Return a pattern for words with a letter and a digit that are as long as passwords.

    Args:
        joined: Whether words may be joined; of those that are, the first is found.
        numbers: Whether to find words behind a number: logs are full of those.

    Returns:
        The pattern. A word is found with the blank before it, or with two groups: all that is
        joined before it, with the blank, and the word.
    """
    behind = b"" if numbers else b"(?!(?<=1 )(?:%s))" % _NUMBERS
    if not joined:
        return re.compile(rb"( %s%s%s)" % (_NUMBERED, behind, _WORD))
    some = rb"(?=[a\-+%]*1)"  # most have no digit, which is told soonest
    return re.compile(rb"( %s%s%s%s)(%s)" % (some, behind, _JOINED, _NUMBERED, _WORD))


class Leads:
    """Finds words that something may lead to.

    Args:
        folded: The text in lower case.
        low: The same, a byte for each character.
        budget: Of the text; pieces with a crowd of words and names may be withheld.
    """

    def __init__(self, folded: str, low: bytes, budget: Budget) -> None:
        self._folded, self._budget = folded, budget
        # With a blank before and behind: a word begins where one is.
        self._kinds = b" %s " % low.translate(_KINDS)
        self._of = [one for one in _OF if one in folded]

    def pieces(self, near: Sequence[Place]) -> Iterator[Place]:
        """Cut places into pieces, but no word in two: what is withheld is not looked at.

        Args:
            near: The places.
        """
        done, length = 0, len(self._folded)
        for begin, end in near:
            done, end = max(done, begin), min(end, length)  # noqa: PLW2901
            while done < end:
                until = min(done + PIECE, end)
                until = min(max(until, self._kinds.find(b" ", until)), length)
                if until > self._budget.until:
                    yield done, until
                done = until

    def words(self, piece: Place) -> list[Place]:
        """Return words with a letter and a digit that are as long as passwords, in order.

        Args:
            piece: Where to look.
        """
        kinds, (begin, end) = self._kinds, piece
        if kinds.find(b"1", begin, end + 1) < 0:
            return []
        some = self._folded[max(0, begin - BEFORE) : end]
        options, joined = " -" in some, kinds.find(b"+", begin, end) >= 0
        words = _words(joined, options or not some.isascii())
        starts, ends = _places(kinds, begin, end, words)
        more = list(_next(kinds, starts, ends, end)) if joined else []
        if (looks := len(starts) + len(more)) > _CROWD:
            begin = max(begin, self._budget.until)  # to look before one takes a tenth of a glance
            if not self._budget.allows(begin, end, looks * GLANCE / 10):
                return []
        backwards = some[::-1]
        lead = _lead(options, "<" in some, any(map(some.__contains__, self._of))).match
        led = map(lead, repeat(backwards), map(sub, repeat(end), starts))
        found = list(compress(zip(starts, ends, strict=True), led))
        if more:
            found = sorted([*found, *(one for one in more if lead(backwards, end - one[0]))])
        return found


def _places(
    kinds: bytes, begin: int, end: int, words: re.Pattern[bytes]
) -> tuple[Sequence[int], Sequence[int]]:
    """Return where words begin and end in a text; to split takes half as long as to find each."""
    before, groups = max(0, begin - _LEAST_BEFORE), words.groups
    places = list(accumulate(map(len, words.split(kinds[before : end + 1])), initial=before))
    some = bisect_left(places[1 :: groups + 1], begin) * (groups + 1)
    starts, ends = places[some + groups : -1 : groups + 1], places[some + groups + 1 :: groups + 1]
    # A blank is at the same place as what is behind it in the text.
    return ([at - 1 for at in starts] if groups > 1 else starts), [at - 1 for at in ends]


def _next(kinds: bytes, starts: Sequence[int], ends: Sequence[int], until: int) -> Iterator[Place]:
    """Yield the words that are joined to some that begin with a sign.

    Before what is joined, the sign belongs to all of it; before a word alone, to nothing.
    """
    for at, last in zip(starts, ends, strict=True):
        if kinds[at + 1] == _SIGN and (one := _NEXT.match(kinds, last + 1, until + 1)):
            yield one.start(1) - 1, one.end(1) - 1


def _backwards(words: Iterable[str]) -> str:
    """Return a pattern for any of some words that are read from the end."""
    by_last: dict[str, set[str]] = {}
    for word in words:
        by_last.setdefault(word[-1], set()).add(re.escape(word[-2::-1]))
    lasts = re.escape("".join(by_last))
    some = (f"{re.escape(last)}(?:{'|'.join(sorted(rest))})" for last, rest in by_last.items())
    return f"(?=[{lasts}])(?:{'|'.join(some)})"


_GAP: Final = r"\ \t\r\n\"'`:=>|,\-(\[\]*?.{"
_BETWEEN: Final = rf"{_GAP}\\+"
"""What stands between a name and its value, besides words."""
_GAPS: Final = rf"[{_BETWEEN}]{{0,{BEFORE}}}(?![{_BETWEEN}])"
_TAG: Final = r">[a-z]{1,8}/?<"
_TAGS: Final = rf"(?:(?!\s?>)|(?=(?P<tags>(?:\s?{_TAG}(?:\s{{0,16}}{_TAG}|)|)))(?P=tags))"
"""Two at the most. Once they are matched, nothing shorter is tried."""
_LEADING: Final = _backwards(
    (
        *((name + many)[-3:] for many in ("", "s") for name in ALL_NAMES if name[-1].isascii()),
        *(f" {word}" for word in (*SAID, "by", "to", "auf", "or") if word[-1].isascii()),
        *_SUFFIXES,
    )
)
"""How what leads to a value ends, in ASCII. Most words do not."""
_LEAD: Final = (
    rf"{_GAPS}(?:[0-9][0-9_]{{0,{BEFORE}}}(?![0-9_])|)"
    rf"(?:{_LEADING}|[^\x00-\x7f]|[^{_BETWEEN}]\\"
    rf"|[bfnrut](?=[{_GAP}\\]){_GAPS}(?:{_LEADING}|[^\x00-\x7f]))"  # the b of b"..."
)


@functools.cache
def _lead(options: bool, tags: bool, of: bool) -> re.Pattern[str]:
    """Return a pattern for what leads to a word, in a text that is read from its end.

    Only so can a pattern tell what is before a word: it tries what is nearest to it first.

    Args:
        options: Whether there may be options such as ``-p``.
        tags: Whether there may be some, as of HTML.
        of: Whether there may be something between a name and a colon.
    """
    leads, before, some = [_LEAD], [r"\\"], f"[{re.escape(OF_WORDS)}]"
    if options:
        leads.append("(?s:.{0,22}-[ ])")
        before += "(?<=-)[ ]", "(?s:.{0,24}-[ ])"
    if of:
        leads.append(rf"[ ]?:(?s:.{{0,{BEFORE}}}?){_backwards(_OF)}")
    # Once all that is joined is matched, nothing shorter is tried.
    joined = rf"(?=(?P<joined>[{JOINED}]{some}{{0,{LONGEST_JOINED - 1}}}))(?P=joined)"
    whole = rf"(?:(?!{some})|(?=[a-z]-[ ]|[nrt]\\))"  # or directly behind a flag or an escape
    begin = rf"(?:(?![{JOINED}])|(?!//:|%){joined}{whole}){_TAGS if tags else ''}"
    return re.compile(rf"{'|'.join(before)}|{begin}(?:{'|'.join(leads)})")
