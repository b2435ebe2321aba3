"""Looking at spans in a terminal: filters, messages, tables, comparisons."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from trace_core import (
    Cost,
    JsonLinesSink,
    Span,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TokenUsage,
    log_once,
    semconv,
)
from trace_core._cli.filters import beginning, duration, end
from trace_core._cli.main import main
from trace_core._cli.tables import say_table
from trace_core._view import units

DAY_NS = 86_400 * 10**9
START_NS = 1_700_000_000 * 10**9  # 2023-11-14 22:13:20 UTC
Make = Callable[..., Span]


@pytest.fixture(autouse=True)
def utc(monkeypatch: pytest.MonkeyPatch) -> None:
    """Days are local ones."""
    import time

    monkeypatch.setenv("TZ", "UTC")
    time.tzset()


@pytest.fixture
def call(make_span: Make) -> Make:
    def make(
        model: str = "gpt-4o-mini",
        *,
        day: int = 0,
        seconds: float = 0.5,
        dollars: float | None = 0.0012,
        said: str = "Say hello.",
        answer: str = "Hello!",
        error: str | None = None,
        **attributes: Any,
    ) -> Span:
        start = START_NS + day * DAY_NS
        return make_span(
            name=f"chat {model}",
            start_ns=start,
            end_ns=start + int(seconds * 1e9),
            inputs={
                "model": model,
                "messages": [{"role": "user", "content": said}],
                "temperature": 0.2,
            },
            outputs=None
            if error
            else {"choices": [{"message": {"role": "assistant", "content": answer}}]},
            status=Status(StatusCode.ERROR, error) if error else Status(StatusCode.OK),
            usage=None if error else TokenUsage(1200, 34, 1234),
            cost=None if dollars is None or error else Cost(total=dollars),
            attributes={
                semconv.REQUEST_MODEL: model,
                semconv.PROVIDER_NAME: "openai",
                **{semconv.SHORT_NAMES.get(k, k): v for k, v in attributes.items()},
            },
        )

    return make


@pytest.fixture
def file(folder: Path, call: Make) -> Path:
    path = folder / "calls.jsonl"
    JsonLinesSink(path).write(
        [
            call(session_id="chat-17", user_id="ada"),
            call("openai/gpt-4o", day=1, seconds=3, dollars=0.25, said="Think hard."),
            call("openai/gpt-4o", day=2, error="RateLimitError: slow down", user_id="bob"),
        ]
    )
    return path


def names(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return [json.loads(line)["name"] for line in capsys.readouterr().out.splitlines()]


@pytest.mark.parametrize(
    ("options", "days"),
    [
        (["--model", "gpt-4o"], [1, 2]),
        (["--model", "gpt-4o*"], [0, 1, 2]),
        (["--model", "openai/gpt-4o", "--model", "gpt-4o-mini"], [0, 1, 2]),
        (["--since", "2023-11-15"], [1, 2]),
        (["--until", "2023-11-15"], [0, 1]),
        (["--since", "2023-11-15T12:00", "--until", "2023-11-16T12:00Z"], [1]),
        (["--errors"], [2]),
        (["--session", "chat-17"], [0]),
        (["--user", "bob"], [2]),
        (["--slower-than", "2s"], [1]),
        (["--slower-than", "400ms", "--model", "gpt-4o-mini"], [0]),
        (["--dearer-than", "$0.01"], [1]),
        (["--grep", "think HARD"], [1]),
        (["--grep", "hello|slow down"], [0, 1, 2]),
        (["--grep", "rate.*down", "--user", "ada"], []),
    ],
    ids=str,
)
def test_filters(
    file: Path, options: list[str], days: list[int], capsys: pytest.CaptureFixture[str]
) -> None:
    """The same filters hold in every command."""
    assert main(["tail", str(file), "--json", *options]) == 0
    starts = [json.loads(line)["start_ns"] for line in capsys.readouterr().out.splitlines()]
    assert starts == [START_NS + day * DAY_NS for day in days]
    assert main(["show", str(file), "--json", *options]) == 0
    assert len(json.loads(capsys.readouterr().out)) == len(days)
    assert main(["stats", str(file), "--json", *options]) == 0
    assert sum(row["count"] for row in json.loads(capsys.readouterr().out)) == len(days)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--since", "yesteryear"], "wanted a day"),
        (["--since", "2023-02-30"], "is no day: day"),
        (["--until", "7"], "wanted a day"),
        (["--slower-than", "2 parsecs"], "wanted 500ms"),
        (["--dearer-than", "much"], "wanted 0.05"),
        (["--grep", "a("], "escape it: 'a\\\\('"),
        (["--last", "-1"], "is not a whole number from 0 up"),
    ],
    ids=str,
)
def test_wrong_filters_are_explained(
    file: Path, options: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """With what was given and what is wanted."""
    with pytest.raises(SystemExit, match="2"):
        main(["show", str(file), *options])
    assert said in capsys.readouterr().err


def test_moments() -> None:
    """A day counts from its beginning, or to its end; a duration is so long ago."""
    import time

    assert end("2023-11-14") - beginning("2023-11-14") == DAY_NS
    assert beginning("today") - beginning("yesterday") == DAY_NS
    assert abs(time.time_ns() - 7_200 * 10**9 - beginning("2h")) < 60 * 10**9
    assert beginning("00:00") == beginning("today")
    assert duration("1.5") == duration("1500ms") == 1.5


def test_show_with_messages(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """-v shows what was said, parameters, session and user."""
    assert main(["show", str(file), "-v", "--session", "chat-17"]) == 0
    lines = [line.strip() for line in capsys.readouterr().out.splitlines()]
    assert lines[0].endswith("2023-11-14 22:13:20")
    assert lines[1] == "✓ chat gpt-4o-mini  500 ms  1200→34 tokens  $0.0012"
    assert lines[2:] == [
        "user: Say hello.",
        "assistant: Hello!",
        "with: temperature 0.2",
        "of: session chat-17 · user ada · provider openai",
    ]


def test_long_messages_are_shortened(
    folder: Path, call: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    """Unless -vv asks for all of them."""
    path = folder / "long.jsonl"
    JsonLinesSink(path).write([call(answer="\n".join(f"line {n}" for n in range(100)))])
    assert main(["show", str(path), "-v"]) == 0
    shown = capsys.readouterr().out
    assert "line 11\n" in shown
    assert "88 more lines (-vv shows them)" in shown
    assert main(["show", str(path), "-vv"]) == 0
    assert "line 99\n" in capsys.readouterr().out


def test_show_explains_the_wait_between_attempts(
    folder: Path, make_span: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    """A Router that waits before it tries again takes longer than its attempts."""
    root = make_span(name="router", kind=SpanKind.CHAIN, end_ns=START_NS + 4 * 10**9)
    tries = [
        make_span(
            name=f"try {number}",
            context=SpanContext(root.trace_id, f"{number + 0xA0:016x}"),
            parent_id=root.span_id,
            start_ns=START_NS + begins * 10**9,
            end_ns=START_NS + (begins + 1) * 10**9,
            attributes={semconv.ATTEMPT: number},
        )
        for number, begins in ((1, 0), (2, 3))
    ]
    path = folder / "router.jsonl"
    JsonLinesSink(path).write([root, *tries])
    assert main(["show", str(path)]) == 0
    first, second = capsys.readouterr().out.splitlines()[2:]
    assert "wait" not in first
    assert second.endswith("after a wait of 2.00 s")


def test_the_newest_traces_come_last(
    folder: Path, call: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    """--last keeps the newest, and those alone are held in memory."""
    path = folder / "many.jsonl"
    JsonLinesSink(path).write([call(f"m{number}") for number in range(50)])
    assert main(["show", str(path), "-n", "3", "--csv"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [row["model"] for row in rows] == ["m47", "m48", "m49"]
    assert rows[0]["start"] == "2023-11-14T22:13:20+00:00"
    assert main(["tail", str(path), "-n", "2", "--json"]) == 0
    assert names(capsys) == ["chat m48", "chat m49"]
    assert main(["tail", str(path), "-n", "0", "--json"]) == 0
    assert len(names(capsys)) == 50


def test_stats_by_several(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """By day and model, with a total; the days in their order."""
    assert main(["stats", str(file), "--by", "day,model"]) == 0
    head, *rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert head == ["day", "model", "calls", "errors", "p50", "p95", "in", "out", "cost"]
    assert [row[:2] for row in rows[:3]] == [
        ["2023-11-14", "gpt-4o-mini"],
        ["2023-11-15", "openai/gpt-4o"],
        ["2023-11-16", "openai/gpt-4o"],
    ]
    assert rows[0][-1] == "$0.0012"
    assert rows[3] == ["total", "3", "1", "500", "ms", "3.00", "s", "2.40k", "68", "$0.2512"]
    with pytest.raises(SystemExit, match="2"):
        main(["stats", str(file), "--by", "modle"])
    assert "did you mean 'model'?" in capsys.readouterr().err


def test_unknown_prices_are_told(
    folder: Path, call: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    """A sum that leaves calls out says so; a failed call costs nothing that could be known."""
    path = folder / "x.jsonl"
    JsonLinesSink(path).write([call(), call("x", dollars=None), call("x", error="no")])
    assert main(["stats", str(path)]) == 0
    assert "the cost of 1 call is not known" in capsys.readouterr().out


def test_csv_is_harmless(folder: Path, call: Make, capsys: pytest.CaptureFixture[str]) -> None:
    """A spreadsheet computes nothing that a model's name says."""
    path = folder / "x.jsonl"
    JsonLinesSink(path).write([call("=cmd|' /C calc'!A0\x1b[2J")])
    assert main(["stats", str(path), "--csv"]) == 0
    (row,) = csv.DictReader(io.StringIO(capsys.readouterr().out))
    assert row["model"] == "'=cmd|' /C calc'!A0\\x1b[2J"
    assert (row["count"], row["cost_usd"]) == ("1", "0.0012")


