"""Finds where in a text there are names that secrets have: only there values are looked at."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Final, TypeAlias

from trace_core._processors.budget import Place

Numbered: TypeAlias = "Callable[[int, int], Iterable[Place]]"
_FAR: Final = 320
"""Characters from the begin of a name to the first digit of the value it may be the name of."""
STEP: Final = 64
"""Characters from one name to the next that is looked for: a text may be full of them."""
_LEFT_OF_NAME: Final = 32
"""Characters before it that belong to a name: of ``; SharedAccessKey`` all but the last three."""
PASSWORDS: Final = (
    *("passphrase", "password", "passwort", "passcode", "passwd", "passe", "pass", "pwd"),
    *("kennwort", "lösenord", "losenord", "wachtwoord", "senha", "contraseña", "contrasena"),
    *("parola", "heslo", "jelszó", "jelszo", "hasło", "salasana", "adgangskode", "şifre", "sifre"),
    *("пароля", "пароль", "密码", "密碼", "口令", "パスワード", "暗証番号", "비밀번호", "암호"),
    *("mật khẩu", "รหัสผ่าน", "كلمة المرور", "كلمة السر", "סיסמה", "סיסמא", "κωδικός", "पासवर्ड"),
)
KEYS: Final = (
    *("key", "secret", "token", "authorization", "auth", "credential", "signature", "schlüssel"),
    *("clé api", "clé d'api", "密钥", "密鑰", "秘钥", "令牌", "トークン", "ключ", "токен", "토큰"),
    *("jeton", "clave"),
)
BY: Final = "identified"
"""How the password begins in SQL: ``IDENTIFIED BY '...'``."""


ALL_NAMES: Final = (*KEYS, *PASSWORDS)


def _begins(names: Iterable[str]) -> tuple[str, ...]:
    """Return how names begin: of those that begin alike, the shortest."""
    some = tuple(names)
    return tuple(n for n in some if not any(n != m and n.startswith(m) for m in some))


ALL_HINTS: Final = _begins((*ALL_NAMES, BY))
HINTS: Final = tuple(filter(str.isascii, ALL_HINTS))
"""How the names begin; each is looked for on its own, which is faster than a pattern."""
_FLAGS: Final = (" -u", " -p", " -a", " -w", " --user", " --proxy-user", " --cred")
_FOR_ASSIGNMENTS: Final = (
    *("?sig", "&sig", "-sig", "bearer", "basic", "cookie"),
    *("pw:", "pw=", "pw ", 'pw"', "pw'", "creds", " -b "),
)
"""What stands before secrets that `assignments` knows, besides the names."""
_NEAR: Final = (*HINTS, *_FOR_ASSIGNMENTS, *_FLAGS)
_NEAR_BEYOND_ASCII: Final = (*ALL_HINTS, *_FOR_ASSIGNMENTS, *_FLAGS)
_SHORT: Final = 8 * 1024
"""Characters of a text in which each hint is looked for on its own; in a longer one together, since
a text that is made to be slow has all of them."""
_LISTED_WITHIN: Final = 9
"""Characters behind a secret among which the comma is."""


def near_names(hints: Sequence[int]) -> list[Place]:
    """Return where in a text there are names that secrets have, and something behind each.

    Args:
        hints: Where the names begin, in order; one at least.
    """
    far = _LEFT_OF_NAME + STEP + _FAR
    firsts = [hints[0], *(at for before, at in pairwise(hints) if at - before > far)]
    lasts = [*(at for at, after in pairwise(hints) if after - at > far), hints[-1]]
    return [
        (max(0, first - _LEFT_OF_NAME), last + STEP + _FAR)
        for first, last in zip(firsts, lasts, strict=True)
    ]


def find_hints(folded: str) -> list[int]:
    """Return where names of secrets may begin; of several within `STEP`, the first.

    Args:
        folded: The text in lower case.
    """
    hints = _NEAR if folded.isascii() else _NEAR_BEYOND_ASCII
    if len(folded) > _SHORT:
        return [found.start() for found in _together(hints).finditer(folded)]
    found = [hint for hint in hints if hint in folded]
    return sorted(at for hint in found for at in all_places(folded, hint, STEP))


@functools.cache
def _together(hints: Sequence[str]) -> re.Pattern[str]:
    """Return a pattern for hints and what is within `STEP` of one.

    They are grouped by how they begin: one by one they take half as long again.
    """
    rest: dict[str, list[str]] = {}
    for hint in hints:
        rest_and_more = f"{re.escape(hint[1:])}.{{0,{STEP - len(hint)}}}"
        rest.setdefault(re.escape(hint[0]), []).append(rest_and_more)
    every = "|".join(f"{first}(?:{'|'.join(some)})" for first, some in rest.items())
    return re.compile(every, re.DOTALL)


def all_places(text: str, part: str, step: int) -> Iterator[int]:
    """Yield where a part of a text is; of several within some characters, the first.

    Args:
        text: The text.
        part: What to look for.
        step: How many characters.
    """
    at = text.find(part)
    while at >= 0:
        yield at
        at = text.find(part, at + step)


class WordsNearNames:
    """The words with a digit that stand near something that may name them, in order.

    Args:
        text: The text.
        near: Where that is.
        numbered: Returns the words with a digit between two places.
    """

    def __init__(self, text: str, near: Sequence[Place], numbered: Numbered) -> None:
        self._text = text
        self._near = near
        self._numbered = numbered
        self._at = self._until = 0

    def go_on(self, done: int) -> None:
        """Go on behind a secret even if no name is near, where a list of them may follow."""
        if self._text.find(",", done, done + _LISTED_WITHIN) >= 0:
            self._until = max(self._until, done + _FAR)

    def skip(self, place: int) -> None:
        """Go on at another place, if that is behind the last word."""
        self._at = max(self._at, place)

    def __iter__(self) -> Iterator[Place]:
        for begin, end in self._near:
            self._at, self._until = max(self._at, begin), max(self._until, end)
            while self._at < self._until:
                yield from self._words(self._until)

    def _words(self, until: int) -> Iterator[Place]:
        for word in self._numbered(self._at, until):
            self._at = word[1]
            yield word
            if self._at > word[1]:
                return
        self._at = max(self._at, until)
