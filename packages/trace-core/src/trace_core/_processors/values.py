"""Decides whether a value is a secret that somebody chose or a machine made, or code or a word."""

from __future__ import annotations

import functools
import re
from typing import Final

HARMLESS: Final = re.compile(
    r"(?:your|my[_\-]|the[_\-]|xxx|example|sample|change[_\-]?me|placeholder|redacted|insert|todo|replace[_\-]"
    r"|dummy|fixme|not[_\-]|no[_\-]|some[_\-]|arn:|env[:.(]|os\.environ|process\.env|vault[:.]|secrets?[:./]|sha\d+[:\-]|https?:"
    # where it is kept: op://..., ref+vault://...
    r"|[a-z][a-z0-9+.\-]{1,24}://)"
    r"|(?:password|postgres|changeit|required)(?:$|\|)"
    # a place in a document, an option, a package, a template
    r"|[#.]{0,2}/[a-z]|--[a-z]|@[a-z]+(?:[./_\-][a-z]+)*$|.*%[sd](?![a-z0-9])"
    # a type or an algorithm
    r"|(?:u?int|float|bytes|n?v?archar|n?v?char|utf|sha|md|base|oauth|openid|argon|bcrypt|aes|rsa"
    r"|hmac|hs|rs|es|pkcs|p|v|step|line|page|chapter|section|version)[_\-]?\d+[\w\-]{0,8}$"
    # an amount
    r"|\d{1,5}[\-_]?(?:char|byte|bit|digit|letter|caract|zeichen|sec|min|hour|day|month|year)[^\W\d]*$"
    # a path, a date or a number
    r"|(?:[~.]{0,2}|[a-z]:)[/\\][a-z0-9_.\-]+(?:[/\\][a-z0-9_.\-]+)*/?$|[\d:.,/\-+tz%$€]+$"
    r"|\d+(?:\.\d+)?e[+\-]?\d{1,3}$|0x[0-9a-f]{1,8}$|\d+\.\d+[*/]"
    # words, perhaps numbered, one of which says that this is a name and no value
    r"|(?=(?:[a-z0-9]{1,12}_){2,}[a-z0-9]{1,12}$)"
    r"[a-z0-9_]*(?:pass|token|key|secret|cred|auth|signature)"
    r"|(?=[a-z_\-.]*(?:pass|pwd|token|key|secret|cred|auth|user|name|var|val|arg|param))"
    r"[a-z]+(?:[_\-.:][a-z]+)*[_\-]?\d{0,2}$"
)
CODE: Final = re.compile(
    r".*[()\[\]{}<>]|[$%@*&+|]|[a-z_]\w{0,30}\??\.[a-z_]\w*[?&|!=]|.*(?:\*\*\*|\.\.\.|…)"
)
_TEMPLATE: Final = re.compile(
    r"[<{$\[%*(.)]|.*(?:\$[{(]|[.\-_/:]\$$|%\(|\*\*\*|\.\.\.|…)"  # the end of `name-${number}`
)
_DOTTED: Final = re.compile(r"[a-z_]\w{0,30}(?:\??(?:\.|::|->)[a-z_]\w{0,30})+!?$")
_SYMBOL: Final = re.compile(r".*[!@#%^&*~+=|?$]")
DIGIT: Final = re.compile(r"(?s).*[0-9]")
MACHINE_MADE: Final = re.compile(
    r"(?=.{10})(?!0x[0-9a-f]{1,8}$)[a-z]*[0-9]+[a-z]+[0-9][a-z0-9+/=_\-]*$"
)
_PIECE_OF_WORDS: Final = r"(?:[a-z]{1,15}\d{0,4}|\d{1,8}|\d{1,2}[a-z]{1,2}|[a-z]\d{1,2}[a-z])"
_WORDS: Final = re.compile(rf"_{{0,2}}{_PIECE_OF_WORDS}(?:[_\-./:+@]{_PIECE_OF_WORDS}){{0,32}}$")
"""Words, perhaps numbered, years and versions: ``Paris2024``, ``projects/123/secrets/x``."""
CLASS: Final = re.compile(
    r"(?=(?:[A-Z]{0,5}[a-z]?\d{0,5})?(?:[A-Z][a-z]{2,14}\d{0,5}){2})"
    r"(?:[A-Z][a-z]{1,14}|[A-Z]{2,5}(?![a-z])|\d{1,5}){2,12}$"
    r"|[A-Z][a-z]{2,14}\d{1,2}[A-Z][a-z]{2,14}$"
    r"|[A-Za-z][a-z]{0,14}(?:[A-Z]?\d{0,4}[A-Z][a-z]{2,14}){1,6}\d{0,3}$"
)
"""The name of a class or a variable: ``Ed25519PrivateKey``, ``base64Secret``."""
_PASSWORDS: Final = ("pass", "pw")
_CHOSEN_BY_PEOPLE: Final = (*_PASSWORDS, "secret")
"""Names of what may be a word with a number; a token or a key is made by a machine."""
_PHRASE: Final = 16
"""Letters that are hardly one word."""
_SHORTEST: Final = 8
_SHORTEST_PASSWORD: Final = 6


