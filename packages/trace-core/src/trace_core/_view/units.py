"""Amounts for people: money, tokens, durations, moments."""

from __future__ import annotations

import math
from collections.abc import Iterable
from datetime import datetime
from typing import Final

_MOST_DECIMALS: Final = 6
_THOUSAND: Final = 1_000
_MINUTE: Final = 60
_DIGITS: Final = 2


def money(amount: float, decimals: int | None = None) -> str:
    """Write an amount in USD, such as ``$0.0012``: never with an exponent.

    Args:
        amount: The amount.
        decimals: How many; by default as many as show two digits of a small amount.
    """
    places = _decimals(abs(amount)) if decimals is None else decimals
    smallest = 10.0**-places
    if 0 < abs(amount) < smallest / 2:
        return f"<${smallest:.{places}f}"
    sign = "-" if amount < 0 else ""
    return f"{sign}${abs(amount):,.{places}f}"


def _decimals(amount: float) -> int:
    if amount == 0 or amount >= 1:
        return 2
    return min(_MOST_DECIMALS, max(2, _DIGITS - 1 - math.floor(math.log10(amount))))


def decimals_for(amounts: Iterable[float]) -> int:
    """Return how many decimals show a column of amounts: cents once it comes to dollars.

    Args:
        amounts: The amounts of the column.
    """
    largest = max(map(abs, amounts), default=0.0)
    return min(_MOST_DECIMALS, _decimals(largest) + 2) if largest < 1 else 2


def tokens(count: float) -> str:
    """Write a number of tokens: ``950``, ``12.3k``, ``4.56M``."""
    if abs(count) < _THOUSAND:
        return f"{count:.0f}"
    for unit in ("k", "M", "G"):
        count /= _THOUSAND
        if abs(count) < _THOUSAND - 0.5 or unit == "G":
            break
    return f"{count:.{max(0, _DIGITS - int(math.log10(abs(count))))}f}{unit}"


def seconds(value: float) -> str:
    """Write a duration: ``640 ms``, ``3.20 s``, ``2 min 05 s``."""
    if abs(value) < 1:
        milliseconds = value * 1e3
        return f"{milliseconds:.1f} ms" if 0 < abs(milliseconds) < 1 else f"{milliseconds:.0f} ms"
    if abs(value) < _MINUTE:
        return f"{value:.2f} s"
    minutes, rest = divmod(round(value), _MINUTE)
    if minutes < _MINUTE:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // _MINUTE} h {minutes % _MINUTE:02d} min"


def moment(nanoseconds: int) -> str:
    """Write a moment in local time, to the second."""
    return local(nanoseconds).strftime("%Y-%m-%d %H:%M:%S")


def local(nanoseconds: int) -> datetime:
    """Return a moment in local time; the first one for what no calendar has."""
    try:
        return datetime.fromtimestamp(nanoseconds / 1e9).astimezone()
    except (OverflowError, OSError, ValueError):
        return datetime.fromtimestamp(0).astimezone()
