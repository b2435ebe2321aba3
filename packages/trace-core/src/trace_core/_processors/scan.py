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
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Final

from trace_core._processors.assignments import assignments
from trace_core._processors.budget import GLANCE, Budget, Match, Place, left_of
from trace_core._processors.context import in_context
from trace_core._processors.inner import INNER, Inner, inner_pattern, pattern_before
from trace_core._processors.manifests import in_manifests
from trace_core._processors.near import (
    STEP,
    Group,
    all_places,
    around,
    crowds,
    grouped,
    near_names,
    start_of,
)
from trace_core._processors.rules import RULES, Rule, pattern
from trace_core._processors.tables import in_inserts, in_tables
from trace_core._processors.values import looks_random

_LETTERS: Final = (string.ascii_letters + string.digits).encode()
_AS_KEYS: Final = bytes(
    ord("a" if byte in _LETTERS else "b" if byte in b"_-." else " ") for byte in range(256)
)
_AS_WORDS: Final = _AS_KEYS.replace(b"b", b"a")
_NO_LETTER: Final = re.compile(r"[^A-Za-z0-9_\-.]")
SHORTEST_KEY: Final = 16
"""Characters of a secret that is told by how it begins."""
_LONG_WORD: Final = b"a" * SHORTEST_KEY
_COLOUR: Final = re.compile(
    r"[\x1b\\](?:(?<=\x1b)|(?<=\\)\\{0,3}(?:u001[bB]|x1[bB]|033|e))\[[0-9;]{0,16}[mK]"
)
"""What a terminal takes for a colour."""
_MOST_COLOURS: Final = 32
_OTHER_BLANKS: Final = re.compile("[\u00a0\u00ad\u2000-\u200f\u202f\u205f-\u2064\u3000\ufeff]")
"""Blanks of other scripts and of typography, and characters that nobody sees."""
_PIECE: Final = 1024
"""Characters of a text beyond ASCII that are folded at once."""
_COLOURED: Final = grouped(("\x1b[", "1b[", "1B[", "033[", "\\e["), "[")[0][0]


def _by_start() -> dict[str, tuple[Rule, ...]]:
    """Group the rules by the first two characters of what they match."""
    found: dict[str, list[Rule]] = {}
    for rule in RULES:
        for start in dict.fromkeys(start[:2] for start in rule.starts):
            found.setdefault(start, []).append(rule)
    return {start: tuple(rules) for start, rules in found.items()}


_SIGNS: Final = "~$;/QK{(-:A_."
"""Characters of literals that texts seldom have."""


def _seldom(literal: str) -> int:
    """Return a character of a literal that texts seldom have: they can be searched at once."""
    return ord(next(filter(literal.__contains__, _SIGNS), literal[0]))


ALONE: Final = {
    *("@", "$", "%", "|", ").", " / ", "/1", "://", "uth", "default", "echo "),
    *("PRIVATE KEY", "Private-Lines:"),
}
"""Literals that texts often have, or behind which a secret of many lines stands."""
_SHORT: Final = 2_048
"""Characters of a text in which each literal is looked for on its own."""
_MOST_HITS: Final = 2_048
"""Places of literals with one of them; where there are more, each is looked for on its own."""
_RULES: Final = _by_start()
_INNER: Final = tuple((_seldom(one.literal), one.also.encode(), one) for one in INNER)
_SHORT_INNER: Final = tuple(one for one in _INNER if one[-1].short)
_IN_WORDS: Final = tuple(inner for inner in INNER if _NO_LETTER.search(inner.literal) is None)
_LONG_RUN: Final = re.compile(b" (?=[ab]{%d})b*(a[ab]*)" % SHORTEST_KEY)
"""A word as long as a key, behind a blank and punctuation that is joined to it."""
_ENCODED_STARTS: Final = frozenset(start[:2] for start in RULES[-1].starts)
"""How base64 begins that is decoded."""
_STARTS: Final = {
    two: tuple({start for rule in rules for start in rule.starts}) for two, rules in _RULES.items()
}
"""All that a secret may begin with, by the first two characters."""
_AHEAD: Final = 1_024
"""Characters from a literal on that the longest pattern needs; runs of characters go on behind."""
_LONGEST: Final = 8 * 1024
"""Characters of a private key."""
_LONGEST_BEFORE: Final = 64
_DECODING: Final = 3.0
"""What it takes to judge what is decoded, in comparison with others."""
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
    data = text.encode("ascii", "replace")  # characters beyond ASCII become one byte each
    if b"[" in data and _COLOURED.search(data):
        text = _without_colours(text)
        data = text.encode("ascii", "replace")
    words = b" %s " % data.translate(_AS_WORDS)
    if words.index(b" ", 1) > len(text):  # a name or an id: nothing stands before it
        return _in_word(text, data, levels) if len(text) >= len(_LONG_WORD) else []
    long, whole = _LONG_WORD in words, ((0, len(text)),)
    found = list(_long_words(text, data, levels)) if long else []
    places = left_of(whole, found, _LONGEST)
    found += _by_literals(text, data, _INNER if long else _SHORT_INNER, places)
    folded, low = _folded(text), data.lower()
    near: Sequence[Place] = near_names(folded, low, whole)
    if near:
        found += (crowded := crowds(low, near))
        near = left_of(near, crowded)
        found += in_tables(text, near)
        if "(" in text and "values" in folded:
            found += in_inserts(text, folded)
        if "Secret" in text and "ata" in text:
            found += in_manifests(text)
        found += assignments(text, folded, left_of(near, found))
        found += in_context(text, folded, low, left_of(near, found), found)
    return found


