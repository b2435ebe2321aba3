"""Finds secrets by the name before them: ``password=...``, ``"token": "..."``, cookies, headers.

A name alone is no proof: code and prose are full of ``password: str`` and ``api_key=settings.KEY``.
What follows must look like a value that somebody chose or a machine made.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Final, TypeAlias

from trace_core._processors.budget import Budget, Match, Place, left_of
from trace_core._processors.names import is_counted, key_word
from trace_core._processors.near import PASSWORDS
from trace_core._processors.values import (
    CLASS,
    CODE,
    DIGIT,
    HARMLESS,
    MACHINE_MADE,
    UUID,
    looks_chosen,
    looks_random,
)

Judge: TypeAlias = "Callable[[str], bool]"
ASSIGNED: Final = "assigned"

# All patterns but the last few are for text in lower case. "(?:x|)" takes half as long as "(?:x)?".
_NAME: Final = (
    r"k(?<=[a-z?&\-_. ]k)ey|secret|token|pass(?:w(?:or)?d|phrase)?|passwd|pwd?"
    r"|auth(?:orization)?|cred(?:ential)?s?|sig(?:nature)?"
)
_QUOTE: Final = r"(?:[\"'`]|\\+[\"'`]|%2[27])"
_WITHIN: Final = (
    r"(?![,;}{&).+])(?=(?:[^\s\"'`\\&]|&(?![\w%.]{1,32}=)){6})"
    r"[^\s\"'`\\&]*(?:&(?![\w%.]{1,32}=)[^\s\"'`\\&]*){0,16}"
)
"""A value up to its closing quote, but not code behind one, nor what follows in a URL."""
_UNQUOTED: Final = r"[^\s\"'`,;}{&\\]"
_WRAPPED: Final = r"(?:some|string::from|secretstr)\((?=\\*[\"'])"
"""What may be around a value: ``Some("...")``."""
_VALUE: Final = (
    rf"(?:{_WRAPPED}|)(?:[bfnru@](?=[\"'])|)(?:(?P<quote>{_QUOTE})|)"
    rf"(?P<value>(?(quote){_WITHIN}|(?!))|{_UNQUOTED}{{6,}})"
)
_DECLARED: Final = (
    r"(?:_?\d{1,3}|_(?:prod|dev|live|staging|old|new|primary|secondary|base)|\[\d{0,4}\]"
    r"|:?[ ](?:as[ ])?(?:string\??|str|secretstr|optional\[str\]|final|&str|&'static[ ]str)"
    r"(?:[ ]\|[ ]none)?(?=[ ]=)|)"
)
"""Between a name and its sign: ``password_2``, ``password[]``, ``password: str``."""
_SIGN: Final = (
    r"(?:=(?![=>])|:(?![:=])|(?!=(?![=>])|:(?![:=]))(?=[=:%?.+|!])"  # else one of the others
    r"(?:=>|(?:\?|:{1,3}|[?.+|]{1,2}(?==[ \t]{0,4}[\"'`]))?=(?!=)|:(?!=)|%3[ad]"
    r"|[=!]={1,2}(?=[ \t]{0,4}[\"'`])))"
)
_ASSIGNMENT: Final = re.compile(
    rf"(?P<name>{_NAME})(?=[=:%?.+|!_\[\d \t\"'`\\])"  # most are parts of other words
    rf"(?:(?==)|(?!=){_DECLARED}(?:{_QUOTE}|(?![\"'`\\]))[ \t]{{0,16}}(?![ \t]))(?P<sign>{_SIGN})"
    rf"(?:%20|[ \t]{{0,16}})(?![ \t])"
    # Else nothing of what follows can match.
    rf"(?![\"'`][\s\"'`\\])(?=[\"'`\\%@bfnrut]|{_UNQUOTED}{{6}}|{_WRAPPED})"
    rf"(?:(?:\\*[\"'`]|)(?:bearer|basic|token|digest|apikey|bot)[ \t]{{1,4}}|){_VALUE}"
)
_OPTION: Final = re.compile(
    rf"-(?:store|key)?(?P<name>pass(?:word|phrase)?|token|key|secret)(?P<sign>[ ]){_VALUE}"
)
_SPACE: Final = r"(?:\s{1,16}|\\[nrt][ ]{0,16}){0,2}"
_ELEMENT: Final = re.compile(
    rf"<[\w:.\-]{{0,40}}?(?P<name>{_NAME})(?:\s[^<>]{{1,200}})?(?P<sign>>)(?P<quote>(?!))?{_SPACE}"
    rf"(?:<!\[cdata\[)?(?P<value>[^<>\s]{{6,}}?)(?:\]\]>)?{_SPACE}(?:</|\0|\Z)"
)
_SCHEME: Final = re.compile(r"(?:bearer|basic)[ \t]{1,4}(?P<value>[a-z0-9_\-.=+/~]{16,})")
_CONNECTED: Final = re.compile(
    r"(?:server|host|data source|endpoint|user(?:[ ]?id)?|uid|accountname|database"
    r"|initial catalog|sharedaccesskeyname)[ ]?=[^;\n=]{1,200};"
)
_SETTING: Final = (
    r"(?:password|pwd|accountkey|sharedaccesskey|sharedsecret|accesskey|clientsecret)"
    r"[ ]?=[ ]?"
)
_CHOSEN: Final = r"(?![ =]|[a-z]{1,12}\.)[^;\n\r\"'\\]{4,128}?"
_NEXT_SETTING: Final = re.compile(r";[ ]?[a-z ]{2,24}=")
_LAST_SETTING: Final = re.compile(
    rf";[ ]?{_SETTING}(?P<value>{_CHOSEN})[ ]?(?=;|$|[\n\r\"'])", re.MULTILINE
)
_FIRST_SETTING: Final = re.compile(
    rf"[\n\"']{_SETTING}(?P<value>{_CHOSEN})(?={_NEXT_SETTING.pattern})"
)
_COOKIE: Final = re.compile(
    r"cookie2?(?:\\*[\"'])?[ \t]{0,8}[:=][ \t]{0,8}\[?(?:\\*[\"'])?"
    # The short ones before it, once: with fewer of them nothing else matches.
    r"(?=(?P<short>(?:[a-z0-9_.\-]{1,32}=[^\s\"'\\;]{0,3};[ ]?){0,8}))(?P=short)"
    r"(?P<value>[a-z0-9_.\-!#$%&*+^|~]{1,64}=[^\s\"'\\;]{4,}(?:;[ ]?[^\s\"'\\;]{1,4096})*)"
)

_COOKIE_OPTION: Final = re.compile(
    r"[ ](?:-b|--cookie)[ =]\\*[\"']?(?P<value>[A-Za-z0-9_.\-]{1,64}=[^\s\"'\\;]+"
    r"(?:;[ ]?[^\s\"'\\;]{1,4096})*)"
)


def assignments(text: str, folded: str, near: Sequence[Place]) -> list[Match]:
    """Find secrets in a text by the names before them.

    Args:
        text: The text.
        folded: The same in lower case.
        near: Where there are names that secrets have.

    Returns:
        Begin, end and kind of each.
    """
    found = list[Match]()
    if "=" in text or ":" in text or "%3" in text:
        found += _named(_ASSIGNMENT, text, folded, near)
    if "-" in text and ("--" in text or "-storepass" in text):
        found += _named(_OPTION, text, folded, left_of(near, found))
    if "<" in text and "</" in text:
        found += _named(_ELEMENT, text, folded, left_of(near, found))
    found += _headers(text, folded, left_of(near, found))
    if _NEXT_SETTING.search(folded):
        settings = list(_settings(folded, left_of(near, found)))
        # To look for the rest of a connection string everywhere takes longer.
        found += settings if settings and _CONNECTED.search(folded) else ()
    return found


def _headers(text: str, folded: str, near: Sequence[Place]) -> Iterator[Match]:
    if "bearer" in folded or "basic" in folded:
        yield from values(_SCHEME, folded, near, "bearer", _is_credential)
    if "=" in folded and "cookie" in folded:
        yield from values(_COOKIE, folded, near, "cookie")
    if "=" in folded and (" -b" in folded or "--cookie" in folded):
        yield from values(_COOKIE_OPTION, text, near, "cookie", _has_random)


def values(
    pattern: re.Pattern[str], text: str, places: Sequence[Place], kind: str, is_one: Judge = bool
) -> Iterator[Match]:
    """Find what a pattern calls ``value``.

    Args:
        pattern: The pattern.
        text: The text.
        places: Where to look.
        kind: What is found.
        is_one: Says whether a value is one.

    Returns:
        Begin, end and kind of each.
    """
    budget = Budget()
    for found in budget.candidates(pattern, text, "value", places=places):
        if is_one(found["value"]):
            yield (*found.span("value"), kind)
    yield from budget.withheld


def _settings(folded: str, near: Sequence[Place]) -> Iterator[Match]:
    line = f"\n{folded}"  # what is before the text is like the begin of a line
    places = [(begin, end + 1) for begin, end in near]
    for pattern in (_FIRST_SETTING, _LAST_SETTING):
        budget = Budget()
        for found in budget.candidates(pattern, line, "value", places=places):
            if not HARMLESS.match(found["value"]) and not CODE.match(found["value"]):
                yield (found.start("value") - 1, found.end("value") - 1, ASSIGNED)
        yield from ((max(0, begin - 1), end, kind) for begin, end, kind in budget.withheld)


_OPENS: Final = re.compile(
    r"(?:access|admin|api|app|auth|bearer|bot|client|csrf|deploy|invit(?:e|ation)|refresh|reset"
    r"|secret|service|session|user|vault|verification|xsrf"
    r"|heroku|hubspot|kucoin|message-?bird|sendbird|snyk|squarespace)"  # whose keys are UUIDs
    r"[ _\-]?\Z|[?&]\Z|(?-i:[A-Z]_\Z)",  # SNYK_TOKEN: a variable of the environment
    re.IGNORECASE,
)
"""What stands before "token" where even one that looks like the id of something opens something."""
_SHORT: Final = ("pass", "auth", "pwd", "pw", "creds", "cred")
"""Names that other words end with."""
SETTINGS: Final = ("require", "store", "-key", "_")
"""What stands before "pass" in a setting's name, such as ``requirepass``, ``-storepass``."""
TRAILING: Final = ".,:;!?)>]"
"""What ends a sentence or an expression, and no value."""
NAME_BEFORE: Final = 24
"""Characters before a name that tell what it means."""


