"""The sinks that need nothing else, and putting them together."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import inspect
import io
import json
import logging
import os
import re
import shutil
import stat
import subprocess
import sys
import threading
import unicodedata
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, TextIO
from unittest.mock import Mock

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trace_core import (
    Background,
    ConfigurationError,
    ConsoleSink,
    Cost,
    FunctionSink,
    JsonLinesSink,
    MemorySink,
    Sink,
    SinkBase,
    SinkClosed,
    SinkError,
    Span,
    Spool,
    Status,
    StatusCode,
    TokenUsage,
    Tracer,
    TreeSink,
    UsageSource,
    as_sink,
    decode,
    disabled_by_environment,
    durable,
    encode,
    load_sink,
    load_source,
    names_server,
    pipeline,
    redact,
    sink_from_environment,
    sink_names,
    tee,
    without_content,
)
from trace_core._cli.main import main
from trace_core._log import log_once
from trace_core._printable import printable
from trace_core._settings import setting
from trace_core._sinks.console import tree_lines
from trace_core._sinks.lines import LinesFile
from trace_core.testing import sample_spans


def test_memory_keeps_the_newest(make_span: Callable[..., Span]) -> None:
    """A limited memory forgets the oldest; clear forgets all."""
    sink = MemorySink(limit=2)
    spans = [make_span() for _ in range(3)]
    sink.write(spans)
    assert sink.spans == tuple(spans[1:])
    sink.clear()
    assert sink.spans == ()


def test_functions_are_sinks(make_span: Callable[..., Span]) -> None:
    """A function of a batch will do, and knows its name."""
    seen: list[Sequence[Span]] = []
    sink = as_sink(seen.append)
    assert isinstance(sink, FunctionSink)
    assert isinstance(sink, Sink)
    sink.write((make_span(),))
    assert sink.flush()
    sink.close()
    assert len(seen) == 1
    assert as_sink(test_functions_are_sinks).name.endswith("test_functions_are_sinks")  # type: ignore[union-attr]


def test_json_lines(folder: Path, make_span: Callable[..., Span]) -> None:
    """One line a span, appended, in folders made as needed, for the owner's eyes alone."""
    path = folder / "a" / "b" / "spans.jsonl"
    spans = [make_span(inputs="zeile\n2") for _ in range(3)]
    for batch in (spans[:2], spans[2:]):
        sink = JsonLinesSink(path)
        sink.write(batch)
        assert sink.flush()
        sink.close()
        sink.close()
    assert [decode(line) for line in path.read_bytes().splitlines()] == spans
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with pytest.raises(SinkClosed):
        sink.write(spans)


def _nearly_full(monkeypatch: pytest.MonkeyPatch, room: int) -> None:
    """Give the disk room for so many bytes."""
    real, left = os.write, [room]

    def write(descriptor: int, data: bytes) -> int:
        if left[0] <= 0:
            raise OSError(28, "No space left on device")
        done = real(descriptor, data[: left[0]])
        left[0] -= done
        return done

    monkeypatch.setattr(os, "write", write)


