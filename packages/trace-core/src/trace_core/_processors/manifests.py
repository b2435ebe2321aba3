"""Finds what Kubernetes' manifests of secrets hold, in YAML and JSON: whatever it looks like."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator
from itertools import islice
from typing import Final

from trace_core._processors.assignments import ASSIGNED, values
from trace_core._processors.budget import Match, Place

_KIND: Final = re.compile(
    r"kind[ ]{0,8}(?:\\*[\"'])?:[ ]{0,8}(?:\\*[\"'])?Secret[ ]{0,8}"
    r"(?:(?P<escape>\\)|[\s\0,}\"']|\Z)"
)
_BEGINS: Final = tuple(map(re.compile, ("\n---", "apiVersion", "\0\0*")))
"""A manifest or another text; what is sought alone is found ten times as fast."""
_BLOCK: Final = re.compile(
    r"^(?P<indent>[ ]{0,32})(?:stringData|data):[ \t]{0,8}\n"
    r"(?P<yaml>(?:(?P=indent)[ ]{1,32}\S[^\n]*(?:\n|\Z)|[ \t\n]*\n)+)"
    r"|[\"'](?:stringData|data)[ ]{0,8}[\"']:\s{0,32}\{"
    r"(?P<json>(?:[^{}\"]|\"(?:[^\"\\]|\\.?)*(?:\"|\Z))*)",
    re.MULTILINE,
)
_KEY: Final = r"[\w.\-/]{1,253}"
_VALUE: Final = re.compile(
    rf"(?:^[ \t]*(?:{_KEY}:[ \t]*[\"']?|(?!{_KEY}:))|[\"']:\s{{0,8}}[\"'])"
    # neither the begin of a block nor a template
    r"(?P<value>(?![|>][+\-\d]{0,2}[ \t]*$|\{\{|[<$\s\"'])(?:\\.|[^\"\\\n])+(?<![\s\"']))",
    re.MULTILINE,
)
_MOST: Final = 1_000
"""Manifests in which blocks are sought, and blocks of one; behind as many, all holds values."""
_MOST_LEVELS: Final = 3
"""How often JSON in JSON is looked into."""
_KEPT: Final = "\1"
"""What stands meanwhile for a backslash that stays."""


def in_manifests(text: str) -> Iterator[Match]:
    """Find the values under ``data`` and ``stringData`` where the kind is ``Secret``.

    Args:
        text: The text.

    Returns:
        Begin, end and kind of each.
    """
    text = _unescaped(text)
    kinds = [kind.start() for kind in islice(_KIND.finditer(text), _MOST + 1)]
    if not kinds:
        return
    some = (begin.start() for begins in _BEGINS for begin in begins.finditer(text))
    begins = sorted((0, *some, len(text)))
    found = list(dict.fromkeys(bisect_right(begins, kind) for kind in kinds))
    places = [place for at in found[:_MOST] for place in _blocks(text, *begins[at - 1 : at + 1])]
    places += [(begins[at - 1], len(text)) for at in found[_MOST:]]
    yield from values(_VALUE, text, places, ASSIGNED)


def _unescaped(text: str) -> str:
    """Return the text with manifests in JSON as they are, in each of several texts on its own."""
    texts = text.split("\0")
    for _ in range(_MOST_LEVELS):
        kinds = ((at, _KIND.search(one)) for at, one in enumerate(texts) if "Secret" in one)
        escaped = [at for at, kind in kinds if kind is not None and kind["escape"]]
        if not escaped:
            break
        meant = _without_level("\0".join([texts[at] for at in escaped]))
        for at, one in zip(escaped, meant.split("\0"), strict=True):
            texts[at] = one
    return "\0".join(texts)


def _blocks(text: str, begin: int, end: int) -> list[Place]:
    """Return where a manifest holds values: in all of it, if it has more blocks than any."""
    blocks = list(islice(_BLOCK.finditer(text, begin, end), _MOST + 1))
    if len(blocks) > _MOST:
        return [(begin, end)]
    return [block.span(str(block.lastgroup)) for block in blocks]


def _without_level(text: str) -> str:
    """Undo the escapes of JSON once, every character at its place."""
    for escapes in range(8, 0, -1):  # in JSON in JSON in JSON
        left = _KEPT * (escapes // 2)
        for escaped, meant in (('"', '"'), ("n", "n" if left else "\n")):
            text = text.replace("\\" * escapes + escaped, f"{left}{meant}".rjust(escapes + 1))
    return text.replace(_KEPT, "\\")