def _named(
    pattern: re.Pattern[str], text: str, folded: str, near: Sequence[Place]
) -> Iterator[Match]:
    budget = Budget()
    for found in budget.candidates(pattern, folded, "value", places=near, is_one=_may_be_chosen):
        yield from _judged(found, text, folded)
    yield from budget.withheld


def _may_be_chosen(found: re.Match[str]) -> bool:
    return not found["value"].isalpha() or found["name"].startswith("p")


def _judged(found: re.Match[str], text: str, folded: str) -> Iterator[Match]:
    """Yield what follows a name, if it is a secret."""
    name, sign, quote, value = found.groups()
    at, begin = found.start("name"), found.start("value")
    if quote is None:
        value = value.rstrip(TRAILING)
    end = begin + len(value)
    equals = folded[begin - 1] == "="
    # NAME=value, as in an environment file
    variable = equals and text[at : at + 2].isupper()
    is_json = folded[at + len(name)] in "\"'\\"
    joined = equals or is_json or quote is not None or sign == " "
    before = text[max(0, at - NAME_BEFORE) : at]
    if not is_whole(name, before, text[at]) or names_other(name, text[begin:end], before):
        return
    if MACHINE_MADE.match(value) or looks_chosen(name, value, quote is not None, joined, variable):
        yield (begin, end, ASSIGNED)