@pytest.mark.posix
def test_a_disk_that_is_nearly_full_gets_whole_lines_once(
    folder: Path, make_span: Callable[..., Span], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What fits is written and not written again; no part of a line stays."""
    sink = JsonLinesSink(folder / "spans.jsonl")
    spans = [make_span(name=str(number)) for number in range(4)]
    size = len(encode(spans[0])) + 1
    for room in (100, size + 100, 50):
        _nearly_full(monkeypatch, room)
        with pytest.raises(OSError, match="No space"):
            sink.write(spans)
        monkeypatch.undo()
    assert sink.path.stat().st_size == size
    sink.write(spans)
    sink.write(spans[:1])
    names = [decode(line).name for line in sink.path.read_bytes().splitlines()]
    assert names == ["0", "1", "2", "3", "0"]


@pytest.mark.posix
def test_a_line_is_not_cut_off_from_under_another_process(
    folder: Path, make_span: Callable[..., Span], monkeypatch: pytest.MonkeyPatch
) -> None:
    """While somebody else appends, the torn line stays, and the next begins on a line of its own."""
    fcntl = pytest.importorskip("fcntl")
    sink, other = (JsonLinesSink(folder / "spans.jsonl") for _ in range(2))
    other.write((make_span(name="other"),))
    _nearly_full(monkeypatch, 100)
    with sink.path.open() as appending, pytest.raises(OSError, match="No space"):
        fcntl.flock(appending, fcntl.LOCK_SH)
        sink.write((make_span(),))
    monkeypatch.undo()
    sink.write((make_span(name="next"),))
    first, torn, last = sink.path.read_bytes().splitlines()
    assert (decode(first).name, len(torn), decode(last).name) == ("other", 100, "next")


@pytest.mark.posix
def test_a_file_that_is_kept_locked_is_written_all_the_same(
    folder: Path, make_span: Callable[..., Span]
) -> None:
    """As by ``flock FILE program``; it is not rotated then."""
    fcntl = pytest.importorskip("fcntl")
    sink = JsonLinesSink(folder / "spans.jsonl", rotate_bytes=10)
    sink.write((make_span(),))
    with sink.path.open() as kept:
        fcntl.flock(kept, fcntl.LOCK_EX)
        sink.write((make_span(),))
    assert len(sink.path.read_bytes().splitlines()) == 2
    sink.write((make_span(),))
    assert len(sink.path.read_bytes().splitlines()) == 1


def test_a_line_torn_by_another_process_is_ended(
    folder: Path, make_span: Callable[..., Span]
) -> None:
    """A file that ends half way through a line, after a kill, does not swallow the next span."""
    sink = JsonLinesSink(folder / "spans.jsonl")
    span = make_span()
    sink.write((span,))
    with sink.path.open("ab") as killed:
        killed.write(b'{"schema":1,"trace_id"')
    sink.write((span,))
    first, torn, last = sink.path.read_bytes().splitlines()
    assert decode(first) == decode(last) == span
    assert torn == b'{"schema":1,"trace_id"'


def test_a_line_that_another_process_is_writing_is_not_torn(
    folder: Path, make_span: Callable[..., Span], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A long write shows in the file bit by bit: no empty line comes of it."""
    sink = JsonLinesSink(folder / "spans.jsonl")
    sink.write([make_span(name="a")])
    line = sink.path.read_bytes()
    pieces = [line[:10], line[10:20], line[20:]]

    def write_on(_: float) -> None:
        with sink.path.open("ab") as other:
            other.write(pieces.pop(0))

    monkeypatch.setattr("trace_core._sinks.lines.pause", write_on)
    write_on(0)
    sink.write([make_span(name="b")])
    sink.close()
    assert pieces == []
    assert [json.loads(line)["name"] for line in sink.path.open()] == ["a", "a", "b"]


def test_console_lines(make_span: Callable[..., Span]) -> None:
    """A line says name, time, tokens, cost and error."""
    stream = io.StringIO()
    ConsoleSink(stream).write(
        [
            make_span(usage=TokenUsage(1, 2, 3), cost=Cost(total=0.001)),
            make_span(
                end_ns=1_700_000_002_000_000_000,
                status=Status(StatusCode.ERROR, "first\nsecond"),
                usage=TokenUsage(1, 2, 3, source=UsageSource.ESTIMATED),
                attributes={"trace.cache_hit": True},
            ),
        ]
    )
    first, second = stream.getvalue().splitlines()
    assert first == "✓ chat test  500 ms  1→2 tokens  $0.0010"
    assert second == "✗ chat test  2.00 s  ~1→2 tokens  cache hit  first"


def test_console_on_a_terminal_without_unicode(make_span: Callable[..., Span]) -> None:
    """What the terminal cannot show is replaced; nothing is raised."""
    raw = io.BytesIO()
    terminal = io.TextIOWrapper(raw, encoding="ascii")
    ConsoleSink(terminal).write((make_span(),))
    assert raw.getvalue().startswith(b"? chat test")


def test_pipelines_change_and_drop(memory: MemorySink, make_span: Callable[..., Span]) -> None:
    """Processors run in order; None drops a span, and the drop is counted."""
    sink = pipeline(
        lambda span: attrs.evolve(span, name=span.name + "!"),
        lambda span: None if span.name == "drop!" else span,
        lambda span: attrs.evolve(span, name=span.name + "?"),
        sink=memory,
    )
    sink.write([make_span(name="keep"), make_span(name="drop")])
    assert [span.name for span in memory.spans] == ["keep!?"]
    assert sink.filtered == 1  # type: ignore[attr-defined]
    assert sink.flush()


def test_a_failing_processor_costs_the_content(
    memory: MemorySink, make_span: Callable[..., Span]
) -> None:
    """Had it been a redactor: what it did not look at does not go on, the span does."""
    sink = pipeline(lambda span: 1 / 0, sink=memory)  # type: ignore[arg-type, return-value]
    span = make_span(inputs="secret", attributes={"a": "secret"}, usage=TokenUsage(1, 2, 3))
    sink.write((span,))
    assert memory.spans == (without_content(span),)
    assert memory.spans[0].usage == span.usage
    assert "secret" not in repr(memory.spans)


def test_a_tee_isolates(memory: MemorySink, make_span: Callable[..., Span]) -> None:
    """One sink hangs, one raises at everything; the third has every span while it hangs."""
    stuck, returned = threading.Event(), threading.Event()

    def hangs(spans: Sequence[Span]) -> None:
        stuck.wait(60)
        returned.set()

    class Raising:
        def write(self, spans: Sequence[Span], /) -> None:
            raise OSError

        def flush(self, timeout: float = 5.0, /) -> bool:
            raise OSError

        def close(self, timeout: float = 5.0, /) -> None:
            raise OSError

    sink = tee(hangs, Raising(), memory)
    spans = [make_span() for _ in range(10)]
    sink.write(spans)
    assert memory.spans == tuple(spans)
    assert not sink.flush(0.2)
    sink.close(0.2)
    assert not returned.is_set()
    stuck.set()


def test_a_slow_neighbour_takes_no_time_from_the_others(make_span: Callable[..., Span]) -> None:
    """With one branch hung in the close, the other drains and is closed meanwhile."""
    stuck, closed = threading.Event(), threading.Event()

    class Second(MemorySink):
        def close(self, timeout: float = 5.0, /) -> None:
            closed.set()

    second = Second()
    sink = tee(lambda spans: stuck.wait(), Background(second, batch_size=1))
    sink.write([make_span() for _ in range(20)])
    closing = threading.Thread(target=sink.close, args=(300.0,), daemon=True)
    closing.start()
    try:
        assert closed.wait(60)
        assert closing.is_alive()  # it still waits for the hung branch
        assert len(second.spans) == 20
    finally:
        stuck.set()
        closing.join()


def test_tee_counts_per_sink(memory: MemorySink, make_span: Callable[..., Span]) -> None:
    """Each branch that counts, counts for itself."""
    sink = tee(memory, lambda spans: None)
    sink.write((make_span(),))
    assert sink.flush()
    direct, queued = sink.branch_stats  # type: ignore[attr-defined]
    assert direct is None
    assert queued.delivered == 1


def test_processors_under_a_tee_run_off_the_callers_thread(make_span: Callable[..., Span]) -> None:
    """A pipeline beside another sink has a thread of its own, whatever sink it ends in."""
    names: list[str] = []

    def slow(span: Span) -> Span:
        names.append(threading.current_thread().name)
        return span

    sink = tee(pipeline(slow, sink=MemorySink()), MemorySink())
    sink.write((make_span(),))
    assert sink.flush()
    assert names == ["trace-writer"]


def test_sinks_by_name(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Specifications pick and configure sinks, side by side with commas."""
    assert {"console", "jsonl", "memory"} <= set(sink_names())
    assert isinstance(load_sink("memory"), MemorySink)
    one = load_sink(f"jsonl:{folder}/x.jsonl")
    assert isinstance(one, JsonLinesSink)
    assert one.path == folder / "x.jsonl"
    assert one.spool_key == f"jsonl:{folder}/x.jsonl"
    both = load_sink("console, memory")
    assert [type(sink) for sink in both.sinks] == [ConsoleSink, MemorySink]  # type: ignore[attr-defined]
    assert sink_from_environment({}) is None
    assert isinstance(sink_from_environment({"TRACE_SINKS": "console"}), ConsoleSink)


def builtin_sinks() -> dict[str, EntryPoint]:
    """The sinks of trace-core, as if no other package were installed."""
    names = ("console", "jsonl", "memory")
    return {n: next(iter(entry_points(group="trace_core.sinks", name=n))) for n in names}


@pytest.mark.parametrize(
    ("spec", "complaint"),
    [
        ("", "no sink named"),
        ("nosuch", "unknown sink 'nosuch'.*console"),
        ("console:target", "wanted 'console' or 'console:tree'"),
        ("mlflow", "pip install trace-mlflow-sink"),
        ("nats:nats://127.0.0.1:4222", "pip install trace-nats"),
        ("jsonl:a,,nosuch:b", "unknown sink"),
    ],
)
def test_bad_specifications_say_what_is_known(
    spec: str, complaint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mistyped name is an error that lists the installed sinks, and one of ours how to get it."""
    monkeypatch.setattr("trace_core._configuration._known", builtin_sinks)
    with pytest.raises(ConfigurationError, match=complaint):
        load_sink(spec)


def needs_key(target: str) -> MemorySink:
    """A factory that reads a mapping without looking first."""
    return {"there": MemorySink()}[target]


@pytest.mark.parametrize(
    ("value", "complaint"),
    [
        ("their_sinks:needs_key", "sink 'theirs' cannot be made of 'x': KeyError: 'x'"),
        ("their_sinks:nosuch", "sink 'theirs' cannot be imported: AttributeError"),
        ("nosuch_module:f", "sink 'theirs' cannot be imported: No module named"),
    ],
)
def test_whatever_a_factory_raises_names_the_sink(
    value: str,
    complaint: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A bare KeyError would say nothing but a key; the doctor says the same."""
    monkeypatch.setitem(sys.modules, "their_sinks", sys.modules[__name__])
    point = EntryPoint("theirs", value, "trace_core.sinks")
    monkeypatch.setattr("trace_core._configuration._known", lambda: {"theirs": point})
    with pytest.raises(ConfigurationError, match=re.escape(complaint)):
        load_sink("theirs:x")
    monkeypatch.setattr("trace_core._cli.doctor.sink_names", tuple)
    monkeypatch.setenv("TRACE_SINKS", "theirs:x")
    assert main(["doctor", "--offline"]) == 1
    assert complaint in capsys.readouterr().out


def test_a_comma_in_a_target(folder: Path) -> None:
    """It is written with a backslash, also in the key from which the sink is made again."""
    both = load_sink(f"jsonl:{folder}/a\\,b.jsonl, memory")
    first, second = both.sinks  # type: ignore[attr-defined]
    assert first.path == folder / "a,b.jsonl"
    assert isinstance(second, MemorySink)
    again = load_sink(first.spool_key)
    assert isinstance(again, JsonLinesSink)
    assert again.path == first.path


def test_a_bad_environment_names_the_variable() -> None:
    """The message says which variable is wrong and what could be chosen."""
    with pytest.raises(ConfigurationError, match=r"TRACE_SINKS='nosuch'.*installed are"):
        sink_from_environment({"TRACE_SINKS": "nosuch"})
    with pytest.raises(ConfigurationError, match=r"TRACE_DISABLED='maybe'; choose"):
        disabled_by_environment({"TRACE_DISABLED": "maybe"})
    assert disabled_by_environment({"TRACE_DISABLED": "Yes"})
    assert not disabled_by_environment({})


def test_rotation(folder: Path, make_span: Callable[..., Span]) -> None:
    """A file that is long enough is set aside, a few of them are kept, and two writers agree."""
    path = folder / "spans.jsonl"
    sinks = [JsonLinesSink(path, rotate_bytes=1_000, keep=2) for _ in range(2)]
    spans = [make_span() for _ in range(30)]
    for index, span in enumerate(spans):
        sinks[index % 2].write((span,))
    names = sorted(found.name for found in folder.iterdir())
    assert names == ["spans.jsonl", "spans.jsonl.1", "spans.jsonl.2"]
    newest = [decode(line) for line in path.read_bytes().splitlines()]
    assert newest[-1] == spans[-1]
    kept = sum(len((folder / name).read_bytes().splitlines()) for name in names)
    set_aside = [(folder / f"spans.jsonl.{n}").read_bytes() for n in (2, 1)]
    older = [decode(line) for text in set_aside for line in text.splitlines()]
    assert older + newest == spans[-kept:]
    with pytest.raises(ConfigurationError, match="at least 1"):
        JsonLinesSink(path, rotate_bytes=0)


@pytest.mark.posix
def test_a_pipe_is_no_file(folder: Path, make_span: Callable[..., Span]) -> None:
    """A pipe that nobody reads would hold up the writer for ever: it is refused at once."""
    folder.mkdir(exist_ok=True)
    os.mkfifo(folder / "pipe")
    with pytest.raises(ConfigurationError, match="is a pipe"):
        JsonLinesSink(folder / "pipe")
    sink = JsonLinesSink(folder / "later")
    os.mkfifo(folder / "later")
    with pytest.raises(OSError, match="is a pipe now"):
        sink.write([make_span()])


def test_a_file_that_cannot_be_reached_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the reason, and not as an error of the system out of a program's first line."""
    with pytest.raises(ConfigurationError, match=r"can be reached: .*too long"):
        load_sink(f"jsonl:{'x' * 5_000}")

    def refused(_: Path) -> bool:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "is_dir", refused)
    with pytest.raises(ConfigurationError, match=r"can be reached: .*denied"):
        JsonLinesSink("/root/traces.jsonl")


def test_trees_appear_when_their_root_ends() -> None:
    """A trace is printed once, whole, when its root has come; the rest with the flush."""
    stream = io.StringIO()
    sink = TreeSink(stream)
    call, failed, root = sample_spans()
    sink.write((call, failed))
    assert stream.getvalue() == ""
    sink.write((root,))
    lines = stream.getvalue().splitlines()
    assert [line.split("  ")[0] for line in lines] == [
        "✓ agent",
        "├─ ✓ chat sample-model",
        "└─ ✗ execute_tool sample",
    ]
    sink.write((call,))
    sink.close()
    assert stream.getvalue().splitlines()[3].startswith("✓ chat")
    painted = io.StringIO()
    TreeSink(painted, colour=True).write((root,))
    assert "\x1b[32m✓" in painted.getvalue()
    assert isinstance(load_sink("console:tree"), TreeSink)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def started(span: Span) -> Span:
    return attrs.evolve(span, end_ns=0, status=Status(), inputs=None, outputs=None)


def test_traces_are_drawn_while_they_run() -> None:
    """With rich, a span that has started is drawn as running, and once its root ends, for good."""
    rich_console = pytest.importorskip("rich.console")
    from trace_core._sinks.live_tree import LiveTreeSink

    screen = Terminal()
    console = rich_console.Console(file=screen, force_terminal=True, width=100)
    sink = LiveTreeSink(console)
    call, failed, root = sample_spans()
    sink.write_started([started(root), started(call)])
    picture = io.StringIO()
    rich_console.Console(file=picture, width=100).print(sink._picture())
    assert [line.split("  ")[0].rstrip() for line in picture.getvalue().splitlines()] == [
        "… agent",
        "└─ … chat sample-model",
    ]
    sink.write([call, failed])
    picture = io.StringIO()
    rich_console.Console(file=picture, width=100).print(sink._picture())
    assert "├─ ✓ chat sample-model" in picture.getvalue()
    sink.write([root])
    assert sink._live is None  # nothing is drawn any more
    assert "✗ execute_tool sample" in screen.getvalue()
    sink.write_started([started(root)])
    sink.write([call])
    sink.close()
    assert sink._live is None
    assert screen.getvalue().count("✓ chat sample-model") >= 2


def test_the_console_draws_live_on_a_terminal_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Elsewhere, and without rich, trees are printed when they are whole."""
    pytest.importorskip("rich")
    monkeypatch.setattr(sys, "stderr", Terminal())
    assert type(load_sink("console:tree")).__name__ == "LiveTreeSink"
    monkeypatch.setitem(sys.modules, "rich.console", None)
    monkeypatch.delitem(sys.modules, "trace_core._sinks.live_tree", raising=False)
    assert isinstance(load_sink("console:tree"), TreeSink)
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    assert isinstance(load_sink("console:tree"), TreeSink)


def test_start_records_reach_a_sink_behind_a_tee(memory: MemorySink) -> None:
    """A sink that draws what runs is told of starts beside others, and gets no spool."""

    class Draws(MemorySink):
        immediate = False

        def __init__(self) -> None:
            super().__init__()
            self.started: list[str] = []

        def write_started(self, spans: Sequence[Span], /) -> None:
            self.started += [span.name for span in spans]

    draws = Draws()
    tracer = Tracer(durable(tee(memory, draws), environ={}))
    with tracer.span("outer"):
        assert tracer.flush()
    assert tracer.flush()
    assert draws.started == ["outer"]
    assert [span.name for span in draws.spans] == ["outer"]
    tracer.close()


class Bare:
    """A sink with the three methods and nothing else."""

    def __init__(self) -> None:
        self.spans: list[Span] = []

    def write(self, spans: Sequence[Span], /) -> None:
        self.spans.extend(spans)

    def flush(self, timeout: float = 5.0, /) -> bool:
        return False

    def close(self, timeout: float = 5.0, /) -> None:
        self.closed_within = timeout


def test_a_bare_sink_gets_every_optional_part() -> None:
    """Three methods are enough: the rest has defaults, also behind a queue."""
    bare = Bare()
    sink = as_sink(bare)
    assert (sink.name, sink.bridges, sink.stats, sink.wants_spool) == ("Bare", (), None, True)
    assert f".{Bare.__qualname__} in " in sink.spool_key
    assert as_sink(sink) is sink
    tracer = Tracer(Background(bare))
    tracer.start("work").end()
    assert not tracer.flush()  # it is asked
    tracer.close()
    assert [span.name for span in bare.spans] == ["work"]
    assert bare.closed_within <= 5.0


def test_an_optional_part_without_the_base_class_is_an_error() -> None:
    """It would be ignored, which nobody would notice."""

    class Almost(Bare):
        exit_timeout = 60.0

    with pytest.raises(ConfigurationError, match=r"Almost has exit_timeout.*SinkBase"):
        as_sink(Almost())


def test_a_sink_that_overrides_write_started_takes_starts() -> None:
    """Nothing else has to be said; a subclass can say otherwise."""

    class Takes(MemorySink):
        def write_started(self, spans: Sequence[Span], /) -> None:
            self.write(spans)

    class Declines(Takes):
        takes_starts = False

    takes, declines = Takes(), Declines()
    for sink in (takes, declines):
        with Tracer(pipeline(sink=sink)).span("work"):
            pass
    assert (len(takes.spans), len(declines.spans)) == (2, 1)


HOSTILE_TEXTS = {
    "clear the screen": "\x1b[2J\x1b[H",
    "set the title": "\x1b]0;owned\x07",
    "one-byte CSI": "\x9b31m",
    "line breaks": "a\nb\r\nc\vd\fe\x85f\u2028g\u2029h",
    "backspaces": "safe\x08\x08\x08\x08evil",
    "right to left": "\u202egnp.exe\u202c \u2066x\u2069 \u200f \u061c",
    "lone surrogates": "\ud800\udfff",
}


@pytest.mark.parametrize("kind", HOSTILE_TEXTS)
@pytest.mark.parametrize("make", [ConsoleSink, TreeSink], ids=lambda make: make.__name__)
def test_no_text_of_a_span_controls_the_terminal(
    make_span: Callable[..., Span], kind: str, make: Callable[[io.StringIO], Sink]
) -> None:
    """Names and errors come from models, providers and users: what acts on terminals is escaped."""
    stream = io.StringIO()
    text = HOSTILE_TEXTS[kind]
    status = Status(StatusCode.ERROR, text)
    make(stream).write([make_span(name=text, status=status)])
    printed = stream.getvalue()
    assert printed.count("\n") == 1
    assert printed.removesuffix("\n").isprintable(), ascii(printed)


@given(st.text())
def test_printable_text_is_one_line_without_control_characters(text: str) -> None:
    """And what can be printed stays as it is."""
    shown = printable(text)
    assert len(shown.splitlines()) <= 1
    assert not any(unicodedata.category(c) in {"Cc", "Cs"} for c in shown)
    assert not any(unicodedata.bidirectional(c) in BIDI_CONTROLS for c in shown)
    if text.isprintable():
        assert shown == text


BIDI_CONTROLS = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}


def test_a_tree_of_three_thousand_nested_spans_is_drawn(make_span: Callable[..., Span]) -> None:
    """Without recursion, and with lines that do not grow with the depth for ever."""
    spans = [make_span(name="0")]
    for depth in range(1, 3_000):
        spans.append(make_span(name=str(depth), parent_id=spans[-1].span_id))
    lines = [line for line, _ in tree_lines(spans)]
    assert len(lines) == 3_000
    assert "[2999 deep] ✓ 2999" in lines[-1]
    assert max(map(len, lines)) < 250


def test_a_file_with_the_same_number_on_another_disk_is_another(
    folder: Path, make_span: Callable[..., Span], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when a disk in memory is mounted over a folder on another one: numbers begin anew."""
    sink = JsonLinesSink(folder / "traces.jsonl")
    sink.write([make_span(name="a")])
    sink.path.rename(folder / "hidden")
    sink.path.touch()
    status = list(sink.path.stat())
    status[2] += 1  # the device
    monkeypatch.setattr(LinesFile, "status", lambda _: os.stat_result(status))
    sink.write([make_span(name="b")])
    assert [decode(line).name for line in sink.path.read_bytes().splitlines()] == ["b"]
    sink.close()


@pytest.mark.parametrize("how", ["removed", "renamed", "replaced", "folder removed"])
def test_a_file_that_is_gone_is_made_anew(
    folder: Path, make_span: Callable[..., Span], caplog: pytest.LogCaptureFixture, how: str
) -> None:
    """Removed or rotated away: later spans are in a new file, and one warning says so."""
    path = folder / f"{how} logs" / "traces.jsonl"
    sink = JsonLinesSink(path)
    sink.write([make_span()])
    if how == "folder removed":
        shutil.rmtree(path.parent)
    elif how == "removed":
        path.unlink()
    else:
        path.rename(path.with_suffix(".old"))
    if how == "replaced":
        path.touch()
    spans = [make_span() for _ in range(3)]
    for span in spans:
        sink.write([span])
    assert [decode(line).span_id for line in path.read_bytes().splitlines()] == [
        span.span_id for span in spans
    ]
    assert [r.getMessage().count("removed or renamed") for r in caplog.records] == [1]
    sink.close()


async def async_sink(_spans: Sequence[Span]) -> None:
    """A coroutine function, which nobody would await."""


class AsyncWrite(MemorySink):
    """A sink whose write is a coroutine function."""

    async def write(self, _spans: Sequence[Span], /) -> None:  # type: ignore[override]
        """Write nothing."""


class AsyncCall:
    """An object to be called, and awaited."""

    async def __call__(self, _spans: Sequence[Span]) -> None:
        """Write nothing."""


def generator_sink(spans: Sequence[Span]) -> Iterator[Span]:
    """A generator function, which nobody would iterate over."""
    yield from spans


async def async_generator_sink(_spans: Sequence[Span]) -> AsyncIterator[None]:
    """The same, for nobody to await either."""
    yield


@pytest.mark.parametrize(
    "sink", [async_sink, AsyncWrite(), AsyncCall(), generator_sink, async_generator_sink]
)
def test_what_would_have_to_be_awaited_is_no_sink(sink: Any) -> None:
    """Nobody awaits it, so that all spans would be lost: it is refused with what to do."""
    with pytest.raises(ConfigurationError, match=r"cannot be async.*plain function"):
        durable(sink)


@pytest.mark.parametrize("lazy", [async_sink, generator_sink])
def test_a_function_that_returns_a_coroutine_has_written_nothing(
    make_span: Callable[..., Span], lazy: Callable[..., Any]
) -> None:
    """What cannot be told beforehand counts as not written."""
    sink = as_sink(lambda spans: lazy(spans))  # noqa: PLW0108  # unlike the function, it hides it
    with pytest.raises(TypeError, match="cannot be async"):
        sink.write([make_span()])


@pytest.mark.parametrize("wrong", ["a name", 3, object()])
def test_a_processor_that_returns_no_span_costs_the_content(
    make_span: Callable[..., Span],
    memory: MemorySink,
    caplog: pytest.LogCaptureFixture,
    wrong: object,
) -> None:
    """As one that raises: the others are untouched, and it is said."""
    spans = [make_span(inputs="said") for _ in range(3)]
    mistaken: Any = lambda span: wrong if span is spans[1] else span  # noqa: E731
    pipeline(mistaken, sink=memory).write(spans)
    assert [span.inputs for span in memory.spans] == ["said", None, "said"]


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (lambda: redact(known="secret"), "known is a list of secrets"),
        (lambda: redact(known=[b"secret"]), "known is a list of texts, got bytes"),  # type: ignore[list-item]
        (lambda: redact(patterns={"id": "("}), "'id' is not a valid regular expression"),
        (lambda: durable(MemorySink(), processors=redact()), "processors is a list"),  # type: ignore[arg-type]
        (lambda: pipeline(redact, "x", sink=MemorySink()), "a function of a span, got 'x'"),  # type: ignore[arg-type]
    ],
)
def test_arguments_of_processors_are_checked(make: Callable[[], object], problem: str) -> None:
    """A mistake is told when the processor is made, not span by span."""
    with pytest.raises(ConfigurationError, match=problem):
        make()


