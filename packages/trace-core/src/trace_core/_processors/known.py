"""Finds the secrets that are known exactly, as they may be written in a text."""

from __future__ import annotations

import base64
import functools
import re
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, islice
from operator import attrgetter
from typing import Final
from urllib.parse import quote

import attrs

from trace_core._processors.budget import Match
from trace_core._processors.secrets import MIN_LENGTH, looks_secret

KNOWN: Final = "known"
_MARKER: Final = f"[redacted:{KNOWN}]"
_MOST_LINES: Final = 8
"""Lines of a secret that are known on their own."""
_LEAST_LINE: Final = 16
_FORMS_KEPT: Final = 1_024
_IN_HTML: Final = "+&<>\"'`"
"""What some JSON has as ``\\u002B`` and so on."""
_SAFE_IN_URLS: Final = ("", "/", "=", "/=", "+", "!*'()", "/:?@!$&'()*+,;=")
"""What different programs leave as it is in a URL."""
_LEAST_ENCODED: Final = 10
"""Characters of base64 that a secret of 8 becomes, at least."""
_PIECE: Final = 8
_PIECES: Final = re.compile(rf"(?s).{{{_PIECE}}}")
_LONG: Final = 2 * _PIECE - 1
"""A text cut in pieces: one of them is wholly among the first 15 characters of any secret in it."""
_MANY: Final = 100
"""Secrets that are not looked for one by one."""


@attrs.frozen
class _Forms:
    """How a secret may be written: as it is, with escapes, and within base64."""

    plain: tuple[str, ...] = ()
    escaped: tuple[str, ...] = ()
    encoded: tuple[str, ...] = ()

    def those(self, wanted: Callable[[str], bool]) -> _Forms:
        """Return some of them."""
        return _Forms(*(tuple(filter(wanted, kind)) for kind in _kinds_of(self)))


_kinds_of: Final = attrgetter("plain", "escaped", "encoded")


class Known:
    """Finds secrets that are known.

    Args:
        secrets: The secrets; those of fewer than 8 characters are ignored.
    """

    def __init__(self, secrets: Iterable[str]) -> None:
        forms = [_forms(secret) for secret in secrets if len(secret) >= MIN_LENGTH]
        kinds = zip(*map(_kinds_of, forms), strict=True)
        self._all = _Forms(*(_longest_first(chain(*kind)) for kind in kinds))
        self._short = self._all.those(lambda one: len(one) < _LONG)
        long = set(chain(*_kinds_of(self._all))).difference(*_kinds_of(self._short))
        if len(long) < _MANY:
            self._short, long = self._all, set()
        self._pieces: dict[str, list[str]] = {}
        for one in long:
            for at in range(_PIECE):
                self._pieces.setdefault(one[at : at + _PIECE], []).append(one)

    def without(self, text: str) -> str:
        """Return a text without the secrets; the very same if there are none.

        Args:
            text: The text.
        """
        if not self._all.plain:
            return text
        for secret in self._among(text):
            text = text.replace(secret, _MARKER)
        return text

    def places(self, text: str) -> Iterator[Match]:
        """Yield where the secrets are in a text.

        Args:
            text: The text.
        """
        for secret in self._among(text):
            at = text.find(secret)
            while at >= 0:
                yield at, at + len(secret), KNOWN
                at = text.find(secret, at + len(secret))

    def _among(self, text: str) -> Iterator[str]:
        """Yield what is in a text, the longest first: one may contain another."""
        forms = self._short
        pieces = self._pieces.keys() & _PIECES.findall(text) if self._pieces else ()
        if pieces:
            near = {one for piece in pieces for one in self._pieces[piece]}
            forms = self._all.those(lambda one: one in near or len(one) < _LONG)
        yield from (one for one in forms.plain if one in text)
        if forms.escaped and ("%" in text or "\\" in text or "+" in text):
            yield from (one for one in forms.escaped if one in text)
        if len(text) >= _LEAST_ENCODED:
            yield from (one for one in forms.encoded if one in text)


def _longest_first(secrets: Iterable[str]) -> tuple[str, ...]:
    long = {one for one in secrets if len(one) >= MIN_LENGTH}
    return tuple(sorted(long, key=len, reverse=True))


@functools.lru_cache(maxsize=_FORMS_KEPT)
def _forms(secret: str) -> _Forms:
    lines = filter(_is_distinct, map(str.strip, secret.splitlines())) if "\n" in secret else ()
    escaped = () if secret.isalnum() else (*_in_json(secret), *_in_url(secret))
    return _Forms((secret, *islice(lines, _MOST_LINES)), escaped, tuple(_in_base64(secret)))


def _is_distinct(line: str) -> bool:
    return len(line) >= _LEAST_LINE and "-----" not in line and looks_secret(line)


def _in_json(secret: str) -> Iterator[str]:
    import json  # importing trace_core does not need it

    for once in (json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1]):
        yield once
        yield once.replace("/", "\\/")
        yield json.dumps(once)[1:-1]  # JSON in JSON
    for form in ("\\u{:04x}", "\\u{:04X}"):
        yield "".join(form.format(ord(c)) if c in _IN_HTML else c for c in secret)


def _in_url(secret: str) -> Iterator[str]:
    for safe in _SAFE_IN_URLS:
        once = quote(secret, safe=safe)
        yield once
        yield re.sub("%[0-9A-F]{2}", lambda found: found.group().lower(), once)
        yield once.replace("%20", "+")
        yield quote(once, safe="")  # a URL in a URL


def _in_base64(secret: str) -> Iterator[str]:
    """Yield what base64 has of a secret, by its place among others: ``user:SECRET``."""
    data = secret.encode("utf-8", "replace")
    for before in range(3):
        encoded = base64.b64encode(bytes(before) + data).rstrip(b"=").decode()
        # The first and the last character may hold bits of what is beside it.
        partly = (before + len(data)) % 3 != 0
        once = encoded[(0, 2, 3)[before] : len(encoded) - partly]
        yield once
        yield once.replace("+", "-").replace("/", "_")