def is_whole(name: str, before: str, first: str) -> bool:
    """Return whether a name is a secret's: not the end of another word, not a count.

    Args:
        name: The name that was found.
        before: What stands before it.
        first: How it begins, in its own case.
    """
    if name == "key":
        return key_word(before.lower()) == "key"
    if name.startswith("sig"):
        return before.endswith(("?", "&", "-"))  # in a URL; "X-Amz-Signature"
    if name == "token":
        return not is_counted(before)
    if name == "secret":
        return not before.endswith(":")  # of a resource: arn:aws:secretsmanager:...:secret:name
    if name in _SHORT and before[-1:].isalpha():  # dbPass, but not bypass
        return name != "pw" and (first.isupper() or before.lower().endswith(SETTINGS))
    return name != "pw" or not before.endswith(".")  # of a domain


def names_other(name: str, value: str, before: str) -> bool:
    """Return whether a value is no secret, but the id of something, or a class.

    Args:
        name: Its name.
        value: The value, in its own case.
        before: What stands before the name.
    """
    if name == "token" and UUID.match(value):
        return not _OPENS.search(before)
    if name.startswith(("pw", *PASSWORDS)) or value.islower():  # no class is called like this
        return False
    return CLASS.match(value) is not None and not looks_random(value)


def _has_random(value: str) -> bool:
    """Return whether one of some cookies is more than a setting: ``theme=dark; sid=...``."""
    return any(looks_random(one) or UUID.match(one) for one in re.split("[;=]", value))


def _is_credential(value: str) -> bool:
    """Return whether what follows "Bearer" or "Basic" is one, not the next words of a text."""
    return (value.endswith("=") and "_" not in value) or (
        DIGIT.match(value) is not None and not HARMLESS.match(value)
    )
