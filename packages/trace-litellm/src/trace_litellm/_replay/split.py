"""Splits texts into the pieces that a stream brings."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise
from typing import Final

_WORD: Final = re.compile(r"\s*\S+|\s+")


def split(text: str, pieces: int | None = None) -> list[str]:
    """Split a text; by words where that gives the wanted number of pieces.

    Args:
        text: The text.
        pieces: How many; one a word by default. No piece is empty.
    """
    words = _WORD.findall(text)
    if pieces is None or pieces == len(words):
        return words
    units: Sequence[str] = words if pieces < len(words) else text
    pieces = max(1, min(pieces, len(units)))
    bounds = [number * len(units) // pieces for number in range(pieces + 1)]
    return ["".join(units[a:b]) for a, b in pairwise(bounds) if b > a]


def shares(texts: Sequence[str], pieces: int | None) -> list[int | None]:
    """Share a number of pieces out among texts, by their length; each gets one at least.

    Args:
        texts: The texts, none of them empty.
        pieces: How many there are; ``None``: as many as there are words.
    """
    if pieces is None or pieces < len(texts):
        return [None if pieces is None else 1] * len(texts)
    total, left = sum(map(len, texts)), pieces - len(texts)
    result: list[int | None] = []
    for text in texts:
        more = round(left * len(text) / total) if total else 0
        result.append(1 + more)
        left, total = left - more, total - len(text)
    return result
