"""The hand-off: nothing waits for a sink, and every span is accounted for."""

from __future__ import annotations

import gc
import itertools
import multiprocessing
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trace_core import (
    Background,
    ConfigurationError,
    JsonLinesSink,
    MemorySink,
    OpenSpan,
    Rejected,
    Retry,
    RetryLater,
    SinkBase,
    Span,
    SpanContext,
    SpanKind,
    Tracer,
    Value,
    _lifecycle,
    _log,
    log_once,
    pipeline,
    tee,
)
from trace_core._delivery import callers, inbox, writer
from trace_core._delivery.size import rough_size
from trace_core._delivery.stats import Ledger
from trace_core.testing import FakeClock, sample_spans

FAST = Retry(first=0.001, longest=0.002)
NEEDS_FORK = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")


class Gate:
    """A sink whose writes wait until it is opened."""

    def __init__(self) -> None:
        self.opened = threading.Event()
        self.entered = threading.Event()
        self.spans: list[Span] = []
        self.threads: set[str] = set()

    def write(self, spans: Sequence[Span], /) -> None:
        self.entered.set()
        self.threads.add(threading.current_thread().name)
        self.opened.wait()
        self.spans.extend(spans)

    def flush(self, timeout: float = 5.0, /) -> bool:
        return True

    def close(self, timeout: float = 5.0, /) -> None:
        self.threads.add(threading.current_thread().name)


@pytest.fixture
def gate() -> Gate:
    return Gate()


def balanced(background: Background) -> bool:
    stats = background.stats
    return stats.pending >= 0 and stats.accepted == stats.delivered + stats.pending + stats.dropped


def test_spans_arrive_in_order_on_another_thread(
    gate: Gate, make_span: Callable[..., Span]
) -> None:
    """What one thread writes arrives in its order; all calls of the sink come from the writer."""
    gate.opened.set()
    background = Background(gate, batch_size=7)
    spans = [make_span() for _ in range(100)]
    background.write(spans[:50])
    for span in spans[50:]:
        background.write((span,))
    assert background.flush()
    assert gate.spans == spans
    background.close()
    assert gate.threads == {"trace-writer"}
    assert background.stats.delivered == 100


def test_writing_does_not_wait_for_a_hung_sink(gate: Gate, make_span: Callable[..., Span]) -> None:
    """With the sink stuck, writing returns, flush and close give up at their deadlines."""
    background = Background(gate)
    background.write((make_span(),))
    assert gate.entered.wait(10)
    background.write([make_span() for _ in range(1000)])
    assert not background.flush(0.1)
    background.close(0.1)
    background.write((make_span(),))
    assert gate.spans == []  # the sink still hangs: nothing here waited for it
    stats = background.stats
    assert stats.dropped_by_reason == {"not delivered at exit": 1001}
    assert stats.pending == 1
    gate.opened.set()


class Work:
    """A call that its open span has work left for, and that holds the span."""

    def __init__(self, tracer: Tracer) -> None:
        self.span = tracer.start("call")
        self.span.complete = self.complete

    def complete(self, span: OpenSpan) -> None:
        """Do nothing."""


def test_what_finds_no_room_is_freed_at_once(gate: Gate) -> None:
    """A span that is dropped does not wait for the garbage collector with its call."""
    tracer = Tracer(Background(gate, capacity=1))
    tracer.start("being written").end()
    gate.entered.wait()
    gc.disable()
    try:
        works = [Work(tracer) for _ in range(5)]
        alive = [weakref.ref(work) for work in works]
        while works:
            works.pop().span.end()
        assert sum(one() is not None for one in alive) == 1, "the one in the queue"
    finally:
        gc.enable()
        gate.opened.set()
        tracer.close()


def test_a_full_queue_drops_and_counts(gate: Gate, make_span: Callable[..., Span]) -> None:
    """Beyond capacity, the newest spans are dropped and counted."""
    background = Background(gate, capacity=3)
    first, *rest = [make_span() for _ in range(10)]
    background.write((first,))
    assert gate.entered.wait(10)
    background.write(rest)
    gate.opened.set()
    assert background.flush()
    assert gate.spans == [first, *rest[:3]]
    assert background.stats.dropped_by_reason == {"queue full": 6}


@pytest.mark.slow
def test_the_queue_has_a_limit_in_bytes(gate: Gate, make_span: Callable[..., Span]) -> None:
    """1,200 spans of a megabyte do not take more than a gigabyte while a sink hangs."""
    tracer = Tracer(Background(gate, max_bytes=64 * 1024**2))
    text = "x" * 1024**2  # one text, so that the test itself needs no gigabyte
    for number in range(1_200):
        tracer.start("large", inputs={"messages": [{"content": text}], "n": number}).end()
    background = tracer.sink
    assert isinstance(background, Background)
    assert 64 <= background.stats.pending <= 64 + 20
    assert background.stats.accepted == 1_200
    assert background.stats.dropped_by_reason["queue full"] == 1_200 - background.stats.pending
    gate.opened.set()
    assert background.flush(30)
    for _ in range(50):
        tracer.start("large", inputs=text).end()
    assert background.flush(30)  # what is written makes room
    assert len(gate.spans) == background.stats.delivered >= 64 + 50
    tracer.close()


