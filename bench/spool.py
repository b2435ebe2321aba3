"""How fast the spool takes spans of 4 KB, and how fast another process recovers them.

    python bench/spool.py [spans]

CPU time is that of the thread which does it, wall time that of a machine others may be using too.
``recovered`` is what another process does with what one that is gone has left: read it, verify the
checksums and make spans of it, batch by batch as they are delivered; ``delivered`` is a whole
spool that takes them over, up to a sink that does nothing with them.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tracers import Discard

from trace_core import Span, SpanContext, SpanKind, Spool
from trace_core._spool.frames import pack
from trace_core._spool.journal import Journal, journals_in
from trace_core._spool.orphan import Orphan

BATCH = 100
ROUNDS = 5


def spans(count: int) -> list[Span]:
    """Make spans of 4 KB."""
    text = "x" * 3_600
    return [
        Span(
            SpanContext(f"{i + 1:032x}", f"{i + 1:016x}"),
            None,
            "chat bench",
            SpanKind.LLM,
            1_700_000_000_000_000_000,
            1_700_000_000_500_000_000,
            inputs={"messages": ({"role": "user", "content": text},)},
            attributes={"gen_ai.request.model": "some-model", "gen_ai.operation.name": "chat"},
        )
        for i in range(count)
    ]


def down(_: object) -> None:
    """A sink that is away."""
    raise OSError("away")


def timed(act: Callable[[], int]) -> tuple[int, float, float]:
    """Do something.

    Returns:
        What it returned, and the seconds it took of this thread's CPU and of the wall.
    """
    cpu, wall = time.thread_time(), time.perf_counter()
    found = act()
    return found, time.thread_time() - cpu, time.perf_counter() - wall


def say(what: str, act: Callable[[], int], times: int = ROUNDS) -> None:
    """Do something several times and print the best of them."""
    runs = [timed(act) for _ in range(times)]
    count = runs[0][0]
    cpu, wall = (min(run[which] for run in runs) for which in (1, 2))
    rates = f"{count / cpu:9,.0f} /s by CPU  {count / wall:9,.0f} /s by the wall"
    print(f"{what:24} {count:7} spans  {cpu:5.2f} s CPU  {wall:5.2f} s wall  {rates}", flush=True)


def leave_behind(folder: Path, batch: list[Span], count: int) -> Path:
    """Be a process that writes spans and is killed before it delivers any.

    Returns:
        The folder of its journal.
    """
    spool = Spool(folder, down, key="bench", max_bytes=2**33, linger=60)
    for _ in range(count // BATCH):
        spool.write(batch)
    (path,) = journals_in(spool.folder)
    spool.close(30)
    return path


def recover(path: Path) -> int:
    """Read a journal as a process does that takes it over."""
    journal = Journal.adopt(path)
    assert journal is not None
    orphan, found = Orphan(journal), 0
    while (part := orphan.next(BATCH, 4 * 2**20)) is not None:
        found += len(part.spans)
    journal.release(remove=False)
    return found


def deliver(folder: Path) -> int:
    """Have a spool take over what is there."""
    spool = Spool(folder, Discard(), key="bench", max_bytes=2**33)
    spool.start()
    while any(folder.rglob("*.seg")):
        time.sleep(0.002)
    found = spool.stats.delivered
    spool.close()
    return found


def main() -> None:
    """Measure and print."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    batch = spans(BATCH)
    print(f"spans of {len(pack(batch[0]))} bytes on disk")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        number = iter(range(100))
        paths: list[Any] = []

        def append() -> int:
            paths.append(leave_behind(folder / str(next(number)), batch, count))
            return count

        say("appended", append)
        say("recovered", lambda: recover(paths[0]))
        say("delivered", lambda: deliver(paths.pop().parents[1]))


if __name__ == "__main__":
    main()
