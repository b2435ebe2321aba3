"""The ``trace-core`` command."""

from __future__ import annotations

import io
import json
import os
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable, Sequence
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

import attrs
import pytest

from trace_core import (
    JsonLinesSink,
    Rejected,
    Retry,
    SinkBase,
    Span,
    SpanContext,
    Spool,
    Status,
    StatusCode,
    decode,
    encode,
)
from trace_core._cli import doctor, draw
from trace_core._cli.main import main, parser_of_all, run
from trace_core._cli.replay import replay
from trace_core._cli.tally import percentile
from trace_core._sinks.console import tree_lines
from trace_core._sources import files
from trace_core._spool import frames
from trace_core._spool.deadletters import DeadLetters
from trace_core._spool.reader import count_spans, follow
from trace_core.testing import sample_spans


@pytest.fixture
def file(folder: Path) -> Path:
    sink = JsonLinesSink(folder / "traces.jsonl")
    sink.write(sample_spans())
    sink.close()
    with sink.path.open("ab") as torn:
        torn.write(b'{"torn":')
    return sink.path


def away(spans: Sequence[Span]) -> None:
    raise OSError("away")


@pytest.fixture
def spool(folder: Path) -> Path:
    """A spool with three spans that wait for a file."""
    left = Spool(folder / "spool", away, key=f"jsonl:{folder}/drained.jsonl", retry=Retry(0.001))
    left.write(sample_spans())
    left.close(1)
    return folder / "spool"


