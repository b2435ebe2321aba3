"""The numbers of the report, and the page around them. A browser reads it in tests/report_page."""

from __future__ import annotations

import base64
import gzip
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from trace_core import Cost, JsonLinesSink, Span, SpanContext, SpanKind, Status, TokenUsage
from trace_core._cli.main import main
from trace_core._cli.tally import is_call
from trace_core._report import figures
from trace_core._report.calls import Call, call_of, cost_of, error_kind, input_of
from trace_core._report.page import chart_library, report
from trace_core._report.shorten import LONGEST_TEXT, preview, shortened
from trace_core._report.traces import Trace, newest_first, pack, trace_row
from trace_core.testing import hostile_span, sample_spans

START = 1_772_400_000_000  # 2026-03-01 21:20 UTC
DAY = 86_400_000


@pytest.fixture
def make() -> Callable[..., Span]:
    made = iter(range(1, 1_000_000))

    def span(at: int = START, seconds: float | None = 1.0, **fields: Any) -> Span:
        number = next(made)
        start_ns = at * 1_000_000
        values: dict[str, Any] = {
            "context": SpanContext(f"{number:032x}", f"{number:016x}"),
            "parent_id": None,
            "name": "chat m",
            "kind": SpanKind.LLM,
            "start_ns": start_ns,
            "end_ns": 0 if seconds is None else start_ns + int(seconds * 1e9),
            "attributes": {"gen_ai.request.model": fields.pop("model", "m")},
        }
        values["attributes"] |= fields.pop("more", {})
        return Span(**{**values, **fields})

    return span


def calls(*spans: Span) -> list[Call]:
    return [call_of(span) for span in spans]


def failed(kind: str | None = "litellm.exceptions.RateLimitError", **more: Any) -> dict[str, Any]:
    """The fields of a span that failed."""
    return {
        "status": Status("ERROR", "slow down\nand more"),
        "more": ({"error.type": kind} if kind else {}) | more,
    }


def priced(amount: float | None) -> Cost:
    return Cost(total=amount)


def data_of(page: str) -> dict[str, Any]:
    """The data in a page, its rows as dictionaries."""
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page)
    assert found
    data: dict[str, Any] = json.loads(found.group(1))
    for name in ("traces", "time", "failures"):
        table = data[name]
        data[name] = [dict(zip(table["keys"], row, strict=True)) for row in table["rows"]]
    return data


def packed_in(page: str) -> list[Any]:
    """The packs of traces in a page."""
    found = re.findall(r'<script type="text/plain" id="pack\d+">(.*?)</script>', page)
    return [json.loads(gzip.decompress(base64.b64decode(text))) for text in found]


def test_a_cost_that_is_not_known_is_missing(make: Callable[..., Span]) -> None:
    """A sum says of how many calls it lacks the cost; a cost of 0 is known."""
    found = calls(make(cost=priced(0.25)), make(cost=priced(0.0)), make(), make(cost=Cost(input=1)))
    assert cost_of(found).value == 0.25
    assert (cost_of(found).missing, cost_of(found).known) == (2, 2)


def test_nothing_known_is_no_sum(make: Callable[..., Span]) -> None:
    """The sum of costs of which none is known is not 0."""
    assert cost_of(calls(make(), make())).value is None
    assert cost_of([]).value is None


def test_failed_calls_miss_no_cost(make: Callable[..., Span]) -> None:
    """A failed call without a cost does not make the sum incomplete."""
    found = calls(make(cost=priced(1.0)), make(**failed()))
    assert (cost_of(found).value, cost_of(found).missing) == (1.0, 0)


def test_estimates_are_counted(make: Callable[..., Span]) -> None:
    """Tokens that are estimated make their cost an estimate too; each side has its own source."""
    guessed = TokenUsage(input=5, output=7, total=12, source="estimated")
    half = {"trace.usage.output_source": "estimated"}
    found = calls(
        make(usage=guessed, cost=priced(1.0)),
        make(usage=TokenUsage(input=1, output=2), cost=priced(1.0), more=half),
        make(usage=TokenUsage(input=3, output=2), cost=priced(1.0)),
    )
    assert (input_of(found).value, input_of(found).estimated) == (9, 1)
    assert cost_of(found).estimated == 2


