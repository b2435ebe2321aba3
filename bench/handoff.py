"""What the hand-off of a finished span costs the caller's thread, alone and beside busy threads.

The writer behind it redacts, encodes and spools each span. Run: python bench/handoff.py
"""

from __future__ import annotations

import statistics
import tempfile
import threading
import time

from trace_core import Span, SpanContext, SpanKind, Status, durable

COUNT = 4_000
PAUSE = 0.0005


def spans() -> list[Span]:
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
        for i in range(COUNT)
    ]


def measure() -> tuple[float, float]:
    """Return median and 99th percentile of a hand-over, in microseconds, at 2,000 spans/s."""
    sink = durable(lambda _: None, spool_dir=tempfile.mkdtemp(), environ={})
    taken = []
    for span in spans():
        begun = time.perf_counter_ns()
        sink.write((span,))
        taken.append((time.perf_counter_ns() - begun) / 1e3)
        time.sleep(PAUSE)
    sink.close(30)
    return statistics.median(taken), statistics.quantiles(taken, n=100)[98]


def hog(stop: threading.Event) -> None:
    """Compute until told to stop."""
    while not stop.is_set():
        sum(range(1_000))


def main() -> None:
    """Measure and print."""
    runs = [measure() for _ in range(3)]
    print(
        "alone: p50 {:.1f} us, p99 {:.1f} us".format(
            *map(statistics.median, zip(*runs, strict=True))
        )
    )
    stop = threading.Event()
    threading.Thread(target=hog, args=(stop,), daemon=True).start()
    runs = [measure() for _ in range(3)]
    stop.set()
    print(
        "beside a CPU-bound thread: p50 {:.1f} us, p99 {:.1f} us".format(
            *map(statistics.median, zip(*runs, strict=True))
        )
    )


if __name__ == "__main__":
    main()