def test_show_draws_trees(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Spans are drawn under their parents, in the order they started."""
    assert main(["show", str(file)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("trace c0ffee")
    assert [line.split("  ")[1] for line in lines[1:]] == [
        "✓ agent",
        "├─ ✓ chat sample-model",
        "└─ ✗ execute_tool sample",
    ]
    assert "8→1 tokens  $0.30" in lines[2]
    assert lines[3].endswith("no such tool")


def test_show_for_machines(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With --json the traces come as spans by trace id."""
    assert main(["show", str(file), "--json", "--trace", "c0ff"]) == 0
    (spans,) = json.loads(capsys.readouterr().out).values()
    assert len(spans) == 3
    assert main(["show", str(file), "--trace", "nosuch"]) == 0
    assert "no traces found" in capsys.readouterr().out


def test_spans_that_are_each_others_parent_are_drawn() -> None:
    """Broken parentage neither hides a span that is its own parent nor loops."""
    root, *_ = sample_spans()
    own = attrs.evolve(root, parent_id=root.span_id)
    assert [span for _, span in tree_lines([own])] == [own]


def test_tail_prints_lines(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A line a span, or the span itself for machines."""
    assert main(["tail", str(file)]) == 0
    assert capsys.readouterr().out.count("\n") == 3
    assert main(["tail", str(file), "--json"]) == 0
    assert decode(capsys.readouterr().out.splitlines()[0]).name == "chat sample-model"


def test_following_sees_what_is_added(folder: Path) -> None:
    """Lines added while following appear, whole, also after a rotation."""
    path = folder / "grows.jsonl"
    first, second, third = sample_spans()
    steps = iter(
        [
            lambda: JsonLinesSink(path).write([first]),
            lambda: JsonLinesSink(path).write([second]),
            lambda: (path.unlink(), JsonLinesSink(path).write([third])),
        ]
    )

    def stop() -> bool:
        step = next(steps, None)
        if step is not None:
            step()
        return step is None

    assert list(follow(path, every=0, stop=stop)) == [first, second, third]


def test_stats(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Calls of models are counted with latency, tokens and cost; other spans are not calls."""
    assert main(["stats", str(file), "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert (row["model"], row["count"], row["errors"]) == ("sample-model", 1, 0)
    assert (row["input_tokens"], row["cost_usd"], row["saved_usd"]) == (8, 0.3, None)
    assert main(["stats", str(file), "--by", "status"]) == 0
    assert capsys.readouterr().out.splitlines()[1].startswith("OK")


def test_percentiles() -> None:
    """The nearest-rank percentile: always a value that occurred."""
    values = list(range(1, 101))
    assert [percentile(values, share) for share in (0.5, 0.95, 0.99, 1.0)] == [50, 95, 99, 100]
    assert percentile([7], 0.5) == 7
    assert percentile([], 0.5) is None


def test_replay(file: Path, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Recorded spans are written into any sink."""
    target = folder / "again.jsonl"
    assert main(["replay", str(file), "--to", f"jsonl:{target}", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"replayed": 3, "refused": 0, "left": 0}
    assert [decode(line) for line in target.read_bytes().splitlines()] == sample_spans()


def test_spool_ls_show_drain(spool: Path, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What waits is listed, shown and delivered to where it was meant to go."""
    assert main(["spool", "ls", "--dir", str(spool), "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert (row["waiting"], row["journals"], row["alive"]) == (3, 1, 0)
    assert main(["spool", "show", "--dir", str(spool)]) == 0
    assert "chat sample-model" in capsys.readouterr().out
    assert main(["show", str(spool)]) == 0
    assert "chat sample-model" in capsys.readouterr().out
    assert main(["spool", "drain", "--dir", str(spool)]) == 0
    assert "3 delivered, 0 dropped, 0 waiting" in capsys.readouterr().out
    assert (folder / "drained.jsonl").read_bytes().count(b"\n") == 3
    assert main(["spool", "drain", "--dir", str(spool)]) == 0
    assert "nothing waits" in capsys.readouterr().out


def test_drain_without_a_known_sink_asks(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Spans of a function's sink can only go where the person says."""
    left = Spool(folder / "spool", away, key="my function", retry=Retry(0.001))
    left.write(sample_spans())
    left.close(1)
    arguments = ["spool", "drain", "--dir", str(left.root)]
    assert main(arguments) == 2
    assert "--to" in capsys.readouterr().err
    assert main([*arguments, "--to", f"jsonl:{folder}/x.jsonl"]) == 0
    assert (folder / "x.jsonl").read_bytes().count(b"\n") == 3


def test_a_span_that_is_in_a_file_twice_counts_once(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A sink may be given a span twice, such as after a full disk or a kill; its cost is paid once."""
    lines = b"".join(encode(span) + b"\n" for span in sample_spans())
    once, twice = folder / "once.jsonl", folder / "twice.jsonl"
    once.write_bytes(lines)
    twice.write_bytes(lines + lines + lines)
    found = []
    for path in (once, twice):
        for command in ("stats", "tail"):
            assert main([command, str(path), "--json"]) == 0
            found.append(capsys.readouterr().out)
        assert main(["replay", str(path), "--to", f"jsonl:{path}.again"]) == 0
        capsys.readouterr()
        found.append((folder / f"{path.name}.again").read_text())
    assert found[:3] == found[3:]
    monkeypatch.setattr(files, "_MOST_KNOWN", 1)  # only the one before is known
    assert len(list(files.FileSource(twice).spans())) == 9


def test_dead_letters_are_shown_and_collected(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Refused spans are listed with the reason, and removed only when asked for."""
    root = str(folder / "spool")
    refusing = Spool(root, away, key="refusing")
    refusing.close()
    refusing.folder.mkdir(parents=True, exist_ok=True)
    (refusing.folder / "key").write_text("refusing")
    DeadLetters(refusing.folder).add([(span, "too ugly") for span in sample_spans()])
    assert main(["spool", "show", "--dead", "--dir", root]) == 0
    assert capsys.readouterr().out.count("refused: too ugly") == 3
    assert main(["spool", "show", "--dead", "--dir", root, "--json"]) == 0
    letters = json.loads(capsys.readouterr().out)
    assert [(one["key"], one["reason"]) for one in letters] == [("refusing", "too ugly")] * 3
    again = folder / "again.jsonl"
    dead = str(refusing.folder / "dead.jsonl")
    assert main(["replay", dead, "--to", f"jsonl:{again}"]) == 0
    assert "replayed 3 spans" in capsys.readouterr().out
    assert [decode(line) for line in again.read_bytes().splitlines()] == sample_spans()
    assert main(["spool", "gc", "--dir", root]) == 0
    assert "nothing to remove" in capsys.readouterr().out
    assert main(["spool", "gc", "--dead", "--dir", root]) == 0
    assert main(["spool", "show", "--dead", "--dir", root]) == 0
    assert "too ugly" not in capsys.readouterr().out.replace("removed", "")


def examined(capsys: pytest.CaptureFixture[str], *options: str) -> tuple[int, dict[str, Any]]:
    """The exit status of doctor, and what it says by what it is about."""
    status = main(["doctor", "--json", *options])
    found = json.loads(capsys.readouterr().out)
    about = {f["about"]: (f["state"], f["text"]) for f in found["findings"]}
    return status, {**found, **about}


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """No other package has anything to say."""
    for name in list(os.environ):
        if name.startswith("TRACE_"):
            monkeypatch.delenv(name)
    monkeypatch.setattr(
        doctor,
        "entry_points",
        lambda **names: () if names["group"] == doctor.DOCTOR_GROUP else entry_points(**names),
    )
    monkeypatch.setattr(doctor, "default_spec", lambda: "jsonl:traces.jsonl")


def test_doctor(
    alone: None,
    spool: Path,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """It says what is installed, what is set, wrongly too, where spans go, and what waits."""
    monkeypatch.chdir(folder)
    status, found = examined(capsys)
    assert status == 0
    assert found["installed"]["trace-core"]
    state, text = found["sink jsonl:traces.jsonl, by default"]
    assert state == "ok"
    assert "will be made by the first span" in text
    monkeypatch.setenv("TRACE_SPOOL_DIR", str(spool))
    monkeypatch.setenv("TRACE_CAPTURE", "some")
    monkeypatch.setenv("TRACE_SMAPLE_RATE", "0.1")
    monkeypatch.setenv("TRACE_PARENT_COMPANY", "theirs")
    monkeypatch.setenv("TRACE_SINKS", "")
    status, found = examined(capsys)
    assert status == 1
    assert list(found["waiting"].values()) == [3]
    assert found["TRACE_CAPTURE"][0] == "problem"
    assert "choose full or metadata" in found["TRACE_CAPTURE"][1]
    assert found["TRACE_SMAPLE_RATE"][1].endswith("did you mean TRACE_SAMPLE_RATE?")
    assert found["TRACE_PARENT_COMPANY"][0] == found["TRACE_SINKS"][0] == "note"
    state, text = found[f"spool of other programs, for jsonl:{folder}/drained.jsonl"]
    assert state == "note"
    assert text.startswith(f"3 spans not delivered yet, in {spool}")
    assert text.endswith("'trace-core spool drain' delivers them now")
    assert main(["doctor"]) == 1
    printed = capsys.readouterr().out
    assert "trace-core " in printed
    assert "✗ TRACE_CAPTURE" in printed


def test_the_doctor_writes_and_reads_back(
    alone: None, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """If asked to; a sink that cannot be read again is written to."""
    monkeypatch.setenv("TRACE_SINKS", f"jsonl:{folder}/x.jsonl,memory")
    status, found = examined(capsys, "--write")
    assert status == 0
    assert "written and read back" in found[f"sink jsonl:{folder}/x.jsonl"][1]
    assert "cannot be read back from here" in found["sink memory"][1]
    assert decode((folder / "x.jsonl").read_bytes()).name == "doctor"


@pytest.mark.parametrize("sinks", ["jsonl:{}/a file/x.jsonl", "jsonl:{}", "nosuch"])
def test_the_doctor_finds_what_cannot_be_stored(
    alone: None,
    folder: Path,
    sinks: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A sink and a spool where nothing can be written, and a sink that does not exist."""
    (folder / "a file").write_text("in the way")
    spec = sinks.format(folder)
    monkeypatch.setenv("TRACE_SINKS", spec)
    monkeypatch.setenv("TRACE_SPOOL_DIR", str(folder / "a file" / "spool"))
    status, found = examined(capsys, "--write")
    assert status == 1
    assert found[f"sink {spec}"][0] == "problem"
    assert "is a file and no folder" in found["spool"][1]


def fine() -> str:
    return "fine"


def test_the_doctor_asks_other_packages(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What a package says of its own state is shown; one that fails is told, and no crash."""
    monkeypatch.setitem(sys.modules, "asked", sys.modules[__name__])
    points = [
        EntryPoint("well", "asked:fine", doctor.DOCTOR_GROUP),
        EntryPoint("ill", "asked:nosuch", doctor.DOCTOR_GROUP),
    ]

    def known(*, group: str, **names: str) -> Sequence[EntryPoint]:
        return points if group == doctor.DOCTOR_GROUP else entry_points(group=group, **names)

    monkeypatch.setattr(doctor, "entry_points", known)
    monkeypatch.setattr(doctor, "default_spec", lambda: "memory")
    status, found = examined(capsys)
    assert status == 1
    assert found["well"] == ("ok", "fine")
    assert found["ill"][1].startswith("AttributeError")


def test_mistakes_are_explained(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file that is not there is a message and exit status 2, not a traceback."""
    assert main(["show", str(folder / "nosuch")]) == 2
    assert "neither a file of JSON lines nor a spool" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("statz", "trace-core: unknown command 'statz'; did you mean 'stats'?"),
        ("quux", "unknown command 'quux'; choose from show, tail, stats"),
        ("spool lss", "trace-core spool: unknown command 'lss'; did you mean 'ls'?"),
        ("spool", "trace-core spool: no command; choose from ls, show, drain, gc; see"),
        ("spool drain --timeout soon", "'soon' is not a number of seconds from 0 up; see"),
        ("doctor --timeout nan", "'nan' is not a number of seconds from 0 up; see"),
        ("report --max-size much", "'much' is not a number; see trace-core report --help"),
        ("tail -n -1", "'-1' is not a whole number from 0 up; see trace-core tail --help"),
        ("stats --modle x", "stats: unknown argument '--modle'; did you mean '--model'?"),
        ("stats --modle=x", "stats: unknown argument '--modle=x'; did you mean '--model'?"),
        ("show one two", "trace-core show: unknown argument 'two'; see trace-core show --help"),
        ("", "usage: trace-core"),
    ],
)
def test_what_was_meant_is_said(words: str, told: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A command or option that is nearly right."""
    with pytest.raises(SystemExit) as ended:
        main(words.split())
    assert ended.value.code == 2
    assert told in capsys.readouterr().err


@pytest.mark.parametrize(
    ("sinks", "told"),
    [
        ("jsonlines", "unknown sink 'jsonlines'; did you mean 'jsonl'?"),
        ("./x.jsonl", "did you mean 'jsonl:./x.jsonl'?"),
        ("console", "what TRACE_SINKS='console' wrote cannot be read again"),
    ],
)
def test_a_sink_that_cannot_be_read_is_explained(
    sinks: str, told: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A misspelt name is not taken for a sink that keeps nothing."""
    monkeypatch.setenv("TRACE_SINKS", sinks)
    assert main(["stats"]) == 2
    assert told in capsys.readouterr().err


@pytest.mark.parametrize("columns", [80, 200])
def test_help_fits_the_terminal(
    columns: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """That of every command, and it stays readable where there is much room."""
    monkeypatch.setenv("COLUMNS", str(columns))
    commands = ("", *["show", "tail", "stats", "diff", "report", "doctor", "replay", "spool"])
    for command in (*commands, "spool ls", "spool show", "spool drain", "spool gc"):
        with pytest.raises(SystemExit):
            main([*command.split(), "--help"])
        assert max(map(len, capsys.readouterr().out.splitlines())) < min(columns, 101)


def test_the_doctor_knows_whose_spans_wait(
    alone: None, spool: Path, folder: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """Those of the sinks that are used here, by the name that was typed."""
    monkeypatch.setenv("TRACE_SPOOL_DIR", str(spool))
    monkeypatch.setenv("TRACE_SINKS", f"jsonl:{folder}/drained.jsonl")
    monkeypatch.setattr(draw, "program", "trace-litellm")
    options = parser_of_all().parse_args(["doctor", "--json"])
    assert run(options, "trace-litellm") == 0
    found = json.loads(capsys.readouterr().out)["findings"]
    (text,) = [f["text"] for f in found if f["about"] == f"spool for jsonl:{folder}/drained.jsonl"]
    assert text.endswith("'trace-litellm spool drain' delivers them now")


def test_experiments_are_a_stores_own(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file has none."""
    assert main(["stats", str(file), "--experiment", "Greetings"]) == 2
    assert "has no experiments to choose from" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["stats", str(file), "--experiment", "Greetings", "--all-experiments"])
    assert "not allowed with" in capsys.readouterr().err


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("rich", [True, False], ids=["rich", "plain"])
def test_progress_is_shown_to_people_alone(
    file: Path, folder: Path, spool: Path, monkeypatch: pytest.MonkeyPatch, rich: bool
) -> None:
    """Long work shows a bar or a line on a terminal, and nothing to machines or in a file."""
    if rich:
        pytest.importorskip("rich")
    else:
        monkeypatch.setitem(sys.modules, "rich.progress", None)
    replay = ["replay", str(file), "--to", f"jsonl:{folder}/again.jsonl"]
    for screen, arguments, shown in (
        (Terminal(), replay, True),
        (Terminal(), [*replay, "--json"], False),
        (io.StringIO(), replay, False),
        (Terminal(), ["spool", "drain", "--dir", str(spool)], True),
    ):
        monkeypatch.setattr(sys, "stderr", screen)
        assert main(arguments) == 0
        assert bool(screen.getvalue()) == shown, screen.getvalue()
        if shown and not rich:
            assert " of " in screen.getvalue()
            assert screen.getvalue().endswith("spans\x1b[K\n")


def test_spans_are_counted_before_they_are_read(file: Path, spool: Path, folder: Path) -> None:
    """A file's lines are; in a spool, and where nothing is, nobody knows."""
    assert count_spans(file) == 3
    assert count_spans(spool) is None
    assert count_spans(folder / "nothing") is None


class Recovering(SinkBase):
    """A sink that fails a number of times, and refuses spans of some names."""

    def __init__(
        self, failures: int = 0, refused: Sequence[str] = (), *, lags: bool = False
    ) -> None:
        self.failures = failures
        self.refused = refused
        self.lags = lags
        self.names: list[str] = []

    def write(self, spans: Sequence[Span], /) -> None:
        if self.failures:
            self.failures -= 1
            raise OSError("away")
        if any(span.name in self.refused for span in spans):
            raise Rejected("too ugly")
        self.names += [span.name for span in spans]

    def flush(self, timeout: float = 5.0, /) -> bool:
        return not self.lags


def quiet(done: int) -> None:
    """Show nothing."""


AT_ONCE = Retry(first=0.0, jitter=0.0)


def test_replay_outlasts_an_outage(make_span: Callable[..., Span]) -> None:
    """A sink that is away is tried again, and no span is lost or skipped."""
    spans = [
        make_span(name=f"span {i}", context=SpanContext("1" * 32, f"{i + 1:016x}"))
        for i in range(250)
    ]
    sink = Recovering(failures=20)
    result = replay(iter(spans), sink, 60.0, quiet, AT_ONCE)
    assert (result.replayed, result.refused, result.left) == (250, 0, 0)
    assert sorted(sink.names) == sorted(span.name for span in spans)


@pytest.mark.parametrize("sink", [Recovering(failures=10**9), Recovering(lags=True)])
def test_replay_gives_up_and_says_what_is_left(
    file: Path, folder: Path, capsys: pytest.CaptureFixture[str], sink: Recovering
) -> None:
    """A sink that takes nothing in the time given leaves all spans, and is not waited for."""
    result = replay(iter(sample_spans()), sink, 0.0, quiet, AT_ONCE)
    assert (result.replayed, result.refused, result.left) == (0, 0, 3)
    assert "cannot write and is tried again" in capsys.readouterr().err


@pytest.mark.parametrize("position", range(3))
def test_replay_goes_on_past_a_refused_span(
    position: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """A span that the sink refuses is named, wherever it stands; the others are written."""
    spans = sample_spans()
    bad = spans[position]
    sink = Recovering(refused=[bad.name])
    result = replay(iter(spans), sink, 60.0, quiet, AT_ONCE)
    assert (result.replayed, result.refused, result.left) == (2, 1, 0)
    assert {span.name for span in spans} - set(sink.names) == {bad.name}
    assert f"refuses span {bad.span_id}: too ugly" in capsys.readouterr().err


def test_replay_exits_with_1_unless_all_is_delivered(
    file: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The exit status tells a script whether to run it again."""
    unwritable = folder / "a file" / "x.jsonl"
    unwritable.parent.write_text("in the way")
    arguments = ["replay", str(file), "--to", f"jsonl:{unwritable}", "--timeout", "0"]
    assert main(arguments) == 1
    captured = capsys.readouterr()
    assert "replayed 0 spans, 0 refused, 3 left" in captured.out
    assert "run the same command again" in captured.err


HOSTILE = "a\x1b]0;title\x07\x9b31m\u202eb\nc\rd"


def test_no_command_controls_the_terminal(
    folder: Path,
    make_span: Callable[..., Span],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """What spans, keys and settings say is escaped, whichever command prints it."""
    span = make_span(
        name=HOSTILE,
        attributes={"gen_ai.request.model": HOSTILE},
        status=Status(StatusCode.ERROR, HOSTILE),
    )
    file = folder / "traces.jsonl"
    JsonLinesSink(file).write([span])
    left = Spool(folder / "spool", away, key=HOSTILE, retry=Retry(0.001))
    left.write([span])
    left.close(1)
    monkeypatch.setenv("TRACE_SPOOL_DIR", str(folder / "spool"))
    monkeypatch.setenv("TRACE_CAPTURE", HOSTILE)
    for arguments in (
        *(["show", str(file)], ["tail", str(file)], ["stats", str(file)], ["doctor"]),
        *(["spool", "ls"], ["spool", "show"], ["spool", "drain"], ["show", HOSTILE]),
    ):
        main(arguments)
        captured = capsys.readouterr()
        printed = captured.out + captured.err
        assert "\\x1b" in printed, arguments
        assert not set(printed) & set("\x1b\x07\x9b\u202e\r"), arguments


def test_deep_trees_are_drawn(
    folder: Path, make_span: Callable[..., Span], capsys: pytest.CaptureFixture[str]
) -> None:
    """3,000 spans, each inside the one before, are drawn, not a RecursionError."""
    ids = [f"{i + 1:016x}" for i in range(3_000)]
    file = folder / "traces.jsonl"
    JsonLinesSink(file).write(
        [
            make_span(context=SpanContext("1" * 32, own), parent_id=above)
            for own, above in zip(ids, [None, *ids], strict=False)
        ]
    )
    assert main(["show", str(file)]) == 0
    assert capsys.readouterr().out.count("\n") == 3_001


def unreadable_frame() -> bytes:
    """A frame with a right checksum, whose content is no span."""
    record = b"no span"
    head = struct.pack("<BI", frames.SPAN, frames.ID_BYTES + len(record)) + b"f" * frames.ID_BYTES
    checksum = struct.pack("<I", zlib.crc32(head + record))
    return frames.MAGIC + bytes([frames.VERSION]) + checksum + head + record


@pytest.mark.parametrize(
    "arguments",
    [
        ["spool", "ls"],
        ["spool", "show"],
        ["spool", "show", "--json"],
        ["spool", "drain"],
        ["show"],
        ["stats"],
        ["tail"],
    ],
    ids=" ".join,
)
def test_one_unreadable_record_costs_itself(
    spool: Path,
    arguments: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The commands go on past it, name where it is, and exit with 1."""
    (segment,) = spool.rglob("*.seg")
    segment.write_bytes(unreadable_frame() + segment.read_bytes())
    monkeypatch.setenv("TRACE_SPOOL_DIR", str(spool))
    source = [] if arguments[0] == "spool" else [str(spool)]
    assert main([*arguments, *source]) == 1
    captured = capsys.readouterr()
    assert f"cannot read {segment.parent}: not a span" in captured.err
    assert any(t in captured.out for t in ("sample-model", "jsonl:", "3 delivered"))


@pytest.mark.parametrize("line", ["[" * 100_000, "3", '{"span": 1}', '{"a": ' * 50_000, "\\xff"])
def test_a_damaged_dead_letter_costs_itself(
    spool: Path, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """What waits beside it is listed and delivered, and the other dead letters are shown."""
    (segment,) = spool.rglob("*.seg")
    dead = DeadLetters(segment.parent.parent)
    dead.path.write_text(line + "\n")
    dead.add([(sample_spans()[0], "too ugly")])
    assert main(["spool", "ls", "--dir", str(spool)]) == 0
    assert main(["spool", "show", "--dead", "--dir", str(spool)]) == 0
    assert "too ugly" in capsys.readouterr().out
    assert main(["spool", "drain", "--dir", str(spool)]) == 0
    assert "3 delivered" in capsys.readouterr().out
    assert main(["spool", "gc", "--dir", str(spool)]) == 0


@pytest.mark.posix
def test_dead_letters_that_cannot_be_read_cost_themselves(
    spool: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As where a link is in their place: that is told, and what waits is delivered."""
    (segment,) = spool.rglob("*.seg")
    dead = DeadLetters(segment.parent.parent)
    dead.path.symlink_to(segment.parent)
    assert main(["spool", "drain", "--dir", str(spool)]) == 1
    captured = capsys.readouterr()
    assert "3 delivered" in captured.out
    assert f"cannot read {dead.path}" in captured.err


def test_dead_letters_longer_than_they_can_be_are_not_read_to_the_end(
    spool: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as a file with a hole of a terabyte."""
    monkeypatch.setattr("trace_core._spool.deadletters.MAX_BYTES", 10_000)
    (segment,) = spool.rglob("*.seg")
    dead = DeadLetters(segment.parent.parent)
    dead.add([(sample_spans()[0], "too ugly")])
    os.truncate(dead.path, 1 << 40)
    assert [letter.reason for letter in dead] == ["too ugly"]


def test_drain_tells_of_a_folder_without_its_key(
    spool: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It leaves the folder alone, and names the command that takes its spans out of it."""
    (key,) = spool.rglob("key")
    key.unlink()
    again = spool.parent / "again.jsonl"
    assert main(["spool", "drain", "--to", f"jsonl:{again}", "--dir", str(spool)]) == 1
    told = capsys.readouterr().err
    assert f"trace-core replay {key.parent} --to SINK" in told
    assert [*spool.iterdir()] == [key.parent]
    assert main(["replay", str(key.parent), "--to", f"jsonl:{again}"]) == 0
    assert len(again.read_bytes().splitlines()) == len(sample_spans())


@pytest.mark.posix
def test_gc_leaves_what_is_not_ours(spool: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A journal with a stranger's file stays, and others go."""
    (key,) = spool.rglob("key")
    for name in ("a", "b", "c"):
        (key.parent / name).mkdir()
        (key.parent / name / "lock").touch()
    (key.parent / "b" / "note").write_text("mine")
    assert main(["spool", "gc", "--dir", str(spool)]) == 1
    captured = capsys.readouterr()
    assert captured.out.count("removed") == 2
    assert f"cannot read {key.parent / 'b'}" in captured.err
    assert (key.parent / "b" / "note").exists()


@pytest.mark.posix
def test_gc_removes_links_and_not_what_they_lead_to(spool: Path) -> None:
    """Whatever stands in the place of a damaged journal."""
    (key,) = spool.rglob("key")
    for name in (".damaged-a", ".damaged-b"):
        (key.parent / name).symlink_to(key.parent)
    assert main(["spool", "gc", "--damaged", "--dir", str(spool)]) == 0
    assert not list(key.parent.glob(".damaged-*"))
    assert key.exists()


def test_gc_tells_of_a_folder_that_it_cannot_read(
    spool: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Removing what nobody needs goes on with the other folders, and ends with 1."""
    (key,) = spool.rglob("key")
    key.write_text("of another folder")
    assert main(["spool", "gc", "--dir", str(spool)]) == 1
    captured = capsys.readouterr()
    assert "nothing to remove" in captured.out
    assert f"cannot read {key.parent}" in captured.err


def test_one_unreadable_folder_costs_itself(
    spool: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A folder whose key is no text is named; the others are listed and delivered."""
    (spool / "0-bad").mkdir()
    (spool / "0-bad" / "key").write_bytes(b"\xff\xfe")
    monkeypatch.setenv("TRACE_SPOOL_DIR", str(spool))
    for arguments in (["ls"], ["drain"], ["show", "--dead"]):
        assert main(["spool", *arguments]) == 1
        assert f"cannot read {spool / '0-bad'}: UnicodeDecodeError" in capsys.readouterr().err
    monkeypatch.setattr(doctor, "sink_names", list)
    monkeypatch.setattr(doctor, "default_spec", lambda: "memory")
    monkeypatch.setattr(doctor, "entry_points", lambda group: [])
    assert main(["doctor"]) == 1
    assert (folder / "drained.jsonl").read_bytes().count(b"\n") == 3


def test_drain_goes_on_past_a_folder_without_a_sink(
    spool: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Spans of a function's sink stay, with exit status 2; those of other sinks are delivered."""
    left = Spool(spool, away, key="0 my function", retry=Retry(0.001))
    left.write(sample_spans())
    left.close(1)
    assert main(["spool", "drain", "--dir", str(spool)]) == 2
    captured = capsys.readouterr()
    assert "--to where the spans of '0 my function' go" in captured.err
    assert "3 delivered" in captured.out
    assert (folder / "drained.jsonl").read_bytes().count(b"\n") == 3


@pytest.mark.parametrize("command", ["show", "tail", "stats", "replay"])
def test_lines_that_are_no_spans_are_told(
    folder: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    """The others are read, and the exit status is 1; a line that is being written is no problem."""
    path = folder / "traces.jsonl"
    line = encode(sample_spans()[0])
    newer = line.replace(b'"schema":1', b'"schema":99')
    to = ["--to", "memory"] if command == "replay" else []
    path.write_bytes(line + b"\n" + line[:60])
    assert main([command, str(path), *to]) == 0
    path.write_bytes(b"\n".join([line, line[:60], newer, b"no JSON", line, b""]))
    assert main([command, str(path), *to]) == 1
    assert "3 lines are not spans; the first is line 2" in capsys.readouterr().err


RUN = "import sys; from trace_core._cli.main import main; sys.exit(main())"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_full_disk_for_the_output_is_told(folder: Path) -> None:
    """Without a traceback."""
    path = folder / "traces.jsonl"
    path.write_bytes(encode(sample_spans()[0]) + b"\n")
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-c", RUN, "show", str(path)],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 1
    assert done.stderr == "trace-core: [Errno 28] No space left on device\n"
