"""What handing over a finished span costs the caller's thread, alone and beside a busy one.

    python bench/handoff.py [spans]

The writer behind it redacts, encodes and spools each span of 2 KB. ``fast`` is 2,000 spans a
second, ``seldom`` one every 20 ms, which has to wake the writer each time. ``clock`` is what the
two looks at the clock cost, which is in all the other figures.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from typing import Any

from tracers import Discard

from trace_core import Span, SpanContext, SpanKind, Status, durable

ROUNDS = 3
PACES = {"fast": 0.0005, "seldom": 0.02}


def spans(count: int) -> list[Span]:
    """Make finished spans of 2 KB."""
    return [
        Span(
            SpanContext(f"{i + 1:032x}", f"{i + 1:016x}"),
            None,
            "chat bench",
            SpanKind.LLM,
            1,
            2,
            Status(),
            {"messages": ({"role": "user", "content": "some words of prose " * 100},)},
        )
        for i in range(count)
    ]


def measure(hand_over: Callable[[Span], object], count: int, pause: float) -> list[float]:
    """Return how long each hand-over took, in microseconds of the wall's clock."""
    taken = []
    for span in spans(count):
        begun = time.perf_counter_ns()
        hand_over(span)
        taken.append((time.perf_counter_ns() - begun) / 1e3)
        time.sleep(pause)
    return taken


def through_a_spool(count: int, pause: float) -> list[float]:
    """Measure with all that `durable` puts behind the queue."""
    with tempfile.TemporaryDirectory() as folder:
        sink: Any = durable(Discard(), spool_dir=folder, environ={})
        taken = measure(sink.write_later, count, pause)
        assert sink.stats.dropped == 0
        sink.close(30)
    return taken


def say(what: str, runs: list[list[float]]) -> None:
    """Print percentiles, of each the best run, as the machine may be busy with others."""
    cuts = [statistics.quantiles(run, n=100) for run in runs]
    p50, p95, p99 = (min(run[which] for run in cuts) for which in (49, 94, 98))
    print(f"{what:28} p50 {p50:6.2f} us   p95 {p95:6.2f} us   p99 {p99:6.2f} us", flush=True)


def hog(stop: threading.Event) -> None:
    """Compute until told to stop."""
    while not stop.is_set():
        sum(range(1_000))


def measure_all(where: str, count: int) -> None:
    """Measure at each pace and print."""
    for pace, pause in PACES.items():
        some = count if pace == "fast" else count // 10
        say(f"{where}, {pace}", [through_a_spool(some, pause) for _ in range(ROUNDS)])
        clock = [measure(lambda _span, _complete: None, some, pause) for _ in range(ROUNDS)]
        say(f"{where}, {pace}: clock", clock)


def main() -> None:
    """Measure and print."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 4_000
    measure_all("alone", count)
    stop = threading.Event()
    threading.Thread(target=hog, args=(stop,), daemon=True).start()
    measure_all("beside a busy thread", count)
    stop.set()


if __name__ == "__main__":
    main()