@given(
    st.recursive(
        st.text() | st.integers() | st.none(),
        lambda v: st.lists(v, max_size=4).map(tuple) | st.dictionaries(st.text(), v, max_size=4),
        max_leaves=20,
    )
)
def test_the_rough_size_is_at_least_that_of_the_texts(value: Value) -> None:
    """Of values that are not many; of many some stand for all."""

    def texts(value: Value) -> int:
        if isinstance(value, str):
            return len(value)
        if isinstance(value, Mapping):
            return sum(map(texts, value.values()))
        return sum(map(texts, value)) if isinstance(value, tuple) else 0

    assert rough_size(value) >= texts(value)
    many = tuple(value for _ in range(100_000))
    assert rough_size(many) >= 100_000 * 64


def test_drops_are_logged_again_while_they_go_on(
    gate: Gate,
    make_span: Callable[..., Span],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each minute, with the number so far, and not when nothing more was dropped."""
    now = [1_000.0]
    monkeypatch.setattr(_log, "_clock", lambda: now[0])
    gate.opened.set()
    background = Background(gate, capacity=1)

    def drop(count: int) -> None:
        gate.opened.clear()
        gate.entered.clear()
        background.write((make_span(),))
        assert gate.entered.wait(10)
        background.write([make_span() for _ in range(count + 1)])
        gate.opened.set()
        assert background.flush(30)

    def logged() -> list[str]:
        return [r.getMessage() for r in caplog.records if "queue full" in r.getMessage()]

    drop(5)
    assert len(logged()) == 1
    drop(5)
    assert len(logged()) == 1
    now[0] += 61
    drop(5)
    assert len(logged()) == 2
    assert "15 spans dropped so far" in logged()[1]
    now[0] += 61
    background.write((make_span(),))
    assert background.flush(30)
    assert len(logged()) == 2


def test_what_is_logged_once_is_logged_again_an_hour_later(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second outage, hours after the first, is news."""
    now = [0.0]
    monkeypatch.setattr(_log, "_clock", lambda: now[0])
    for minute in range(0, 130, 10):
        now[0] = minute * 60.0
        log_once("test:again", "away")
    assert [record.getMessage() for record in caplog.records] == ["away"] * 3


@pytest.mark.parametrize("options", [{"capacity": 0}, {"batch_size": 0}, {"max_bytes": 0}], ids=str)
def test_senseless_options_are_refused(options: dict[str, object]) -> None:
    """A wrong option is an error when the background is made."""
    with pytest.raises(ConfigurationError):
        Background(MemorySink(), **options)


def test_failed_writes_are_repeated(make_span: Callable[..., Span]) -> None:
    """A sink that fails a few times gets the same spans again until it takes them."""
    seen: list[int] = []

    def flaky(spans: Sequence[Span]) -> None:
        seen.append(len(spans))
        if len(seen) < 4:
            raise OSError("away")

    background = Background(flaky, retry=FAST)
    background.write((make_span(),))
    assert background.flush()
    assert seen == [1, 1, 1, 1]
    assert background.stats.delivered == 1


def test_refused_spans_are_dropped(gate: Gate, make_span: Callable[..., Span]) -> None:
    """What a sink rejects is counted; the rest of the batch is written and not offered again."""
    first, *spans = [make_span() for _ in range(4)]

    def picky(batch: Sequence[Span]) -> None:
        gate.write(batch)
        if spans[1] in batch:
            raise Rejected("not this one", [spans[1]])

    background = Background(picky)
    background.write((first,))
    assert gate.entered.wait(10)
    background.write(spans)
    gate.opened.set()
    assert background.flush()
    assert background.stats.delivered == 3
    assert background.stats.dropped_by_reason == {"rejected by the sink": 1}
    assert gate.spans == [first, *spans]


def test_a_bad_span_holds_up_nobody(make_span: Callable[..., Span]) -> None:
    """A span that the sink refuses, naming none, costs neither those beside it nor later ones."""
    bad = make_span()
    taken: list[Span] = []

    def refuses(batch: Sequence[Span]) -> None:
        if bad in batch:
            raise Rejected("one of these")
        taken.extend(batch)

    background = Background(refuses, retry=FAST)
    background.write((bad,))
    good = [make_span() for _ in range(30)]
    for span in good:
        background.write((span,))
    background.close(30)
    assert {span.span_id for span in taken} == {span.span_id for span in good}
    assert background.stats.dropped == 1


def test_an_outage_drops_nothing(make_span: Callable[..., Span]) -> None:
    """A sink whose every answer is a refusal is away: what it refused is delivered later."""
    answers = iter([Rejected("400")] * 40)
    taken: list[Span] = []

    def away(batch: Sequence[Span]) -> None:
        for answer in answers:
            raise answer
        taken.extend(batch)

    background = Background(away, retry=FAST)
    for _ in range(50):
        background.write((make_span(),))
    assert background.flush(60)
    assert len(taken) == background.stats.delivered == 50


def test_a_sink_may_ask_for_patience() -> None:
    """RetryLater decides the wait; without a wish it is the backoff, jittered and limited."""
    retry = Retry(first=1, factor=2, longest=10, jitter=0.1)
    assert retry.wait(0, RetryLater("busy", after=42)) == 42
    assert 0.9 <= retry.wait(0, RetryLater("busy")) <= 1.1
    assert 3.6 <= retry.wait(2, OSError()) <= 4.4
    assert 9 <= retry.wait(1000, OSError()) <= 11


def test_nothing_a_sink_raises_ends_the_writer(make_span: Callable[..., Span]) -> None:
    """Even SystemExit out of a sink is a failure like another."""
    calls: list[int] = []

    def exits(spans: Sequence[Span]) -> None:
        calls.append(1)
        if len(calls) == 1:
            sys.exit(3)

    background = Background(exits, retry=FAST)
    background.write((make_span(),))
    assert background.flush()
    assert len(calls) == 2


def test_deferred_work_runs_on_the_writer(
    memory: MemorySink, make_span: Callable[..., Span]
) -> None:
    """What makes the span of an ended one runs off the caller's thread."""
    names: list[str] = []
    background = Background(memory)
    span = Tracer(background).start("a call")
    span.end(complete=lambda _: names.append(threading.current_thread().name))
    background.write_later(make_span())
    assert background.flush()
    assert names == ["trace-writer"]
    assert len(memory.spans) == 2


def test_writes_after_close_go_through(memory: MemorySink, make_span: Callable[..., Span]) -> None:
    """Spans that end after the close, in an exit handler say, are written at once."""
    background = Background(memory)
    background.write((make_span(),))
    background.close()
    background.close()
    late = make_span()
    background.write((late,))
    assert memory.spans[-1] is late
    assert background.stats.delivered == 2
    assert background.flush()


def test_a_sink_that_takes_all_its_time_to_close_is_waited_for(
    make_span: Callable[..., Span],
) -> None:
    """Its writer is cut off nowhere: not while it logs, which could hang the exit for ever."""
    ended = threading.Event()

    class Slow(Gate):
        def close(self, timeout: float = 5.0, /) -> None:
            time.sleep(timeout)
            ended.set()

    slow = Slow()
    slow.opened.set()
    background = Background(slow)
    background.write((make_span(),))
    background.close(1.0)
    assert ended.is_set()


def test_close_keeps_trying_until_its_deadline(make_span: Callable[..., Span]) -> None:
    """A sink that comes back during the close still gets the spans, though a long wait was on."""
    calls: list[float] = []

    def away(spans: Sequence[Span]) -> None:
        calls.append(time.monotonic())
        if len(calls) < 3:
            raise OSError("away")

    background = Background(away, retry=Retry(first=60))
    background.write((make_span(),))
    while not calls:
        time.sleep(0.001)
    background.close(30)
    assert background.stats.delivered == 1


@pytest.mark.slow
@settings(max_examples=25)
@given(
    st.lists(st.sampled_from(["ok", "fail", "reject", "exit"]), max_size=12),
    st.integers(1, 5),
)
def test_every_span_is_accounted_for(outcomes: list[str], capacity: int) -> None:
    """Accepted == delivered + pending + dropped, at every moment and whatever the sink does."""
    script = iter(outcomes)
    delivered: list[Span] = []

    def sink(spans: Sequence[Span]) -> None:
        outcome = next(script, "ok")
        if outcome == "fail":
            raise OSError
        if outcome == "reject":
            raise Rejected("no", spans[:1])
        if outcome == "exit":
            raise SystemExit
        delivered.extend(spans)

    background = Background(sink, capacity=capacity, retry=FAST, batch_size=3)
    span = Span(SpanContext("1" * 32, "1" * 16), None, "x", SpanKind.LLM, 0, 1)
    for _ in range(20):
        background.write((span,))
        assert balanced(background)
    background.close(10)
    assert background.stats.pending == 0
    assert background.stats.accepted == 20
    assert background.stats.delivered + background.stats.dropped == 20


def test_finalisers_and_signal_handlers_may_write(
    memory: MemorySink, make_span: Callable[..., Span]
) -> None:
    """Spans written while a write is going on in the same thread are not lost and block nothing."""
    background = Background(memory)
    count = 0

    class Last:
        def __del__(self) -> None:
            nonlocal count
            count += 1
            background.write((make_span(),))

    def handler(*_: object) -> None:
        background.write((make_span(),))
        assert balanced(background)

    previous = signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
    try:
        for _ in range(2_000):
            loop: list[object] = [Last()]
            loop.append(loop)
            background.write((make_span(),))
            assert balanced(background)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
    del loop
    for _ in range(1_000):
        gc.collect()  # does nothing while the writer's thread is collecting
        if count == 2_000:
            break
        time.sleep(0.01)
    assert background.flush(30)
    assert count == 2_000
    assert background.stats.delivered == background.stats.accepted
    assert background.stats.accepted >= 4_000


@NEEDS_FORK
def test_a_fork_waits_while_a_thread_of_ours_imports(folder: Path) -> None:
    """A child that imports the same would wait for ever, for a thread that it does not have."""
    (folder / "slow.py").write_text("import time; time.sleep(1)")
    script = """
import os, signal, sys, threading
from trace_core import no_fork
sys.path.insert(0, "")
importing = threading.Event()

def load():
    with no_fork():
        importing.set()
        import slow

threading.Thread(target=load).start()
importing.wait()
child = os.fork()
signal.alarm(20)
with no_fork():
    import slow
if child:
    assert os.waitpid(child, 0)[1] == 0
"""
    command = [sys.executable, "-W", "ignore", "-c", script]
    subprocess.run(command, cwd=folder, check=True, timeout=60)


@NEEDS_FORK
def test_a_forked_child_has_its_own_queue(folder: Path, make_span: Callable[..., Span]) -> None:
    """Parent and child each deliver their own spans, once, though the parent was busy."""
    target = folder / "ids"

    def record(spans: Sequence[Span]) -> None:
        time.sleep(0.001)
        with target.open("a") as file:
            file.writelines(f"{span.name}\n" for span in spans)

    background = Background(record, batch_size=1)
    background.write([make_span(name=f"parent {i}") for i in range(50)])
    pid = os.fork()
    if pid == 0:
        background.write([make_span(name=f"child {i}") for i in range(10)])
        background.flush(10)
        os._exit(0 if background.stats.delivered == 10 else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert background.flush(30)
    names = target.read_text().split("\n")[:-1]
    assert sorted(names) == sorted(
        [f"parent {i}" for i in range(50)] + [f"child {i}" for i in range(10)]
    )


@NEEDS_FORK
def test_a_forked_child_leaves_the_parents_spans_to_it(memory: MemorySink) -> None:
    """A span open at the fork ends in the parent alone; the child's own are its children."""
    tracer = Tracer(memory)
    with tracer.span("open at fork") as outer:
        pid = os.fork()
        if pid == 0:
            outer.end()
            tracer.start("childs own").end()
            own = memory.spans[0]
            right = own.parent_id == outer.context.span_id and len(memory.spans) == 1
            os._exit(0 if right and own.resource["process.pid"] == os.getpid() else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert [span.name for span in memory.spans] == ["open at fork"]


def in_worker(path: str) -> None:

    tracer = Tracer(Background(JsonLinesSink(path)))
    tracer.start("in worker").end()


def test_the_writer_imports_nothing(folder: Path) -> None:
    """Or a child, forked while the parent's writer imports, would wait for that lock for ever.

    Opening a text file with an encoding imports, too.
    """
    script = f"""
import sys, threading
from trace_core import JsonLinesSink, SpanKind, Tracer, durable
sink = JsonLinesSink("out.jsonl")
tracer = Tracer(durable(sink, spool_dir={str(folder)!r}, environ={{}}))
imported = []
def hook(event, details):
    if event == "import" and threading.current_thread().name.startswith("trace-"):
        imported.append(details[0])
sys.addaudithook(hook)
messages = [{{"role": "user", "content": "é my key is sk-" + "a" * 40, "data": b"x" * 99}}]
with tracer.span("chat", kind=SpanKind.LLM, inputs=messages, attributes={{"at": 1.5}}):
    assert tracer.flush()
try:
    with tracer.span("bad"):
        1 / 0
except ZeroDivisionError:
    pass
assert tracer.flush()
assert open("out.jsonl").read().count("\\n") == 2
print(imported)
"""
    done = subprocess.run(
        [sys.executable, "-c", script], timeout=60, cwd=folder, capture_output=True, check=True
    )
    assert done.stdout.decode().strip() == "[]", done.stderr.decode()


@pytest.mark.parametrize("method", multiprocessing.get_all_start_methods())
def test_multiprocessing_children_drain_at_exit(folder: Path, method: str) -> None:
    """A worker that ends right after its last span delivers it, whatever the start method."""
    target = folder / "spans.jsonl"
    script = folder / "main.py"
    script.write_text(
        textwrap.dedent(f"""
        import multiprocessing, sys
        def in_worker(path):
            from trace_core import Background, JsonLinesSink, Tracer
            global tracer
            tracer = Tracer(Background(JsonLinesSink(path)))
            tracer.start("in worker").end()
        if __name__ == "__main__":
            context = multiprocessing.get_context({method!r})
            process = context.Process(target=in_worker, args=({str(target)!r},))
            process.start(); process.join(); sys.exit(process.exitcode)
        """)
    )
    subprocess.run([sys.executable, str(script)], check=True, timeout=60, cwd=folder)
    assert target.read_text().count("\n") == 1


@pytest.mark.parametrize("method", multiprocessing.get_all_start_methods())
def test_nor_does_it_matter_where_a_program_sets_up_its_tracing(folder: Path, method: str) -> None:
    """A child of a fork server imports the program before it clears what is called at its exit."""
    target = folder / "spans.jsonl"
    (folder / "main.py").write_text(
        textwrap.dedent(f"""
        import multiprocessing
        from trace_core import Background, JsonLinesSink, Tracer
        tracer = Tracer(Background(JsonLinesSink({str(target)!r})))
        def in_worker():
            tracer.start("in worker").end()
        if __name__ == "__main__":
            context = multiprocessing.get_context({method!r})
            process = context.Process(target=in_worker)
            process.start(); process.join()
        """)
    )
    subprocess.run([sys.executable, "main.py"], check=True, timeout=60, cwd=folder)
    assert target.read_text().count("\n") == 1


@pytest.mark.parametrize(
    "ending",
    ["pass", "sys.exit(3)", "raise SystemExit", "1 / 0", "os.kill(os.getpid(), signal.SIGINT)"],
)
def test_spans_survive_the_exit(folder: Path, ending: str) -> None:
    """However the program ends, all spans queued at that moment are in the file, open ones too."""
    target = folder / "spans.jsonl"
    script = f"""
import os, signal, sys, time
from trace_core import Background, JsonLinesSink, Tracer
tracer = Tracer(Background(JsonLinesSink({str(target)!r})))
for _ in range(200):
    tracer.start("work").end()
kept = tracer.start("still open")
{ending}
"""
    done = subprocess.run(
        [sys.executable, "-c", script], timeout=60, cwd=folder, capture_output=True, check=False
    )
    lines = target.read_text().splitlines()
    assert len(lines) == 201, done.stderr.decode()
    assert '"trace.ending":"interrupted"' in lines[-1]


def test_spans_of_late_exit_handlers_survive(folder: Path) -> None:
    """A span made in an exit handler that runs after ours is written all the same."""
    target = folder / "spans.jsonl"
    script = f"""
import atexit
def late():
    tracer.start("late").end()
atexit.register(late)
from trace_core import Background, JsonLinesSink, Tracer
tracer = Tracer(Background(JsonLinesSink({str(target)!r})))
def early():
    tracer.start("early").end()
atexit.register(early)
"""
    done = subprocess.run(
        [sys.executable, "-c", script], timeout=60, cwd=folder, capture_output=True, check=False
    )
    # the sink was closed by our handler; what comes later is counted, and said, not a crash
    assert '"early"' in target.read_text(), done.stderr.decode()
    assert done.returncode == 0
    assert b"after close" in done.stderr


def test_exit_with_a_hung_sink_keeps_the_deadline(folder: Path) -> None:
    """A sink that never returns holds up the exit for exit_timeout, and the log says what it cost."""
    script = """
import time
from trace_core import Background, Tracer
tracer = Tracer(Background(lambda spans: time.sleep(3600), exit_timeout=0.5))
tracer.start("stuck").end()
"""
    done = subprocess.run(  # ends at all, though the sink hangs for an hour
        [sys.executable, "-c", script], timeout=60, cwd=folder, capture_output=True, check=True
    )
    assert b"1 span not delivered" in done.stderr


class Starts(MemorySink):
    """A sink that keeps records of spans that have started, and says when one comes."""

    def __init__(self) -> None:
        super().__init__()
        self.started: list[str] = []
        self.came = threading.Event()

    def write_started(self, spans: Sequence[Span], /) -> None:
        self.started += [span.name for span in spans]
        self.came.set()


def test_only_a_span_that_stays_open_leaves_a_start_record() -> None:
    """Nobody asks for it: the writer looks, whether it was asleep or at work."""
    sink = Starts()
    background = Background(sink)
    tracer = Tracer(background)
    short = tracer.start("short")
    short.end()
    slow = ["short"] if short.elapsed_ns >= 10_000_000 else []  # on a busy machine it may be
    for name in ("first", "second"):
        kept = tracer.start(name)
        while name not in sink.started:
            assert sink.came.wait(10)
            sink.came.clear()
        assert kept.elapsed_ns >= 10_000_000
        kept.end()
        deadline = time.monotonic() + 10
        while not background._inbox.young._asleep and time.monotonic() < deadline:
            time.sleep(0.01)
        assert background._inbox.young._asleep, (
            "a writer with nothing to do waits, it does not look around"
        )
    assert [name for name in sink.started if name not in slow] == ["first", "second"]
    background.close()
    assert [span.name for span in sink.spans] == ["short", "first", "second"]


class SlowToGetReady(Starts):
    """A sink that cannot write until it may, such as one whose disk does not answer."""

    def __init__(self) -> None:
        super().__init__()
        self.events: list[str] = []
        self.may = threading.Event()

    def write_started(self, spans: Sequence[Span], /) -> None:
        self.events.append(f"ready {list(spans)}" if not self.events else "starts")
        assert self.may.wait(60)

    def write(self, spans: Sequence[Span], /) -> None:
        super().write(spans)
        self.events.append("spans")


def test_a_sink_gets_ready_before_the_first_span_ends_and_holds_up_nobody() -> None:
    """A span that starts waits a moment for that, and no longer."""
    sink = SlowToGetReady()
    tracer = Tracer(Background(sink))
    span = tracer.start("work")  # would wait for ever
    span.end()
    sink.may.set()
    assert tracer.flush()
    assert sink.events[0] == "ready []"
    assert "spans" in sink.events[1:]
    tracer.close()


class KeepingGate(Gate, SinkBase):
    """Keeps what it is given, as a spool does."""

    takes_starts = True

    def write_started(self, spans: Sequence[Span], /) -> None:
        """Do nothing."""


def test_a_caller_waits_for_a_writer_that_is_behind(
    make_span: Callable[..., Span], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a program has seen return is on disk then, but for the last two calls."""
    monkeypatch.setattr(callers, "_AFTER_LATE", 1)
    _await_a_caller(make_span, monkeypatch, ahead=3)


def test_a_caller_waits_for_each_of_the_first_spans(
    make_span: Callable[..., Span], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody knows yet how late the writer comes."""
    _await_a_caller(make_span, monkeypatch, ahead=1)


def _await_a_caller(
    make_span: Callable[..., Span], monkeypatch: pytest.MonkeyPatch, ahead: int
) -> None:
    """Check that a caller waits until its span is written, behind so many others."""
    monkeypatch.setattr(callers, "_PATIENCE_IF_KEPT", 60.0)
    gate, kept = KeepingGate(), []
    queue = Background(gate)
    first = threading.Thread(target=queue.write, args=([make_span()],))
    first.start()
    assert gate.entered.wait(60)
    queue.write([make_span() for _ in range(ahead - 1)])

    def write() -> None:
        queue.write([make_span()])
        kept.append(len(gate.spans))

    caller = threading.Thread(target=write)
    caller.start()
    while queue.stats.pending <= ahead:
        time.sleep(0.001)
    assert not kept
    gate.opened.set()
    first.join(60)
    caller.join(60)
    assert kept == [ahead + 1]
    queue.close(60)


def test_each_span_is_waited_for_once_the_writer_came_late() -> None:
    """Threads that compute get the interpreter in its place, again and again."""
    clock, box = FakeClock(), inbox.Inbox(100, 1 << 20, kept=True)
    tracer = Tracer(MemorySink(), clock=clock)

    def take(milliseconds: int) -> int:
        span = tracer.start("work")
        span.end()
        clock.advance(milliseconds / 1e3)
        box.learn([span])
        return box.limit

    assert [take(1) for _ in range(32)] == [0] * 31 + [2]
    assert [take(9)] + [take(1) for _ in range(32)] == [0] * 32 + [2]
    assert [take(7) for _ in range(10)] == [2] * 10


def test_a_writer_that_is_held_up_is_seldom_waited_for(
    make_span: Callable[..., Span], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that stands still costs a caller a moment, then longer and longer nothing."""
    now = 0.0
    monkeypatch.setattr(callers, "_PATIENCE_IF_KEPT", 0.001)
    monkeypatch.setattr(callers, "monotonic", lambda: now)
    monkeypatch.setattr(callers, "time", SimpleNamespace(clock_gettime=lambda _: 0.0))
    gate = KeepingGate()
    queue = Background(gate, capacity=100_000)
    queue.write([make_span()])
    assert gate.entered.wait(60)
    waits: list[float] = []
    learn = queue._inbox.callers._learn

    def note(begin: float, made: float, *, in_time: bool) -> None:
        waits.append(begin)
        learn(begin, made, in_time=in_time)

    monkeypatch.setattr(queue._inbox.callers, "_learn", note)
    for tenth in range(100):
        now = tenth / 10
        queue.write([make_span()] * 100)
    # the pause doubles with each wait, to 1 s in the end
    assert 10 < len(waits) < 25
    gate.opened.set()
    queue.close(60)
    assert len(gate.spans) == 10_001


def queued(box: inbox.Inbox, span: Span) -> None:
    """Queue a span without waiting for a writer."""
    box.pending.append(None)
    box.queue.put(span)


@pytest.mark.parametrize("ahead", [1, 0], ids=["behind others", "being written"])
def test_a_caller_waits_on_while_the_writer_gets_on(
    make_span: Callable[..., Span], monkeypatch: pytest.MonkeyPatch, ahead: int
) -> None:
    """The writer computes what the program pays for anyway; each waits for the spans of others."""
    computed = itertools.count()
    monkeypatch.setattr(callers, "_PATIENCE_IF_KEPT", 0.001)
    monkeypatch.setattr(callers, "_LONGEST_IF_KEPT", 60.0)
    monkeypatch.setattr(callers.Progress, "made", property(lambda _: next(computed)))
    box, gate = inbox.Inbox(100, 1 << 20, kept=True), threading.Event()
    for _ in range(1 + ahead):
        queued(box, make_span())
    box.count_in(Ledger(), len(box.take(1)[0]))
    caller = threading.Thread(target=lambda: (box.callers.await_writer(), gate.set()))
    caller.start()
    if ahead:
        while next(computed) < 100:
            assert not gate.is_set()
        box.count_in(Ledger(), len(box.take(1)[0]))
    caller.join(60)
    assert gate.is_set()


def test_the_progress_of_a_thread_is_seen_on_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """What it has computed, or how often it was done where no clock tells that."""
    progress, seen, ended = callers.Progress(), threading.Event(), threading.Event()
    assert progress.made == 0

    def compute() -> None:
        progress.begin()
        progress.turns += 1
        while not seen.is_set():
            pass
        ended.wait(60)

    thread = threading.Thread(target=compute)
    thread.start()
    while progress.made < 0.01:
        assert thread.is_alive()
    seen.set()
    monkeypatch.setattr(sys, "platform", "another")
    assert progress.made == 1
    monkeypatch.undo()
    ended.set()
    thread.join(60)
    assert progress.made >= 0


def test_the_writer_takes_fewer_of_what_takes_long(
    make_span: Callable[..., Span], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Callers hear sooner that theirs are written."""
    computed = [0.0]

    class Slow(KeepingGate):
        small_batches = True
        batches: ClassVar[list[int]] = []

        def write(self, spans: Sequence[Span], /) -> None:
            super().write(spans)
            self.batches.append(len(spans))
            computed[0] += 0.0019 * len(spans) if len(self.spans) < 20 else 0.0

    monkeypatch.setattr(writer, "time", SimpleNamespace(thread_time=lambda: computed[0]))
    gate = Slow()
    queue = Background(gate)
    queue.write_later(make_span())
    assert gate.entered.wait(60)
    for _ in range(60):
        queued(queue._inbox, make_span())
    gate.opened.set()
    queue.close(60)
    assert gate.batches[:12] == [1] + [2] * 10 + [16]


@pytest.mark.parametrize("computed", [0.0, 0.02], ids=["slow disk", "busy writer"])
def test_a_slow_disk_is_seldom_waited_for(
    make_span: Callable[..., Span], monkeypatch: pytest.MonkeyPatch, computed: float
) -> None:
    """A writer that computes must have the time; what a disk takes is nothing to a caller."""
    clock = SimpleNamespace(now=0.0, computed=0.0)
    monkeypatch.setattr(callers, "_PATIENCE_IF_KEPT", 60.0)
    monkeypatch.setattr(callers, "_LONGEST_IF_KEPT", 60.0)
    monkeypatch.setattr(callers, "monotonic", lambda: clock.now)
    monkeypatch.setattr(callers.Progress, "made", property(lambda _: clock.computed))
    box = inbox.Inbox(100, 1 << 20, kept=True)
    queued(box, make_span())
    caller = threading.Thread(target=box.callers.await_writer)
    caller.start()
    while not box.callers._waiting:
        time.sleep(0.001)
    clock.now, clock.computed = 0.03, computed
    box.count_in(Ledger(), len(box.take(1)[0]))
    box.callers.wake()
    caller.join(60)
    assert (box.callers._waits_again_at > clock.now) is (not computed)


def test_the_writer_does_not_wait_for_itself(
    make_span: Callable[..., Span], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sink that makes spans, or a stream that the garbage collector ends on that thread."""
    monkeypatch.setattr(callers, "_PATIENCE_IF_KEPT", 3600.0)

    class Echo(KeepingGate):
        def write(self, spans: Sequence[Span], /) -> None:
            if not self.spans:
                queue.write([make_span(), make_span(), make_span()])
            self.spans += spans

    echo = Echo()
    queue = Background(echo)
    queue.write([make_span()])
    assert queue.flush(60)
    queue.close(60)
    assert len(echo.spans) == 4


def test_a_span_is_pending_from_its_hand_over_on(
    make_span: Callable[..., Span], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also between the queue and the writer: whoever polls may end the program at 0."""
    take, seen = inbox.Inbox.take, []

    def look(self: inbox.Inbox, most: int, timeout: float | None = 0) -> object:
        found = take(self, most, timeout)
        seen.append((len(found[0]), queue.stats.pending))
        return found

    monkeypatch.setattr(inbox.Inbox, "take", look)
    queue = Background(MemorySink())
    for _ in range(10):
        queue.write([make_span(), make_span()])
    assert queue.flush(60)
    queue.close(60)
    queue.write([make_span()])
    assert sum(taken for taken, _ in seen) == 20
    assert all(pending >= taken for taken, pending in seen)
    assert (queue.stats.accepted, queue.stats.pending) == (21, 0)


def test_callers_are_woken_once_their_spans_are_written(
    make_span: Callable[..., Span], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not with the others before, nor twice if the writer looks again before the next span."""
    monkeypatch.setattr(callers, "_PATIENCE_IF_KEPT", 60.0)
    monkeypatch.setattr(callers, "_LONGEST_IF_KEPT", 60.0)
    box, ledger = inbox.Inbox(100, 1 << 20, kept=True), Ledger()
    waiting = []
    for number in range(1, 3):
        queued(box, make_span())
        waiting.append(threading.Thread(target=box.callers.await_writer))
        waiting[-1].start()
        while len(box.callers._waiting) < number:
            time.sleep(0.001)
    for served, caller in enumerate(waiting):
        box.count_in(ledger, len(box.take(1)[0]))
        assert len(box.callers._waiting) == 2 - served
        box.callers.wake()
        caller.join(60)
        assert [one.is_alive() for one in waiting] == [False, not served]
    box.callers.wake()
    assert not box.callers._waiting


def test_a_flush_records_the_start_of_the_young_as_well() -> None:
    """Who asks for a flush may be about to kill the process."""
    sink = Starts()
    tracer = Tracer(Background(sink), clock=Frozen())
    kept = tracer.start("young")
    assert tracer.flush()
    assert sink.started == ["young"]
    kept.end()
    tracer.close()


class Frozen:
    """A clock that stands still."""

    def time_ns(self) -> int:
        return 1

    def perf_ns(self) -> int:
        return 1


CLOSED_TOGETHER = """
import threading
from trace_core import Background, SinkBase, Tracer
together = threading.Barrier(6)
class Waits(SinkBase):
    exit_timeout = 30.0
    def write(self, spans):
        pass
    def close(self, timeout=5.0):
        together.wait(timeout)
        print("closed\\n", end="", flush=True)
tracers = [Tracer(Background(Waits())) for _ in range(6)]
for tracer in tracers:
    tracer.start("work").end()
"""


def test_sinks_are_closed_side_by_side_at_exit() -> None:
    """Six slow sinks hold up the exit as long as one does: each waits here for the others."""
    run = subprocess.run(
        [sys.executable, "-c", CLOSED_TOGETHER],
        capture_output=True,
        text=True,
        timeout=240,
        check=True,
    )
    assert run.stdout.split() == ["closed"] * 6, run.stderr


def test_a_closed_sink_is_called_no_more() -> None:
    """Neither at fork nor at exit: whoever replaces a sink leaves nothing behind."""
    before = handlers()
    tracer = Tracer(tee(Background(pipeline(sink=MemorySink())), lambda spans: None))
    tracer.start("work").end()
    assert handlers() - before
    tracer.close()
    assert {name for name in handlers() - before if "RandomIds" not in name} == set()


def handlers() -> set[str]:
    """What is called at fork and exit, by the names and ids of the objects."""
    gc.collect()
    found = [*_lifecycle._at_exit.methods(), *_lifecycle._after_fork.methods()]
    return {f"{type(method.__self__).__name__} {id(method.__self__)}" for method in found}


LEFT_BEHIND = """
import os, threading, time
from trace_core import JsonLinesSink, Tracer, durable

def left():
    return [t.name for t in threading.enumerate()][1:], len(os.listdir("/proc/self/fd"))

def use(number):
    sink = JsonLinesSink(f"{number}.jsonl")
    tracer = Tracer(durable(sink, spool_dir="spool", environ={}))
    tracer.start("work").end()
    tracer.close(30)

def settled(wanted):
    deadline = time.monotonic() + 30
    while left() != wanted and time.monotonic() < deadline:
        time.sleep(0.01)  # a thread that has been told to end may take a moment
    return left()

use(0)
descriptors = settled(([], left()[1]))[1]
for number in range(1, 6):
    use(number)
threads, now = settled(([], descriptors))
print(threads, now - descriptors)
"""


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="Linux alone")
def test_a_closed_tracer_leaves_no_thread_and_no_descriptor(folder: Path) -> None:
    """However often a program turns tracing on with another sink."""
    done = subprocess.run(
        [sys.executable, "-c", LEFT_BEHIND],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert done.stdout.strip() == "[] 0", done.stderr


def test_each_queue_says_what_it_loses(caplog: pytest.LogCaptureFixture) -> None:
    """Also one whose sink lies in memory where another has lain."""

    class Away(MemorySink):
        def write(self, spans: Sequence[Span], /) -> None:
            raise OSError("away")

    for _ in range(40):
        background = Background(Away())
        background.write(sample_spans()[:1])
        background.close(0.01)
        del background
    assert caplog.text.count("1 span not delivered to") == 40