def _without_colours(text: str) -> str:
    """Return the text with blanks in the place of colours; mostly there are few different ones."""
    colours = set(_COLOUR.findall(text))
    if len(colours) > _MOST_COLOURS:
        return _COLOUR.sub(lambda found: " " * len(found.group()), text)
    for colour in sorted(colours, key=len, reverse=True):  # one may end with another
        text = text.replace(colour, " " * len(colour))
    return text


def _by_literals(
    text: str, data: bytes, rules: Iterable[tuple[int, bytes, Inner]], places: Sequence[Place]
) -> Iterator[Match]:
    """Find secrets by something inside them or before them, around it where it is known."""
    known = _where(data) if len(data) > _SHORT else {}
    where: Sequence[Place]
    for _, _, inner in (one for one in rules if one[0] in data and one[1] in data):
        literal = inner.literal.encode()
        if literal in known:
            where = around(known[literal], inner.behind, _AHEAD)
        elif inner.behind:  # to look everywhere takes long
            where = around(all_places(text, inner.literal, STEP), inner.behind)
        else:
            where = places if literal in data else ()
        if where:
            yield from _inside(text, inner, where)


def _where(data: bytes) -> dict[bytes, list[int]]:
    """Return where literals of rules are; to look for each takes half a millisecond a megabyte.

    Args:
        data: The text, a byte for each character.

    Returns:
        The places of each literal that was looked for, in order; those are left out of which, with
        others that are found by the same character, there are too many.
    """
    found: dict[bytes, list[int]] = {}
    for any_of_them, literals in _groups():
        (literal, ahead), *_ = literals
        some = any_of_them.finditer(data) if literal[ahead] in data else ()
        hits = [hit.start() for hit in islice(some, _MOST_HITS + 1)]
        for literal, ahead in literals if len(hits) <= _MOST_HITS else ():
            places = [hit - ahead for hit in hits if hit >= ahead]
            found[literal] = [at for at in places if data.startswith(literal, at)]
    return found


@functools.cache
def _groups() -> list[Group]:
    return grouped((one.literal for one in INNER if one.literal not in ALONE), _SIGNS)


def _in_word(text: str, data: bytes, levels: int) -> list[Match]:
    """Find secrets in a text that is a single word."""
    found = list(_long_words(text, data, levels))
    for inner in _IN_WORDS:
        if inner.literal in text:
            found += _inside(text, inner, ((0, len(text)),))
    return found


def _folded(text: str) -> str:
    """Return the text in lower case with plain blanks, every character at its place."""
    if text.isascii():
        return text.lower()
    return "".join(map(_folded_piece, _cut(text)))


def _cut(text: str) -> Iterator[str]:
    """Cut a text behind blanks: most pieces are in ASCII, of which it is ten times as fast."""
    begin = 0
    while begin < len(text):
        end = text.find(" ", begin + _PIECE) + 1 or len(text)
        yield text[begin:end]
        begin = end


def _folded_piece(piece: str) -> str:
    folded = piece.lower()
    if piece.isascii():
        return folded
    if len(folded) != len(piece):
        folded = piece.replace("\u0130", "I").lower()
    return _OTHER_BLANKS.sub(" ", folded)


def _inside(text: str, inner: Inner, places: Sequence[Place]) -> Iterator[Match]:
    """Find secrets by something inside them or before them."""
    source, budget = inner_pattern(inner), Budget()
    group = "secret" if source.groupindex else 0
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


def _long_words(text: str, data: bytes, levels: int) -> Iterator[Match]:
    """Find secrets among the words that are as long as keys."""
    budget, done, escapes = Budget(), 0, "\\" in text or "%" in text
    for run in _LONG_RUN.finditer(b" %s " % data.translate(_AS_KEYS)):
        start, end = run.start(1) - 1, run.end() - 1
        if escapes and text[start - 1] in "\\%":
            start = start_of(text, start, end)
        starts = _STARTS.get(two := text[start : start + 2])
        if starts is None or start < done or end <= budget.until:
            continue
        if not text.startswith(starts, start):
            continue
        # Most that begin so are identifiers.
        one = start >= budget.until and _any_of(two).match(text, start, start + _LONGEST)
        cost = _DECODING if two in _ENCODED_STARTS else 1.0
        judged = budget.allows(start, end, cost if one else cost * GLANCE) and one
        if judged and (found := _match(text, start, levels, budget)) is not None:
            done = found[1]
            yield found
    yield from budget.withheld


@functools.cache
def _any_of(two: str) -> re.Pattern[str]:
    """Return a pattern for all rules by how they begin: most words match none."""
    return re.compile("|".join(pattern(rule).pattern for rule in _RULES[two]))


def _match(text: str, begin: int, levels: int, budget: Budget) -> Match | None:
    for rule in _RULES[text[begin : begin + 2]]:
        found = pattern(rule).match(text, begin)
        if found is not None:
            budget.charge(found.end() - begin)
            if _is_one(found.group(), rule, levels):
                return (begin, found.end(), rule.name)
    return None


def _is_one(word: str, rule: Rule, levels: int) -> bool:
    if rule.name == "encoded":
        return levels > 0 and _holds_secret(word, levels - 1)
    return _is_random(word[:_LONGEST], rule)


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
