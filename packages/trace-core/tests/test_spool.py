"""Spans on disk: nothing that was written is lost, whatever happens to process, disk and sink."""

from __future__ import annotations

import errno
import os
import shutil
import stat
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trace_core import (
    Background,
    ConfigurationError,
    FunctionSink,
    MemorySink,
    Rejected,
    Retry,
    RetryLater,
    SinkError,
    Span,
    SpanContext,
    SpanKind,
    Spool,
    StatusCode,
    Tracer,
    durable,
    tee,
)
from trace_core._log import counted
from trace_core._spool.batch import readable_spans
from trace_core._spool.deadletters import DeadLetters
from trace_core._spool.folders import read_key
from trace_core._spool.frames import HEADER_BYTES, MAGIC, SPAN, key_in, pack, unpack
from trace_core._spool.journal import Journal, journals_in
from trace_core._spool.limit import limit_folder
from trace_core._spool.orphan import Orphan
from trace_core._spool.reader import folders_in
from trace_core._spool.segments import Segment, count_spans
from trace_core._spool.spool import _RETRY

FAST = Retry(first=0.001, longest=0.01)


FIFO = pytest.param("fifo", marks=pytest.mark.posix)
FOREIGN = pytest.param("foreign", marks=pytest.mark.posix)


def numbered(index: int, **fields: object) -> Span:
    context = SpanContext(f"{index + 1:032x}", f"{index + 1:016x}")
    return Span(context, None, f"span {index}", SpanKind.LLM, 1, 2, **fields)


def many(count: int, start: int = 0) -> list[Span]:
    return [numbered(index) for index in range(start, start + count)]


def wait_for(condition: Callable[[], bool], seconds: float = 30) -> None:
    """Wait generously for what a thread is about to do."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.005)


class Switch:
    """A sink that is away until it is switched on."""

    def __init__(self, *, on: bool = False) -> None:
        self.on = on
        self.calls = 0
        self.spans: list[Span] = []

    def __call__(self, spans: Sequence[Span]) -> None:
        self.calls += 1
        if not self.on:
            raise ConnectionError("away")
        self.spans.extend(spans)


class Named(FunctionSink):
    """A function with a spool key."""

    spool_key = ""

    def __init__(self, key: str, function: Callable[[Sequence[Span]], None]) -> None:
        super().__init__(function)
        self.spool_key = key


@pytest.fixture
def open_spool(folder: Path) -> Iterator[Callable[..., Spool]]:
    """Open spools that are closed after the test."""
    opened: list[Spool] = []

    def make(sink: object, **options: object) -> Spool:
        spool = Spool(
            folder / "spool", sink, **{"key": "test", "retry": FAST, "adopt_every": 0.05, **options}
        )
        opened.append(spool)
        return spool

    yield make
    for spool in opened:
        spool.close(0.2)


def balanced(spool: Spool) -> bool:
    stats = spool.stats
    return stats.accepted == stats.delivered + stats.pending + stats.dropped and stats.pending >= 0


def test_a_program_that_has_nothing_to_write_yet_hears_nothing(
    open_spool: Callable[..., Spool], memory: MemorySink, caplog: pytest.LogCaptureFixture
) -> None:
    """Looking into a folder that the first span will make is no failure."""
    spool = open_spool(memory)
    spool._writer.keep_to_limit(())  # as its thread does from the start
    assert not spool.folder.exists()
    assert [record.getMessage() for record in caplog.records] == []


def test_spans_pass_through_in_order(open_spool: Callable[..., Spool], memory: MemorySink) -> None:
    """With everything well, spans arrive in order and nothing stays on disk."""
    spool = open_spool(memory)
    spans = many(500)
    for span in spans:
        spool.write((span,))
    assert spool.flush(30)
    assert list(memory.spans) == spans
    assert spool.stats.delivered == 500
    spool.close()
    assert journals_in(spool.folder) == []


def test_a_span_is_delivered_though_nobody_asks(
    open_spool: Callable[..., Spool], memory: MemorySink
) -> None:
    """Delivery at rest wakes up for the next span, without a flush."""
    spool = open_spool(memory, linger=0.001)
    for count in range(1, 4):
        spool.write(many(1, start=count))
        wait_for(lambda count=count: len(memory.spans) == count)
        wait_for(lambda: spool._writer.awaited)


def test_spans_gather_only_if_there_are_any(
    open_spool: Callable[..., Spool], memory: MemorySink
) -> None:
    """After a delivery nothing wakes up for nothing; a span that comes soon waits for others."""

    class Waits(threading.Event):
        def __init__(self) -> None:
            super().__init__()
            self.asked: list[float | None] = []

        def wait(self, timeout: float | None = None) -> bool:
            self.asked.append(timeout)
            return False

    spool = open_spool(memory, linger=3_600)
    spool._deliverer.waits._urgent = waits = Waits()
    spool.write(many(1))
    wait_for(lambda: len(memory.spans) == 1 and spool._writer.awaited)
    assert waits.asked == []
    spool.write(many(1, start=1))
    wait_for(lambda: len(memory.spans) == 2 and spool._writer.awaited)
    assert [0 < (asked or 0) <= 3_600 for asked in waits.asked] == [True]
    spool.write(many(2, start=2))  # which have gathered, and so may others
    wait_for(lambda: len(memory.spans) == 4 and spool._writer.awaited)
    assert waits.asked[-1] == 3_600


def test_files_are_for_the_owner_alone(open_spool: Callable[..., Spool]) -> None:
    """Folders are 0700 and files 0600, whatever the umask."""
    previous = os.umask(0)
    try:
        spool = open_spool(Switch())
        spool.write(many(3))
    finally:
        os.umask(previous)
    for path in [spool.root, *spool.root.rglob("*")]:
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path


def test_an_outage_is_waited_out(open_spool: Callable[..., Spool]) -> None:
    """Far more spans than memory may hold wait on disk, and arrive in order, once, afterwards."""
    sink = Switch()
    spool = open_spool(sink, max_memory=2_000, segment_bytes=20_000)
    spans = many(1_000)
    for begin in range(0, 1_000, 10):
        spool.write(spans[begin : begin + 10])
    assert not spool.flush(0.05)
    assert balanced(spool)
    assert spool.stats.pending == 1_000
    sink.on = True
    assert spool.flush(30)
    assert sink.spans == spans


def test_what_one_process_leaves_the_next_delivers(
    open_spool: Callable[..., Spool], memory: MemorySink, caplog: pytest.LogCaptureFixture
) -> None:
    """With the sink away for a program's life it exits in time, says so, and the next delivers."""
    first = open_spool(Switch())
    spans = many(250)
    first.write(spans)
    begun = time.monotonic()
    first.close(5)
    assert time.monotonic() - begun < 5
    assert "250 spans left in" in caplog.text
    second = open_spool(memory)
    second.start()
    wait_for(lambda: len(memory.spans) == 250)
    assert list(memory.spans) == spans
    second.close()
    assert journals_in(second.folder) == []


class Undecided(MemorySink):
    """A sink that learns where it writes to only after the start."""

    spool_key = "not told yet"


def test_what_is_left_is_found_though_the_key_is_known_late(
    open_spool: Callable[..., Spool],
) -> None:
    """Nor do the spans written then go to the folder of the key that was known at the start."""
    away = open_spool(Switch(), key="told")
    away.write(many(1))
    away.close(30)
    sink = Undecided()
    spool = open_spool(sink, key=None, adopt_every=60)
    spool.start()
    early = spool.folder
    wait_for(lambda: spool._writer.awaited)
    sink.spool_key = "told"
    spool.write_started(many(1, start=1))
    wait_for(lambda: len(sink.spans) == 1, 10)
    spool.write(many(1, start=1))
    wait_for(lambda: len(sink.spans) == 2)
    assert spool.folder == away.folder
    assert not early.exists()


