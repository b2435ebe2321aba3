"""Finds secrets by the name before them: ``password=...``, ``"token": "..."``, cookies, headers.

A name alone is no proof: code and prose are full of ``password: str`` and ``api_key=settings.KEY``.
What follows must look like a value that somebody chose or a machine made.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from typing import Final, TypeAlias

Match: TypeAlias = "tuple[int, int, str]"
"""Begin, end and kind of a secret in a text."""
ASSIGNED: Final = "assigned"

# All patterns but the last few are for text in lower case.
_NAME: Final = (
    r"key|secret|token|pass(?:w(?:or)?d|phrase)?|passwd|pwd|auth(?:orization)?|credentials?"
    r"|sig(?:nature)?"
)
_VALUE: Final = r"(?P<quote>\\*[\"'`])?(?P<value>[^\s\"'`,;}{&\\]{6,})"
_ASSIGNMENT: Final = re.compile(
    rf"(?P<name>{_NAME})(?:\\*[\"'`])?[ \t]{{0,16}}(?P<sign>=>|:=|[:=](?!=))[ \t]{{0,16}}"
    rf"(?:(?:\\*[\"'`])?(?:bearer|basic|token|digest|apikey|bot)[ \t]{{1,4}})?{_VALUE}"
)
_OPTION: Final = re.compile(rf"(?P<name>(?<=-)(?:password|token|key|secret))(?P<sign>[ ]){_VALUE}")
_SCHEME: Final = re.compile(r"(?:bearer|basic)[ \t]{1,4}(?P<value>[a-z0-9_\-.=+/~]{16,})")
_CONNECTED: Final = re.compile(
    r"(?:server|host|data source|endpoint|user(?:[ ]?id)?|uid|accountname|database"
    r"|initial catalog|sharedaccesskeyname)[ ]?=[^;\n]{1,200};"
)
_SETTING: Final = (
    r"(?:password|pwd|accountkey|sharedaccesskey|sharedsecret|accesskey|clientsecret)"
    r"[ ]?=[ ]?"
)
_CHOSEN: Final = r"(?![ =]|[a-z]{1,12}\.)[^;\n\r\"'\\]{4,128}?"
_CONNECTION: Final = re.compile(
    rf"(?:(?<=;)|(?<=;[ ])){_SETTING}(?P<last>{_CHOSEN})[ ]?(?=;|$|[\n\r\"'])"
    rf"|(?:^|(?<=[\n\"'])){_SETTING}(?P<first>{_CHOSEN})(?=;[ ]?[a-z ]{{2,24}}=)",
    re.MULTILINE,
)
_COOKIE: Final = re.compile(
    r"cookie2?(?:\\*[\"'])?[ \t]{0,8}[:=][ \t]{0,8}(?:\\*[\"'])?"
    r"(?P<value>[a-z0-9_.\-!#$%&*+^|~]{1,64}=[^\s\"'\\;]{4,}(?:;[ ]?[^\s\"'\\;]{1,4096})*)"
)
_LITERALS: Final = ("key", "secret", "token", "pass", "pwd", "auth", "cred", "sig")


def assignments(text: str) -> Iterator[Match]:
    """Find secrets in a text by the names before them.

    Args:
        text: The text.

    Returns:
        Begin, end and kind of each.
    """
    folded = _folded(text)
    if ("=" in text or ":" in text) and any(literal in folded for literal in _LITERALS):
        yield from _named(_ASSIGNMENT, text, folded)
    if "--" in text:
        yield from _named(_OPTION, text, folded)
    yield from _headers(folded)
    if ";" in text and "=" in text and _CONNECTED.search(folded):
        for found in _CONNECTION.finditer(folded):
            group = "last" if found["last"] is not None else "first"
            if not _HARMLESS.match(found[group]) and not _CODE.match(found[group]):
                yield (*found.span(group), ASSIGNED)


def _headers(folded: str) -> Iterator[Match]:
    if "bearer" in folded or "basic" in folded:
        for found in _SCHEME.finditer(folded):
            if _is_credential(found["value"]):
                yield (*found.span("value"), "bearer")
    if "cookie" in folded:
        for found in _COOKIE.finditer(folded):
            yield (*found.span("value"), "cookie")


def _folded(text: str) -> str:
    """Return the text in lower case, every character at its place."""
    folded = text.lower()
    return folded if len(folded) == len(text) else text.replace("\u0130", "I").lower()


_TRAILING: Final = ".,:;!?)>]"


def _named(pattern: re.Pattern[str], text: str, folded: str) -> Iterator[Match]:
    for found in pattern.finditer(folded):
        name, sign, quote, value = found.groups()
        at, begin = found.start(), found.start(4)
        if not _is_whole(name, folded[max(0, at - 16) : at], text[at]):
            continue
        if quote is None:
            value = value.rstrip(_TRAILING)
        end = begin + len(value)
        if _MACHINE_MADE.match(value):
            yield (begin, end, ASSIGNED)
            continue
        equals = folded[begin - 1] == "="
        # NAME=value, as in an environment file
        variable = equals and text[at].isupper()
        joined = equals or quote is not None or sign == " "
        if _looks_chosen(name, value, quote is not None, joined, variable):
            yield (begin, end, ASSIGNED)


_KEYS: Final = (
    *("api", "access", "secret", "private", "account", "subscription", "master", "encryption"),
    *("signing", "storage", "service", "admin", "auth", "shared", "license", "deploy"),
    *("functions", "client", "rapidapi"),
)
"""What stands before "key" where it opens something: "primary key" and "cache_key" do not."""
_COUNTED: Final = (
    *("next", "page", "continuation", "continue", "cursor", "sync", "eos", "bos", "pad", "unk"),
    *("stop", "mask", "sep", "cls", "max", "min", "num", "special", "start", "end", "first"),
    *("last", "prompt", "input", "output", "cache", "by", "per", "idempotency", "expected"),
    *("invalid", "unknown"),
)
"""What stands before "token" where it is no credential: pages of a listing, a model's tokens."""


