"""What happens when a sink is back after an outage: how soon, how fast, and how live spans fare.

    python bench/backlog.py [spans]

A spool gathers spans of 2 KB while its sink is away. Then the sink is back and takes all at once,
while the program goes on writing 20 spans a second. Prints JSON: ``first_s`` and ``per_second``
of the spans that waited, ``live`` seconds of the others, CPU seconds from the sink's return to the
last span, and MiB before, while they waited, and at the end.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence

from footprint import resident

from trace_core import Span, SpanContext, SpanKind, Spool

AWAY_SECONDS = 20.0
LIVE_SECONDS = 0.05


def spans(begin: int, count: int, name: str = "old") -> list[Span]:
    """Make spans of 2 KB."""
    said = {"messages": ({"role": "user", "content": "x" * 1_500},)}
    ids = (SpanContext(f"{i + 1:032x}", f"{i + 1:016x}") for i in range(begin, begin + count))
    return [Span(context, None, name, SpanKind.LLM, 1, 2, inputs=said) for context in ids]


class Returning:
    """A sink that is away until it is back."""

    def __init__(self) -> None:
        self.back = False
        self.times: list[float] = []
        self.live: list[float] = []

    def __call__(self, batch: Sequence[Span]) -> None:
        """Take a batch, and note when."""
        if not self.back:
            raise ConnectionError("away")
        now = time.monotonic()
        self.times += [now] * len(batch)
        self.live += [now - float(span.name) for span in batch if span.name != "old"]


def main() -> None:
    """Measure and print."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 50_000
    sink, before = Returning(), resident()
    with tempfile.TemporaryDirectory() as folder:
        spool = Spool(folder, sink, key="bench")
        for begin in range(0, count, 50):
            spool.write(spans(begin, 50))
        time.sleep(AWAY_SECONDS)
        waiting, cpu = resident(), time.process_time()
        sink.back, back, written = True, time.monotonic(), count
        while spool.stats.pending:
            spool.write(spans(written, 1, str(time.monotonic())))
            written += 1
            time.sleep(LIVE_SECONDS)
        cpu = time.process_time() - cpu
        spool.close()
    first, last = sink.times[0], sink.times[-1]
    found = {"spans": count, "first_s": first - back, "cpu_s": cpu}
    found |= {"per_second": len(sink.times) / (last - first)}
    found |= {"live_s": statistics.median(sink.live), "live_longest_s": max(sink.live)}
    found |= {"mib": before, "waiting_mib": waiting, "end_mib": resident()}
    print(json.dumps(found))


if __name__ == "__main__":
    main()