def test_spans_of_one_sink_never_go_to_another(folder: Path, memory: MemorySink) -> None:
    """What waits for one destination is left alone by a spool for another."""
    first = Spool(folder, Switch(), key="mlflow:http://one")
    first.write(many(3))
    first.close(0.1)
    second = Spool(folder, memory, key="mlflow:http://two")
    second.write(many(1, start=10))
    assert second.flush(30)
    second.close()
    assert [span.name for span in memory.spans] == ["span 10"]
    assert len(journals_in(first.folder)) == 1


def test_a_living_process_keeps_its_journal(
    open_spool: Callable[..., Spool], memory: MemorySink
) -> None:
    """Another process's spool is taken over only when that process is gone."""
    first = open_spool(Switch())
    first.write(many(3))
    second = open_spool(memory, adopt_every=0.01)
    second.start()
    time.sleep(0.1)
    assert memory.spans == ()
    first.close(0.1)
    wait_for(lambda: len(memory.spans) == 3)


def test_writing_and_closing_beside_a_hung_sink(open_spool: Callable[..., Spool]) -> None:
    """A sink that never returns costs writers nothing, and closing its deadline."""
    stuck, returned = threading.Event(), threading.Event()

    def hangs(spans: Sequence[Span]) -> None:
        stuck.wait(60)
        returned.set()

    spool = open_spool(hangs)
    spool.write(many(100))
    assert not spool.flush(0.1)
    spool.close(0.1)
    spool.write(many(1, start=100))
    assert not returned.is_set()  # the sink still hangs: nothing here waited for it
    stuck.set()


def test_what_is_left_for_a_place_that_is_away_holds_up_no_other(
    open_spool: Callable[..., Spool],
) -> None:
    """It has a back-off of its own; other journals, and our own spans, go on meanwhile."""
    away, elsewhere, *ours = many(5)
    gone, arrived, tries = [away], [], []

    def deliver(spans: Sequence[Span]) -> None:
        tries.append(spans)
        if any(span in gone for span in spans):
            raise ConnectionError("away")
        arrived.extend(spans)

    for span in (away, elsewhere):
        left = open_spool(Switch(), adopt=False)
        left.write((span,))
        left.close(0)
    spool = open_spool(deliver, retry=Retry(first=60.0), linger=0.0)
    spool.start()
    wait_for(lambda: len(tries) == 2)
    for span in ours:
        spool.write((span,))
        assert spool.flush(10)
    assert arrived == [elsewhere, *ours]
    assert len(tries) == 5, "what is away is left alone meanwhile"
    gone.clear()
    spool.close(10)
    assert arrived[4:] == [away]
    assert balanced(spool)


def test_many_journals_for_a_place_that_is_away_hold_up_no_other(
    open_spool: Callable[..., Spool],
) -> None:
    """However many processes that are gone have left spans for it."""
    *gone, elsewhere = many(10)
    arrived: list[Span] = []

    def deliver(spans: Sequence[Span]) -> None:
        if any(span in gone for span in spans):
            raise ConnectionError("away")
        arrived.extend(spans)

    for span in (*gone, elsewhere):
        left = open_spool(Switch(), adopt=False)
        left.write((span,))
        left.close(0)
    open_spool(deliver, retry=Retry(first=60.0)).start()
    wait_for(lambda: arrived == [elsewhere])


def test_refused_spans_become_dead_letters(
    open_spool: Callable[..., Spool], memory: MemorySink
) -> None:
    """What the sink rejects is set aside with the reason; the rest is delivered."""
    spans = many(10)
    spool = open_spool(picky(memory))
    spool.write(spans)
    assert spool.flush(30)
    assert len(memory.spans) == 9
    assert spool.stats.dropped_by_reason == {"rejected by the sink": 1}
    (letter,) = DeadLetters(spool.folder)
    assert (letter.span, letter.reason) == (spans[5], "no fives")


def test_a_poisoned_span_holds_up_nobody(
    open_spool: Callable[..., Spool], memory: MemorySink
) -> None:
    """A span that crashes the sink waits behind the others, for a minute; then it is dead."""

    def chokes(batch: Sequence[Span]) -> None:
        if any(span.name == "span 5" for span in batch):
            raise TypeError("cannot serialise")
        memory.write(batch)

    spool = open_spool(chokes)
    now = 0.0
    spool._deliverer.batches._clock = lambda: now
    spool.write(many(10))
    wait_for(lambda: len(memory.spans) == 9, 30)
    count = 9
    while not list(DeadLetters(spool.folder)):
        assert now < 300
        now += 10
        spool.write(many(1, start=100 + count))
        count += 1
        wait_for(lambda count=count: len(memory.spans) == count)
    assert now >= 60
    (letter,) = DeadLetters(spool.folder)
    assert letter.span.name == "span 5"
    assert letter.reason == "TypeError: cannot serialise"
    assert spool.flush(30)
    assert spool.stats.pending == 0
    assert spool.stats.dropped_by_reason == {"rejected by the sink": 1}


@pytest.mark.parametrize("hours", [0, 1e6, -1e6])
def test_time_that_a_test_freezes_or_moves_holds_up_nothing(
    open_spool: Callable[..., Spool], monkeypatch: pytest.MonkeyPatch, hours: float
) -> None:
    """As with freezegun, or a mock in the place of ``time.sleep``: it is the program's, not ours."""

    def awake(_: float) -> None:
        raise AssertionError("a test that sleeps")

    frozen = time.monotonic() + 3600 * hours
    monkeypatch.setattr(time, "monotonic", lambda: frozen)
    monkeypatch.setattr(time, "sleep", awake)
    away, tried = Switch(), threading.Event()

    def sink(batch: Sequence[Span]) -> None:
        tried.set()
        away(batch)

    background = Background(open_spool(sink))
    background.write(many(1))
    assert tried.wait(30)
    monkeypatch.undo()
    away.on = True
    wait_for(lambda: away.spans == many(1))
    assert background.close(30) is None


@pytest.mark.parametrize(
    "error",
    [SinkError("500"), SinkError("507"), RetryLater("401"), OSError("away"), Rejected("400")],
    ids=repr,
)
def test_a_long_outage_makes_no_dead_letter(
    open_spool: Callable[..., Spool], memory: MemorySink, error: Exception
) -> None:
    """Reads may work and each write fail, for hours: all is delivered on recovery."""
    failures = threading.Semaphore(0)
    now, away = 0.0, True

    def full(batch: Sequence[Span]) -> None:
        if away:
            failures.release()
            raise error
        memory.write(batch)

    spool = open_spool(full)
    spool._deliverer.batches._clock = lambda: now
    for index in range(50):
        spool.write(many(2, start=2 * index))
        assert failures.acquire(timeout=30)
        now += 600
    assert list(DeadLetters(spool.folder)) == []
    away = False
    while not spool.flush(1):
        now += 60
        assert now < 1e6
    wait_for(lambda: spool.stats.pending == 0)
    assert sorted(span.span_id for span in memory.spans) == [f"{n + 1:016x}" for n in range(100)]
    assert list(DeadLetters(spool.folder)) == []


def test_a_span_comes_through_while_another_waits_for_its_next_attempt(
    open_spool: Callable[..., Spool], memory: MemorySink
) -> None:
    """However long the wait is that a span has brought about which fails alone."""
    asked = threading.Semaphore(0)

    def chokes(batch: Sequence[Span]) -> None:
        if any(span.name == "span 5" for span in batch):
            asked.release()
            raise Rejected("no fives")
        memory.write(batch)

    spool = open_spool(chokes, retry=Retry(first=3_600, longest=3_600, jitter=0))
    spool.write([numbered(5)])
    assert asked.acquire(timeout=30)
    spool.write([numbered(6)])
    wait_for(lambda: [span.name for span in memory.spans] == ["span 6"])
    wait_for(lambda: len(list(DeadLetters(spool.folder))) == 1)


