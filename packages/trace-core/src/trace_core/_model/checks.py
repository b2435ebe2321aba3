"""Checks of single values, for the fields of spans: each returns the value or raises."""

from __future__ import annotations

import math
import numbers
from decimal import Decimal
from typing import Final

MOST: Final = 2**63 - 1
"""The largest whole number: what OpenTelemetry's format and databases can hold."""
TRACE_ID_DIGITS: Final = 32
SPAN_ID_DIGITS: Final = 16


def text(value: object, what: str) -> str:
    """Return a text as a plain ``str``.

    Args:
        value: The text.
        what: What the error calls it.

    Raises:
        TypeError: It is not a text.
    """
    if not isinstance(value, str):
        raise wrong_type(what, "a text", value)
    return str.__str__(value)


def integer(value: object, what: str) -> int:
    """Return a whole number that fits 64 bits as a plain ``int``.

    Args:
        value: An integer of any class, or a float without a fraction.
        what: What the error calls it.

    Raises:
        TypeError: It is not a number.
        ValueError: It has a fraction or does not fit.
    """
    if not isinstance(value, (numbers.Integral, float)):
        raise wrong_type(what, "a whole number", value)
    if isinstance(value, float) and not value.is_integer():
        raise ValueError(f"{what} of a span must be a whole number, got {value!r}")
    number = int(value)
    if abs(number) > MOST:
        raise ValueError(f"{what} of a span must fit 64 bits, got one of {number.bit_length()}")
    return number


def amount(value: object, what: str) -> float:
    """Return a finite number as a ``float``.

    Args:
        value: A number of any class.
        what: What the error calls it.

    Raises:
        TypeError: It is not a number.
        ValueError: It is not finite.
    """
    if not isinstance(value, (numbers.Real, Decimal)):
        raise wrong_type(what, "a number", value)
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise ValueError(f"{what} of a span must be finite, got {number}")
    return number


def hex_id(value: object, digits: int, what: str) -> str:
    """Return an id of so many hexadecimal digits.

    Args:
        value: The id.
        digits: How many.
        what: What the error calls it.

    Raises:
        TypeError: It is not a text.
        ValueError: It has another form.
    """
    try:
        if type(value) is str and len(value) == digits == 2 * len(bytes.fromhex(value)):
            return value
    except ValueError:
        pass  # other characters than hexadecimal digits: told below
    raise ValueError(
        f"{what} of a span must be {digits} hexadecimal digits, got {text(value, what)!r:.60}"
    )


def wrong_type(what: str, wanted: str, value: object) -> TypeError:
    """Return the error for a field of the wrong type.

    Args:
        what: The field.
        wanted: What it must be.
        value: What it is.
    """
    return TypeError(f"{what} of a span must be {wanted}, got {type(value).__name__}")
