"""What one tracer adds to a call: on the caller's thread, on the wall and on all threads.

One process; blocks of calls with and without tracing take turns, so that both see the same
machine. ``added`` is the difference of the first quartiles, of all calls with and without: on a
shared machine the median tells more about the neighbours than about tracing. Its error is
estimated by drawing the blocks anew. Twenty seconds for one case:

    python bench/caller.py --case "completion, 2 KB" --seconds 10
    python bench/caller.py --tracer "trace_litellm" --tracer nobody --seconds 5   # every case

``--tracer nobody`` shows the noise.
"""

from __future__ import annotations

import argparse
import gc
import json
import random
import statistics
import sys
import time
from contextlib import nullcontext
from typing import Any

from cases import Case, Clock, cases
from tracers import TRACERS, Switch

PERCENTILES = (50, 95, 99)
RESAMPLED = 100


def percentiles(values: list[float]) -> dict[str, float]:
    """Return median, 95th and 99th percentile."""
    cuts = statistics.quantiles(values, n=100, method="inclusive")
    return {f"p{p}": cuts[p - 1] for p in PERCENTILES}


def come_to_rest(case: Case, switch: Switch) -> None:
    """Wait until the threads of LiteLLM and of the tracer have done their work for the calls."""
    switch.flush()
    for _ in range(50):
        before = time.process_time_ns()
        case.settle()
        time.sleep(0.01)
        if time.process_time_ns() - before < 500_000:
            return


def block(case: Case, switch: Switch) -> tuple[Clock, float]:
    """Do some calls.

    Returns:
        Their times, and the CPU time of the whole process for a unit, in microseconds.
    """
    clock = Clock()
    case.run(Clock())  # the first after a swap compiles inline caches anew
    come_to_rest(case, switch)
    with (case.around or nullcontext)():
        before = time.process_time_ns()
        for _ in range(case.calls):
            case.run(clock)
        come_to_rest(case, switch)
        spent = time.process_time_ns() - before
    return clock, spent / 1e3 / case.calls / case.units


def measure(case: Case, switch: Switch, seconds: float) -> dict[str, Any]:
    """Take turns without and with tracing.

    Returns:
        Percentiles of a call without and with tracing, on the caller's thread and on the wall,
        and what tracing adds, all in microseconds.
    """
    blocks: dict[bool, list[tuple[Clock, float]]] = {False: [], True: []}
    end = time.monotonic() + seconds
    while time.monotonic() < end or len(blocks[True]) < 4:
        blocks[False].append(block(case, switch))
        switch.on()
        blocks[True].append(block(case, switch))
        switch.off()
    added = _added(blocks)
    again = [
        _added({traced: random.choices(some, k=len(some)) for traced, some in blocks.items()})
        for _ in range(RESAMPLED)
    ]
    return {
        **{name: _times(blocks[traced]) for name, traced in (("off", False), ("on", True))},
        "added": added,
        "error": {name: statistics.stdev(one[name] for one in again) for name in added},
        "blocks": len(blocks[True]),
    }


def _times(blocks: list[tuple[Clock, float]]) -> dict[str, dict[str, float]]:
    return {
        name: percentiles([value for clock, _ in blocks for value in getattr(clock, name)])
        for name in ("thread", "wall")
    }


def _added(blocks: dict[bool, list[tuple[Clock, float]]]) -> dict[str, float]:
    """Return by how much the first quartile of all calls, or of all blocks' CPU, is higher."""
    off, on = (_quartiles(blocks[traced]) for traced in (False, True))
    return {name: on[name] - off[name] for name in off}


def _quartiles(blocks: list[tuple[Clock, float]]) -> dict[str, float]:
    """Return what a unit costs when nothing else on the machine disturbs it."""
    values = {
        "thread": [value for clock, _ in blocks for value in clock.thread],
        "wall": [value for clock, _ in blocks for value in clock.wall],
        "cpu": [cpu for _, cpu in blocks],
    }
    return {name: statistics.quantiles(some, n=4)[0] for name, some in values.items()}


def line(tracer: str, name: str, found: dict[str, Any]) -> str:
    """Describe a result to a human."""
    added, error, base = found["added"], found["error"], found["off"]["thread"]["p50"]
    parts = (f"{key} {added[key]:+8.2f} ±{error[key]:5.2f}" for key in added)
    return (
        f"{tracer:26} {name:32} without {base:8.1f} us   added: {'  '.join(parts)} us "
        f"({100 * added['thread'] / base:+.2f}%)"
    )


def main() -> None:
    """Measure and print: lines for humans, or JSON."""
    known = cases()
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tracer", action="append", choices=TRACERS)
    parser.add_argument("--case", action="append", choices=known)
    parser.add_argument("--seconds", type=float, default=10, help="for each case")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    results: dict[str, dict[str, Any]] = {}
    for tracer in options.tracer or ["trace_litellm, in memory"]:
        switch = TRACERS[tracer].make()
        results[tracer] = {}
        for name in options.case or known:
            gc.collect()
            try:
                found = measure(known[name], switch, options.seconds)
            except Exception as error:  # a peer that fails in one case is measured in the others
                print(f"{tracer}: {name}: {error!r}", file=sys.stderr)
                continue
            results[tracer][name] = found
            if not options.json:
                print(line(tracer, name, found), flush=True)
    if options.json:
        print(json.dumps(results))


if __name__ == "__main__":
    main()
