"""Memory while a sink is away and comes back, and of many calls with long messages.

    python bench/memory.py outage --seconds 60             # at 200 calls a second
    python bench/memory.py calls --calls 10000 --size 20000
    python bench/memory.py calls --calls 100000 --tracer nobody

LiteLLM answers by its own `mock_response`. The spool is real, and on disk. Prints JSON: MiB after
the first calls, at the most, and at the end, and for an outage what became of the spans.
"""

from __future__ import annotations

import argparse
import gc
import json
import tempfile
import time
from collections.abc import Sequence
from typing import Any

from cases import Clock, completion, text
from footprint import LITELLM_CALLS_BEFORE, resident
from tracers import TRACERS

import trace_litellm
from trace_core import Span, Tracer, durable

RATE = 200
SIZE = 20_000
SAMPLES = 50
BACK_SECONDS = 300.0


def text_of(size: int, number: int) -> list[dict[str, Any]]:
    """Make messages that no other call has, as a program's are."""
    return [{"role": "user", "content": f"{number} "}, *text(size, 4)]


def calls(tracer: str, count: int, size: int) -> dict[str, Any]:
    """Make calls, and look at the memory after the first thousand and again and again."""
    switch = TRACERS[tracer].make()
    switch.on()
    found = []
    for number in range(LITELLM_CALLS_BEFORE + count):
        if number >= LITELLM_CALLS_BEFORE and number % max(count // SAMPLES, 1) == 0:
            found.append(resident())
        completion(text_of(size, number))(Clock())
    switch.flush()
    gc.collect()
    end = resident()
    return {"calls": count, "first_mib": found[0], "most_mib": max(found), "end_mib": end}


class Away:
    """A sink that is away until it is back, and counts what it gets."""

    def __init__(self) -> None:
        self.back = False
        self.taken = 0

    def __call__(self, batch: Sequence[Span]) -> None:
        """Take a batch, or be away."""
        if not self.back:
            raise ConnectionError("away")
        self.taken += len(batch)


def outage(seconds: float, rate: float, size: int) -> dict[str, Any]:
    """Make so many calls a second while the sink is away; then wait until it has them all."""
    sink = Away()
    with tempfile.TemporaryDirectory() as folder:
        tracer = Tracer(durable(sink, spool_dir=folder, environ={}))
        tracing = trace_litellm.instrument(tracer)
        sink.back = True
        _paced(LITELLM_CALLS_BEFORE / rate, rate, size)
        tracer.flush(60)
        before, sink.back, first = sink.taken, False, resident()
        made, most, late = _paced(seconds, rate, size)
        sink.back, end = True, time.monotonic() + BACK_SECONDS
        while sink.taken - before < made and time.monotonic() < end:
            most = max(most, resident())
            tracer.flush(1)
        gc.collect()
        found = {"first_mib": first, "most_mib": most, "end_mib": resident(), "late_s": late}
        found |= {"calls": made, "delivered": sink.taken - before, "seconds": seconds}
        tracing.uninstrument()
        tracer.close()
    return {**found, "back_s": time.monotonic() - end + BACK_SECONDS}


def _paced(seconds: float, rate: float, size: int) -> tuple[int, float, float]:
    """Make calls at a rate; return how many, the most memory, and by how much they were late."""
    most, begin, count = 0.0, time.monotonic(), round(seconds * rate)
    for number in range(count):
        completion(text_of(size, number))(Clock())
        if number % 100 == 0:
            most = max(most, resident())
        time.sleep(max(0.0, begin + (number + 1) / rate - time.monotonic()))
    return count, most, time.monotonic() - begin - seconds


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=("calls", "outage"))
    parser.add_argument("--tracer", choices=TRACERS, default="trace_litellm")
    parser.add_argument("--calls", type=int, default=10_000)
    parser.add_argument("--size", type=int, default=SIZE, help="characters of the messages")
    parser.add_argument("--seconds", type=float, default=60, help="of the outage")
    parser.add_argument("--rate", type=float, default=RATE, help="calls a second")
    options = parser.parse_args()
    if options.what == "calls":
        print(json.dumps(calls(options.tracer, options.calls, options.size)))
    else:
        print(json.dumps(outage(options.seconds, options.rate, options.size)))


if __name__ == "__main__":
    main()
