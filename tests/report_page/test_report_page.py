"""The report in a real browser: what it shows, what it must never do, and how it is used."""

from __future__ import annotations

import base64
import time
from collections.abc import Iterator, Sequence
from importlib.resources import files
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

from support.browser import Browser
from trace_core import Cost, JsonLinesSink, SpanKind, Status, TokenUsage, Tracer, attributes
from trace_core._cli.main import main
from trace_core._view import units
from trace_core.testing import FakeClock, SequentialIds, hostile_span

pytestmark = pytest.mark.server

EVENING = 1_772_398_800_000_000_000  # 2026-03-01 21:00 UTC
HOSTILE = (
    "</script><script>window.harmed = 1</script>",
    "<img src=x onerror='window.harmed = 1'>",
    '"><svg onload="window.harmed = 1">\'`${window.harmed = 1}',
    "<!-- <script> -->&lt;b&gt;",
    "line\u2028separator\u2029\ud800 half\x00\x1b[31m \u202eright to left",
    "W" * 5_000,
    "__proto__",
)
UNKNOWN = "\N{EN DASH}"
QUESTION, ANSWER = "Is it warm in Paris?", "It is 24 degrees."


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with Browser() as opened:
        yield opened


class Recording:
    """Traces with a clock of their own, in a file of JSON lines."""

    def __init__(self, folder: Path) -> None:
        self.clock = FakeClock(EVENING)
        self.sink = JsonLinesSink(folder / "traces.jsonl")
        self.tracer = Tracer(self.sink, clock=self.clock, ids=SequentialIds())
        self.page = folder / "report.html"

    def call(self, model: str, seconds: float = 1.0, **fields: Any) -> None:
        """Record a call."""
        more = {"gen_ai.request.model": model, **fields.pop("more", {})}
        inputs = fields.pop("inputs", {"messages": [{"role": "user", "content": QUESTION}]})
        span = self.tracer.start(f"chat {model}", kind=SpanKind.LLM, inputs=inputs, attributes=more)
        self.clock.advance(seconds)
        span.set(**fields)
        span.end()

    def agent(self) -> None:
        """Record an agent that calls a model twice, once in vain, and a tool."""
        with self.tracer.span("weather agent", kind=SpanKind.AGENT, inputs=QUESTION) as agent:
            self.call("gpt-fast", **failed("a.RateLimitError", "slow down", 429))
            self.call(
                "gpt-good",
                2.0,
                outputs={"choices": [{"message": {"role": "assistant", "content": ANSWER}}]},
                usage=TokenUsage(input=30, output=8, total=38),
                cost=Cost(total=0.25),
                more={
                    "gen_ai.response.time_to_first_chunk": 0.4,
                    "gen_ai.request.temperature": 0.2,
                },
            )
            with self.tracer.span("execute_tool get_weather", kind=SpanKind.TOOL):
                self.clock.advance(0.3)
            agent.set(outputs=ANSWER)

    def write(self, *options: str) -> str:
        """Write the report and return its address."""
        self.tracer.close()
        assert main(["report", str(self.sink.path), "-o", str(self.page), *options]) == 0
        return self.page.as_uri()


def failed(kind: str, message: str, code: int) -> dict[str, Any]:
    """The fields of a call that failed."""
    return {
        "status": Status("ERROR", message),
        "more": {"error.type": kind, "http.response.status_code": code},
    }


@pytest.fixture
def recording(tmp_path: Path) -> Recording:
    return Recording(tmp_path)


def emulate(browser: Browser, what: str, **settings: Any) -> None:
    """Have the browser be in another time zone, or prefer the dark."""
    browser.window.execute_cdp_cmd(f"Emulation.{what}", settings)


def complaints(browser: Browser) -> Sequence[str]:
    """What the browser's console has said since it was last asked."""
    return [entry["message"] for entry in browser.window.get_log("browser")]


def run(browser: Browser, script: str, *values: Any) -> Any:
    """Run a script in the page."""
    return browser.window.execute_script(script, *values)


def await_charts(browser: Browser, number: int) -> None:
    """Wait until so many charts are drawn."""
    assert browser.finds("svg.marks")
    await_value(browser, "return document.querySelectorAll('svg.marks').length", number)


def await_value(browser: Browser, script: str, wanted: object) -> None:
    """Wait until a script in the page returns a value."""
    deadline = time.monotonic() + 60
    while (found := run(browser, script)) != wanted:
        assert time.monotonic() < deadline, found
        time.sleep(0.1)


def press_key(browser: Browser, *keys: str) -> None:
    """Press keys, wherever the focus is."""
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.keys import Keys

    for key in keys:
        ActionChains(browser.window).send_keys(getattr(Keys, key)).perform()