def test_what_fails_alone_survives_the_process(
    open_spool: Callable[..., Spool], memory: MemorySink
) -> None:
    """A span that waits behind the others is on disk, for whoever comes next."""

    def chokes(batch: Sequence[Span]) -> None:
        if any(span.name == "span 5" for span in batch):
            raise TypeError("cannot serialise")
        memory.write(batch)

    first = open_spool(chokes)
    first.write(many(10))
    wait_for(lambda: len(memory.spans) == 9, 30)
    first.close(0.2)
    later = MemorySink()
    second = open_spool(later)
    second.start()
    wait_for(lambda: [span.name for span in later.spans] == ["span 5"], 30)


@pytest.mark.slow
def test_an_outage_poisons_nothing(
    open_spool: Callable[..., Spool], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As long as a sink takes nothing at all, no span is taken for the cause."""
    monkeypatch.setattr("trace_core._delivery.retry._SECONDS_BETWEEN_FAILURES", 0.1)
    sink = Switch()

    def broken(batch: Sequence[Span]) -> None:
        if not sink.on:
            raise RuntimeError("500")
        sink(batch)

    spool = open_spool(broken)
    spool.write(many(5))
    assert not spool.flush(0.2)
    sink.on = True
    assert spool.flush(30)
    assert len(sink.spans) == 5


def test_the_limit_drops_the_oldest_and_counts(open_spool: Callable[..., Spool]) -> None:
    """Beyond its share of the disk the spool drops its oldest spans, and accounts for each."""
    sink = Switch()
    spool = open_spool(sink, max_bytes=40_000, max_memory=1_000)
    for begin in range(0, 1_000, 10):
        spool.write(many(10, start=begin))
        assert balanced(spool)
    used = sum(path.stat().st_size for path in spool.root.rglob("*.seg"))
    assert used <= 60_000
    sink.on = True
    assert spool.flush(30)
    stats = spool.stats
    assert stats.dropped_by_reason.keys() == {"spool full"}
    assert stats.delivered == len(sink.spans)
    assert stats.delivered + stats.dropped == 1_000
    assert sink.spans[-1].name == "span 999"


class FullDisk:
    """os.write as on a disk with little room left."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, room: int) -> None:
        self.room = room
        self._write, self._truncate = os.write, os.ftruncate
        monkeypatch.setattr(os, "write", self)
        monkeypatch.setattr(os, "ftruncate", self.truncate)

    def __call__(self, descriptor: int, data: bytes) -> int:
        if self.room <= 0:
            raise OSError(28, "No space left on device")
        done = self._write(descriptor, data[: self.room])
        self.room -= done
        return done

    def truncate(self, descriptor: int, size: int) -> None:
        self.room += os.fstat(descriptor).st_size - size
        self._truncate(descriptor, size)


def test_a_full_disk_is_survived(
    open_spool: Callable[..., Spool], memory: MemorySink, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With no room on the disk spans go on from memory; what was torn does not hurt later ones."""
    sink = Switch()
    spool = open_spool(sink)
    spool.write(many(5))
    disk = FullDisk(monkeypatch, 700)
    for index in range(5, 20):
        spool.write(many(1, start=index))
    disk.room = 2**40
    wait_for(lambda: time.monotonic() > spool._writer.disk._again_at)
    spool.write(many(10, start=20))
    assert spool.stats.dropped == 0
    spool.close(0.1)  # everything is on disk again, also what was in memory meanwhile
    assert spool.stats.dropped == 0
    second = open_spool(memory)
    second.start()
    wait_for(lambda: len(memory.spans) == 30)
    assert [span.name for span in memory.spans] == [f"span {i}" for i in range(30)]


def test_a_disk_that_fails_in_an_unheard_of_way(
    open_spool: Callable[..., Spool], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where an audit hook of the program's raises: spans go on from memory, each once."""

    def forbidden(*_: object) -> int:
        raise RuntimeError("not here")

    sink = Switch(on=True)
    spool = open_spool(sink)
    monkeypatch.setattr(os, "mkdir", forbidden)
    monkeypatch.setattr(os, "open", forbidden)
    spool.write_started(many(1))
    spool.write(many(5))
    assert spool.flush(30)
    assert len(sink.spans) == 5
    assert (spool.stats.accepted, spool.stats.delivered) == (5, 5)
    spool.close()


def test_memory_alone_delivers(
    open_spool: Callable[..., Spool], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that takes nothing at all does not stop delivery, and its limit in memory holds."""
    FullDisk(monkeypatch, 0)
    sink = Switch()
    spool = open_spool(sink, max_memory=3_000)
    for index in range(100):
        spool.write(many(1, start=index))
    sink.on = True
    assert spool.flush(30)
    stats = spool.stats
    assert stats.dropped_by_reason.keys() == {"disk not writable and memory full"}
    assert stats.delivered + stats.dropped == 100
    assert len(sink.spans) == stats.delivered > 0


def test_an_unusable_folder_is_survived(folder: Path, memory: MemorySink) -> None:
    """Where no folder can be made, spans are delivered from memory."""
    blocked = folder / "file"
    blocked.write_text("not a folder")
    spool = Spool(blocked / "spool", memory, key="test")
    spool.write(many(10))
    assert spool.flush(30)
    spool.close()
    assert len(memory.spans) == 10


BATCH = many(8)
DATA = b"".join(map(pack, BATCH))


def read_back(data: bytes) -> list[bytes]:
    return [key_in(p) for _, p, _ in unpack(data, 0, last=True, limit=1000).frames]


IDS = read_back(DATA)


def test_torn_anywhere_loses_the_torn_one_alone() -> None:
    """Cut off at every single offset, all whole frames before it are read."""
    sizes = [len(pack(span)) for span in BATCH]
    for cut in range(len(DATA)):
        whole = 0
        while sum(sizes[: whole + 1]) <= cut:
            whole += 1
        assert read_back(DATA[:cut]) == IDS[:whole]


@given(st.integers(0, len(DATA) - 1), st.integers(1, 255))
def test_damage_costs_one_frame(offset: int, mask: int) -> None:
    """A flipped byte costs the frame it is in; all others are found."""
    damaged = bytearray(DATA)
    damaged[offset] ^= mask
    found = read_back(bytes(damaged))
    assert len(found) >= len(IDS) - 1
    assert [one for one in IDS if one in found] == found


def test_zeros_are_not_frames() -> None:
    """A tail of zeros, as a file system may leave after a power failure, holds nothing."""
    assert read_back(DATA + bytes(100_000)) == IDS
    assert read_back(bytes(100_000)) == []
    assert read_back(DATA[:-HEADER_BYTES] + bytes(5_000) + DATA) == IDS[:-1] + IDS


@settings(max_examples=20)
@given(st.binary(max_size=300), st.lists(st.integers(0, 7), max_size=4))
def test_garbage_between_frames_is_skipped(garbage: bytes, order: list[int]) -> None:
    """Whatever lies between frames, the frames are found, also when read in small parts."""
    frames = [pack(BATCH[index]) for index in order]
    data = garbage.join(frames) if frames else garbage
    assert read_back(data) == [IDS[index] for index in order]


def test_damaged_journals_are_delivered_and_kept(
    open_spool: Callable[..., Spool], memory: MemorySink, folder: Path
) -> None:
    """A journal with a damaged and a missing segment gives what it has, and stays for a look."""
    first = open_spool(Switch(), segment_bytes=500)
    for index in range(30):
        first.write(many(1, start=index))
    first.close(0.1)
    segments = sorted(first.root.rglob("*.seg"))
    assert len(segments) > 4
    with segments[1].open("r+b") as file:
        file.seek(50)
        file.write(b"\x00\x01\x02")
    segments[3].unlink()
    second = open_spool(memory)
    second.start()
    wait_for(lambda: any(span.name == "span 29" for span in memory.spans))
    wait_for(lambda: not journals_in(second.folder))
    assert balanced(second)
    assert len(memory.spans) >= 24
    assert list(second.folder.glob(".damaged-*"))
    assert second.stats.dropped_by_reason == {"damaged on disk": 1}


KILLED = """
import os, sys, time
from pathlib import Path
from trace_core import Background, Spool, Tracer, Retry
def away(spans):
    raise OSError("away")
tracer = Tracer(Background(Spool(sys.argv[1], away, key="test")))
outer = tracer.start("never ended")
for i in range(300):
    tracer.start(f"done {i}").end()
def noted(name):
    return any(name in file.read_bytes() for file in Path(sys.argv[1]).rglob("*") if file.is_file())
while tracer.sink.stats.pending or not noted(b"never ended"):
    time.sleep(0.001)
os.kill(os.getpid(), 9)
"""


def test_kill_9_loses_nothing_handed_over(
    open_spool: Callable[..., Spool], memory: MemorySink, folder: Path
) -> None:
    """After kill -9 all finished spans are delivered, and the one cut off as interrupted."""
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(folder / "spool")], timeout=60, check=False
    )
    assert done.returncode == -9
    spool = open_spool(memory)
    spool.start()
    wait_for(lambda: len(memory.spans) == 301)
    names = [span.name for span in memory.spans]
    assert names == [f"done {i}" for i in range(300)] + ["never ended"]
    last = memory.spans[-1]
    assert last.status.code is StatusCode.ERROR
    assert last.attributes["trace.ending"] == "interrupted"
    assert last.end_ns >= last.start_ns


def test_start_records_outlive_their_segment(
    open_spool: Callable[..., Spool], memory: MemorySink
) -> None:
    """A span open for long is known to have begun though its first segment is long gone."""
    spool = open_spool(memory, segment_bytes=500)
    spool.write_started([numbered(999)])
    for index in range(50):
        spool.write(many(1, start=index))
        assert spool.flush(30)
    journal = spool._writer.own.journal
    assert journal is not None
    assert journal.segments[0].number > 1
    journal.forget()  # as if the process were gone
    spool._writer.own = spool._writing.new_own()
    memory.clear()
    other = open_spool(memory)
    other.start()
    wait_for(lambda: len(memory.spans) == 1)
    assert memory.spans[0].context == numbered(999).context


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_forked_children_have_journals_of_their_own(
    open_spool: Callable[..., Spool], memory: MemorySink
) -> None:
    """Parent and children write side by side; every span arrives, none twice."""
    spool = open_spool(Switch())
    spool.write(many(10))
    children = []
    for child in range(3):
        pid = os.fork()
        if pid == 0:
            spool.write(many(10, start=100 * (child + 1)))
            os._exit(0)
        children.append(pid)
    spool.write(many(10, start=10))
    for pid in children:
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    spool.close(0.1)
    second = open_spool(memory)
    second.start()
    wait_for(lambda: len(memory.spans) >= 50)
    time.sleep(0.05)
    assert len({span.span_id for span in memory.spans}) == len(memory.spans) == 50


def test_journals_are_removed_oldest_first(
    open_spool: Callable[..., Spool], memory: MemorySink, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed while it removes a journal, a process leaves no start record without its end."""
    first = open_spool(Switch(), segment_bytes=500)
    for index in range(30):
        first.write(many(1, start=index))
    first.close(0.1)
    removed: list[str] = []
    unlink = Path.unlink

    def record(path: Path, *, missing_ok: bool = False) -> None:
        removed.append(path.name)
        unlink(path, missing_ok=missing_ok)

    monkeypatch.setattr(Path, "unlink", record)
    monkeypatch.setattr(Path, "glob", lambda path, _: sorted(path.iterdir(), reverse=True))
    second = open_spool(memory)
    second.start()
    wait_for(lambda: len(memory.spans) == 30)
    wait_for(lambda: "lock" in removed)
    segments = [name for name in removed if name.endswith(".seg")]
    assert len(segments) > 4
    assert segments == sorted(segments)


def test_writes_after_close_are_kept(open_spool: Callable[..., Spool], memory: MemorySink) -> None:
    """A span that ends after the close is on disk for the next start."""
    spool = open_spool(memory)
    spool.write(many(1))
    spool.close()
    spool.write(many(1, start=1))
    spool._writer.release()
    second = open_spool(memory)
    second.start()
    wait_for(lambda: len(memory.spans) == 2)


def test_a_spool_first_written_to_after_its_close_is_known(
    open_spool: Callable[..., Spool], memory: MemorySink
) -> None:
    """So that commands can tell whose spans they are that wait in it."""
    spool = open_spool(memory)
    spool.close()
    spool.write(many(1))
    assert read_key(spool.folder) == spool.spool_key


def test_what_is_delivered_does_not_stay(
    open_spool: Callable[..., Spool], memory: MemorySink
) -> None:
    """Once all is delivered, large segments are removed, not kept until they are full."""
    spool = open_spool(memory)
    spool.write([numbered(i, inputs="x" * 50_000) for i in range(40)])
    assert spool.flush(30)
    spool.write(many(1, start=50))
    assert spool.flush(30)
    assert sum(path.stat().st_size for path in spool.root.rglob("*.seg")) < 1_000_000


@pytest.mark.parametrize("sync", ["interval", "batch", "never"])
def test_sync_policies(
    open_spool: Callable[..., Spool],
    memory: MemorySink,
    monkeypatch: pytest.MonkeyPatch,
    sync: str,
) -> None:
    """The disk is waited for as asked: now and then, with each batch, or never."""
    synced: list[int] = []
    monkeypatch.setattr(os, "fdatasync", synced.append, raising=False)
    spool = open_spool(memory, sync=sync, sync_every=0.02)
    spool.write_started(many(1))
    wait_for(lambda: len(synced) > 0)  # of the file that says whose folder it is
    synced.clear()
    for index in range(3):
        spool.write(many(1, start=index))
    if sync == "interval":
        wait_for(lambda: len(synced) > 0)
    else:
        assert spool.flush(30)
        assert len(synced) == (3 if sync == "batch" else 0)


@pytest.mark.parametrize("options", [{"sync": "sometimes"}, {"max_bytes": 0}, {"batch_size": 0}])
def test_senseless_options_are_refused(folder: Path, options: dict[str, object]) -> None:
    """A wrong option is an error when the spool is made."""
    with pytest.raises(ConfigurationError):
        Spool(folder, MemorySink(), **options)


def test_a_dead_sink_under_a_tee_holds_up_nobody(folder: Path) -> None:
    """durable() gives each sink of a tee a spool: one is away, the other has everything."""
    one, two = Switch(), Switch(on=True)
    both = tee(Named("one", one), Named("two", two))
    tracer = Tracer(durable(both, spool_dir=folder, environ={}))
    for _ in range(50):
        tracer.start("work").end()
    wait_for(lambda: len(two.spans) == 50)
    assert one.spans == []
    tracer.close(0.5)
    assert len(list(folder.rglob("*.seg"))) == 1


def test_durable_reads_the_environment(folder: Path) -> None:
    """Variables set what arguments do not, and a bad value names its variable and choices."""
    sink = MemorySink()
    environ = {"TRACE_SPOOL_DIR": str(folder), "TRACE_CAPTURE": "metadata"}
    tracer = Tracer(durable(sink, environ=environ))
    tracer.start("work", inputs="said").end()
    assert tracer.flush()
    assert sink.spans[0].inputs is None
    away = durable(Switch(), environ={**environ, "TRACE_EXIT_TIMEOUT": "0.1"})
    assert isinstance(away, Background)
    assert away.exit_timeout == 0.1
    Tracer(away).start("work").end()
    away.close(0.5)
    assert list(folder.rglob("*.seg"))
    for name, value in [
        ("TRACE_CAPTURE", "some"),
        ("TRACE_SPOOL_SYNC", "sometimes"),
        ("TRACE_SPOOL_MAX_BYTES", "lots"),
        ("TRACE_SPOOL_MAX_BYTES", "inf"),
        ("TRACE_SAMPLE_RATE", "2"),
        ("TRACE_REDACT", "maybe"),
    ]:
        with pytest.raises(ConfigurationError, match=f"{name}='{value}'; choose"):
            durable(sink, environ={name: value})
    with pytest.raises(ConfigurationError, match="full or metadata"):
        durable(sink, capture="some")  # type: ignore[arg-type]


def test_no_time_to_deliver_is_time_to_keep(folder: Path) -> None:
    """What is queued at exit goes to disk, however short the time for its delivery is."""
    sink = durable(Switch(), spool_dir=folder, exit_timeout=0)
    sink.write(many(3000))
    sink.close(0)
    assert sink.stats.dropped == 0
    (left,) = folders_in(folder)
    assert left.waiting == 3000


def test_handing_off_on_the_callers_thread(folder: Path) -> None:
    """With handoff="caller" a span is on disk when its call returns."""
    tracer = Tracer(durable(Switch(), spool_dir=folder, handoff="caller", environ={}))
    tracer.start("work", inputs="remember me").end()
    assert b"remember me" in b"".join(path.read_bytes() for path in folder.rglob("*.seg"))
    tracer.close(0.2)


def test_without_a_thread_the_close_delivers(
    open_spool: Callable[..., Spool],
    memory: MemorySink,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Python 3.12 and newer start none once a program is through, short ones before they wrote."""

    def refuse(self: threading.Thread) -> None:
        raise RuntimeError("can't create new thread at interpreter shutdown")

    spool, spans = open_spool(memory), many(3)
    with monkeypatch.context() as ending:
        ending.setattr(threading.Thread, "start", refuse)
        spool.write(spans)
        spool.close(5)
    assert list(memory.spans) == spans
    assert journals_in(spool.folder) == []
    assert caplog.text == ""


def test_at_exit_our_threads_import_nothing(folder: Path) -> None:
    """Not even to log that a sink is silent: cut off in an import, one would hang the exit."""
    script = """
import sys, threading, time
from trace_core import Tracer, durable

writing = threading.Event()
tracer = Tracer(durable(lambda spans: writing.set() or time.sleep(600), exit_timeout=0.5))
tracer.start("work").end()
writing.wait()

def tell(event, arguments):
    if event == "import" and threading.current_thread().name.startswith("trace-"):
        print("import", arguments[0], flush=True)

sys.addaudithook(tell)
"""
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "TRACE_SPOOL_DIR": str(folder)},
        capture_output=True,
        check=True,
        timeout=60,
    )
    assert b"1 span left in" in done.stderr
    assert done.stdout == b""


def left_behind(folder: Path, count: int = 10) -> Path:
    """Leave a journal with spans that no sink has taken, and return its folder."""
    spool = Spool(folder, Named("to", Switch()), retry=FAST)
    spool.write(many(count))
    spool.close(0.0)
    (journal,) = journals_in(spool.folder)
    wait_for(lambda: spool._writer.own.journal is None)  # its thread has let go of it
    return journal


@pytest.mark.parametrize(
    "content", [b"00000001 000000099999\n", b"-1 -1 0\n", b"\xff\xfe", b"", b"9" * 100_000]
)
def test_a_damaged_cursor_skips_nothing(folder: Path, content: bytes) -> None:
    """A cursor whose checksum is wrong means the beginning: every span is delivered."""
    (left_behind(folder) / "cursor").write_bytes(content)
    assert delivered_of(folder, 10) == {f"span {i}" for i in range(10)}


@pytest.mark.parametrize("name", ["cursor", "00000009.seg"])
@pytest.mark.parametrize("kind", [FIFO, "folder", "link", FOREIGN])
def test_what_is_no_file_of_ours_stops_no_delivery(folder: Path, name: str, kind: str) -> None:
    """A FIFO, folder, link or another user's file in a journal is not read; the rest arrives."""
    place = left_behind(folder) / name
    outside = folder / "outside"
    outside.write_bytes(b"untouched")
    if kind == "fifo":
        os.mkfifo(place)
    elif kind == "folder":
        (place / "sub").mkdir(parents=True)
    elif kind == "link":
        place.symlink_to(outside)
    elif os.geteuid() == 0:
        place.write_bytes(b"x")
        os.chown(place, 12345, 12345)
    else:
        pytest.skip("only root can give a file to another user")
    assert delivered_of(folder, 10) == {f"span {i}" for i in range(10)}
    assert outside.read_bytes() == b"untouched"


@pytest.mark.posix
def test_a_journal_of_another_user_is_not_delivered(folder: Path) -> None:
    """A journal whose lock belongs to another user is not adopted."""
    if os.geteuid() != 0:
        pytest.skip("only root can give a file to another user")
    journal = left_behind(folder)
    os.chown(journal / "lock", 12345, 12345)
    assert Journal.adopt(journal) is None


def test_an_undecodable_record_of_our_own_costs_itself() -> None:
    """A frame that is whole but holds no span is skipped; those around it are returned."""
    whole = unpack(pack(numbered(1)), 0, last=True, limit=9).frames
    frames = [*whole, (SPAN, b"0" * 48 + b"no record", 0), *whole]
    assert [span.name for span in readable_spans(frames)] == ["span 1", "span 1"]


def delivered_of(folder: Path, count: int) -> set[str]:
    """Deliver what was left behind, and return the names of the spans."""
    memory = MemorySink()
    spool = Spool(folder, Named("to", memory.write), retry=FAST)
    spool.start()
    try:
        wait_for(lambda: len(memory.spans) >= count)
        return {span.name for span in memory.spans}
    finally:
        spool.close(5.0)


@pytest.mark.posix
@pytest.mark.parametrize("umask", [0, 0o027, 0o777])
def test_what_is_made_is_private(folder: Path, umask: int) -> None:
    """Folders are 0700 and files 0600 under any umask, and can be read again."""
    previous = os.umask(umask)
    try:
        left_behind(folder / "new" / "spool")
    finally:
        os.umask(previous)
    for path in (folder / "new").rglob("*"):
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path
    assert delivered_of(folder / "new" / "spool", 10) == {f"span {i}" for i in range(10)}


@pytest.mark.posix
@pytest.mark.parametrize("planted", ["root", "folder of the sink", "link"])
def test_a_folder_of_another_user_is_refused(
    folder: Path, memory: MemorySink, caplog: pytest.LogCaptureFixture, planted: str
) -> None:
    """Nothing is written where another user could read it; spans go on from memory."""
    if os.geteuid() != 0:
        pytest.skip("only root can give a folder to another user")
    root = folder / "spool"
    spool = Spool(root, Named("to", memory.write), retry=FAST)
    place = root if planted == "root" else spool.folder
    if planted == "link":
        root.mkdir()
        (folder / "theirs").mkdir()
        place.symlink_to(folder / "theirs")
        os.chown(place, 12345, 12345, follow_symlinks=False)
    else:
        place.mkdir(parents=True)
        os.chown(place, 12345, 12345)
    spool.write(many(3))
    assert spool.flush(30)
    spool.close()
    assert len(memory.spans) == 3
    assert "belongs to another user; set TRACE_SPOOL_DIR" in caplog.text
    assert not list(folder.rglob("*.seg"))


def remove(folder: Path) -> None:
    """Remove a folder, in which files may be made meanwhile."""
    for _ in range(100):
        try:
            return shutil.rmtree(folder)
        except OSError as error:
            if error.errno != errno.ENOTEMPTY:
                raise
    raise AssertionError(f"{folder} cannot be removed")


@pytest.mark.parametrize("act", ["remove", "move"])
def test_a_folder_that_is_removed_is_made_anew(
    open_spool: Callable[..., Spool], memory: MemorySink, caplog: pytest.LogCaptureFixture, act: str
) -> None:
    """What is in memory is written again, the rest is counted as lost, and it is said once."""
    sink = Switch()
    spool = open_spool(sink, max_memory=2_000, segment_bytes=500)
    for begin in range(0, 100, 10):
        spool.write(many(10, start=begin))
    wait_for((spool.folder / "key").exists)
    if act == "remove":
        remove(spool.root)
    else:
        spool.root.rename(spool.root.with_name("moved"))
    wait_for(spool.root.exists)  # though no span is written
    spool.write(many(5, start=100))
    spool.close(0.1)
    stats = spool.stats
    assert balanced(spool)
    assert stats.dropped_by_reason == {"removed from the spool by others": stats.dropped}
    assert 0 < stats.dropped < 100
    assert caplog.text.count("was removed or closed in use") == 1
    second = open_spool(memory)
    second.start()
    wait_for(lambda: len(memory.spans) == 105 - stats.dropped)
    assert {span.name for span in memory.spans} >= {f"span {i}" for i in range(95, 105)}


def test_a_nearly_full_disk_takes_what_fits(
    open_spool: Callable[..., Spool],
    memory: MemorySink,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Some spans are written, the exit says how many are not, and the counts agree."""
    spool = open_spool(Switch())
    spool.write(many(1))
    disk = FullDisk(monkeypatch, 0)
    spool.write(many(99, start=1))
    disk.room = 3_000
    spool.close(0.1)
    wait_for(lambda: spool._writer.own.journal is None)  # its thread has let go of it
    lost = spool.stats.dropped
    assert spool.stats.dropped_by_reason == {"not delivered at exit": lost}
    assert 50 < lost < 99
    assert f"{counted(100 - lost, 'span')} left in" in caplog.text
    assert f"{counted(lost, 'span')} lost" in caplog.text
    second = open_spool(memory)
    second.start()
    wait_for(lambda: len(memory.spans) == 100 - lost)
    assert [span.name for span in memory.spans] == [f"span {i}" for i in range(100 - lost)]


def test_each_spool_says_what_it_leaves(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Also one that lies in memory where another has lain."""
    for number in range(40):
        spool = Spool(folder / str(number), Switch())
        spool.write(many(1))
        spool.close(0.01)
    assert caplog.text.count("1 span left in") == 40


@pytest.mark.parametrize("kind", ["torn", FIFO, "folder", "binary", "link"])
@pytest.mark.parametrize("name", ["key", "dead.jsonl"])
def test_odd_files_beside_the_journals_stop_nothing(
    folder: Path, memory: MemorySink, name: str, kind: str
) -> None:
    """A key or dead letters that are cut off, or no file of ours, cost themselves at the most."""
    outside = folder / "outside"
    outside.write_bytes(b"untouched")
    spool = Spool(folder / "spool", Named("to", picky(memory)), retry=FAST)
    place = spool.folder / name
    spool.folder.mkdir(parents=True)
    {
        "torn": lambda: place.write_bytes(b'{"half'),
        "fifo": lambda: os.mkfifo(place),
        "folder": place.mkdir,
        "binary": lambda: place.write_bytes(b"\xff\xfe\n"),
        "link": lambda: place.symlink_to(outside),
    }[kind]()
    spool.write(many(10))
    wait_for(lambda: spool.stats.pending == 0)
    spool.close()
    assert len(memory.spans) == 9
    assert outside.read_bytes() == b"untouched"
    if name == "dead.jsonl" and kind in {"torn", "binary"}:
        assert [letter.span.name for letter in DeadLetters(spool.folder)] == ["span 5"]
    (described,) = folders_in(spool.root, lambda _path, _error: None) or [None]
    if described is not None and name == "key" and kind in {"torn", "binary", "link", "fifo"}:
        assert described.key in {"to", spool.folder.name}


def picky(memory: MemorySink) -> Callable[[Sequence[Span]], None]:
    """A sink that refuses span 5."""

    def write(batch: Sequence[Span]) -> None:
        bad = [span for span in batch if span.name == "span 5"]
        memory.write([span for span in batch if span not in bad])
        if bad:
            raise Rejected("no fives", bad)

    return write


def test_the_limit_is_for_all_processes_together(folder: Path) -> None:
    """Programs that came and went leave no more than one of them might."""
    for index in range(30):
        spool = Spool(folder, Named("to", Switch()), max_bytes=5_000, retry=FAST)
        spool.write(many(10, start=10 * index))
        spool.close(0.0)
        wait_for(lambda spool=spool: spool._writer.own.journal is None)
    size = sum(path.stat().st_size for path in folder.rglob("*.seg"))
    assert 2_500 < size < 10_000
    memory = MemorySink()
    last = Spool(folder, Named("to", memory.write), retry=FAST, max_bytes=5_000)
    last.start()
    wait_for(lambda: any(span.name == "span 299" for span in memory.spans))
    last.close()


def test_several_living_processes_keep_to_the_limit_together(
    open_spool: Callable[..., Spool],
) -> None:
    """They do not wait for the next look at what others have left behind."""
    spools = [open_spool(Switch(), max_bytes=100_000, adopt_every=3_600.0) for _ in range(4)]
    for begin in range(0, 2_000, 10):
        for spool in spools:
            spool.write(many(10, start=begin))
        size = sum(path.stat().st_size for path in spools[0].root.rglob("*.seg"))
        assert size <= 100_000 + 4 * (100_000 // 32 + 100_000 // 4)  # and a segment each
    assert all(map(balanced, spools))


def test_many_living_processes_share_the_limit(open_spool: Callable[..., Spool]) -> None:
    """Each may keep its part of it, and none keeps more because it cannot remove the others'."""
    limit, count = 400_000, 20
    spools = [open_spool(Switch(), max_bytes=limit, adopt_every=3_600.0) for _ in range(count)]
    for begin in range(0, 500, 10):
        for spool in spools:
            spool.write(many(10, start=begin))
    size = sum(path.stat().st_size for path in spools[0].root.rglob("*.seg"))
    assert limit / 2 < size < limit * 1.5
    assert all(spool.stats.pending for spool in spools)
    assert all(map(balanced, spools))


@pytest.mark.parametrize("made", [1, 4_000_000_000], ids=["long ago", "before the clock went back"])
def test_journals_that_were_never_finished_go(folder: Path, made: int) -> None:
    """A process killed while it made its journal leaves nothing for ever."""
    spool = Spool(folder, Named("to", Switch()), retry=FAST)
    old, new = (spool.folder / f".new-{age}" for age in ("old", "new"))
    for path in (old, new):
        path.mkdir(parents=True)
        (path / "lock").touch()
    os.utime(old, (made, made))
    spool.write(many(1))
    spool.close(0.0)
    wait_for(lambda: not old.exists())  # another thread may be about it
    assert new.exists()


def test_a_journal_that_somebody_renamed_like_an_unfinished_one(folder: Path) -> None:
    """It is not removed with what is in it, but gets its name back and is delivered."""
    away, here = Switch(), Switch(on=True)
    spool = Spool(folder, Named("to", away), retry=FAST)
    spool.write(many(3))
    spool.close(0.0)
    wait_for(lambda: spool._writer.own.journal is None)
    [journal] = journals_in(spool.folder)
    hidden = journal.rename(spool.folder / f".new-{journal.name}")
    os.utime(hidden, (1, 1))
    later = Spool(folder, Named("to", here), retry=FAST, adopt_every=0.01)
    later.write(many(1, start=9))
    wait_for(lambda: len(here.spans) == 4)
    later.close()


def test_after_an_outage_live_spans_do_not_wait_for_all_others(
    open_spool: Callable[..., Spool],
) -> None:
    """They take turns with what has gathered meanwhile, and nothing is lost or doubled."""
    sink = Switch()
    spool = open_spool(sink, max_memory=2_000)
    spool.write_started(many(1, start=9_999))
    for begin in range(0, 3_000, 100):
        spool.write(many(100, start=begin))
    spool.write(many(1, start=9_000))
    wait_for(lambda: spool._deliverer._backlog.tries.failed > 0)  # it has been away
    gate = threading.Semaphore(0)
    arrived: list[Span] = []

    def one_at_a_time(spans: Sequence[Span]) -> None:
        gate.acquire(timeout=30)
        arrived.extend(spans)

    spool._deliverer.batches._write = one_at_a_time
    gate.release()
    wait_for(lambda: bool(spool._orphans.found))  # set aside
    spool.write(many(1, start=9_999))
    for _ in range(6):
        gate.release()
    wait_for(lambda: any(span.name == "span 9999" for span in arrived))
    assert len(arrived) < 1_000
    for _ in range(100):
        gate.release()
    assert spool.flush(30)
    assert len(arrived) == len({span.span_id for span in arrived}) == 3_002
    assert spool.stats.delivered == 3_002
    assert spool.stats.pending == 0


def test_a_sink_that_is_away_is_asked_with_little(open_spool: Callable[..., Spool]) -> None:
    """One span is enough to see whether it is back; a batch now and then, to find a bad span."""
    sizes: list[int] = []

    def away(spans: Sequence[Span]) -> None:
        sizes.append(len(spans))
        raise ConnectionError("away")

    spool = open_spool(away, retry=Retry(first=0.001, longest=0.001))
    spool.write(many(100))
    wait_for(lambda: len(sizes) >= 5)
    assert sizes[:5] == [100, 1, 1, 1, 100]


def test_spools_by_default_notice_soon_that_a_sink_is_back() -> None:
    """No wait between two attempts is longer than 5 s."""
    waits = [_RETRY.wait(attempt, OSError()) for attempt in range(100)]
    assert max(waits) <= 5


def test_programs_that_start_at_once_remove_no_more_than_needed(folder: Path) -> None:
    """One at a time keeps to the limit: two would each remove what is too much."""
    for index in range(8):
        spool = Spool(folder, Named("to", Switch()), max_bytes=100_000, retry=FAST)
        spool.write(many(100, start=100 * index))
        spool.close(0.0)
        wait_for(lambda spool=spool: spool._writer.own.journal is None)
    (place,) = folder.iterdir()
    before = sum(path.stat().st_size for path in folder.rglob("*.seg"))
    threads = [threading.Thread(target=limit_folder, args=(place, 50_000)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    after = sum(path.stat().st_size for path in folder.rglob("*.seg"))
    assert before > 50_000 >= after > 20_000


def test_dead_letters_of_two_processes_on_a_full_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the disk takes of one is taken back, and never what another has written meanwhile."""
    one, other = DeadLetters(tmp_path), DeadLetters(tmp_path)
    write, calls = os.write, 0

    def full(descriptor: int, data: bytes) -> int:
        nonlocal calls
        calls += 1
        if calls == 1:
            return write(descriptor, data[:100])
        if calls == 2:
            other.add([(numbered(2), "of the other")])
            raise OSError(errno.ENOSPC, "full")
        return write(descriptor, data)

    monkeypatch.setattr(os, "write", full)
    one.add([(numbered(1), "of the one")])
    one.add([(numbered(3), "with room")])
    assert [letter.reason for letter in one] == ["of the other", "with room"]


def refuse_to_remove(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    """Segments in such folders cannot be removed, as with an attribute or a policy for it."""
    unlink = Path.unlink

    def refusing(path: Path, **options: bool) -> None:
        if path.suffix == ".seg" and path.parent.name.startswith(names):
            raise PermissionError(errno.EPERM, "not to be removed", str(path))
        unlink(path, **options)

    monkeypatch.setattr(Path, "unlink", refusing)


def test_what_the_limit_removes_counts_though_something_is_in_its_way(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stranger's file in one journal, and another that cannot be removed."""
    journal = left_behind(folder, 20)
    journal = journal.rename(journal.with_name("stuck"))
    journal = shutil.copytree(journal, journal.with_name("noted"))
    (journal / "note").write_text("mine")
    refuse_to_remove(monkeypatch, "stuck")
    assert limit_folder(journal.parent, 1) == 20
    assert [path.name for path in journals_in(journal.parent)] == ["stuck"]
    [kept] = journal.parent.glob(".damaged-*")
    assert [path.name for path in kept.iterdir()] == ["note"]
    monkeypatch.undo()
    assert len(delivered_of(folder, 20)) == 20


def test_a_folder_that_cannot_be_set_apart_is_let_go_of(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as one on which something is mounted."""
    journal = left_behind(folder)
    (journal / "note").write_text("mine")
    found = Journal.adopt(journal)
    assert found is not None
    monkeypatch.setattr(Path, "rename", lambda *_: (_ for _ in ()).throw(OSError(errno.EBUSY, "")))
    Orphan(found).release()
    (journal / "lock").touch()
    again = Journal.adopt(journal)
    assert again is not None
    again.release(remove=False)


def test_a_disk_on_which_nothing_can_be_removed_is_filled_no_further(
    open_spool: Callable[..., Spool], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is beyond the limits is counted, nothing raised or doubled, and the rest delivered."""
    sink = Switch()
    spool = open_spool(sink, max_bytes=4_000, segment_bytes=1_000, max_memory=2_000)
    spool.write(many(1))
    assert spool._writer.own.journal is not None
    refuse_to_remove(monkeypatch, spool._writer.own.journal.path.name)
    for index in range(200):
        spool.write(many(1, start=1 + index))
        spool._writer.disk.ask_again()
    assert spool.stats.accepted == 201
    assert spool._writer.own.journal.size < 8_000
    assert set(spool.stats.dropped_by_reason) == {"disk not writable and memory full"}
    sink.on = True
    assert spool.flush(30)
    assert balanced(spool)
    assert spool.stats.pending == 0
    delivered = [span.name for span in sink.spans]
    assert len(delivered) == len(set(delivered)) == spool.stats.delivered
    assert spool.stats.delivered > 10


def test_an_odd_file_for_the_limit_stops_no_delivery(folder: Path) -> None:
    """Then the limit is not kept, and that is said."""
    journal = left_behind(folder)
    (journal.parent / "limit").unlink()
    (journal.parent / "limit").mkdir()
    assert delivered_of(folder, 10) == {f"span {i}" for i in range(10)}


@pytest.mark.parametrize("running", [pytest.param(False, marks=pytest.mark.posix), True])
def test_a_journal_without_its_lock_is_delivered(folder: Path, *, running: bool) -> None:
    """Whoever tidies old files takes the lock first; a process that runs keeps its journal."""
    journal = left_behind(folder)
    (journal / "lock").unlink()
    boot, _, rest = journal.name.partition("-")
    nonce = rest.partition("-")[2]
    process = os.getppid() if running else 2**22 + 1
    journal.rename(journal.with_name(f"{boot}-{process}-{nonce}"))
    (found,) = folders_in(folder)
    assert found.journals == (0 if running else 1)
    if not running:
        assert delivered_of(folder, 10) == {f"span {i}" for i in range(10)}


@pytest.mark.parametrize("damage", ["a later version", "a flipped bit"])
def test_a_last_frame_that_cannot_be_read_is_kept(folder: Path, damage: str) -> None:
    """It was written as a whole, so that it is not torn: it is counted, and its folder stays."""
    journal = left_behind(folder)
    (segment,) = journal.glob("*.seg")
    data = bytearray(segment.read_bytes())
    if damage == "a later version":
        data[data.rfind(MAGIC) + 2] = 3
    else:
        data[-20] ^= 1
    segment.write_bytes(data)
    assert delivered_of(folder, 9) == {f"span {i}" for i in range(9)}
    (kept,) = journal.parent.glob(".damaged-*")
    assert (kept / segment.name).read_bytes() == data


@pytest.mark.parametrize("tail", [bytes(5_000), pack(BATCH[0])[:-1], MAGIC[:1], pack(BATCH[0])[:8]])
def test_a_torn_end_is_no_damage(folder: Path, tail: bytes) -> None:
    """An append that was never completed, or zeros after a loss of power, leave no folder."""
    journal = left_behind(folder)
    (segment,) = journal.glob("*.seg")
    segment.write_bytes(segment.read_bytes() + tail)
    assert delivered_of(folder, 10) == {f"span {i}" for i in range(10)}
    assert not list(journal.parent.glob(".damaged-*"))


@pytest.mark.parametrize("kind", ["link", FOREIGN])
def test_a_segment_that_is_not_read_is_not_deleted(folder: Path, kind: str) -> None:
    """It stays for whoever put it there, and is no longer in the way."""
    journal = left_behind(folder)
    (segment,) = journal.glob("*.seg")
    if kind == "link":
        segment.rename(folder / "elsewhere")
        segment.symlink_to(folder / "elsewhere")
    elif os.geteuid() == 0:
        os.chown(segment, 12345, 12345)
    else:
        pytest.skip("only root can give a file to another user")
    spool = Spool(folder, Named("to", Switch(on=True)), retry=FAST)
    spool.start()
    wait_for(lambda: bool(list(journal.parent.glob(".damaged-*"))))
    spool.close()
    (kept,) = journal.parent.glob(".damaged-*")
    assert (kept / segment.name).stat().st_size > 0


def test_a_segment_of_headers_alone_is_given_up_in_linear_time() -> None:
    """Each says that a megabyte follows, which is there: to check them all would take hours."""
    header = MAGIC + struct.pack("<BIBI", 2, 0, SPAN, 1_000_000)
    reading = unpack(header * 300_000 + DATA, 0, last=True, limit=10)
    assert reading.damaged > 0
    assert reading.next == len(header) * 300_000 + len(DATA)


def test_a_very_long_segment_is_counted_by_its_first_part(folder: Path) -> None:
    """Gigabytes that nobody wrote hold up nothing while the limit is kept."""
    path = folder / "00000001.seg"
    path.write_bytes(DATA)
    os.truncate(path, 1 << 40)
    assert count_spans(Segment(1, path, 1 << 40)) >= len(BATCH)


def test_live_spans_do_not_wait_for_an_orphan_that_holds_nothing(folder: Path) -> None:
    """A long stretch without a span is read in turns with what is written now."""
    journal = left_behind(folder)
    path = journal / "00000000.seg"
    path.touch()
    os.truncate(path, 100 << 20)
    orphan = Orphan(Journal(journal, None))
    batch = orphan.next(100, 1 << 20)
    assert batch is not None
    assert batch.spans == ()


@pytest.mark.posix
def test_a_journal_in_a_folder_of_another_user_is_not_delivered(folder: Path) -> None:
    """Whose files are ours, though the folder is not: somebody has put it there."""
    if os.geteuid() != 0:
        pytest.skip("only root can give a folder to another user")
    journal = left_behind(folder)
    os.chown(journal, 12345, 12345)
    assert journals_in(journal.parent) == []


def test_spans_that_vanish_from_the_disk_are_counted_and_told(
    open_spool: Callable[..., Spool], caplog: pytest.LogCaptureFixture
) -> None:
    """Somebody cuts a segment while the sink is away: what was in it is lost, but not silently."""
    sink = Switch()
    spool = open_spool(sink, max_memory=500)
    for index in range(50):
        spool.write(many(1, start=index))
    (segment,) = spool.root.rglob("*.seg")
    os.truncate(segment, 1_000)
    sink.on = True
    assert spool.flush(30)
    assert spool.stats.dropped_by_reason == {"damaged on disk": 50 - len(sink.spans)}
    assert "lost: missing" in caplog.text


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_child_forked_meanwhile_keeps_no_lock(folder: Path) -> None:
    """It has the file open as well, for as long as it lives; the journal is free all the same."""
    journal = Journal.create(folder)
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(write)
        os.read(read, 1)  # until the parent is done
        os._exit(0)
    try:
        journal.release(remove=False)
        found = Journal.adopt(journal.path)
        assert found is not None
        found.release(remove=True)
    finally:
        os.close(write)
        os.waitpid(child, 0)
        os.close(read)


FIRST_WRITE = """
import sys
from trace_core import MemorySink, Spool, Tracer

events = []

def seen(event, arguments):
    if event.startswith("os.") or event in ("open", "fcntl.flock"):
        events.append(event)

spool, spans = Spool(sys.argv[1], MemorySink()), MemorySink()
spool.start = lambda: None  # only what the first spans wait for
with Tracer(spans).span("one"):
    pass
sys.addaudithook(seen)
spool.write_started(())
print(*events)
events.clear()
spool.write(spans.spans)
print(*events)
"""


def test_the_first_spans_wait_for_few_calls_of_the_operating_system(folder: Path) -> None:
    """Each gives the interpreter to the threads that compute: made ready, it only writes."""
    program = [sys.executable, "-c", FIRST_WRITE, str(folder / "new")]
    for made in (3, 1):  # the spool's and the sink's folders are there the second time
        done = subprocess.run(program, capture_output=True, text=True, check=True)
        expected = [*["os.mkdir", "os.chmod"] * made, "open", "fcntl.flock", "os.rename", "open"]
        ready, written = done.stdout.splitlines()
        assert sorted(ready.split()) == sorted(expected)
        assert written.split() == []


ROOM_FOR_FILES = """
import os, sys
from pathlib import Path
from trace_core import MemorySink, Spool

def room():
    status = Path("/proc/self/status").read_text()
    return next(line.split()[1] for line in status.splitlines() if line.startswith("FDSize"))

if os.fork():  # a child has room for the files that are open; others may have had more before
    sys.exit(os.waitstatus_to_exitcode(os.wait()[1]))
print(room())
Spool(sys.argv[1], MemorySink())
print(room())
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="Linux alone")
def test_there_is_room_for_its_files_before_it_writes(folder: Path) -> None:
    """Among several threads the kernel waits for 10 ms and more before it makes that."""
    program = [sys.executable, "-c", ROOM_FOR_FILES, str(folder)]
    done = subprocess.run(program, capture_output=True, text=True, check=True)
    before, after = map(int, done.stdout.split())
    assert before < 900 < after


SHORT_FILES = """
import resource, sys
from trace_core import MemorySink, Spool, Tracer

def away(spans):
    raise ConnectionError

resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
spans = MemorySink()
with Tracer(spans).span("one", inputs="x" * 1_000):
    pass
spool = Spool(sys.argv[1], away)
for _ in range(50):
    spool.write(spans.spans)
print(spool.stats.dropped, spool._writer.own.memory.alone)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there is no such limit")
def test_files_may_be_short(folder: Path) -> None:
    """Where a process may write no long files (RLIMIT_FSIZE), there are more of them."""
    program = [sys.executable, "-c", SHORT_FILES, str(folder)]
    done = subprocess.run(program, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["0", "0"]
    assert len(list(folder.rglob("*.seg"))) > 5


DAEMON = """
import os, sys, time
from trace_core import JsonLinesSink, Spool, Tracer, tee

got = []
kept = JsonLinesSink(sys.argv[1] + "/traces.jsonl")
spool = Spool(sys.argv[1] + "/spool", lambda spans: got.extend(spans))
tracer = Tracer(tee(spool, kept))
for at in range(4):
    with tracer.span("before"):
        pass
assert tracer.sink.flush(20)
while not spool._writer.is_tidy:
    time.sleep(0.01)
os.closerange(3, 4096)
mine = [open(f"{sys.argv[1]}/mine{at}", "wb", buffering=0) for at in range(50)]
for at in range(4):
    with tracer.span("after"):
        pass
    assert tracer.sink.flush(20)
tracer.sink.close(20)
for file in mine:
    file.write(b"x")  # nobody has closed it
sizes = {os.stat(file.name).st_size for file in mine}
print(len(got), len(open(kept.path).readlines()), *sizes)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="numbers of files are lent nobody there")
def test_a_program_may_close_all_files_and_open_its_own(folder: Path) -> None:
    """As one does that becomes a daemon: nothing of ours goes into them, and nothing is lost."""
    folder.mkdir(exist_ok=True)
    program = [sys.executable, "-c", DAEMON, str(folder)]
    done = subprocess.run(program, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["8", "8", "1"], done.stderr


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="a file system of Linux")
def test_where_no_folders_can_be_made_spans_go_through_memory(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """There a folder is missing however often the one above it is made."""
    sink = MemorySink()
    spool = Spool(Path("/proc/self/spool"), sink)
    spool.write(many(1))
    assert spool.flush(20)
    spool.close()
    assert len(sink.spans) == 1
    assert "cannot be written" in caplog.text