ROTATING = """
import sys
from trace_core import JsonLinesSink, Tracer
tracer = Tracer(JsonLinesSink(sys.argv[1], rotate_bytes=20_000, keep=1_000))
for number in range(200):
    with tracer.span(f"{sys.argv[2]}-{number}", inputs="y" * 200):
        pass
"""


def test_processes_that_share_a_rotated_file_lose_nothing(folder: Path) -> None:
    """One of them renames, the others go on in the new file."""
    command = [sys.executable, "-c", ROTATING, str(folder / "t.jsonl")]
    programs = [subprocess.Popen([*command, str(number)]) for number in range(4)]
    assert [program.wait() for program in programs] == [0, 0, 0, 0]
    files = list(folder.glob("t.jsonl*"))
    assert len(files) > 5
    lines = [line for file in files for line in file.read_bytes().splitlines() if line]
    assert len({decode(line).name for line in lines}) == 800


def test_a_sink_knows_the_first_one_of_its_chain(tmp_path):
    """Whose flush is a flush of all, however deep it is."""
    memory, other = MemorySink(), MemorySink()
    assert memory.outermost is memory
    whole = Background(tee(pipeline(sink=memory), other))
    assert memory.outermost is whole
    assert other.outermost is whole
    assert whole.outermost is whole
    whole.close()