def test_it_shows_what_was_recorded(recording: Recording, browser: Browser) -> None:
    """Totals, charts, models, errors, extremes and traces; no complaint, and no request."""
    recording.agent()
    recording.call("no-price")
    browser.open(recording.write())
    await_charts(browser, 5)
    text = browser.read(
        "in 2 traces", "$0.25 + ?", "38 + ?", "RateLimitError", "slow down", "33.3% of the calls"
    )
    assert "unknown for 1 call" in text
    rows = run(
        browser,
        "return [...document.querySelectorAll('#models tbody tr')].map(row => row.innerText)",
    )
    (unpriced,) = [row.split("\t") for row in rows if row.startswith("no-price")]
    assert unpriced[-5:] == [UNKNOWN] * 5
    assert run(browser, "return performance.getEntriesByType('resource').length") == 0
    assert complaints(browser) == []


def test_a_click_opens_a_trace(recording: Recording, browser: Browser) -> None:
    """The waterfall has every span; the chosen one shows its messages, figures and parameters."""
    recording.agent()
    browser.open(recording.write())
    assert browser.click("weather agent", wait=30)
    browser.read("execute_tool get_weather", ANSWER)
    rows = run(
        browser, "return [...document.querySelectorAll('.bar-row')].map(row => row.innerText)"
    )
    assert [row.split("\n")[0] for row in rows] == ["AGENT", "LLM", "LLM", "TOOL"]
    run(browser, "document.querySelectorAll('.bar-row')[2].click()")
    text = browser.read(QUESTION, ANSWER, "First chunk", "400 ms", "$0.25")
    assert "Tokens in" in text
    run(browser, "document.querySelectorAll('.bar-row')[1].click()")
    browser.read("a.RateLimitError", "slow down")
    assert complaints(browser) == []


def test_hostile_content_is_shown_as_text(recording: Recording, browser: Browser) -> None:
    """Markup, scripts, odd characters and endless words are text wherever they are recorded."""
    for number, text in enumerate(HOSTILE):
        with attributes(session_id=text, user_id=text), recording.tracer.span(text, inputs=text):
            recording.call(
                text,
                inputs={
                    "messages": [
                        {
                            "role": text,
                            "content": text,
                            "tool_calls": [{"function": {"name": text, "arguments": text}}],
                        }
                    ],
                    text: text,
                },
                outputs={"choices": [{"message": {"role": "assistant", "content": text}}]},
                cost=Cost(total=number + 1.0),
                **failed(text, text, 500),
            )
    recording.sink.write([hostile_span()])
    browser.open(recording.write())
    await_charts(browser, 3)
    scripts = run(browser, "return document.scripts.length")
    seen = "return arguments[0].filter(text => !document.body.innerText.includes(text))"
    assert run(browser, seen, [HOSTILE[0], HOSTILE[1], HOSTILE[3]]) == []
    ids = run(browser, "return [...document.querySelectorAll('#list button.link')].length")
    assert ids == len(HOSTILE) + 1
    for number in range(ids):
        run(browser, "document.querySelectorAll('#list button.link')[arguments[0]].click()", number)
        assert browser.finds("dialog[open] .bar-row"), number
        run(
            browser,
            "document.querySelectorAll('.bar-row').forEach(row => { row.click(); document.querySelectorAll('dialog details').forEach(box => { box.open = true; }); })",
        )
        press_key(browser, "ESCAPE")
    run(browser, "document.querySelectorAll('#page details').forEach(box => { box.open = true; })")
    assert run(browser, "return window.harmed ?? null") is None
    assert run(browser, "return document.scripts.length") == scripts
    assert (
        run(
            browser, "return document.querySelectorAll('#page img, dialog img, main script').length"
        )
        == 0
    )
    assert run(browser, "return document.documentElement.scrollWidth <= innerWidth")
    assert complaints(browser) == []


def test_a_script_that_slips_in_does_not_run(recording: Recording, browser: Browser) -> None:
    """The policy stops what escaping would have to miss first, and every request."""
    recording.call("m")
    page = recording.write()
    browser.open(page)
    run(
        browser,
        "document.body.insertAdjacentHTML('beforeend', '<img src=\"http://127.0.0.1:9/x.png\" onerror=\"window.harmed = 1\">')",
    )
    run(
        browser,
        "const s = document.createElement('script'); s.textContent = 'window.harmed = 1'; document.body.append(s)",
    )
    refused = run(
        browser, "return fetch('http://127.0.0.1:9/').then(() => 'sent', () => 'refused')"
    )
    assert refused == "refused"
    assert run(browser, "return window.harmed ?? null") is None
    assert sum("Content Security Policy" in line for line in complaints(browser)) >= 3


