"""Secrets this process is known to hold, so that their exact values can be kept out of spans.

They are kept in memory alone: nothing here prints, pickles or writes one.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from typing import Final

MIN_LENGTH: Final = 8
"""Shorter values are ordinary words too often."""
MAX_REMEMBERED: Final = 1_000
_NAMES: Final = re.compile(
    r"(?:^|_)(?:API_?KEY|TOKEN|SECRET|PASSWORD|SECRET_(?:ACCESS_)?KEY)$", re.IGNORECASE
)

_remembered: dict[str, None] = {}


def remember_secret(value: object) -> None:
    """Have every `redact` in this process remove this exact text from spans.

    For what no pattern can know, such as the key given to a call. Call it before the span ends.
    Cheap, and safe on any thread; the newest thousand values are kept, in memory alone.

    Args:
        value: The secret; anything but a text of at least 8 characters is ignored.
    """
    if type(value) is not str or len(value) < MIN_LENGTH or value in _remembered:
        return
    _remembered[value] = None
    while len(_remembered) > MAX_REMEMBERED:
        try:
            _remembered.pop(next(iter(_remembered)), None)
        except (RuntimeError, StopIteration):  # another thread was faster
            return


def remembered_secrets() -> tuple[str, ...]:
    """Return what `remember_secret` was told."""
    return tuple(_remembered)


_COMMON: Final = " etaoinsrhldcumfpgwybvk.,-xjqz1032456789TAISCRHEMWBDPNOFLGUYVKJZXQ"
"""Characters of prose, the most common first; what is not here is rarer."""
_RARE_ONES: Final = 6


def rarest_of(secret: str) -> str:
    """Return the characters of a secret that other texts are least likely to have, rarest first.

    Args:
        secret: The secret.
    """
    known = {character: place for place, character in enumerate(_COMMON)}
    ordered = sorted(set(secret), key=lambda c: known.get(c, len(_COMMON)), reverse=True)
    return "".join(ordered[:_RARE_ONES])


class EnvironmentSecrets:
    """The values of environment variables that are named like secrets, kept up to date."""

    def __init__(self) -> None:
        self._seen: object = None
        self._found: tuple[str, ...] = ()

    def __call__(self) -> tuple[str, ...]:
        """Return the values as they are now."""
        # The mapping behind os.environ: comparing it costs a fraction of reading it. Elsewhere
        # than in CPython it may not be there; then it is read each time.
        raw = getattr(os.environ, "_data", None)
        if raw is None or raw != self._seen:
            self._seen = dict(raw) if raw is not None else None
            self._found = tuple(_secrets_in(os.environ))
        return self._found


def _secrets_in(environ: Mapping[str, str]) -> Iterator[str]:
    for name, value in list(environ.items()):
        if len(value) >= MIN_LENGTH and _NAMES.search(name):
            yield value
