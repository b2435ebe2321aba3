"""How many instructions tracing takes on the caller's thread: a measure that needs no clock.

Two things are counted, by valgrind's callgrind: handing one finished span to the background queue,
and what tracing adds to one mocked ``litellm.completion`` of 2 KB. Each is the difference between
so many calls and twice as many, so that what comes before and after is not counted.

    python bench/instructions.py              # count, and compare with instructions.json
    python bench/instructions.py --renew      # write what was counted into instructions.json
    python bench/instructions.py handoff      # one of them; importing LiteLLM takes half a minute

Counts are of one kind of interpreter and processor, and are kept by both; of one that is not kept,
nothing is compared. More than ``TOLERANCE`` above what is kept is a fault, found by
``tests/test_instructions.py``. When a count has become smaller, or had to become larger, renew it
on every Python that tests run on: ``nox -s instructions -- --renew``.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

BASELINE = Path(__file__).with_name("instructions.json")
TOLERANCE = 0.05
HANDOFFS, CALLS = 2_000, 20
LIMIT = 280  # seconds
TOOLS = ("valgrind", "callgrind_control")


def missing_tools() -> list[str]:
    """Name the programs that are needed and not here."""
    return [tool for tool in TOOLS if shutil.which(tool) is None]


def machine() -> str:
    """Name the interpreter and the processor that counts are valid for."""
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    return f"{platform.python_implementation().lower()}-{python}-{platform.machine()}"


def kept() -> dict[str, int]:
    """Return the counts of before, of this interpreter and processor."""
    return json.loads(BASELINE.read_text()).get(machine(), {}) if BASELINE.exists() else {}


# Inside valgrind -------------------------------------------------------------------------------


def _control(option: str) -> None:
    """Give callgrind, in which this process runs, an order, and do not block while it obeys."""
    order = subprocess.Popen(["callgrind_control", option, str(os.getpid())], stdout=sys.stderr)
    while order.poll() is None:
        time.sleep(0.01)
    assert order.returncode == 0


def _counted(act: Callable[[], Any], times: int) -> None:
    """Do something so often between two dumps of callgrind's counters."""
    _control("--instr=on")
    _control("--zero")
    for _ in range(times):
        act()
    _control("--dump")
    _control("--instr=off")


def _be_steady() -> None:
    """Leave out what depends on the clock: collections of garbage, and threads taking turns."""
    gc.collect()
    gc.disable()
    sys.setswitchinterval(1_000)


def _handoff() -> None:
    from tracers import Discard

    from trace_core import Background, Span, SpanContext, SpanKind

    free = threading.Event()

    class Held(Discard):
        def write(self, spans: Any, /) -> None:
            free.wait()

    span = Span(SpanContext("1" * 32, "1" * 16), None, "chat", SpanKind.LLM, 1, 2)
    background = Background(Held())
    _be_steady()
    for times in (HANDOFFS, HANDOFFS, 2 * HANDOFFS):
        free.clear()
        background.write((span,))
        time.sleep(0.2)  # the queue's thread is in the sink now, and does not take turns
        _counted(lambda: background.write((span,)), times)
        free.set()
        background.flush(60)


def _call() -> None:
    from cases import Clock, completion, text
    from tracers import in_memory

    run = completion(text(2_000, 2))
    switch = in_memory()
    clock = Clock()
    _be_steady()
    for on in (lambda: None, switch.on):
        on()
        for times in (20, CALLS, 2 * CALLS):
            _counted(lambda: run(clock), times)
            switch.flush()


WORKERS = {"handoff": _handoff, "call": _call}


# Outside ---------------------------------------------------------------------------------------


def count(what: str) -> int:
    """Count the instructions of one hand-off, or what tracing adds to one call.

    Args:
        what: ``handoff`` or ``call``.

    Returns:
        Instructions on the caller's thread.

    Raises:
        subprocess.SubprocessError: It could not be counted.
    """
    with tempfile.TemporaryDirectory() as folder:
        valgrind = ("valgrind", "--tool=callgrind", "--instr-atstart=no", "--separate-threads=yes")
        out = f"--callgrind-out-file={folder}/counts"
        command = (*valgrind, out, sys.executable, __file__, what, "--inside")
        environ = {**os.environ, "PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1"}
        done = subprocess.run(
            command, env=environ, capture_output=True, text=True, timeout=LIMIT, check=False
        )
        if done.returncode:
            raise subprocess.SubprocessError(done.stderr[-2_000:])
        found = [_total(path) for path in _dumps(Path(folder))]
    if what == "handoff":
        _, once, twice = found
        return round((twice - once) / HANDOFFS)
    _, once, twice, _, traced_once, traced_twice = found
    return round(((traced_twice - traced_once) - (twice - once)) / CALLS)


def _dumps(folder: Path) -> list[Path]:
    """Find the dumps of the first thread, which is the caller's, in the order they were made."""
    return sorted(folder.glob("counts.*-01"), key=lambda path: int(path.suffix[1:-3]))


def _total(path: Path) -> int:
    found = re.search(r"^(?:totals|summary): (\d+)", path.read_text(), re.MULTILINE)
    assert found, path
    return int(found[1])


def main() -> None:
    """Count, and compare or renew."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", nargs="*", default=[])
    parser.add_argument("--renew", action="store_true")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.inside:
        WORKERS[options.what[0]]()
        return
    counts, before = dict(kept()), kept()
    for what in options.what or WORKERS:
        counts[what] = count(what)
        change = f" ({counts[what] / before[what] - 1:+.1%})" if what in before else ""
        print(f"{machine()} {what}: {counts[what]:,} instructions{change}", flush=True)
    if options.renew:
        every = json.loads(BASELINE.read_text()) if BASELINE.exists() else {}
        every[machine()] = counts
        BASELINE.write_text(json.dumps(every, indent=2, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