def test_a_path_may_begin_at_home(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No shell sees a path in a program, in quotes or in a file of settings."""
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.setenv("TRACE_SPOOL_DIR", "~/spool")
    assert JsonLinesSink("~/a.jsonl").path == folder / "a.jsonl"
    for load in (load_sink, load_source):
        assert Path(load("jsonl:~/a.jsonl").place).absolute() == folder / "a.jsonl"
    assert setting("TRACE_SPOOL_DIR") == folder / "spool"
    assert Spool("~/spool", MemorySink()).root == folder / "spool"
    for make in (JsonLinesSink, lambda path: Spool(path, MemorySink())):
        with pytest.raises(ConfigurationError, match="no such home"):
            make("~nobody-of-this-name/a")
    monkeypatch.setenv("TRACE_SPOOL_DIR", "~nobody-of-this-name")
    with pytest.raises(ConfigurationError, match="choose a folder"):
        setting("TRACE_SPOOL_DIR")


def test_a_relative_path_is_of_the_folder_where_the_sink_was_made(
    tmp_path: Path, make_span: Callable[..., Span], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever folder the program goes to before the first span."""
    monkeypatch.chdir(tmp_path)
    sink = JsonLinesSink("out.jsonl")
    spool = Spool("spool", sink)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    spool.write((make_span(),))
    spool.close()
    assert len((tmp_path / "out.jsonl").read_text().splitlines()) == 1
    assert not list((tmp_path / "elsewhere").iterdir())


CLOSED = """
import os, sys
from trace_core import JsonLinesSink, Tracer, durable

for number in range(3):
    os.close(number)
folder = sys.argv[1]
tracer = Tracer(
    durable(JsonLinesSink(folder + "/out.jsonl"), spool_dir=folder + "/spool", environ={})
)
for number in range(20):
    tracer.start("call").end()
    tracer.flush(10)
    for descriptor in (1, 2):
        try:
            os.write(descriptor, b"printed by a library in C\\n")
        except OSError:
            pass
"""


def test_what_is_printed_where_standard_output_is_closed_is_not_in_our_files(
    tmp_path: Path,
) -> None:
    """The next file that is opened gets the number of standard output, and would get all of it."""
    subprocess.run([sys.executable, "-c", CLOSED, str(tmp_path)], check=True, timeout=60)
    assert len([decode(line) for line in (tmp_path / "out.jsonl").read_bytes().splitlines()]) == 20


@pytest.mark.parametrize("error", [SystemExit, GeneratorExit, asyncio.CancelledError])
def test_a_processor_that_ends_the_program_costs_the_content_of_a_span(
    memory: MemorySink, make_span: Callable[..., Span], error: type[BaseException]
) -> None:
    """Neither the writer nor the program ends, and nothing is tried again for ever."""

    def leave(span: Span) -> Span:
        raise error

    pipeline(leave, sink=memory).write((make_span(inputs="secret"),))
    assert [span.inputs for span in memory.spans] == [None]


@pytest.fixture
def unread() -> Iterator[tuple[int, TextIO]]:
    """A pipe that nobody reads and that takes no more, and the end to read from."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(writing, b"." * 4096)
    os.set_blocking(writing, True)
    with open(writing, "w", encoding="utf-8") as stream:  # noqa: PTH123  # of a descriptor
        yield reading, stream
    os.close(reading)


def all_in(reading: int) -> str:
    """Return what is in a pipe now."""
    os.set_blocking(reading, False)
    found = b""
    with contextlib.suppress(BlockingIOError):
        while True:
            found += os.read(reading, 65536)
    return found.decode()


@pytest.mark.parametrize("kind", [ConsoleSink, TreeSink])
def test_a_stream_that_nobody_reads_is_not_waited_for(
    make_span: Callable[..., Span],
    unread: tuple[int, TextIO],
    kind: Callable[[TextIO], ConsoleSink | TreeSink],
) -> None:
    """The write fails and may be repeated; each span is printed once when it is read again."""
    reading, stream = unread
    sink = kind(stream)
    spans = [make_span(name=f"span {number}") for number in range(50)]
    for _ in range(2):
        with pytest.raises(SinkError, match="nobody reads"):
            sink.write(spans)
    assert "span" not in all_in(reading)
    sink.write(spans)
    assert all_in(reading).count("span ") == 50
    with pytest.raises(SinkError, match="nobody reads"):  # too long for the pipe
        sink.write([*spans[:1], make_span(name="x" * 100_000)])
    assert all_in(reading).startswith("✓ span 0")


def test_a_log_that_nobody_reads_is_not_waited_for(
    make_span: Callable[..., Span], unread: tuple[int, TextIO]
) -> None:
    """A message that would wait is left out, and told when there is a reader again."""
    reading, stream = unread
    handler = logging.StreamHandler(stream)
    logging.getLogger("trace_core").addHandler(handler)
    try:
        assert not log_once("a kind of trouble", "trouble")
        all_in(reading)
        assert log_once("a kind of trouble", "trouble")
    finally:
        logging.getLogger("trace_core").removeHandler(handler)
    assert all_in(reading) == "trouble\n"


UNREAD = """
import atexit, sys
from trace_core import Tracer, durable, load_sink
from trace_core._lifecycle import run_exit_handlers

sink = durable(load_sink(sys.argv[1]), exit_timeout=1)

def tell():
    stats = sink.stats
    assert stats.delivered < stats.accepted == 2000
    assert stats.dropped_by_reason["not delivered at exit"] >= 1000
    with open(sys.argv[2], "w") as told:
        told.write("told")

atexit.unregister(run_exit_handlers)
atexit.register(tell)
atexit.register(run_exit_handlers)
tracer = Tracer(sink)
for number in range(2000):
    tracer.start("a span with a name that is rather long: " + 100 * "x").end()
"""


@pytest.mark.server
@pytest.mark.parametrize("spec", ["console", "console:tree"])
def test_a_program_ends_though_nobody_reads_what_it_prints(
    tmp_path: Path, unread: tuple[int, TextIO], spec: str
) -> None:
    """With its own exit code, and what is not printed is counted."""
    told = tmp_path / "told"
    program = [sys.executable, "-c", UNREAD, spec, str(told)]
    subprocess.run(program, stderr=unread[1], check=True, timeout=120)
    assert told.read_text() == "told"


class NoBatch:
    """A sink whose `write` has nothing to write."""

    def write(self) -> None:
        """Write nothing."""

    def flush(self, timeout: float = 5.0, /) -> bool:
        """Have nothing to flush."""
        return True

    def close(self, timeout: float = 5.0, /) -> None:
        """Have nothing to close."""


class NoTimeout(MemorySink):
    """A sink that flushes for as long as it likes."""

    def flush(self) -> bool:  # type: ignore[override]
        """Flush."""
        return True


class WantsMore(SinkBase):
    """A sink that wants what nobody gives it."""

    def write(self, spans: Sequence[Span], where: str) -> None:  # type: ignore[override]
        """Write somewhere."""


@pytest.mark.parametrize(
    ("sink", "message"),
    [
        (
            NoBatch(),
            r"NoBatch.write\(\).* is called with a batch of spans, and cannot be: too many",
        ),
        (NoTimeout(), r"NoTimeout.flush\(\).* is called with a timeout, and cannot be"),
        (
            WantsMore(),
            r"WantsMore.write\(spans: .*where.* is called with .*missing a required argument: 'where'",
        ),
        (lambda: None, r"<lambda>\(\) is called with a batch of spans"),
        (lambda spans, *, where: None, r"missing a required .*argument: 'where'"),
    ],
)
def test_a_sink_that_takes_no_batch(sink: Any, message: str) -> None:
    """It is told when the sink is made, not with the first span."""
    with pytest.raises(ConfigurationError, match=message):
        as_sink(sink)


def injected(function: Callable[..., object]) -> Callable[..., object]:
    """Give a function an argument more than its callers do."""

    @functools.wraps(function)
    def wrapper(spans: Sequence[Span]) -> object:
        return function(spans, "somewhere")

    return wrapper


def signed(*given: Any) -> None:
    """Say that it takes something else than it does."""


signed.__signature__ = inspect.Signature()  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "sink",
    [
        lambda *given: None,
        lambda spans, where="somewhere": None,
        lambda spans, /, **more: None,
        [].append,
        [].extend,
        print,
        functools.partial(lambda where, spans: None, "somewhere"),
        injected(lambda spans, where: None),
        signed,
        Mock(spec=()),
        Mock(spec=["write", "flush", "close"]),
    ],
)
def test_a_sink_that_can_be_called_is_taken(sink: Any) -> None:
    """Also where its signature says nothing, or something else."""
    assert isinstance(as_sink(sink), SinkBase)


@pytest.mark.parametrize(
    ("address", "good"),
    [
        ("http://host", True),
        ("HTTP://user:password@host:1/path?query", True),
        ("http://[::1]:4318", True),
        ("http://host:65535", True),
        ("http://host:65536", False),
        ("http://host:0", False),
        ("http://host:port", False),
        ("http://:4318", False),
        ("http://[::1", False),
        ("http:host", False),
        ("ftp://host", False),
        ("", False),
    ],
)
def test_the_address_of_a_server(address: str, *, good: bool) -> None:
    """It has a scheme that is known, a host, and a port that can be one or none."""
    assert names_server(address, ("http", "https")) is good