@pytest.mark.parametrize(
    ("zone", "day", "hour"),
    [("America/Los_Angeles", "1 Mar 2026", "13:00"), ("Asia/Kolkata", "2 Mar 2026", "02:30")],
)
def test_days_are_the_viewers(
    recording: Recording, browser: Browser, zone: str, day: str, hour: str
) -> None:
    """A call in the evening of one zone belongs to the next day of another."""
    recording.call("m", cost=Cost(total=0.5))
    recording.clock.advance(10 * 86_400)
    recording.call("m", cost=Cost(total=0.25))
    emulate(browser, "setTimezoneOverride", timezoneId=zone)
    try:
        browser.open(recording.write())
        await_charts(browser, 2)
        browser.read("times in", hour)
        run(browser, "document.querySelector('#chart-cost details').open = true")
        browser.read("$0.50", day)
        table = run(browser, "return document.querySelector('#chart-cost details table').innerText")
        assert f"{day}\tm\t$0.50" in table
        bars = run(
            browser,
            "return [...document.querySelectorAll('#chart-cost .mark-rect path')].map(bar => bar.getAttribute('aria-label'))",
        )
        assert f": {day.removesuffix(' 2026')}; Sum of cost: 0.5;" in bars[0]
    finally:
        emulate(browser, "setTimezoneOverride", timezoneId="")


def test_the_keyboard_is_enough(recording: Recording, browser: Browser) -> None:
    """A trace is opened, walked through and closed by keys, and the focus is back where it was."""
    recording.agent()
    browser.open(recording.write())
    assert browser.finds("#list button.link")
    run(browser, "document.querySelector('#list button.link').focus()")
    press_key(browser, "ENTER")
    assert browser.finds('.bar-row[aria-current="true"]')
    press_key(browser, "ARROW_DOWN", "ARROW_DOWN")
    await_value(browser, "return document.querySelector('.detail h2').innerText", "chat gpt-good")
    assert run(browser, "return document.activeElement.innerText").startswith("LLM\nchat gpt-good")
    press_key(browser, "ESCAPE")
    await_value(browser, "return document.querySelector('dialog').open", wanted=False)
    assert run(browser, "return document.activeElement.innerText") == "weather agent"
    await_value(browser, "return location.hash", "")


def test_traces_are_searched_and_filtered(recording: Recording, browser: Browser) -> None:
    """By words of the question, by model, and those with errors alone."""
    recording.agent()
    recording.call("other", inputs={"messages": [{"role": "user", "content": "Translate this"}]})
    browser.open(recording.write())
    browser.read("2 traces")
    search = "const box = document.getElementById(arguments[0]); box.value = arguments[1]; box.dispatchEvent(new Event('input', {bubbles: true})); return document.getElementById('found').textContent"
    assert run(browser, search, "search", "translate") == "1 of 2 traces"
    assert run(browser, search, "search", "nowhere") == "0 of 2 traces"
    assert run(browser, search, "search", "") == "2 traces"
    assert run(browser, search, "kind", "failed") == "1 of 2 traces"
    assert run(browser, search, "kind", "unpriced") == "1 of 2 traces"


def test_filters_leave_whole_traces(recording: Recording, browser: Browser) -> None:
    """Only calls that pass are counted; a trace that has one is there with all its spans."""
    recording.agent()
    recording.call("other")
    browser.open(recording.write("--model", "gpt-good"))
    text = browser.read("only models gpt-good", "in 1 trace", "$0.25")
    assert "RateLimitError" not in text
    assert browser.click("weather agent", wait=10)
    assert browser.finds(".bar-row:nth-of-type(4)")


def test_models_are_hidden_in_the_charts(recording: Recording, browser: Browser) -> None:
    """A name in the legend hides and shows its bars."""
    recording.call("one", cost=Cost(total=1.0))
    recording.call("two", cost=Cost(total=2.0))
    browser.open(recording.write())
    await_charts(browser, 2)
    bars = "return document.querySelectorAll('#chart-cost .mark-rect path').length"
    assert run(browser, bars) == 2
    assert browser.click("two", wait=10)
    await_value(browser, bars, 1)
    assert browser.finds('#legend button[aria-pressed="false"]')
    assert complaints(browser) == []


def test_it_is_dark_where_the_dark_is_preferred(recording: Recording, browser: Browser) -> None:
    """Also in its charts, whose colours are the page's; on paper it is light."""
    recording.call("m", cost=Cost(total=1.0))
    browser.open(recording.write())
    await_charts(browser, 2)
    look = "return [getComputedStyle(document.body).backgroundColor, getComputedStyle(document.querySelector('#chart-cost .mark-rect path')).fill]"
    found = []
    for scheme, media in (("light", ""), ("dark", ""), ("dark", "print")):
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        emulate(browser, "setEmulatedMedia", media=media, features=features)
        found.append(run(browser, look))
    emulate(browser, "setEmulatedMedia", media="", features=[])
    light, dark, paper = found
    assert light[0] != dark[0]
    assert light[1] != dark[1]
    assert paper == ["rgb(255, 255, 255)", light[1]]


