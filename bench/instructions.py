"""How many instructions tracing takes: a measure that needs no clock.

Six things are counted, by valgrind's callgrind: handing one finished span to the background
queue, taking one chunk of a stream, replacing a picture of a megabyte by its digest, which is work
of the writer's thread, what OpenTelemetry's bridge adds to one span below a span of the program's,
what tracing adds to one mocked ``litellm.completion`` of 2 KB on its caller's thread, and what it
adds to it on all threads, with redaction and a spool. Each is the difference between so many and
twice as many, so that what comes before and after is not counted. SHA-256 takes 28 million of a
picture: valgrind's processor has no instructions for it.

    python bench/instructions.py              # count, and compare with instructions.json
    python bench/instructions.py --renew      # write what was counted into instructions.json
    python bench/instructions.py handoff      # one of them; importing LiteLLM takes half a minute
    python bench/instructions.py call --tracer trace_litellm     # another tracer, as JSON
    python bench/instructions.py --parts      # which part of it takes how many: see parts.py
    python bench/instructions.py --bridge     # what the bridge to OpenTelemetry adds to a call

With ``--tracer`` it also simulates the processor's caches, because tracing runs cold: a call of
LiteLLM's between two of ours leaves little of ours in them, so that time is lost on misses which a
count of instructions does not tell. ``microseconds`` weighs both.

Counts are of one kind of interpreter and processor, and are kept by both; of one that is not kept,
nothing is compared. More than its ``TOLERANCE`` above what is kept is a fault, found by
``tests/test_instructions.py``. When a count has become smaller, or had to become larger, renew it
on every Python that tests run on: ``nox -s instructions -- --renew``.
"""

from __future__ import annotations

import argparse
import gc
import itertools
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
TOLERANCE = {
    "handoff": 0.05, "chunk": 0.05, "picture": 0.3, "bridge": 0.05, "call": 0.15, "durable": 0.15,
}  # fmt: skip
"""By how much more is no fault; LiteLLM's own part of a call varies, by 2% of it at times, and how
OpenSSL hashes depends on the processor."""
TIMES = {
    "handoff": 2_000, "chunk": 2_000, "picture": 4, "bridge": 400, "call": 40, "durable": 40,
    "bridged": 20, "parts": 20,
}  # fmt: skip
WARM_UP = 100
LIMIT = 1_800  # seconds
REST_SECONDS = 2.0
OURS = "trace_litellm, in memory"
DURABLE = "trace_litellm"
SMALL = "completion, 2 KB"
TOOLS = ("valgrind", "callgrind_control")
CACHES = ("--cache-sim=yes", "--I1=32768,8,64", "--D1=32768,8,64", "--LL=524288,8,64")
"""The first two levels of a server's core; the third is shared, and not simulated."""
FIRST, SECOND = ("I1mr", "D1mr", "D1mw"), ("ILmr", "DLmr", "DLmw")
CYCLES, FIRST_MISS, SECOND_MISS = 1 / 3, 9, 35
"""Of an instruction, and of a miss of each level."""
CYCLES_PER_MICROSECOND = 3_000
Counts = dict[str, int]


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


def _counted(act: Callable[[], Any], times: int, rest: Callable[[], Any] = lambda: None) -> None:
    """Do something so often between two dumps of callgrind's counters, and come to rest."""
    _control("--instr=on")
    _control("--zero")
    for _ in range(times):
        act()
    rest()
    _control("--dump")
    _control("--instr=off")


def _be_steady() -> None:
    """Leave out what depends on the clock: collections of garbage, and threads taking turns."""
    gc.collect()
    gc.disable()
    sys.setswitchinterval(1_000)


