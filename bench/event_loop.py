"""How late the event loop is while 200 calls are in flight, untraced and traced.

    python bench/event_loop.py --seconds 10 --rounds 5
    python bench/event_loop.py --tracer nobody         # the noise

The provider, a process on loopback, answers in 50 to 500 ms. Two hundred tasks ask again and
again, with a pause in between so that the loop is not saturated: of a loop that never rests,
lateness tells how long its queue is, not who holds it up. A task of its own sleeps 5 ms at a time
and notes how much later than that it wakes. Prints JSON: milliseconds of lateness, by percentile,
calls a second, and CPU of a call, with and without tracing in turns; the median of all rounds.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import statistics
import time
from typing import Any

import provider
from cases import text
from tracers import TRACERS, Switch

CONCURRENCY = 200
DELAYS = (0.05, 0.5)
BEAT_SECONDS = 0.005
CUTS = {"p50": 500, "p99": 990, "p999": 999}


async def _beat(end: float, late: list[float]) -> None:
    while (before := time.perf_counter()) < end:
        await asyncio.sleep(BEAT_SECONDS)
        late.append((time.perf_counter() - before - BEAT_SECONDS) * 1e3)


async def _ask(base: str, end: float, pause: float, position: float) -> int:
    """Ask again and again; return how often."""
    import litellm

    count = 0
    messages = text(2_000, 2)
    await asyncio.sleep(pause * position)
    while time.perf_counter() < end:
        await litellm.acompletion(
            "openai/gpt-4o-mini", messages, api_base=f"{base}/v1", api_key="sk-none"
        )
        count += 1
        await asyncio.sleep(pause)
    return count


async def _block(base: str, seconds: float, pause: float) -> dict[str, float]:
    late: list[float] = []
    end = time.perf_counter() + seconds
    cpu = time.process_time()
    asks = (_ask(base, end, pause, i / CONCURRENCY) for i in range(CONCURRENCY))
    _, *counts = await asyncio.gather(_beat(end, late), *asks)
    cpu = time.process_time() - cpu
    cuts = statistics.quantiles(late, n=1_000, method="inclusive")
    found = {f"{name}_ms": cuts[at - 1] for name, at in CUTS.items()}
    calls = sum(counts)
    return {**found, "per_second": calls / seconds, "cpu_ms": 1e3 * cpu / calls}


def measure(switch: Switch, rounds: int, seconds: float, pause: float) -> dict[str, Any]:
    """Take turns without and with tracing, on one event loop."""
    found: dict[bool, list[dict[str, float]]] = {False: [], True: []}
    loop = asyncio.new_event_loop()
    with provider.running(DELAYS) as base:
        loop.run_until_complete(_block(base, 2 + pause, pause))  # connections, caches
        for number in range(rounds):
            for traced in (False, True) if number % 2 else (True, False):
                gc.collect()
                if traced:
                    switch.on()
                found[traced].append(loop.run_until_complete(_block(base, seconds, pause)))
                switch.flush()
                if traced:
                    switch.off()
    loop.close()
    return {
        "off": _middle(found[False]),
        "on": _middle(found[True]),
        "added": _middle([
            {key: on[key] - off[key] for key in on}
            for off, on in zip(found[False], found[True], strict=True)
        ]),
    }  # fmt: skip


def _middle(rounds: list[dict[str, float]]) -> dict[str, float]:
    return {key: statistics.median(one[key] for one in rounds) for key in rounds[0]}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tracer", choices=TRACERS, default="trace_litellm")
    parser.add_argument("--seconds", type=float, default=8, help="for a block")
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--pause", type=float, default=3.0, help="seconds between calls of a task")
    options = parser.parse_args()
    switch = TRACERS[options.tracer].make()
    print(json.dumps(measure(switch, options.rounds, options.seconds, options.pause)))


if __name__ == "__main__":
    main()
