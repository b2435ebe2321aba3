"""Searches for the text that takes `redact` longest: a unit that comes again for a megabyte.

It changes the slowest units found so far, as nobody would think of all that may be slow.

Run: python bench/slowest.py [SECONDS]
"""

from __future__ import annotations

import random
import sys
import time

from redaction import milliseconds

from trace_core import Span, SpanContext, SpanKind, redact
from trace_core._processors.inner import INNER
from trace_core._processors.near import ALL_HINTS
from trace_core._processors.rules import RULES

MEGABYTE = 1_000_000
BEST = 12
"""Units that are changed."""
LONGEST = 12
"""Parts of a unit."""
RANDOM = random.Random()
SIGNS = list("=:,;&?/@%+-_.~#$^*()[]{}<>|\"'`\\")
BLANKS = [" ", "    ", "\n", "\n\n", "\t", "\0", "\n\0\n", "\\n", "\x1b[0m", "\\u001b[0m"]
WORDS = ["a1b2c3", "1", "a1", "12345678", "abcdef", "x" * 20, "ab12" * 6, "é", "🔑", "%41", "is "]
KINDS = ["<key>", "</key>", " -p ", "--token ", "| key | a |\n", "id,token\n", "a=b; ", "://", "//"]
MORE = ["into a (", "values (", "kind: Secret\n", '"data"', "stringData", "apiVersion", "Server=a;"]
STARTS = [start for rule in RULES for start in rule.starts] + [inner.literal for inner in INNER]
PARTS = (SIGNS, SIGNS, BLANKS, WORDS, list(ALL_HINTS), [*KINDS, *MORE], STARTS)


def part() -> str:
    """Return a random part of a unit; common kinds are as likely as those with many examples."""
    return RANDOM.choice(RANDOM.choice(PARTS))


def changed(unit: list[str]) -> list[str]:
    """Return a unit with a part more, a part less, or another part."""
    unit, at = [*unit], RANDOM.randrange(len(unit))
    unit[at : at + RANDOM.randint(0, 1)] = [part()] * RANDOM.randint(0, 1)
    return unit[:LONGEST] or [part()]


def cost(unit: list[str], times: int = 1) -> float:
    """Return the milliseconds that a megabyte of a unit takes; what is known is not sought."""
    text = "".join(unit)
    text = (text * (MEGABYTE // len(text) + 1))[:MEGABYTE]
    span = Span(SpanContext("1" * 32, "1" * 16), None, "x", SpanKind.LLM, 1, 2, inputs=text)
    return min(milliseconds(lambda: redact(environment=False)(span), 1)[0] for _ in range(times))


def main(seconds: float = 120.0) -> None:
    """Search, and print the slowest units with their milliseconds, each the least of five."""
    until, best = time.monotonic() + seconds, [(0.0, ["key"])]
    tried = 0
    while time.monotonic() < until:
        unit = changed(RANDOM.choice(best)[1]) if RANDOM.random() < 0.8 else [part(), part()]
        taken, tried = cost(unit), tried + 1
        if taken > best[-1][0] and unit not in (known for _, known in best):
            best = sorted([*best, (cost(unit, 3), unit)], reverse=True)[:BEST]
    print(f"{tried} units; the slowest:")
    for least, unit in sorted(((cost(unit, 5), unit) for _, unit in best), reverse=True):
        print(f"{least:6.0f} ms {''.join(unit)!r}")


if __name__ == "__main__":
    main(*map(float, sys.argv[1:2]))
