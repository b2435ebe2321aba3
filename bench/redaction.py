"""What redaction of a message of 50 KB costs, on the writer's thread.

Run: python bench/redaction.py
"""

from __future__ import annotations

import base64
import hashlib
import statistics
import time
from collections.abc import Callable

from trace_core import Span, SpanContext, SpanKind, redact, remember_secret

SENTENCES = (
    "The committee met on Tuesday to discuss the budget for the coming year. ",
    "Each token of the answer costs a little; the key to success is patience. ",
    "Basic research: it took years, and nobody knew what would come of it. ",
)
PROSE = ("".join(SENTENCES[:1]) * 700)[:50_000]
TECHNICAL = ("".join(SENTENCES) * 300)[:50_000]
HIT = PROSE[:25_000] + " sk-ant-api03-" + "a1B2" * 20 + " " + PROSE[:24_900]


def milliseconds(action: Callable[[], object]) -> float:
    """Return the median time of a call."""
    taken = []
    for _ in range(31):
        begun = time.perf_counter()
        action()
        taken.append((time.perf_counter() - begun) * 1e3)
    return statistics.median(taken)


def main() -> None:
    """Measure and print."""
    for number in range(5):  # as long and as random as keys are
        remember_secret(base64.b64encode(hashlib.sha256(bytes([number])).digest()).decode())
    processor = redact()
    for name, text in (("prose", PROSE), ("prose full of keywords", TECHNICAL), ("a hit", HIT)):
        span = Span(SpanContext("1" * 32, "1" * 16), None, "x", SpanKind.LLM, 1, 2, inputs=text)
        print(f"{name}: {milliseconds(lambda span=span: processor(span)):.3f} ms")


if __name__ == "__main__":
    main()
