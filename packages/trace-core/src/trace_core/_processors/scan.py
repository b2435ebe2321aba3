"""Finds secrets in a text, in time proportional to its length.

There are six kinds of search, each behind a test that costs next to nothing and that most texts
fail: words that are as long as keys, by how they begin; secrets with something special inside;
values that follow a name such as ``password=``; cookies; columns of tables; words with a digit, by
what is before.
"""

from __future__ import annotations

import base64
import binascii
import functools
import re
import string
from collections.abc import Iterator, Sequence
from typing import Final

from trace_core._processors.assignments import assignments
from trace_core._processors.budget import Budget, Match, Place, left_of
from trace_core._processors.context import in_context
from trace_core._processors.inner import INNER, Inner, inner_pattern, pattern_before
from trace_core._processors.leads import kinds_of
from trace_core._processors.manifests import in_manifests
from trace_core._processors.near import (
    SHORT,
    STEP,
    all_places,
    around,
    find_hints,
    near_names,
    start_of,
)
from trace_core._processors.rules import RULES, Rule, pattern
from trace_core._processors.tables import in_inserts, in_tables
from trace_core._processors.values import looks_random

_LETTERS: Final = (string.ascii_letters + string.digits + "_-.").encode()
_AS_WORDS: Final = bytes(ord("a") if byte in _LETTERS else ord(" ") for byte in range(256))
_NO_LETTER: Final = re.compile(r"[^A-Za-z0-9_\-.]")
SHORTEST_KEY: Final = 16
"""Characters of a secret that is told by how it begins."""
_LONG_WORD: Final = b"a" * SHORTEST_KEY
_COLOUR: Final = re.compile(
    r"[\x1b\\](?:(?<=\x1b)|(?<=\\)\\{0,3}(?:u001[bB]|x1[bB]|033|e))\[[0-9;]{0,16}[mK]"
)
"""What a terminal takes for a colour."""
_OTHER_BLANKS: Final = re.compile("[\u00a0\u00ad\u2000-\u200f\u202f\u205f-\u2064\u3000\ufeff]")
"""Blanks of other scripts and of typography, and characters that nobody sees."""
_COLOURS: Final = ("\x1b[", "1b[", "1B[", "033[", "\\e[")


def _by_start() -> dict[str, tuple[Rule, ...]]:
    """Group the rules by the first two characters of what they match."""
    found: dict[str, list[Rule]] = {}
    for rule in RULES:
        for start in dict.fromkeys(start[:2] for start in rule.starts):
            found.setdefault(start, []).append(rule)
    return {start: tuple(rules) for start, rules in found.items()}


def _all_starts(rules: tuple[Rule, ...]) -> set[str]:
    return {start for rule in rules for start in rule.starts}


def _mark(literal: str) -> str:
    """Return a character of a literal that prose seldom has: one is found ten times as fast."""
    return next((one for one in literal if not one.islower() and one != " "), literal[0])


_SELDOM: Final = 64
"""A sign is looked at wherever it is if there is not one for so many characters."""
_OFTEN: Final = {"(", ").", " / ", "/1", "://", "-us"}
"""Literals that texts often have."""
_RULES: Final = _by_start()
_INNER: Final = tuple(
    (_mark(inner.literal).encode(), inner.literal.encode(), inner.also.encode(), inner)
    for inner in INNER
)
_SHORT_INNER: Final = tuple(one for one in _INNER if one[-1].short)
_IN_WORDS: Final = tuple(inner for inner in INNER if _NO_LETTER.search(inner.literal) is None)
_LONG_RUN: Final = re.compile(b"a{%d,}" % SHORTEST_KEY)
_LONG_WORDS_EACH: Final = 128
"""Where there is a long word for so many characters, a pattern finds them sooner."""
_ODD_BEGINS: Final = frozenset("._-\\%")
"""What a word begins with, or what is before it, that does not belong to a secret."""
_ENCODED_STARTS: Final = frozenset(start[:2] for start in RULES[-1].starts)
"""How base64 begins that is decoded."""
_STARTS: Final = {two: tuple(_all_starts(rules)) for two, rules in _RULES.items()}
"""All that a secret may begin with, by the first two characters."""
_LONGEST: Final = 4 * 1024
"""Characters of a private key."""
_LONGEST_BEFORE: Final = 64
_MOST_LEVELS: Final = 2
"""Base64 in base64; deeper, nobody's secret is by accident."""
_LEAST_DECODED: Final = 32
"""Bytes by which text is told from what only happens to begin like text."""


