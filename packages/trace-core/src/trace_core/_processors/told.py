"""Finds secrets where they stand again without the name that told them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Final

from trace_core._model.values import Value
from trace_core._processors.assignments import ASSIGNED
from trace_core._processors.budget import Match
from trace_core._processors.look import look_into
from trace_core._processors.many import BETWEEN, spread
from trace_core._processors.near import all_places
from trace_core._processors.secrets import MIN_LENGTH
from trace_core._processors.values import DIGIT, looks_filed, looks_random

_MOST: Final = 32
"""Secrets that are looked for, each at so many ..."""
_MOST_PLACES: Final = 4_000
"""... places."""
_LONGEST: Final = 1_024
"""Characters; what is longer is not written twice by hand."""
_IN_MARKER: Final = re.compile(r"(?<=\[redacted:)[a-z][a-z \-]*\]")
"""What stood there has been replaced before."""
_PARTS: Final = re.compile(r"[^\s:;,=\"'@]+")


def told_by(kind: str, secret: str) -> list[str]:
    """Return what may stand elsewhere of a secret that was found in a text.

    Args:
        kind: What kind of secret it is.
        secret: The secret.
    """
    if kind == ASSIGNED:
        return [secret]
    if kind in ("url", "database"):
        secret = secret.removesuffix("@").partition(":")[2]
        return [secret] if looks_filed(secret, password=True) else []
    return random_parts(secret) if kind in ("bearer", "cookie") else []


def told_under(name: str, value: Value) -> list[str]:
    """Return what may stand elsewhere of what was hidden under the name of a secret.

    Args:
        name: The name.
        value: What was under it.
    """
    if isinstance(value, str) and looks_filed(value, password="pass" in name.lower()):
        return [value]
    texts = look_into((value,)).texts
    return [part for text in texts[:_MOST] for part in random_parts(text)]


def random_parts(text: str) -> list[str]:
    """Return the parts of a text that a machine made: ``Bearer ...``, ``session=...``.

    Args:
        text: The text.
    """
    return [part for part in _PARTS.findall(text[:_LONGEST]) if looks_random(part)]


def told_places(text: str, told: Iterable[str]) -> Iterator[Match]:
    """Yield where secrets stand in a text as words of their own.

    Args:
        text: The text.
        told: The secrets; short ones, and those without a digit, are taken for words.
    """
    some = (one for one in dict.fromkeys(told) if MIN_LENGTH <= len(one) <= _LONGEST)
    for secret in islice(filter(DIGIT.match, some), _MOST):
        for at in islice(all_places(text, secret, len(secret)), _MOST_PLACES):
            end = at + len(secret)
            if not (text[at - 1 : at].isalnum() or text[end : end + 1].isalnum()):
                yield at, end, ASSIGNED


def without_told(texts: Iterable[str], told: Iterable[str]) -> dict[str, str]:
    """Return the texts in which secrets stand again, with what they become.

    Args:
        texts: The texts.
        told: The secrets.
    """
    every = list(dict.fromkeys(texts))
    found, _ = spread(every, list(told_places(BETWEEN.join(every), told)))
    return {text: replaced(text, places) for text, places in found.items()}


def replaced(text: str, found: Sequence[Match]) -> str:
    """Put markers in the place of secrets; where two overlap, one marker covers both.

    Args:
        text: The text.
        found: Where the secrets are.
    """
    parts: list[str] = []
    done = covered = 0
    for begin, end, name in sorted(found):
        if _IN_MARKER.match(text, begin):
            continue
        if begin >= covered:
            parts += (text[done:begin], f"[redacted:{name}]")
        covered = done = max(covered, end)
    parts.append(text[done:])
    return "".join(parts)
