"""Tells the words apart that something may lead to: a text may be full of words."""

from __future__ import annotations

import re
import string
from collections.abc import Iterator, Sequence
from typing import Final

from trace_core._processors.budget import Place
from trace_core._processors.near import ALL_NAMES

_ODD: Final = frozenset("+/~!#$%^@\\")
"""How something may end that leads to a value only if what is before does."""
JOINED: Final = _ODD - {"\\"}
"""What words are joined by in a password, besides what is in words."""
_ALIKE: Final = {"a": string.ascii_letters, "1": string.digits, "-": "_-.", "+": _ODD}
"""Characters of words and of what may be in front of one, by kind."""
_KINDS: Final = bytes(
    next((ord(kind) for kind, some in _ALIKE.items() if chr(byte) in some), ord(" "))
    for byte in range(256)
)
_NUMBERED: Final = rb"(?=[1\-]*a)(?=[a\-]*1)%s[a1\-]{6,}"
_NO_WORD: Final = re.compile(rb"[ +]|\Z")
_ANYWHERE: Final = re.compile(b"[ +]" + _NUMBERED % b"")
"""A word with a letter and a digit that is as long as passwords, by the kinds of its characters."""
_NUMBERS: Final = b"|".join(b"(?<= %s )" % (b"1" * digits) for digits in range(1, 8))
_BEHIND_WORDS: Final = re.compile(b" " + _NUMBERED % (b"(?!(?<=1 )(?:%s))" % _NUMBERS))
"""Such a word, but not one behind a number: logs are full of those."""
SAID: Final = (
    *("is", "was", "are", "now", "you", "provided", "supplied", "given", "used", "passed"),
    *("received", "here", "has", "been", "still", "ist", "lautet", "est", "es", "é", "è", "er"),
    *("är", "jest", "это"),
)
"""Words between a name and its value."""
_GAP: Final = " \t\r\n\"'`:=>|,-([]*?.{"
_BETWEEN: Final = _GAP + "\\+"
"""What stands between a name and its value, besides words."""
_NAME_ENDS: Final = frozenset((name + many)[-3:] for many in ("", "s") for name in ALL_NAMES)
_TAGS: Final = re.compile(r"(?:</?[a-z]{1,8}>\s{0,16}){1,2}\Z")
_SAID_LAST: Final = frozenset((*SAID, "by", "to", "auf", "or"))
_SUFFIXES: Final = (
    *("value", "default", "example", "text", "tstring", "tstr", "rd's", "_prod", "_dev", "_live"),
)
_LAST: Final = _NAME_ENDS.union(
    (f" {word}"[-3:] for word in _SAID_LAST), (suffix[-3:] for suffix in _SUFFIXES), ("",)
)
"""How what stands before a value ends. Most words do not, and are done with at once."""
_OF: Final = (" for ", " to ", " of ", " für ", " d'", " de ", " di ", " pour ", " para ")
"""What stands between a name and a colon that is not directly behind it."""
_SINGLE: Final = frozenset(_GAP + "\\")
"""What stands before a letter on its own: that of an escape, or the prefix of a string."""
_PREFIXES: Final = frozenset("bfnrut")
_NUMBER: Final = "_0123456789"
_MAYBE_LAST: Final = _ODD.union(_PREFIXES, _NUMBER)
TAIL: Final = 24
"""Characters before a word that tell at a glance whether they may lead to it: an option such as
``--proxy-user`` among them."""
_PIECE: Final = 4_096
"""Characters that are looked at before it is known whether what follows is withheld."""


def kinds_of(data: bytes) -> bytes:
    """Return the kinds of characters, with a blank before and behind: a word begins where one is.

    Args:
        data: A text, a byte for each character.
    """
    return b" %s " % data.translate(_KINDS)


def pieces(kinds: bytes, near: Sequence[Place]) -> Iterator[Place]:
    """Cut places into pieces, but no word in two: most of what is withheld is not looked at."""
    done = 0
    for begin, end in near:
        done = max(done, begin)
        while done < end:
            until = min(done + _PIECE, end)
            until = max(until, next(_NO_WORD.finditer(kinds, until)).start())
            yield done, until
            done = until


def may_be_led(padded: str, kinds: bytes, piece: Place) -> list[re.Match[bytes]]:
    """Find words that something may lead to, at a glance: a text may be full of them.

    Args:
        padded: The text in lower case, with `TAIL` blanks before it.
        kinds: What `kinds_of` returns for the text.
        piece: Where in it to look.
    """
    folded = padded[piece[0] : piece[1] + TAIL]
    options, tags, ascii_only = " -" in folded, "<" in folded, folded.isascii()
    of = any(map(folded.__contains__, _OF))
    anywhere = options or tags or not ascii_only or kinds.find(b"+", *piece) >= 0
    return [
        word
        for word in (_ANYWHERE if anywhere else _BEHIND_WORDS).finditer(kinds, *piece)
        if (end := (tail := padded[(at := word.start()) : at + TAIL].rstrip(_GAP))[-3:]) in _LAST
        or (
            (last := end[-1:]) in _MAYBE_LAST
            and (
                last in _ODD
                or (last in _PREFIXES and end[-2:-1] in _SINGLE)
                or (last in _NUMBER and tail.rstrip(_NUMBER)[-3:] in _LAST)
            )
        )
        or (options and " -" in padded[at : at + TAIL + 1])
        or (tags and "<" in tail)
        or (of and padded.endswith(": ", at, at + TAIL))
        or not (ascii_only or end.isascii())
    ]


def may_lead(before: str) -> bool:
    """Return whether some text may lead to a secret; most of it ends in another word."""
    if before[-2:].rstrip()[-1:] == ">":
        before = _TAGS.sub("", before)
    name = before.rstrip(_BETWEEN)
    if name[-1:].isdigit():
        name = name.rstrip(_NUMBER)
    if " -" in before[-TAIL:] or not name[-1:].isascii() or name[-2:-1] == "\\":
        return True
    if name[-2:-1] in _SINGLE and name[-1] in _PREFIXES:  # the b of b"..."
        name = name[:-1].rstrip(_BETWEEN)
    if name[-3:] in _LAST and (
        name[-3:] in _NAME_ENDS
        or name[name.rfind(" ") + 1 :] in _SAID_LAST
        or name.endswith(_SUFFIXES)
    ):
        return True
    return before[-2:].rstrip(" ")[-1:] == ":" and any(map(before.__contains__, _OF))
