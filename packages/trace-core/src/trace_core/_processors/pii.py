"""The processor that removes personal data: e-mail addresses, telephone and card numbers."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Final

from trace_core._model.span import Span
from trace_core._processors.many import BETWEEN, MANY, Changed, one_by_one
from trace_core._processors.walk import Walk

# Each pattern begins with the characters that are sought, and looks behind them then: this way most
# of a text is passed over ten times as fast.
_FILES: Final = (
    r"(?:png|jpe?g|gif|webp|svg|ico|bmp|tiff?|pdf|css|js|mjs|ts|tsx|jsx|json|ya?ml|toml|xml|html?|txt"
    r"|md|py|rb|rs|go|java|class|so|dll|exe|zip|gz|tgz|tar|whl|log|conf|service|timer|socket|mount)"
)
_EMAIL: Final = re.compile(
    r"[A-Za-z0-9._%+\-](?<![A-Za-z0-9._%+\-]{2})(?<!://.)[A-Za-z0-9._%+\-]{0,63}"
    # not a version: react@18.2.0-rc.next
    r"@(?![0-9]{1,6}\.[0-9])[A-Za-z0-9\-]{1,63}(?:\.[A-Za-z0-9\-]{1,63}){0,10}"
    # not a file: icon@2x.png
    rf"\.(?!{_FILES}(?![A-Za-z0-9\-]))[A-Za-z]{{2,24}}(?![A-Za-z]|\.{_FILES}(?![A-Za-z0-9\-])"
    # not a repository or a file of another machine: git@host:path/to.git
    r"|:(?:[\w.~\-]{0,64}/|[\w.\-]{1,64}\.git\b))"
)
_REMOTE: Final = re.compile(
    r"(?<![\w\-])(?:(?:ssh|mosh|sftp|ssh-copy-id)[ \t]+"
    r"|(?:scp|rsync)[ \t]+(?:[\w./~\-]{1,80}[ \t]+)?)"
    r"(?:-{1,2}[\w\-]{1,24}[ \t]+(?:[\w./:~\-]{1,80}[ \t]+)?){0,4}\Z"
)
"""A command that takes a user and a machine."""
_COMMANDS: Final = ("ssh", "mosh", "sftp", "scp", "rsync")
_INTERNATIONAL: Final = re.compile(r"\+(?<![\w.\-+]\+)[1-9][\d .()\-]{6,22}\d(?![\w\-])")
_LOCAL: Final = re.compile(
    r"\d(?<![\w.\-(+]\d)\d{2}(?:(?P<sign>[.\-])\d{3}(?P=sign)|[ ]\d{3}[ \-])\d{4}(?![\w\-])"
)
_AREA: Final = re.compile(r"\((?<![\w.\-+]\()\d{3}\)[ .\-]?\d{3}[ .\-]\d{4}(?![\w\-])")
_OTHER_NUMBER: Final = re.compile(
    r"(?<![A-Za-z])(?:order|invoice|ticket|isbn|issn|ean|upc|gtin|sku|part|serial|version|tracking"
    r"|case|ref(?:erence)?|id|doi|rfc)(?:[ _\-]?(?:no|nr|num|number|id|code))?[\s.:#=\"']{0,4}\Z",
    re.IGNORECASE,
)
"""What stands before a number that is none of a telephone."""
_TELEPHONE: Final = re.compile(
    r"(?:phone|tel|call|mobile|cell|fax|sms|text|whatsapp)[^\d\n]{0,16}\Z", re.IGNORECASE
)
_PLANNED: Final = re.compile(r"[2-9]\d\d.[2-9]")
"""How the numbers of North America begin; others with blanks in them are columns of a table."""
_BEFORE: Final = 24
_FEWEST_DIGITS, _MOST_DIGITS = 8, 15  # of a telephone number with its country, ITU-T E.164
_FEWEST_JOINED: Final = 9
_CARD: Final = re.compile(
    r"[2-6](?<![\w.\-][2-6])\d{3}"
    r"(?:(?P<four>[ \-]?)\d{4}(?P=four)\d{4}(?P=four)\d{4}(?:(?P=four)\d{1,3})?"
    r"|(?P<six>[ \-]?)\d{6}(?P=six)\d{4,5}|\d{9})(?![\w\-])"
)
"""Digits as they are grouped on cards, or not at all."""
_LENGTHS: Final = {
    "2": (16,),
    "3": (14, 15, 16),
    "4": (13, 16, 19),
    "5": (16,),
    "6": (16, 17, 18, 19),
}
"""Digits on a card by the first of them, which tells the network."""
_DOUBLED: Final = bytes.maketrans(b"0123456789", b"0246813579")
"""Twice a digit, and the digits of that added up."""
_JUDGED: Final = 1_000
"""Addresses in a text that are looked at for whether they are those of machines."""


def redact_pii(
    *, email: bool = True, phone: bool = True, card: bool = True
) -> Callable[[Span], Span]:
    """Make a processor that replaces personal data in every text of a span.

    What only looks like it stays: files such as ``icon@2x.png``, users of machines in URLs, in
    addresses of repositories and in commands such as ``ssh``, and numbers after a word such as
    "order" or "ISBN".

    Args:
        email: Replace e-mail addresses.
        phone: Replace telephone numbers.
        card: Replace card numbers whose length and check digit are right.

    Returns:
        A processor.
    """

    def clean(text: str) -> str | None:
        given = text
        if email and "@" in text:
            text = _without_emails(text)
        if card:
            text = _CARD.sub(_without_card, text)
        if phone:
            text = _without_phones(text)
        return None if text == given else text

    def change(texts: Sequence[str]) -> Changed:
        if len(texts) > MANY:
            joined = BETWEEN.join(texts)
            cleaned = (clean(joined) or joined).split(BETWEEN)
            if len(cleaned) == len(texts):  # else one of them holds what is between
                together = zip(texts, cleaned, strict=True)
                return Changed({old: new for old, new in together if old != new})
        return one_by_one(texts, clean)

    walk = Walk(change)

    def processor(span: Span) -> Span:
        return walk.span(span)

    processor.__name__ = "redact_pii"
    return processor


def _without_emails(text: str) -> str:
    if not any(map(text.__contains__, _COMMANDS)):
        return _EMAIL.sub("[redacted:e-mail]", text)
    left = _JUDGED

    def without_email(found: re.Match[str]) -> str:
        nonlocal left
        left -= 1
        at = found.start()
        if left > 0 and _REMOTE.search(found.string, max(0, at - 200), at):
            return found.group()
        return "[redacted:e-mail]"

    return _EMAIL.sub(without_email, text)


def _without_phones(text: str) -> str:
    if "+" in text:
        text = _INTERNATIONAL.sub(_without_international, text)
    if "(" in text:
        text = _AREA.sub("[redacted:phone]", text)
    return _LOCAL.sub(_without_local, text)


def _without_international(found: re.Match[str]) -> str:
    digits = sum(map(str.isdigit, found.group()))
    fewest = _FEWEST_JOINED if digits == len(found.group()) - 1 else _FEWEST_DIGITS
    return "[redacted:phone]" if fewest <= digits <= _MOST_DIGITS else found.group()


def _without_local(found: re.Match[str]) -> str:
    at, number = found.start(), found.group()
    before = max(0, at - _BEFORE)
    if number[3] == " " and not _PLANNED.match(number):
        is_one = _TELEPHONE.search(found.string, before, at) is not None
    else:
        is_one = _OTHER_NUMBER.search(found.string, before, at) is None
    return "[redacted:phone]" if is_one else number


def _without_card(found: re.Match[str]) -> str:
    return "[redacted:card]" if _is_card(found.group()) else found.group()


def _is_card(number: str) -> bool:
    digits = number.replace(" ", "").replace("-", "")
    if len(digits) not in _LENGTHS[digits[0]] or not digits.isascii():
        return False
    data = digits.encode()
    total = sum(data[-1::-2]) + sum(data[-2::-2].translate(_DOUBLED))
    return (total - ord("0") * len(data)) % 10 == 0
