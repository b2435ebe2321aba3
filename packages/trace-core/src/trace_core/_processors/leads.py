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

from trace_core._processors.budget import Place
from trace_core._processors.near import ALL_NAMES

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
_PIECE: Final = 4_096
"""Characters that are looked at before it is known whether what follows is withheld."""
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
_LEAST_BEFORE: Final = 10
"""Characters that tell whether there is a number before a word."""


@functools.cache
def _words(joined: bool, numbers: bool) -> re.Pattern[bytes]:
    """Return a pattern for words with a letter and a digit that are as long as passwords.

    Args:
        joined: Whether words may be joined; of those that are, the first two such are found. If
            not, a word is found with the blank before it.
        numbers: Whether to find words behind a number: logs are full of those.
    """
    behind = b"" if numbers else b"(?!(?<=1 )(?:%s))" % _NUMBERS
    if not joined:
        return re.compile(rb"( %s%s%s)" % (_NUMBERED, behind, _WORD))
    word = rb"%s%s(%s)" % (_JOINED, _NUMBERED, _WORD)
    some = rb"(?=[a\-+%]*1)"  # most have no digit, which is told soonest
    return re.compile(rb" %s%s%s(?:[+%%]%s)?[a1\-+%%]*" % (some, behind, word, word))


def kinds_of(data: bytes) -> bytes:
    """Return the kinds of characters, with a blank before and behind: a word begins where one is.

    Args:
        data: A text, a byte for each character.
    """
    return b" %s " % data.translate(_KINDS)


def pieces(kinds: bytes, near: Sequence[Place]) -> Iterator[Place]:
    """Cut places into pieces, but no word in two: most of what is withheld is not looked at.

    Args:
        kinds: What `kinds_of` returns for the text.
        near: The places.
    """
    done = 0
    for begin, end in near:
        done = max(done, begin)
        while done < end:
            until = min(done + _PIECE, end)
            until = max(until, kinds.find(b" ", until))
            yield done, until
            done = until


def led_words(folded: str, kinds: bytes, piece: Place) -> list[Place]:
    """Find words that something may lead to.

    Args:
        folded: The text in lower case.
        kinds: What `kinds_of` returns for it.
        piece: Where to look.

    Returns:
        Words with a letter and a digit that are as long as passwords, in order.
    """
    begin, end = piece[0], min(piece[1], len(folded))
    if kinds.find(b"1", begin, end + 1) < 0:
        return []
    some = folded[max(0, begin - BEFORE) : end]
    options, backwards = " -" in some, some[::-1]
    lead = _lead(options, "<" in some, any(map(some.__contains__, _OF))).match
    numbers = options or not some.isascii()
    if kinds.find(b"+", begin, end) < 0:
        starts, ends = _alone(kinds, begin, end + 1, _words(joined=False, numbers=numbers))
        led = map(lead, repeat(backwards), map(sub, repeat(end), starts))
        return list(compress(zip(starts, ends, strict=True), led))
    every = list(_words(joined=True, numbers=numbers).finditer(kinds, begin, end + 1))
    found = [one.span(1) for one in every if lead(backwards, end + 1 - one.start(1))]
    # A sign before the first word belongs to what is joined, and to no word alone.
    both = [one for one in every if one[2] and kinds[one.start(1)] == ord("-")]
    found += [one.span(2) for one in both if lead(backwards, end + 1 - one.start(2))]
    return [(first - 1, last - 1) for first, last in sorted(found)]


def _alone(
    kinds: bytes, begin: int, end: int, words: re.Pattern[bytes]
) -> tuple[Sequence[int], Sequence[int]]:
    """Return where words begin in the text, and where they end: to split takes half as long."""
    before = max(0, begin - _LEAST_BEFORE)
    places = list(accumulate(map(len, words.split(kinds[before:end])), initial=before))
    starts, ends = places[1::2], places[2::2]
    some = bisect_left(starts, begin)
    return starts[some:-1], [place - 1 for place in ends[some:]]


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
