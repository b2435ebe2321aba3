"""The processor that removes personal data: e-mail addresses, telephone and card numbers."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from trace_core._model.span import Span
from trace_core._processors.walk import map_texts

_EMAIL: Final = re.compile(
    r"(?<![A-Za-z0-9._%+\-])[A-Za-z0-9._%+\-]{1,64}@[A-Za-z0-9\-]{1,63}"
    r"(?:\.[A-Za-z0-9\-]{1,63}){0,10}\.[A-Za-z]{2,}"
)
_INTERNATIONAL: Final = re.compile(r"(?<![\w.\-+])\+\d[\d .()\-]{6,22}\d(?![\w\-])")
_LOCAL: Final = re.compile(r"(?<![\w.\-+])\(?\d{3}\)?[ .\-]\d{3}[ .\-]\d{4}(?![\w\-])")
_MOST_DIGITS: Final = 15  # of a telephone number, ITU-T E.164
_CARD: Final = re.compile(r"(?<![\w.\-])\d(?:[ \-]?\d){12,18}(?![\w\-])")


def redact_pii(
    *, email: bool = True, phone: bool = True, card: bool = True
) -> Callable[[Span], Span]:
    """Make a processor that replaces personal data in every text of a span.

    Args:
        email: Replace e-mail addresses.
        phone: Replace telephone numbers.
        card: Replace card numbers whose check digit is right.

    Returns:
        A processor.
    """

    def clean(text: str) -> str | None:
        given = text
        if email and "@" in text:
            text = _EMAIL.sub("[redacted:e-mail]", text)
        if card:
            text = _CARD.sub(_without_card, text)
        if phone:
            text = _LOCAL.sub("[redacted:phone]", _INTERNATIONAL.sub(_without_phone, text))
        return None if text is given else text

    def processor(span: Span) -> Span:
        return map_texts(span, clean)

    processor.__name__ = "redact_pii"
    return processor


def _without_phone(found: re.Match[str]) -> str:
    digits = sum(map(str.isdigit, found.group()))
    return "[redacted:phone]" if digits <= _MOST_DIGITS else found.group()


def _without_card(found: re.Match[str]) -> str:
    return "[redacted:card]" if _has_checksum(found.group()) else found.group()


def _has_checksum(number: str) -> bool:
    digits = [int(character) for character in number if character.isdigit()]
    doubled = [sum(divmod(2 * digit, 10)) for digit in digits[-2::-2]]
    return (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0
