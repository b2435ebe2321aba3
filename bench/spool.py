"""How fast the spool takes spans of 4 KB, and how fast 100,000 of them are recovered.

Run: python bench/spool.py [spans]
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from pathlib import Path

from trace_core import Span, SpanContext, SpanKind, Spool
from trace_core._backlog import Orphan
from trace_core._frames import pack
from trace_core._journal import Journal, journals_in

BATCH = 100


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
        )
        for i in range(count)
    ]


def down(_: object) -> None:
    """A sink that is away."""
    raise OSError("away")


def main() -> None:
    """Measure and print."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    batch = spans(BATCH)
    size = len(pack(batch[0]))
    rates = []
    with tempfile.TemporaryDirectory() as folder:
        for attempt in range(3):
            spool = Spool(Path(folder) / str(attempt), down, key="bench", max_bytes=2**33)
            begun = time.perf_counter()
            for _ in range(count // BATCH):
                spool.write(batch)
            rates.append(count / (time.perf_counter() - begun))
            spool.close(0.1)
        print(f"append, encoding included: {statistics.median(rates):,.0f} spans/s of {size} bytes")
        frames = b"".join(map(pack, batch))
        journal = Journal.create(Path(folder) / "raw")
        begun = time.perf_counter()
        for _ in range(count // BATCH):
            journal.append(frames, BATCH)
        print(f"append of frames alone: {count / (time.perf_counter() - begun):,.0f} spans/s")
        journal.release(remove=True)
        (path,) = journals_in(spool.folder)
        journal = Journal.adopt(path)
        assert journal is not None
        begun = time.perf_counter()
        found, place = 0, (0, 0)
        while True:
            after, reading = journal.read(place, 10_000, 4 * 2**20)
            if after == place:
                break
            found, place = found + len(reading.frames), after
        print(f"recovery, frames read and verified: {found} in {time.perf_counter() - begun:.2f} s")
        orphan = Orphan(journal)
        begun = time.perf_counter()
        found = 0
        while (part := orphan.next(1_000, 4 * 2**20)) is not None:
            found += len(part.spans)
        print(f"recovery, decoded to spans: {found} in {time.perf_counter() - begun:.2f} s")


if __name__ == "__main__":
    main()