def find(text: str, levels: int = _MOST_LEVELS) -> list[Match]:
    """Find the secrets in a text.

    Args:
        text: The text.
        levels: How often base64 in it is decoded.

    Returns:
        Where they are and what they are, in no particular order; they may overlap.
    """
    if "[" in text and any(colour in text for colour in _COLOURS):
        text = _COLOUR.sub(_blank, text)
    data = text.encode("ascii", "replace")  # characters beyond ASCII become one byte each
    words = data.translate(_AS_WORDS) + b" "  # behind the last as well
    if words.index(b" ") == len(text):  # a name or an id: nothing stands before it
        return _in_word(text, words, levels) if len(text) >= len(_LONG_WORD) else []
    found = list(_long_words(text, words, levels))
    marked = _INNER if _LONG_WORD in words else _SHORT_INNER
    whole = ((0, len(text)),)
    places = left_of(whole, found, _LONGEST)
    absent = _absent(data)
    for literal, also, inner in [one[1:] for one in marked if one[0] in data]:
        if literal not in absent and literal in data and also in data:
            found += _inside(text, inner, places)
    folded = _folded(text)
    hints = find_hints(folded, data, left_of(whole, found))
    if hints:
        near = near_names(hints)
        if "\n" in text or "\\n" in text:
            found += in_tables(text, hints)
        if "(" in text and "values" in folded:
            found += in_inserts(text, folded)
        if "Secret" in text and "ata" in text:
            found += in_manifests(text)
        found += assignments(text, folded, left_of(near, found))
        found += in_context(text, folded, kinds_of(data), left_of(near, found), found)
    return found


def _absent(data: bytes) -> set[bytes]:
    """Return literals that a text has not, found out together: each takes half a millisecond.

    Args:
        data: The text, a byte for each character.
    """
    absent = set[bytes]()
    for sign in "/(:-" if len(data) > SHORT else "":
        if data.count(sign.encode()) < len(data) // _SELDOM:
            literals, any_of_them = _with_sign(sign)
            absent |= frozenset() if any_of_them.search(data) else literals
    return absent


@functools.cache
def _with_sign(sign: str) -> tuple[frozenset[bytes], re.Pattern[bytes]]:
    """Return the literals of rules that have a sign, and a pattern for any of them."""
    literals = {inner.literal for inner in INNER if sign in inner.literal} - _OFTEN
    halves = [one.partition(sign) for one in literals]
    every = "|".join(
        f"(?<={re.escape(before + sign)}){re.escape(after)}" for before, _, after in halves
    )
    any_of_them = re.compile(f"{re.escape(sign)}(?:{every})".encode())
    return frozenset(map(str.encode, literals)), any_of_them


def _in_word(text: str, words: bytes, levels: int) -> list[Match]:
    """Find secrets in a text that is a single word."""
    begin = start_of(text, 0, len(text))
    starts = _STARTS.get(text[begin : begin + 2])
    found = list(_long_words(text, words, levels)) if starts else []
    for inner in _IN_WORDS:
        if inner.literal in text:
            found += _inside(text, inner, ((0, len(text)),))
    return found


def _blank(found: re.Match[str]) -> str:
    return " " * len(found.group())


def _folded(text: str) -> str:
    """Return the text in lower case with plain blanks, every character at its place."""
    folded = text.lower()
    if text.isascii():
        return folded
    if len(folded) != len(text):
        folded = text.replace("\u0130", "I").lower()
    return _OTHER_BLANKS.sub(" ", folded)


