"""Finds where in a text there are names that secrets have: only there values are looked at."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Iterator
from typing import Final

from trace_core._processors.budget import Place

_FAR: Final = 320
"""Characters from the begin of a name to the first digit of the value it may be the name of."""
STEP: Final = 64
"""Characters from one name to the next that is looked for: a text may be full of them."""
_LEFT_OF_NAME: Final = 40
"""Characters before it that belong to a name, of ``; SharedAccessKey`` all but the last three, and
what of it is before the character by which it is found."""
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
_SIGNS: Final = "kjgpfbhc-l"
"""Characters by which the hints in ASCII are found."""
_BEYOND_ASCII: Final = tuple(hint for hint in ALL_HINTS if not hint.isascii())
_NEAR_BEYOND_ASCII: Final = (*_NEAR, *_BEYOND_ASCII)
SHORT: Final = 8 * 1024
"""Characters of a text in which each hint is looked for on its own; in a longer one together, since
a text that is made to be slow has all of them. So it is with the literals of rules."""


def near_names(hints: Iterable[int]) -> list[Place]:
    """Return where in a text there are names that secrets have, and something behind each.

    Args:
        hints: Where the names begin, in order.
    """
    return around(hints, _LEFT_OF_NAME)


def around(some: Iterable[int], behind: int) -> list[Place]:
    """Return where in a text something may stand that has a known part.

    Args:
        some: Where the part is, of several within `STEP` the first, in order.
        behind: Characters there may be before the part.
    """
    places = list[Place]()
    begin = end = 0
    for at in some:
        if at - behind > end:
            if end:
                places.append((begin, end))
            begin = max(0, at - behind)
        end = at + STEP + _FAR
    return [*places, (begin, end)] if end else places


def find_hints(folded: str, data: bytes, places: Iterable[Place]) -> list[int]:
    """Return where names of secrets may be; of several within `STEP`, the first and the last.

    Args:
        folded: The text in lower case.
        data: The text, a byte for each character.
        places: Where to look, if the text is long.
    """
    hints = _NEAR if folded.isascii() else _NEAR_BEYOND_ASCII
    if len(folded) <= SHORT:
        return _each(folded, hints)
    places, data = tuple(places), data.lower()
    found = [
        at.start()
        for some in _together()
        for begin, end in places
        for at in some.finditer(data, begin, end)
    ]
    return _apart([*found, *(() if folded.isascii() else _each(folded, _BEYOND_ASCII))])


def _apart(some: list[int]) -> list[int]:
    """Return of several within `STEP` the first and the last, behind which some were skipped."""
    apart, last, end = list[int](), 0, 0
    for at in sorted(some):
        if at >= end:
            apart += (last, at) if end else (at,)
            end = at + STEP
        last = at
    return [*apart, last] if end else apart


def _each(folded: str, hints: Iterable[str]) -> list[int]:
    # A single character is found ten times as fast; most texts have few scripts.
    found = [hint for hint in hints if max(hint) in folded and hint in folded]
    return sorted(at for hint in found for at in all_places(folded, hint, STEP))


@functools.cache
def _together() -> tuple[re.Pattern[bytes], ...]:
    """Return patterns for the hints in ASCII, each with what is within `STEP` of one."""
    rest = f"(?s:.{{0,{STEP - 1}}})"
    return tuple(
        re.compile((any_with(sign, some) + rest).encode())
        for sign, some in by_sign(_NEAR, _SIGNS).items()
    )


def by_sign(words: Iterable[str], signs: str) -> dict[str, list[str]]:
    """Group words by a character each has, the first of some; leave out those that have none.

    Args:
        words: The words.
        signs: The characters: those come first that texts seldom have.
    """
    found: dict[str, list[str]] = {}
    for word in words:
        sign = next(filter(word.__contains__, signs), None)
        if sign is not None:
            found.setdefault(sign, []).append(word)
    return found


def any_with(sign: str, words: Iterable[str]) -> str:
    """Return a pattern for a character of any of several words: no more of one is matched.

    A search for one character is ten times as fast as one for any of several words.

    Args:
        sign: The character.
        words: The words.
    """
    ahead = list[str]()
    for word in words:
        before, _, after = map(re.escape, word.partition(sign))
        ahead.append(f"{after}(?<={before}{re.escape(sign)}{after})" if before else after)
    return f"{re.escape(sign)}(?={'|'.join(ahead)})"


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


_ESCAPES: Final = {"n": 1, "r": 1, "t": 1, "u": 5}
"""Characters of an escape such as ``\\n`` that stand directly before what follows."""


def start_of(text: str, begin: int, end: int) -> int:
    """Return where a word begins without an escape or punctuation that is joined to it.

    Args:
        text: The text.
        begin: Where the word begins with those.
        end: Where it ends.
    """
    if begin:
        before = text[begin - 1]
        if before == "\\":
            begin += _ESCAPES.get(text[begin], 0)
        elif before == "%":
            begin += 2
    if text[begin] in "._-":
        begin = end - len(text[begin:end].lstrip("._-"))
    return begin