@pytest.mark.parametrize("width", [800, 1200, 1920])
@pytest.mark.parametrize("calls", [1, 10])
def test_nothing_is_cut_or_printed_over(
    recording: Recording, browser: Browser, width: int, calls: int
) -> None:
    """Figures stay in their cards, no table is wider than its own, and labels keep apart."""
    for number in range(calls):
        recording.call(
            f"provider/a-model-with-a-name-{number % 3}",
            0.5 + number / 3,
            usage=TokenUsage(input=1_234, output=567, total=1_801, source="estimated"),
            cost=Cost(total=0.000_113_2 * (number + 1)),
            more={"gen_ai.response.time_to_first_chunk": 0.3 + number / 1_000},
        )
    emulate(
        browser, "setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1,
        mobile=False,
    )  # fmt: skip
    try:
        browser.open(recording.write())
        await_charts(browser, 4)
        assert run(browser, _TOO_WIDE) == []
        labels = run(browser, _LABELS)
        assert labels
        assert run(browser, "return document.querySelectorAll('svg .mark-rect path').length") > 0
        for one, other in combinations(labels, 2):
            assert one["top"] != other["top"] or one["right"] <= other["left"], (one, other)
    finally:
        emulate(browser, "clearDeviceMetricsOverride")


_TOO_WIDE = """
return [...document.querySelectorAll(".tile, .tile *, .scroll")]
    .filter((e) => e.scrollWidth > e.clientWidth + 1 && getComputedStyle(e).display !== "inline")
    .map((e) => e.textContent.slice(0, 60));
"""
_LABELS = """
return [...document.querySelectorAll("svg text")].filter((e) => /^p[0-9]/.test(e.textContent))
    .map((e) => ({text: e.textContent, ...e.getBoundingClientRect().toJSON()}))
    .sort((a, b) => a.left - b.left);
"""


def test_money_is_written_as_in_the_terminal(recording: Recording, browser: Browser) -> None:
    """The page's function and that of the commands agree."""
    script = (files("trace_core._report") / "assets" / "format.js").read_text()
    recording.call("a-model")
    browser.open(recording.write())
    amounts = [0, 1e-9, 4e-7, 6e-7, 0.0001132, 0.00301, 0.125, 0.5, 0.994, 0.9999, 1, 1234.5, 1e6]
    for amount in (*amounts, -0.25):
        shown = run(browser, f"{script}; return dollars(arguments[0]);", amount)
        assert shown == units.money(amount), amount


def test_it_prints(recording: Recording, browser: Browser) -> None:
    """The page prints without its controls, and an open trace prints alone."""
    recording.agent()
    browser.open(recording.write())
    await_charts(browser, 5)
    emulate(browser, "setEmulatedMedia", media="print")
    seen = "return [...document.querySelectorAll('#filters, main')].map(part => part.checkVisibility())"
    assert run(browser, seen) == [True, False]
    assert browser.click("weather agent", wait=10) or run(
        browser, "document.querySelector('#list button.link').click(); return true"
    )
    assert browser.finds("dialog[open] .bar-row")
    assert run(browser, seen) == [False, False]
    emulate(browser, "setEmulatedMedia", media="")
    printed = browser.window.execute_cdp_cmd("Page.printToPDF", {"printBackground": True})
    assert base64.b64decode(printed["data"]).startswith(b"%PDF")


@pytest.mark.slow
def test_ten_thousand_traces_stay_small(recording: Recording, browser: Browser) -> None:
    """Only some are drawn at once; each opens; beyond the limit the page says what is left out."""
    for number in range(10_000):
        recording.clock.advance(60)
        text = f"Question {number}: " + " ".join(str(number * n % 7919) for n in range(400))
        recording.call(
            f"model-{number % 9}",
            inputs={"messages": [{"role": "user", "content": text}]},
            cost=Cost(total=0.01),
        )
    address = recording.write("--max-size", "4")
    assert recording.page.stat().st_size < 12_000_000
    assert recording.sink.path.stat().st_size > 20_000_000
    browser.open(address)
    await_charts(browser, 2)
    browser.read("10,000 traces", "Show 100 more of 9,950", "were left out")
    assert run(browser, "return document.querySelectorAll('#list tbody tr').length") == 50
    run(browser, "location.hash = 'trace=' + arguments[0]", f"{10_000:032x}")
    browser.read("Question 9999: ")
    run(browser, "location.hash = 'trace=' + arguments[0]", f"{100:032x}")
    browser.read("were left out to keep the page small")
    assert complaints(browser) == []
