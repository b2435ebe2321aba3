"""What a tracer takes before and besides the calls: the time to import it, and memory.

    python bench/footprint.py import --tracer trace_litellm       CPU and wall time, after LiteLLM's
    python bench/footprint.py memory --tracer nobody --calls 10000
    python bench/footprint.py pending                             bytes of an open span, ours alone

Each prints JSON, and wants a process of its own.
"""

from __future__ import annotations

import argparse
import gc
import importlib
import json
import os
import time
from pathlib import Path
from typing import Any

from tracers import TRACERS, Discard

LITELLM_CALLS_BEFORE = 1_000
PENDING, PAYLOAD = 1_000, 50_000


def resident() -> float:
    """Return the memory of this process, in MiB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def importing(tracer: str) -> dict[str, float]:
    """Import a tracer in a process that has LiteLLM already, as its user has."""
    os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
    importlib.import_module("litellm")
    before, cpu, wall = resident(), time.process_time(), time.perf_counter()
    importlib.import_module(TRACERS[tracer].module)
    return {
        "cpu_ms": (time.process_time() - cpu) * 1e3,
        "wall_ms": (time.perf_counter() - wall) * 1e3,
        "mib": resident() - before,
    }


def memory(tracer: str, calls: int) -> dict[str, Any]:
    """Make calls, and look at the memory after the first thousand and after each tenth of them."""
    from cases import Clock, completion, text

    run = completion(text(2_000, 2))
    switch = TRACERS[tracer].make()
    switch.on()
    for _ in range(LITELLM_CALLS_BEFORE):
        run(Clock())
    switch.flush()
    gc.collect()
    found = [resident()]
    for _ in range(10):
        for _ in range(calls // 10):
            run(Clock())
        switch.flush()
        gc.collect()
        found.append(resident())
    return {"calls": calls, "mib": found}


def pending() -> dict[str, float]:
    """Open spans whose inputs are of 50 KB each, and no two the same, and end none."""
    from trace_core import Background, SpanKind, Tracer

    tracer = Tracer(Background(Discard()), redacted=False)
    tracer.start("warm up").end()
    texts = [os.urandom(PAYLOAD // 2).hex() for _ in range(PENDING)]
    gc.collect()
    before = resident()
    spans = [
        tracer.start("chat", kind=SpanKind.LLM, inputs={"messages": [{"content": one}]})
        for one in texts
    ]
    own = (resident() - before) * 2**20 / len(spans)
    return {"bytes": own, "payload": PAYLOAD, "with_payload": own + PAYLOAD}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=("import", "memory", "pending"))
    parser.add_argument("--tracer", choices=TRACERS, default="trace_litellm")
    parser.add_argument("--calls", type=int, default=10_000)
    options = parser.parse_args()
    if options.what == "import":
        print(json.dumps(importing(options.tracer)))
    elif options.what == "memory":
        print(json.dumps(memory(options.tracer, options.calls)))
    else:
        print(json.dumps(pending()))


if __name__ == "__main__":
    main()