@functools.lru_cache(maxsize=1_024)
def looks_chosen(name: str, value: str, quoted: bool, joined: bool, variable: bool) -> bool:
    """Return whether what follows a name looks like a secret, not like code or a word."""
    password = name.startswith(_PASSWORDS)
    if not password and len(value) < _SHORTEST:
        return False
    if reads_as_words(name, value):
        return False
    if HARMLESS.match(value) or (_TEMPLATE if quoted else CODE).match(value):
        return value.isdigit() and password and joined
    if DIGIT.match(value):
        return quoted or not _DOTTED.match(value)
    if _SYMBOL.match(value):
        by_people = name.startswith(_CHOSEN_BY_PEOPLE) or len(value) >= _PHRASE
        return by_people and joined and not _DOTTED.match(value)
    phrase = quoted and len(value) >= _PHRASE
    return password and value.isalpha() and (phrase or variable)


def reads_as_words(name: str, value: str) -> bool:
    """Return whether a value is made of words and numbers, which a machine does not make.

    Args:
        name: What it is called.
        value: The value, in lower case.
    """
    by_people = name.startswith(_CHOSEN_BY_PEOPLE) and "/" not in value
    return not by_people and _WORDS.match(value) is not None


_RUN: Final = re.compile(r"[A-Z]?[a-z]+|[A-Z]+|[0-9]+")
_PIECE: Final = re.compile(r"[A-Za-z0-9]+")
LETTER: Final = re.compile(r"[A-Za-z]")
UUID: Final = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$")
_STRANGE: Final = re.compile(r"[^(){}\[\]<>$]*[!#%^*@+~]")
_LEAST_RANDOM: Final = 12
_LONG_RANDOM: Final = 24
LONGEST_JUDGED: Final = 256
"""Characters of a value that are looked at."""


def looks_random(value: str) -> bool:
    """Return whether a machine made a value: letters and digits change as they do in no name.

    Args:
        value: The value, in its own case.
    """
    piece = max(_PIECE.findall(value[:LONGEST_JUDGED]), key=len, default="")
    if len(piece) < _LEAST_RANDOM or not DIGIT.match(piece) or not LETTER.search(piece):
        return False
    if UUID.match(value):
        return False
    # camelCase has more runs than words in lower case, and random letters in both cases still more
    one_case = piece in (piece.lower(), piece.upper())
    share = 4 if one_case or len(piece) >= _LONG_RANDOM else 3
    return len(_RUN.findall(piece)) * share > len(piece)


def looks_filed(value: str, *, password: bool) -> bool:
    """Return whether a value is a secret that is filed under a name such as ``hf_token``.

    Args:
        value: The value, in its own case.
        password: Whether it is one, and so may have been chosen by a person.
    """
    folded = value.lower()
    if len(value) < (_SHORTEST_PASSWORD if password else _SHORTEST) or value.split() != [value]:
        return False
    if looks_random(value):
        return True
    if HARMLESS.match(folded) or _TEMPLATE.match(folded):
        return False
    if DIGIT.match(value) is None:
        return False
    return password or (LETTER.search(value) is not None and not _WORDS.match(folded))


def looks_paired(value: str) -> bool:
    """Return whether what follows a secret's name in a list is the secret, not another name.

    Args:
        value: The value, in its own case.
    """
    if len(value) < _SHORTEST or value.split() != [value] or HARMLESS.match(value.lower()):
        return False
    return looks_random(value) or (
        DIGIT.match(value) is not None and _STRANGE.match(value) is not None
    )