def test_percentiles_are_of_what_is_known(make: Callable[..., Span]) -> None:
    """Calls that never ended and calls without chunks are not in the percentiles."""
    chunk = {"gen_ai.response.time_to_first_chunk": 0.5}
    spans = [make(seconds=n) for n in range(1, 101)]
    totals = figures.totals(calls(*spans, make(seconds=None), make(seconds=1, more=chunk)))
    assert totals["latency"] == {"n": 101, "p50": 50, "p95": 95, "p99": 99}
    assert totals["first"] == {"n": 1, "p50": 0.5, "p95": 0.5, "p99": 0.5}
    assert figures.totals([])["latency"]["p50"] is None


def test_sums_by_model(make: Callable[..., Span]) -> None:
    """Each model has a row, the most used first, and what it lacks is missing there alone."""
    spans = [
        make(model="a", cost=priced(0.5)),
        make(model="b"),
        make(model="b", usage=TokenUsage(input=2)),
    ]
    rows = figures.by_model(calls(*spans))
    assert [row["name"] for row in rows] == ["b", "a"]
    assert [row["cost"] for row in rows] == [[None, 2, 0, 0], [0.5, 0, 0, 1]]
    assert [row["input"][0] for row in rows] == [2, None]


def test_sums_over_time_are_by_quarters_of_an_hour(make: Callable[..., Span]) -> None:
    """Whatever zone the page is read in, its days can be added up from the rows."""
    spans = [
        make(START + minutes * 60_000, cost=priced(1.0)) for minutes in (0, 9, 10, 24 * 60, 80 * 60)
    ]
    rows = figures.over_time(calls(*spans), "yearmonthdate", lambda call: 3)
    starts = [(row["t"] - START) // 60_000 for row in rows]
    assert starts == [-5, 10, 24 * 60 - 5, 80 * 60 - 5]
    assert [row["cost"] for row in rows] == [2.0, 1.0, 1.0, 1.0]
    assert all(row["t"] % 900_000 == 0 for row in rows)


def test_rows_over_time_know_what_is_missing(make: Callable[..., Span]) -> None:
    """A time of which no cost is known has none, rather than 0."""
    (row,) = figures.over_time(calls(make()), "yearmonthdate", lambda call: 0)
    assert row["cost"] is None
    assert row["input"] is None


@pytest.mark.parametrize(
    ("length", "unit"),
    [
        (0, "yearmonthdatehoursminutes"),
        (DAY, "yearmonthdatehours"),
        (20 * DAY, "yearmonthdate"),
        (400 * DAY, "yearweek"),
        (2000 * DAY, "yearmonth"),
    ],
)
def test_bars_are_as_wide_as_fits(make: Callable[..., Span], length: int, unit: str) -> None:
    """There are bars for minutes, hours, days, weeks or months, by how long the calls span."""
    assert figures.time_unit(calls(make(), make(START + length))) == unit


def test_a_distribution_counts_each_call_once(make: Callable[..., Span]) -> None:
    """Bins touch, grow by a third, and hold what lies between their edges."""
    seconds = (0.0, 0.0005, 0.001, 0.01, 0.99, 1.0, 1.01, 250.0)
    found = [*calls(*(make(seconds=s) for s in seconds)), call_of(make(seconds=None))]
    rows = figures.histogram(found, lambda call: call.seconds, lambda call: 0)
    assert sum(row["n"] for row in rows) == len(seconds)
    assert rows[0] == {"lo": 0.001, "hi": 0.001334, "s": 0, "n": 3}
    at_one = next(row for row in rows if row["lo"] == 1.0)
    assert (at_one["n"], at_one["hi"]) == (2, 1.334)


def test_errors_are_by_kind(make: Callable[..., Span]) -> None:
    """A kind of error has its count, its codes, its models, and the last one's first line."""
    code = {"http.response.status_code": 429}
    last = make(START + 5, model="b", **failed(**code))
    rows = figures.errors_by_kind(
        calls(make(**failed(**code)), last, make(**failed(None)), make(), make(**failed("Odd")))
    )
    assert [(row["kind"], row["n"]) for row in rows] == [
        ("RateLimitError", 2),
        ("error of unknown kind", 1),
        ("Odd", 1),
    ]
    first = rows[0]
    assert (first["statuses"], first["models"], first["message"]) == (
        [429],
        ["m", "b"],
        "slow down",
    )
    assert (first["trace"], first["last"]) == (last.trace_id, START + 5)


def test_the_slowest_and_the_dearest(make: Callable[..., Span]) -> None:
    """They come first, without those of which it is not known and those that cost nothing."""
    found = calls(
        make(seconds=1, cost=priced(0.1)),
        make(seconds=3, cost=priced(0.0)),
        make(seconds=2, cost=priced(0.3)),
        make(seconds=None),
    )
    assert [call.seconds for call in figures.slowest(found, 2)] == [3, 2]
    assert [call.cost for call in figures.dearest(found, 9)] == [0.3, 0.1]


def test_only_calls_of_models_are_calls() -> None:
    """Agents and tools are in the waterfall, and count for nothing."""
    assert [is_call(span) for span in sample_spans()] == [True, False, False]


def test_a_hostile_span_has_figures() -> None:
    """A span that is hard to store is a call like any other; one that never ended took no time."""
    call = call_of(hostile_span())
    assert (call.model, call.seconds, call.cost) == ("unknown model", None, None)


def test_a_kind_of_error_has_no_module(make: Callable[..., Span]) -> None:
    """The category stands in for a type that is not there."""
    assert error_kind(make(**failed("a.b.C"))) == "C"
    assert error_kind(make(more={"trace.error.category": "timeout"})) == "timeout"


def test_a_trace_adds_up_its_calls(make: Callable[..., Span]) -> None:
    """Its row has the root's name, the sums of its calls, and how many of its spans failed."""
    (trace,) = newest_first({sample_spans()[0].trace_id: sample_spans()})
    row = trace_row(trace, {"sample-model": 4})
    assert (row["name"], row["calls"], row["models"], row["failed"]) == ("agent", 1, [4], 1)
    assert (row["tokens"], row["cost"]) == ([9, 0, 0], [0.3, 0, 0, 1])
    assert (row["error"], row["text"]) == (None, "What is 6 times 7?")


@pytest.mark.parametrize(
    ("inputs", "text"),
    [
        ("hello  there", "hello there"),
        (
            {
                "messages": (
                    {"role": "user", "content": "first"},
                    {"role": "user", "content": "last"},
                )
            },
            "last",
        ),
        ({"messages": ({"role": "user", "content": ({"type": "text", "text": "part"},)},)}, "part"),
        ({"contents": ({"parts": ({"text": "gemini"},)},)}, "gemini"),
        ({"input": ("a", "b")}, "a"),
        ({"city": "Paris"}, ""),
        (None, ""),
    ],
)
def test_a_preview_is_what_was_asked(inputs: Any, text: str) -> None:
    """The user's last words, whatever the provider's interface calls them."""
    assert preview(inputs) == text


def test_long_content_is_cut_and_says_so() -> None:
    """Long texts, embeddings and lists of many items end in how much is left out."""
    cut = shortened({"text": "x" * (LONGEST_TEXT + 5), "vector": (0.5,) * 1536, "few": (1, 2)})
    assert cut["text"].endswith("\n… 5 more characters")
    assert cut["vector"][-1] == "… 1,520 more"
    assert cut["few"] == [1, 2]
    assert shortened(("a",) * 1001)[-1] == "… 1 more"


def test_traces_beyond_the_limit_lose_their_messages(make: Callable[..., Span]) -> None:
    """They keep their spans and figures; those named first keep all."""
    said = {"messages": ({"role": "user", "content": "secret plan"},)}
    spans = [make(inputs=said, more={"gen_ai.input.messages": "secret plan"}) for _ in range(3)]
    traces = [Trace(span.trace_id, [span]) for span in spans]
    everything = pack(traces, 10_000)
    assert not everything.bare
    nothing = pack(traces, 0)
    assert nothing.bare == [span.trace_id for span in spans]
    (text,) = nothing.packs
    stored = gzip.decompress(base64.b64decode(text)).decode()
    assert "secret plan" not in stored
    assert stored.count('"gen_ai.request.model":"m"') == 3


@pytest.mark.slow
def test_a_page_points_to_every_trace(make: Callable[..., Span]) -> None:
    """Each row of the list says in which pack its trace is, and where."""
    words = " ".join(str(number) for number in range(40_000))
    spans = [make(START + n, inputs={"messages": (words[n:],)}) for n in range(20)]
    page = report(spans, source="here", most_bytes=10**9)
    packs = packed_in(page)
    assert len(packs) > 1
    rows = data_of(page)["traces"]
    found = [packs[row["pack"][0]][row["pack"][1]][0]["span_id"] for row in rows]
    assert found == [span.span_id for span in reversed(spans)]


HOSTILE = (
    "</script><script>window.harmed = 1</script>",
    "<img src=x onerror='window.harmed = 1'>",
    "\"'`${window.harmed = 1}&lt;",
    "<!-- <script>",
    "line\u2028separator\u2029and \ud800 half a character \udfff",
    "{{data}} {{script}}",
)


@pytest.mark.parametrize("text", HOSTILE)
def test_nothing_in_a_trace_becomes_markup(make: Callable[..., Span], text: str) -> None:
    """Whatever is said in a trace is data in the page, and comes out of it unchanged."""
    spans = [
        make(
            name=text, model=text, inputs=text, **{**failed(text), "status": Status("ERROR", text)}
        )
    ]
    spans[0].attributes["gen_ai.request.model"] = text  # type: ignore[index]
    page = report(spans, source=text, most_bytes=10**6)
    outside = re.sub(r'(?s)<script type="application/json" id="data">.*?</script>', "", page)
    assert "harmed" not in outside
    assert "\u2028" not in page
    data = data_of(page)
    assert data["models"][0]["name"] == text
    assert data["about"]["source"] == text
    assert packed_in(page)[0][0][0]["inputs"] == text


def test_the_page_allows_no_network(make: Callable[..., Span]) -> None:
    """Its policy names what runs by its hash, and nothing that is loaded."""
    page = report([make()], source="here", most_bytes=10**6)
    found = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', page)
    assert found
    policy = found.group(1).replace("&#x27;", "'")
    assert policy.startswith("default-src 'none'; base-uri 'none'; form-action 'none'")
    assert "unsafe" not in policy
    assert "http" not in policy
    assert not re.search(r'(?:src|href)="?(?:https?:)?//', page)


@pytest.fixture
def file(folder: Path) -> Path:
    sink = JsonLinesSink(folder / "traces.jsonl")
    sink.write(sample_spans())
    sink.close()
    return sink.path


def test_the_command_writes_a_page(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It says where the page is; the page is for its owner alone, as the traces are."""
    output = file.with_name("page.html")
    assert main(["report", str(file), "-o", str(output)]) == 0
    assert capsys.readouterr().out.startswith(f"{output}: ")
    assert output.stat().st_mode & 0o777 == 0o600
    data = data_of(output.read_text())
    assert data["totals"]["cost"] == [0.3, 0, 0, 1]
    assert [path.name for path in file.parent.glob(".*")] == []


def test_the_command_names_what_to_install(
    file: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the extra it says what to install, and writes nothing."""
    monkeypatch.setitem(sys.modules, "vl_convert", None)
    chart_library.cache_clear()
    output = file.with_name("page.html")
    assert main(["report", str(file), "-o", str(output)]) == 2
    assert "pip install 'trace-core[report]'" in capsys.readouterr().err
    assert not output.exists()


@pytest.mark.parametrize("size", ["-1", "nan", "inf"])
def test_a_limit_must_be_a_size(file: Path, size: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A limit below zero is a mistake in the arguments."""
    assert main(["report", str(file), "--max-size", size]) == 2
    assert "--max-size must be megabytes" in capsys.readouterr().err


@pytest.mark.slow
def test_a_file_without_spans_makes_a_page(folder: Path) -> None:
    """It is empty, and no error."""
    empty = folder / "empty.jsonl"
    empty.write_bytes(b"")
    assert main(["report", str(empty), "-o", str(folder / "page.html")]) == 0
    assert data_of((folder / "page.html").read_text())["traces"] == []