def _is_whole(name: str, before: str, first: str) -> bool:
    """Return whether a name is a secret's: not the end of another word, not a count."""
    if name == "key":
        return before.endswith(("?", "&", "--")) or before.rstrip("_-. ").endswith(_KEYS)
    if name.startswith("sig"):
        return before.endswith(("?", "&", "-"))  # in a URL; "X-Amz-Signature"
    if name == "token":
        return not before.rstrip("_- ").endswith(_COUNTED)
    if name in ("pass", "auth", "pwd") and before[-1:].isalpha():
        return first.isupper()  # dbPass, but not bypass
    return True


_HARMLESS: Final = re.compile(
    r"(?:your|my[_\-]|the[_\-]|xxx|example|sample|change[_\-]?me|placeholder|redacted|insert|todo"
    r"|dummy|fixme|not[_\-]|no[_\-]|some[_\-]|arn:|env[:.]|os\.environ|process\.env|vault[:.]|secrets?[:./]|sha\d+[:\-]|https?:)"
    r"|(?:password|postgres|changeit|required)(?:$|\|)"
    # a type or an algorithm
    r"|(?:u?int|float|bytes|n?v?archar|n?v?char|utf|sha|md|base|oauth|openid|argon|bcrypt|aes|rsa"
    r"|hmac|hs|rs|es|pkcs|p|v|step|line|page|chapter|section|version)[_\-]?\d+[\w\-]{0,8}$"
    # a path, a date or an amount
    r"|(?:[~.]{0,2}|[a-z]:)[/\\][a-z0-9_.\-]+(?:[/\\][a-z0-9_.\-]+)*/?$|[\d:.,/\-+tz%$€]+$"
    # words, perhaps numbered, one of which says that this is a name and no value
    r"|(?=[a-z0-9_]*(?:pass|token|key|secret|cred|auth|signature))"
    r"(?:[a-z0-9]{1,12}_){2,}[a-z0-9]{1,12}$"
    r"|(?=[a-z_\-.]*(?:pass|pwd|token|key|secret|cred|auth|user|name|var|val|arg|param))"
    r"[a-z]+(?:[_\-.:][a-z]+)*[_\-]?\d{0,2}$"
)
_CODE: Final = re.compile(
    r".*[()\[\]{}<>]|[$%@*&+|]|[a-z_]\w{0,30}\??\.[a-z_]\w*[?&|!=]|.*(?:\*\*\*|\.\.\.|…)"
)
_TEMPLATE: Final = re.compile(r"[<{$\[%*(]|.*(?:\$[{(]|%\(|\*\*\*|\.\.\.|…)")
_DOTTED: Final = re.compile(r"[a-z_]\w{0,30}(?:\??(?:\.|::|->)[a-z_]\w{0,30})+!?$")
_SYMBOL: Final = re.compile(r".*[!@#%^&*~+=|?$]")
_DIGIT: Final = re.compile(r".*[0-9]")
_MACHINE_MADE: Final = re.compile(r"(?=.{10})[a-z]*[0-9]+[a-z]+[0-9][a-z0-9+/=_\-]*$")
_PHRASE: Final = 16
"""Letters that are hardly one word."""
_SHORTEST: Final = 8


@functools.lru_cache(maxsize=1_024)
def _looks_chosen(name: str, value: str, quoted: bool, joined: bool, variable: bool) -> bool:
    """Return whether what follows a name looks like a secret, not like code or a word."""
    password = name.startswith(("pass", "pwd"))
    if not password and len(value) < _SHORTEST:
        return False
    if _HARMLESS.match(value) or (_TEMPLATE if quoted else _CODE).match(value):
        return value.isdigit() and password and joined
    if _DIGIT.match(value):
        return quoted or not _DOTTED.match(value)
    if _SYMBOL.match(value):
        return joined and not _DOTTED.match(value)
    phrase = quoted and len(value) >= _PHRASE
    return password and value.isalpha() and (phrase or variable)


def _is_credential(value: str) -> bool:
    """Return whether what follows "Bearer" or "Basic" is one, not the next words of a text."""
    return (value.endswith("=") and "_" not in value) or (
        _DIGIT.match(value) is not None and not _HARMLESS.match(value)
    )
