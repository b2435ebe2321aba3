"""Bounds how many candidates of a text are judged, so that any text takes linear time and little.

Searching costs a few nanoseconds a character, judging what was found some microseconds. No text
that anybody writes has a candidate in every line for a megabyte; one that is made to be slow has.
"""

from __future__ import annotations

import re
import sys
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final, TypeAlias

Found: TypeAlias = "re.Match[str]"

Match: TypeAlias = "tuple[int, int, str]"
"""Begin, end and kind of a secret in a text."""
Place: TypeAlias = "tuple[int, int]"
"""Begin and end of a part of a text."""
UNJUDGED: Final = "too many to judge"
_AT_ONCE: Final = 1_000
"""Candidates of any text that are judged."""
_CHARACTERS_EACH: Final = 2048
"""Of a longer text, one more for so many characters."""
GLANCE: Final = 1 / 6
"""What it takes to see at once that a candidate is none."""
_JUDGED_AT_ONCE: Final = 1_024
"""Characters of a candidate that take as long to judge as any takes."""
_STEP: Final = 16 * 1024
"""Characters that are withheld unjudged, before judging goes on."""
_NEAR_END: Final = 64
"""Characters of which an escape in a secret may be a part that the end of a place cuts in two."""
_OVERLAP: Final = 512
"""Characters between a name and the secret that a pattern finds behind it, at the most."""


class Budget:
    """Allows a text so many candidates. Where there are more, the text is withheld unjudged.

    Args:
        share: Of what a text is allowed: less where judging takes longer.

    Attributes:
        withheld: What is withheld, in order.
        until: Where the last of it ends.
    """

    def __init__(self, share: float = 1.0) -> None:
        self.withheld: list[Match] = []
        self.until = 0
        self._cost = 1.0 / share
        self._spent = 0.0

    def candidates(
        self,
        pattern: re.Pattern[str],
        text: str,
        group: int | str = 0,
        *,
        places: Iterable[Place] | None = None,
        is_one: Callable[[Found], bool] = bool,
    ) -> Iterator[Found]:
        """Yield what a pattern finds in a text, but for what is withheld.

        Args:
            pattern: The pattern.
            text: The text.
            group: What of it may be a secret.
            places: Where to look, in order; everywhere if not given.
            is_one: Says quickly whether what was found may be one.
        """
        done = 0
        for begin, end in ((0, len(text)),) if places is None else places:
            at = max(begin, done, self.until - _OVERLAP)
            while at < end:
                begun, at = at, end
                for some in pattern.finditer(text, begun, end):
                    # What ends near the end of the place may go on behind it.
                    near_end = some.end() > end - _NEAR_END
                    found = pattern.match(text, some.start()) if near_end else some
                    if found is None or found.end() <= self.until:
                        continue
                    done = found.end()  # which may be behind the begin of the next places
                    one = is_one(found)
                    if self.allows(*found.span(group), 1.0 if one else GLANCE):
                        if one:
                            yield found
                    elif self.until - _OVERLAP > found.end():
                        at = self.until - _OVERLAP
                        break

    def allows(self, begin: int, end: int, cost: float = 1.0) -> bool:
        """Return whether a candidate is to be judged; otherwise it is withheld.

        Args:
            begin: Where it begins; no candidate begins before the one before it.
            end: Where it ends.
            cost: What it takes to judge it, in comparison with others.
        """
        if begin < self.until:
            if end > self.until:  # no secret is cut in two
                self._withhold(self.withheld.pop()[0], end)
            return False
        self._spent += self._cost * cost
        if self._spent <= _AT_ONCE + begin // _CHARACTERS_EACH:
            return True
        self._withhold(begin, max(end, begin + _STEP))
        return False

    def charge(self, characters: int) -> None:
        """Charge what a candidate took beyond what any does.

        Args:
            characters: How many of it were judged.
        """
        self._spent += self._cost * characters / _JUDGED_AT_ONCE

    def _withhold(self, begin: int, end: int) -> None:
        if self.withheld and begin == self.until:  # one place, and one marker
            begin = self.withheld.pop()[0]
        self.withheld.append((begin, end, UNJUDGED))
        self.until = end


def left_of(
    places: Sequence[Place], found: Iterable[Match], longest: int = _OVERLAP
) -> Sequence[Place]:
    """Return what is left of some places without what is withheld: there is no use in looking.

    Args:
        places: The places, in order.
        found: What was found in the text, some of which may be withheld.
        longest: Characters of a secret, which may begin in what is withheld and go on behind it.
    """
    withheld = ((begin, end - longest) for begin, end, kind in found if kind == UNJUDGED)
    return without(places, withheld)


def without(places: Sequence[Place], others: Iterable[Place]) -> Sequence[Place]:
    """Return what is left of some places without others.

    Args:
        places: The places, in order.
        others: The others, in any order; those that end before they begin count for nothing.
    """
    merged = _merged(others)
    if not merged:
        return places
    left, ends = list[Place](), [end for _, end in merged]
    for begin, end in places:
        at = begin
        for index in range(bisect_right(ends, begin), len(merged)):
            first, last = merged[index]
            if first >= end:
                break
            if first > at:
                left.append((at, first))
            at = last
        if at < end:
            left.append((at, end))
    return left


def _merged(places: Iterable[Place]) -> list[Place]:
    """Return places in order, none of which touches another."""
    merged = list[Place]()
    for begin, end in sorted(places):
        if merged and begin <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        elif begin < end:
            merged.append((begin, end))
    return merged


class Covered:
    """Tells what is inside places that are known already; asked from left to right.

    Args:
        places: The places.
    """

    def __init__(self, places: Sequence[Match]) -> None:
        self._places: Iterator[Match] = iter(sorted(places))
        self._begin = self._end = 0

    def end(self, at: int) -> int:
        """Return where the place ends that a character is in; 0 if it is in none.

        Args:
            at: The character; none before the one asked for before.
        """
        while self._end <= at:
            begin, end, _ = next(self._places, (sys.maxsize, sys.maxsize, ""))
            if end > self._end:
                self._begin, self._end = begin, end
            if self._begin > at:
                return 0
        return self._end if self._begin <= at else 0
