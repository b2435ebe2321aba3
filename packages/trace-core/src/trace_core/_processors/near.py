"""Finds where in a text there are names that secrets have: only there values are looked at."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, TypeAlias

from trace_core._processors.budget import GLANCE, Budget, Match, Place, without

Group: TypeAlias = "tuple[re.Pattern[bytes], list[tuple[bytes, int]]]"
"""A pattern for any of some words, and each with how much of it is before what is matched."""
_FAR: Final = 320
"""Characters from the begin of a name to the first digit of the value it may be the name of."""
_BEHIND_NAMES: Final = b"=:,|"
_FREQUENT: Final = (b"key", b"token", b"secret", b"pass", b"pw", b"auth", b"cred", b"sig")
_LONG: Final = 32_768
"""Characters of a text that may hold too many."""
PIECE: Final = 4_096
"""Characters of which the names are counted, and of which words are looked at at once."""
_CROWD: Final = 256
"""Names in so many characters, at the most, that text or code may have all over."""
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
"""How the names begin."""
_FLAGS: Final = (" -u", " -p", " -a", " -w", " --user", " --proxy-user", " --cred")
_FOR_ASSIGNMENTS: Final = (
    *("cookie", "pw:", "pw=", "pw ", 'pw"', "pw'", "bearer", "basic", "creds", " -b "),
    *("?sig", "&sig", "-sig"),
)
"""What stands before secrets that `assignments` knows, besides the names."""
_NEAR: Final = (*_FOR_ASSIGNMENTS, *HINTS, *_FLAGS)
_SIGNS: Final = "kjgpfbhc-l"
"""Characters by which the hints in ASCII are found."""
_BEYOND_ASCII: Final = tuple(hint for hint in ALL_HINTS if not hint.isascii())


def around(some: Iterable[int], behind: int, ahead: int = STEP + _FAR) -> list[Place]:
    """Return where in a text something may stand that has a known part.

    Args:
        some: Where the part is, in order; of several within `STEP`, the first is enough.
        behind: Characters there may be before the part.
        ahead: Characters from its begin on.
    """
    places = list[Place]()
    begin = end = 0
    for at in some:
        if at - behind > end:
            if end:
                places.append((begin, end))
            begin = max(0, at - behind)
        end = at + ahead
    return [*places, (begin, end)] if end else places


def crowds(low: bytes, near: Iterable[Place]) -> list[Match]:
    """Return where there are more names than anybody writes, and too many of them to look at.

    Args:
        low: The text in lower case, a byte for each character.
        near: Where there are names.
    """
    budget = Budget()
    for first, last in near if len(low) > _LONG else ():
        for begin in range(first, last, PIECE):
            end = min(begin + PIECE, last)
            if sum(low.count(sign, begin, end) for sign in _BEHIND_NAMES) > _CROWD:
                names = sum(low.count(name, begin, end) for name in _FREQUENT)
                if names > _CROWD:  # to look behind one takes an eighth of a glance
                    budget.allows(begin, end, names * GLANCE / 8)
    return budget.withheld


def near_names(folded: str, low: bytes, places: Sequence[Place]) -> list[Place]:
    """Return where in a text there are names that secrets have, and something behind each.

    Args:
        folded: The text in lower case.
        low: The same, a byte for each character.
        places: Where to look for names.
    """
    found, left = list[int](), places  # where one more would make a difference
    if not folded.isascii():
        # A single character is found ten times as fast; most texts have few scripts.
        some = [hint for hint in _BEYOND_ASCII if max(hint) in folded and hint in folded]
        found = sorted(at for hint in some for at in all_places(folded, hint, STEP))
        left = without(places, _inside(around(found, _LEFT_OF_NAME)))
    for hints, _ in _hints():
        new = [name.start() for begin, end in left for name in hints.finditer(low, begin, end)]
        if new:
            found = sorted(found + new)
            left = without(places, _inside(around(found, _LEFT_OF_NAME)))
    return around(found, _LEFT_OF_NAME)


def _inside(near: Iterable[Place]) -> Iterator[Place]:
    """Return where one more name would make the places no longer."""
    return ((begin + _LEFT_OF_NAME, end - STEP - _FAR) for begin, end in near)


@functools.cache
def _hints() -> list[Group]:
    return grouped(_NEAR, _SIGNS, f"(?s:.{{0,{STEP - 1}}})")  # of several near by, the first


def grouped(words: Iterable[str], signs: str, rest: str = "") -> list[Group]:
    """Return patterns for words that have one of some characters.

    A search for one character is ten times as fast as one for any of several words.

    Args:
        words: The words.
        signs: The characters: those come first that texts seldom have.
        rest: A pattern for what else is matched, behind the character; no more of a word is.

    Returns:
        For each character a pattern, and the words with how much of them is before it.
    """
    by_sign: dict[str, list[str]] = {}
    for word in words:
        sign = next(filter(word.__contains__, signs), "")
        by_sign.setdefault(sign, []).append(word)
    by_sign.pop("", None)
    return [
        (
            re.compile(f"{re.escape(sign)}(?={_around(sign, some)}){rest}".encode()),
            [(word.encode(), word.index(sign)) for word in some],
        )
        for sign, some in by_sign.items()
    ]


def _around(sign: str, words: Sequence[str]) -> str:
    """Return a pattern for what is around a character in words; what is behind it goes first."""
    parts = [tuple(map(re.escape, word.partition(sign))) for word in words]
    any_of_them = "|".join(f"{b}(?<={a}{sign}{b})" if a else b for a, sign, b in parts)
    lasts = sorted({word[: word.index(sign)][-1:] for word in words})
    # Mostly there is something else before it, which is told at once.
    last = f"(?<=[{re.escape(''.join(lasts))}]{re.escape(sign)})" if all(lasts) else ""
    return f"{last}(?:{any_of_them})"


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