def _inside(text: str, inner: Inner, places: Sequence[Place]) -> Iterator[Match]:
    """Find secrets by something inside them or before them."""
    source, budget = inner_pattern(inner), Budget()
    group = "secret" if source.groupindex else 0
    if inner.behind:
        places = around(all_places(text, inner.literal, STEP), inner.behind)
    for match in budget.candidates(source, text, group, places=places):
        begin, end = match.span(group)
        if inner.before:
            left = pattern_before(inner).search(text, max(0, begin - _LONGEST_BEFORE), begin)
            if left is None:
                continue
            begin = left.start()
        if not inner.random or looks_random(match[group]):
            yield begin, end, inner.name
    yield from budget.withheld


def _long_words(text: str, words: bytes, levels: int) -> Iterator[Match]:
    """Find secrets among the words that are as long as keys."""
    # Every character a key can have is "a", every other a blank: a long word is then a run of "a"
    # that bytes.find skips to.
    # Most that begin like a key are identifiers; to decode takes long.
    budget, begun, encoded = Budget(), Budget(share=2), Budget(share=0.3)
    odd = _ODD_BEGINS
    runs = [
        (begin, end)
        for begin, end in _runs(words)
        if text[begin : begin + 2] in _STARTS or text[begin] in odd or text[begin - 1] in odd
    ]
    for begin, end in runs:
        start = start_of(text, begin, end)
        starts = _STARTS.get(two := text[start : start + 2])
        if starts is not None and text.startswith(starts, start):
            allowed = encoded if two in _ENCODED_STARTS else begun
            found = _match(text, start, levels) if allowed.allows(start, end) else None
            if found is not None and budget.allows(*found[:2]):
                yield found
    yield from (*budget.withheld, *begun.withheld, *encoded.withheld)


def _runs(words: bytes) -> list[Place]:
    """Return where long words are: few are found one by one, as most of a text is skipped so."""
    if words.count(_LONG_WORD) * _LONG_WORDS_EACH > len(words):
        return [run.span() for run in _LONG_RUN.finditer(words)]
    runs, begin = list[Place](), words.find(_LONG_WORD)
    while begin >= 0:
        end = words.index(b" ", begin)
        runs.append((begin, end))
        begin = words.find(_LONG_WORD, end)
    return runs


@functools.cache
def _any_of(two: str) -> re.Pattern[str]:
    """Return a pattern for all rules by how they begin: most words match none."""
    return re.compile("|".join(pattern(rule).pattern for rule in _RULES[two]))


def _match(text: str, begin: int, levels: int) -> Match | None:
    two = text[begin : begin + 2]
    for rule in _RULES[two] if _any_of(two).match(text, begin) else ():
        found = pattern(rule).match(text, begin)
        if found is not None and _is_one(found.group(), rule, levels):
            return (begin, found.end(), rule.name)
    return None


def _is_one(word: str, rule: Rule, levels: int) -> bool:
    if rule.name == "encoded":
        return levels > 0 and _holds_secret(word, levels - 1)
    return _is_random(word, rule)


def _is_random(word: str, rule: Rule) -> bool:
    """Return whether a word that begins like a key goes on like one, not like an identifier.

    Most keys have digits. Of the letters of a random one half are capitals; of camelCase few are.
    """
    if any(map(str.isdigit, word)):
        return True
    rest = word[max(len(start) for start in rule.starts if word.startswith(start)) :]
    return sum(map(str.isupper, rest)) >= len(rest) // 4


def _holds_secret(encoded: str, levels: int) -> bool:
    """Return whether base64 of a text holds a secret. Each level is shorter by a quarter."""
    standard = encoded.replace("-", "+").replace("_", "/")
    try:
        data = base64.b64decode(standard[: len(standard) & ~3], validate=True)
    except binascii.Error:
        return False
    if not _begins_as_text(data):
        return False
    return bool(find(data.decode("utf-8", "replace"), levels))


def _begins_as_text(data: bytes) -> bool:
    begin = data[:_LEAST_DECODED].decode("utf-8", "ignore")
    return len(begin.encode()) > _LEAST_DECODED - 4 or len(data) < _LEAST_DECODED