def test_diff(folder: Path, call: Make, capsys: pytest.CaptureFixture[str]) -> None:
    """Two runs, or two periods of one source, by model."""
    old, new = folder / "old.jsonl", folder / "new.jsonl"
    JsonLinesSink(old).write([call(seconds=1, dollars=0.01) for _ in range(4)])
    JsonLinesSink(new).write([call(seconds=2, dollars=0.01, day=3), call("new", day=3)])
    assert main(["diff", str(old), str(new), "--json"]) == 0
    rows = {row["model"]: row for row in json.loads(capsys.readouterr().out)}
    both = rows["gpt-4o-mini"]
    assert (both["count_before"], both["count_after"]) == (4, 1)
    assert (both["p50_s_before"], both["p50_s_after"]) == (1, 2)
    assert (rows["new"]["count_before"], rows["new"]["cost_usd_before"]) == (0, None)
    assert main(["diff", str(old), str(new)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[3].split() == ["change", "-75%", "=", "-75%", "-75%", "-75%", "+100%", "+100%"]
    together = folder / "both.jsonl"
    together.write_bytes(old.read_bytes() + new.read_bytes())
    periods = ["--before", "2023-11-14", "--after", "2023-11-15..2023-11-20"]
    assert main(["diff", str(together), *periods, "--json"]) == 0
    assert {row["model"]: row for row in json.loads(capsys.readouterr().out)} == rows
    assert main(["diff", str(old)]) == 2
    assert "diff compares two sources" in capsys.readouterr().err


def test_units() -> None:
    """Amounts as people write them, never with an exponent."""
    assert [units.money(x) for x in (0, 2.74e-06, 0.0001213, 0.25, 12.345, 1e-9, -3)] == [
        "$0.00", "$0.000003", "$0.00012", "$0.25", "$12.35", "<$0.000001", "-$3.00",
    ]  # fmt: skip
    assert units.decimals_for([1234.5, 0.001]) == 2
    assert units.money(0.001, 2) == "<$0.01"
    assert [units.tokens(n) for n in (0, 999, 1000, 12_345, 999_999, 4_560_000, 2.5e12)] == [
        "0", "999", "1.00k", "12.3k", "1.00M", "4.56M", "2500G",
    ]  # fmt: skip
    assert [units.seconds(s) for s in (0, 0.0004, 0.64, 3.2, 125, 7300)] == [
        "0 ms", "0.4 ms", "640 ms", "3.20 s", "2 min 05 s", "2 h 01 min",
    ]  # fmt: skip
    assert units.moment(2**63 - 1)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("rich", [True, False], ids=["rich", "plain"])
@pytest.mark.slow
@pytest.mark.parametrize("columns", [80, 200])
def test_tables_fit_the_terminal(monkeypatch: pytest.MonkeyPatch, rich: bool, columns: int) -> None:
    """The name is cut, figures never are."""
    if rich:
        pytest.importorskip("rich")
    else:
        monkeypatch.setitem(sys.modules, "rich.table", None)
    screen = Terminal()
    monkeypatch.setattr(sys, "stdout", screen)
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("NO_COLOR", "1")
    long = "azure_ai/deployments/a-very-long-name-of-a-deployment-of-somebody/[bold]" * 2
    row = {"model": long, **{f"figure{n}": f"{n},000,000" for n in range(5)}, "never": ""}
    say_table([row], total={**row, "model": "total"})
    lines = screen.getvalue().splitlines()
    assert max(map(len, lines)) <= columns
    assert "4,000,000" in screen.getvalue()
    assert "never" not in screen.getvalue()
    assert "\x1b[3" not in screen.getvalue()


COMMAND = "import sys; from trace_core._cli.main import main; sys.exit(main())"


def on_terminal(*arguments: str, **environment: str) -> str:
    """Run the command with a real terminal as its output."""
    pty = pytest.importorskip("pty")
    main_end, end_of_program = pty.openpty()
    done = subprocess.Popen(
        [sys.executable, "-c", COMMAND, *arguments],
        stdout=end_of_program,
        stderr=subprocess.STDOUT,
        env={**os.environ, "TERM": "xterm", **environment},
    )
    os.close(end_of_program)
    parts = []
    while True:
        try:
            part = os.read(main_end, 65536)
        except OSError:  # how Linux says that the other end is closed
            break
        if not part:
            break
        parts.append(part)
    os.close(main_end)
    assert done.wait(60) == 0
    return b"".join(parts).decode()


@pytest.mark.slow
@pytest.mark.parametrize("columns", [80, 200])
def test_on_a_real_terminal(file: Path, columns: int) -> None:
    """Lines fit, errors are red, and NO_COLOR is heeded."""
    size = {"COLUMNS": str(columns)}
    shown = on_terminal("show", str(file), **size)
    assert "\x1b[31m✗" in shown
    plain = on_terminal("show", str(file), "-v", NO_COLOR="1", **size)
    assert "\x1b[" not in plain
    assert max(map(len, plain.splitlines())) <= columns
    stats = on_terminal("stats", str(file), "--by", "day,model,provider", NO_COLOR="1", **size)
    assert max(map(len, stats.splitlines())) <= columns
    assert "$0.2512" in stats
    assert ("p95" in stats) == (columns == 200)
    diff = on_terminal("diff", str(file), str(file), NO_COLOR="1", **size)
    assert max(map(len, diff.splitlines())) <= columns
    doctor = on_terminal("doctor", "--offline", TRACE_SINKS=f"jsonl:{file}", **size)
    assert max(len(line.replace("\x1b[32m", "")) for line in doctor.splitlines()) <= columns + 9


def test_the_log_is_shown_on_terminals_too(caplog: pytest.LogCaptureFixture) -> None:
    """What a server answers, or a path, neither acts on them nor looks like another message."""
    name = "hostile \x1b]0;title\x07\x9b31m\u202e\r\ntracing: all is well"
    log_once(name, "tracing: %s", name, error=ValueError(name))
    [record] = [one for one in caplog.records if "hostile" in one.getMessage()]
    assert record.getMessage() == (
        r"tracing: hostile \x1b]0;title\x07\x9b31m\u202e\r\ntracing: all is well"
    )
