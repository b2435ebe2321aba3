"""Finds secrets in a text, in time proportional to its length.

There are four kinds of search, each behind a test that costs next to nothing and that most texts
fail: words that are as long as keys, by how they begin; secrets with something special inside;
values that follow a name such as ``password=``; cookies.
"""

from __future__ import annotations

import base64
import binascii
import re
import string
from collections.abc import Iterator
from itertools import compress
from typing import Final

from trace_core._processors.assignments import Match, assignments
from trace_core._processors.rules import INNER, RULES, Rule, pattern

_LETTERS: Final = (string.ascii_letters + string.digits + "_-.").encode()
_AS_WORDS: Final = bytes(ord("a") if byte in _LETTERS else ord(" ") for byte in range(256))
_LONG_WORD: Final = b"a" * 16
_ESCAPES: Final = {"n": 1, "r": 1, "t": 1, "u": 5}
"""Characters of an escape such as ``\\n`` that stand directly before what follows."""


def _by_start() -> dict[str, tuple[Rule, ...]]:
    """Group the rules by the first two characters of what they match."""
    found: dict[str, list[Rule]] = {}
    for rule in RULES:
        for start in dict.fromkeys(start[:2] for start in rule.starts):
            found.setdefault(start, []).append(rule)
    return {start: tuple(rules) for start, rules in found.items()}


def _mark(literal: str) -> str:
    """Return a character of a literal that prose seldom has: one is found ten times as fast."""
    return next((one for one in literal if not one.islower() and one != " "), literal[0])


_RULES: Final = _by_start()
_INNER_MARKS: Final = tuple(_mark(inner.literal) for inner in INNER)
_ENCODED: Final = re.compile(r"(?:eyJ|eyA|ewo|ewk|ew0)[A-Za-z0-9+/_\-]{20,}")
_ENCODED_STARTS: Final = ("ey", "ew")


def find(text: str) -> list[Match]:
    """Find the secrets in a text.

    Args:
        text: The text.

    Returns:
        Where they are and what they are, in no particular order; they may overlap.
    """
    found = list(_long_words(text))
    for inner in compress(INNER, map(text.__contains__, _INNER_MARKS)):
        if inner.literal not in text:
            continue
        source = pattern(inner)
        group = "secret" if source.groupindex else 0
        found += [(*match.span(group), inner.name) for match in source.finditer(text)]
    if "=" in text or ":" in text or "--" in text or " " in text:
        found += assignments(text)
    return found


def _long_words(text: str) -> Iterator[Match]:
    """Find secrets among the words that are as long as keys."""
    # Every character a key can have becomes "a", every other a blank: a long word is then a run
    # of "a" that bytes.find skips to. Characters beyond ASCII become one byte each.
    words = text.encode("ascii", "replace").translate(_AS_WORDS)
    begin = words.find(_LONG_WORD)
    while begin >= 0:
        end = words.find(b" ", begin)
        end = len(text) if end < 0 else end
        found = _match(text, _start(text, begin, end))
        if found is not None:
            yield found
        begin = words.find(_LONG_WORD, end)


def _start(text: str, begin: int, end: int) -> int:
    """Return where a word begins without an escape or punctuation that is joined to it."""
    if begin:
        before = text[begin - 1]
        if before == "\\":
            begin += _ESCAPES.get(text[begin], 0)
        elif before == "%":
            begin += 2
    if text[begin] in "._-":
        begin = end - len(text[begin:end].lstrip("._-"))
    return begin


def _match(text: str, begin: int) -> Match | None:
    start = text[begin : begin + 2]
    for rule in _RULES.get(start, ()):
        found = pattern(rule).match(text, begin)
        if found is not None and _is_random(found.group()):
            return (begin, found.end(), rule.name)
    if start in _ENCODED_STARTS:
        encoded = _ENCODED.match(text, begin)
        if encoded is not None and _holds_secret(encoded.group()):
            return (begin, encoded.end(), "encoded")
    return None


def _is_random(word: str) -> bool:
    """Return whether a word that begins like a key goes on like one, not like an identifier.

    Most keys have digits. Of the letters of a random one half are capitals; of camelCase few are.
    """
    return any(map(str.isdigit, word)) or sum(map(str.isupper, word)) > len(word) // 4


def _holds_secret(encoded: str) -> bool:
    """Return whether base64 of JSON holds a secret. Each level is shorter by a quarter."""
    standard = encoded.replace("-", "+").replace("_", "/")
    try:
        data = base64.b64decode(standard[: len(standard) & ~3], validate=True)
    except binascii.Error:
        return False
    return bool(find(data.decode("utf-8", "replace")))