def _handoff(_tracer: str, _case: str) -> None:
    from tracers import Discard

    from trace_core import Background, Span, SpanContext, SpanKind

    free = threading.Event()

    class Held(Discard):
        def write(self, spans: Any, /) -> None:
            free.wait()

    span = Span(SpanContext("1" * 32, "1" * 16), None, "chat", SpanKind.LLM, 1, 2)
    background = Background(Held())
    _be_steady()
    many = TIMES["handoff"]
    for times in (many, many, 2 * many):
        free.clear()
        background.write((span,))
        time.sleep(0.2)  # the queue's thread is in the sink now, and does not take turns
        _counted(lambda: background.write((span,)), times)
        free.set()
        background.flush(60)


def _call(tracer: str, case: str) -> None:
    from cases import Clock, cases
    from tracers import TRACERS

    run = cases()[case].run
    switch = TRACERS[tracer].make()
    clock = Clock()

    def rest() -> None:
        switch.flush()
        time.sleep(REST_SECONDS)  # the threads of callbacks have their turn

    _be_steady()
    for on in (lambda: None, switch.on):
        on()
        for times in (TIMES["call"] // 2, TIMES["call"], 2 * TIMES["call"]):
            _counted(lambda: run(clock), times, rest)


def _chunk(_tracer: str, _case: str) -> None:
    from cases import stream
    from tracers import Discard

    from trace_core import Tracer
    from trace_core.streams import StreamProxy, Watch
    from trace_litellm._streams.chat import ChatDeltas

    _first, *chunks, _last = stream(50)
    span = Tracer(Discard()).start("chat")
    deltas = ChatDeltas()
    proxy = StreamProxy(itertools.cycle(chunks), Watch(span, deltas, span.end, print))
    _be_steady()
    for times in (200, TIMES["chunk"], 2 * TIMES["chunk"]):
        _counted(lambda: next(proxy), times)
    assert deltas.outputs()


def _picture(_tracer: str, _case: str) -> None:
    from trace_core import Span, SpanContext, SpanKind, limit_payloads

    url = {"url": "data:image/png;base64," + "A" * 1_000_000}
    asked = ({"role": "user", "content": ({"type": "image_url", "image_url": url},)},)
    span = Span(
        SpanContext("1" * 32, "1" * 16),
        None,
        "chat",
        SpanKind.LLM,
        1,
        2,
        inputs={"messages": asked},
    )
    limit = limit_payloads()
    _be_steady()
    for times in (1, TIMES["picture"], 2 * TIMES["picture"]):
        _counted(lambda: limit(span), times)


def _parts(_tracer: str, _case: str) -> None:
    from parts import parts

    many = TIMES["parts"]
    rounds = (many, many, 2 * many)
    _be_steady()
    for act, rest in parts(sum(rounds)):
        for times in rounds:
            _counted(act, times, rest)


def _bridge(_tracer: str, _case: str) -> None:
    from tracers import program_with_span

    from trace_core import SinkBase, SpanKind, Tracer
    from trace_litellm._otel import CallBridge

    class Nowhere(SinkBase):
        def write(self, spans: Any, /) -> None: ...

        def write_later(self, span: Any, /) -> None: ...

    with program_with_span():
        _be_steady()
        for bridges in ((), (CallBridge(),)):
            tracer = Tracer(Nowhere(), redacted=False, bridges=bridges)

            def act(tracer: Tracer = tracer) -> None:
                span = tracer.open("completion", SpanKind.LLM, None, {})
                tracer.activate(span)()
                span.end()

            for times in (TIMES["bridge"] // 2, TIMES["bridge"], 2 * TIMES["bridge"]):
                _counted(act, times)


def _bridged(_tracer: str, case: str) -> None:
    """Count a call without a bridge and with it, in programs that use more and more of theirs."""
    from cases import Clock, cases
    from tracers import bridged, in_memory, program_with_span

    run, clock = cases()[case].run, Clock()
    _be_steady()
    for _ in range(WARM_UP):  # calls become a little dearer, for LiteLLM's own reasons
        run(clock)
    entered: list[Any] = []  # a context manager that is collected leaves its span
    become = (
        lambda: None,
        lambda: __import__("opentelemetry.sdk.trace"),
        lambda: entered.append(program_with_span()),
        lambda: entered[0].__enter__(),  # noqa: PLW0108  # made by the step before
    )
    for step in become:
        step()
        for make in (in_memory, bridged, bridged, in_memory):
            switch = make()
            switch.on()
            for times in (TIMES["bridged"] // 2, TIMES["bridged"], 2 * TIMES["bridged"]):
                _counted(lambda: run(clock), times, switch.flush)
            switch.off()


PROGRAMS = (
    "OpenTelemetry not imported",
    "imported by others alone",
    "a tracer provider, no span",
    "below a span of the program's",
)
"""Those that `_bridged` counts in."""
WORKERS = {
    "handoff": _handoff,
    "chunk": _chunk,
    "picture": _picture,
    "call": _call,
    "bridge": _bridge,
    "durable": lambda _tracer, case: _call(DURABLE, case),
    "parts": _parts,
}
INSIDE = {**WORKERS, "bridged": _bridged}
THREADS = {"durable": "all"}
"""Whose instructions are kept of each; the caller's by default."""
COMPARED = ("bridge", "call", "durable")
"""What is done without and with what is measured: the difference is kept."""


# Outside ---------------------------------------------------------------------------------------


def count(
    what: str, tracer: str = OURS, case: str = SMALL, *, caches: bool = False
) -> dict[str, float]:
    """Count the instructions of one hand-off or chunk, or what tracing adds to one call.

    Args:
        what: ``handoff``, ``chunk``, ``picture``, ``bridge``, ``call`` or ``durable``.
        tracer: Whose call.
        case: Which call, of ``cases.py``.
        caches: Simulate caches as well; takes half as long again.

    Returns:
        Instructions on the ``caller``'s thread and on ``all`` threads; of a call what tracing
        adds, of a span what the bridge adds, and what it takes ``without``, on the caller's
        thread. With ``caches``, for both what that takes in ``microseconds``.

    Raises:
        subprocess.SubprocessError: It could not be counted.
    """
    caller, every = _dumps(what, tracer, case, caches=caches)
    times = TIMES[what]
    without, without_all = _each(caller, times), _each(every, times)
    if what not in COMPARED:
        return {"caller": without["Ir"], "all": without_all["Ir"]}
    traced = _each(caller[3:], times)
    found: dict[str, float] = {
        "caller": traced["Ir"] - without["Ir"],
        "all": _each(every[3:], times)["Ir"] - without_all["Ir"],
        "without": without["Ir"],
    }
    if caches:
        found["microseconds"] = round(microseconds(traced) - microseconds(without), 1)
        found["microseconds_without"] = round(microseconds(without), 1)
    return found


def count_parts() -> str:
    """Count each part of a call, and return a table of them."""
    caller, every = _dumps("parts", OURS, SMALL)
    counted = [
        (mine, _each(every[at:], TIMES["parts"])["Ir"] - mine)
        for at in range(0, len(caller), 3)
        for mine in (_each(caller[at:], TIMES["parts"])["Ir"],)
    ]
    sys.path.insert(0, str(Path(__file__).parent))
    from parts import table

    return table(counted)


def count_bridged(case: str = SMALL) -> dict[str, tuple[int, int]]:
    """Count what a call takes without and with OpenTelemetry's bridge, for each of `PROGRAMS`.

    On the caller's thread, and all in one process: LiteLLM's own part differs from one to the next
    by more than a bridge takes. In one it differs by some thousands still.
    """
    caller, _ = _dumps("bridged", OURS, case)
    each = [_each(caller[at:], TIMES["bridged"])["Ir"] for at in range(0, len(caller), 3)]
    fours = [each[at : at + 4] for at in range(0, len(each), 4)]
    pairs = [((first + last) // 2, (second + third) // 2) for first, second, third, last in fours]
    return dict(zip(PROGRAMS, pairs, strict=True))


def _dumps(
    what: str, tracer: str, case: str, *, caches: bool = False
) -> tuple[list[Counts], list[Counts]]:
    """Do something in valgrind; return its dumps, of the caller's thread and of all threads."""
    with tempfile.TemporaryDirectory() as folder:
        valgrind = ("valgrind", "--tool=callgrind", "--instr-atstart=no", "--separate-threads=yes")
        out = (f"--callgrind-out-file={folder}/counts", *(CACHES if caches else ()))
        inside = (what, "--tracer", tracer, "--case", case, "--inside")
        command = (*valgrind, *out, sys.executable, __file__, *inside)
        environ = {**os.environ, "PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1"}
        done = subprocess.run(
            command, env=environ, capture_output=True, text=True, timeout=LIMIT, check=False
        )
        if done.returncode:
            raise subprocess.SubprocessError(done.stderr[-2_000:])
        return _dumped(Path(folder))


def microseconds(counts: Counts) -> float:
    """Estimate how long it takes, by instructions and by what is not in the caches."""
    missed = [sum(counts[event] for event in level) for level in (FIRST, SECOND)]
    cycles = counts["Ir"] * CYCLES + missed[0] * FIRST_MISS + missed[1] * SECOND_MISS
    return cycles / CYCLES_PER_MICROSECOND


def _each(dumps: list[Counts], times: int) -> Counts:
    """Return what one takes, of the counts for warming up, for so many, and for twice as many."""
    _, once, twice = dumps[:3]
    return {event: round((twice[event] - once[event]) / times) for event in once}


def _dumped(folder: Path) -> tuple[list[Counts], list[Counts]]:
    """Read the dumps in the order they were made: of the caller's thread, and of all threads."""
    found: dict[int, dict[int, Counts]] = {}
    for path in folder.glob("counts.*-*"):
        number, thread = map(int, path.name.removeprefix("counts.").split("-"))
        found.setdefault(number, {})[thread] = _totals(path.read_text())
    dumps = [found[number] for number in sorted(found) if 1 in found[number]]
    every = [
        {event: sum(one[event] for one in dump.values()) for event in dump[1]} for dump in dumps
    ]
    return [dump[1] for dump in dumps], every


def _totals(dump: str) -> Counts:
    """Read how often each event was counted; what is zero at the end of the line is left out."""
    events = re.search(r"^events: (.+)$", dump, re.MULTILINE)
    totals = re.search(r"^(?:totals|summary): (.+)$", dump, re.MULTILINE)
    assert events
    assert totals
    names, counts = events[1].split(), [int(one) for one in totals[1].split()]
    return dict(zip(names, counts + [0] * (len(names) - len(counts)), strict=True))


def main() -> None:
    """Count, and compare or renew."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", nargs="*", default=[])
    parser.add_argument("--tracer", help="count for this one, and print JSON")
    parser.add_argument("--case", default=SMALL, help="of cases.py; completion, 2 KB by default")
    parser.add_argument("--renew", action="store_true")
    parser.add_argument("--parts", action="store_true", help="print a table of a call's parts")
    parser.add_argument("--bridge", action="store_true", help="what the bridge adds to a call")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.inside:
        INSIDE[options.what[0]](options.tracer, options.case)
        return
    if options.bridge:
        for program, (without, bridged) in count_bridged(options.case).items():
            print(f"{machine()} {program}: {bridged - without:+,} (of {bridged:,})", flush=True)
        return
    if options.parts:
        print(count_parts())
        return
    if options.tracer:
        what = options.what[0] if options.what else "call"
        print(json.dumps(count(what, options.tracer, options.case, caches=True)))
        return
    counts, before = dict(kept()), kept()
    for what in options.what or TOLERANCE:
        counts[what] = round(count(what)[THREADS.get(what, "caller")])
        change = f" ({counts[what] / before[what] - 1:+.1%})" if what in before else ""
        print(f"{machine()} {what}: {counts[what]:,} instructions{change}", flush=True)
    if options.renew:
        every = json.loads(BASELINE.read_text()) if BASELINE.exists() else {}
        every[machine()] = counts
        BASELINE.write_text(json.dumps(every, indent=2, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
