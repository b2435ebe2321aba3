"""What redaction costs, on the writer's thread: of a message of 50 KB, of a megabyte of any shape.

Run: python bench/redaction.py
"""

from __future__ import annotations

import base64
import hashlib
import random
import statistics
import string
import time
from collections.abc import Callable

from trace_core import Span, SpanContext, SpanKind, Value, redact, remember_secret

SENTENCES = (
    "The committee met on Tuesday to discuss the budget for the coming year. ",
    "Each token of the answer costs a little; the key to success is patience. ",
    "Basic research: it took years, and nobody knew what would come of it. ",
)
PROSE = ("".join(SENTENCES[:1]) * 700)[:50_000]
TECHNICAL = ("".join(SENTENCES) * 300)[:50_000]
HIT = PROSE[:25_000] + " sk-ant-api03-" + "a1B2" * 20 + " " + PROSE[:24_900]
RANDOM = random.Random(13)
MEGABYTES: dict[str, Callable[[], Value]] = {
    "prose": lambda: " ".join(word(6) for _ in range(143_000)),
    "short texts": lambda: tuple(word(8) for _ in range(90_000)),
    "short keys and values": lambda: {word(8): word(8) for _ in range(45_000)},
    "objects": lambda: tuple({"id": word(8), "name": word(10), "n": 5} for _ in range(22_000)),
    "lists of one": lambda: tuple((word(5),) for _ in range(90_000)),
    "nested objects": lambda: tuple({"a": {"b": ({word(3): word(3)},)}} for _ in range(32_000)),
    "names of secrets": lambda: {f"{word(4)}_token": word(12) for _ in range(36_000)},
    "assignments": lambda: tuple(f"token={word(7)}1" for _ in range(55_000)),
}
"""Each of about a million characters as JSON."""


def word(length: int) -> str:
    """Return a random word."""
    return "".join(RANDOM.choices(string.ascii_lowercase, k=length))


def milliseconds(action: Callable[[], object], times: int = 31) -> float:
    """Return the median time that a call takes of this thread."""
    taken = []
    for _ in range(times):
        begun = time.thread_time()
        action()
        taken.append((time.thread_time() - begun) * 1e3)
    return statistics.median(taken)


def main() -> None:
    """Measure and print."""
    for number in range(5):  # as long and as random as keys are
        remember_secret(base64.b64encode(hashlib.sha256(bytes([number])).digest()).decode())
    processor = redact()
    for name, text in (("prose", PROSE), ("prose full of keywords", TECHNICAL), ("a hit", HIT)):
        span = Span(SpanContext("1" * 32, "1" * 16), None, "x", SpanKind.LLM, 1, 2, inputs=text)
        print(f"{name}: {milliseconds(lambda span=span: processor(span)):.3f} ms")
    for name, make in MEGABYTES.items():
        span = Span(SpanContext("1" * 32, "1" * 16), None, "x", SpanKind.LLM, 1, 2, inputs=make())
        print(f"a megabyte, {name}: {milliseconds(lambda span=span: processor(span), 9):.0f} ms")


if __name__ == "__main__":
    main()
