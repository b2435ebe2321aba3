"""The page and the plot of what ``run.py`` measured."""

from __future__ import annotations

from statistics import median
from typing import Any
from xml.sax.saxutils import escape

from report_programs import programs, proxies
from table import table

Results = dict[str, Any]
HEAD = """# Performance

What tracing costs the program that is traced, ours beside others', in one run of `nox -s bench`
with LiteLLM {litellm} on CPython {python}, on a shared virtual machine of two processors,
{settings}. This page is written by that command.

![What each tracer adds to a call](../images/performance.svg)

"""
INSTRUCTIONS = """## Instructions

What a busy machine does not change: the processor's instructions, counted by valgrind.
`trace_litellm` redacts secrets and writes to disk, which of the others MLflow's alone does, to its
database, without redaction.

Tracing takes a larger part of a call's time than of its instructions: it runs once a call, and by
then little of it is left in the processor's caches. The microseconds are not of a clock but of
valgrind's simulation of two levels of cache: a third of a cycle for an instruction, 9 and 35 more
for what a level misses, 3 GHz.

"""
METHOD = """## How it is measured

- **The same call.** LiteLLM answers by its own `mock_response`: no network, no provider. So a call
  costs what LiteLLM costs, and what a tracer adds is not lost in a provider's time.
- **Taking turns.** Each tracer has an environment of its own and runs in fresh processes, which
  alternate with the others'. In a process, blocks of calls without and with tracing alternate.
- **Added** is the difference of the first quartiles of all calls with and without tracing. The
  first quartile, because on a shared machine the upper half of all calls measures its neighbours;
  ± is the standard error, by drawing the blocks anew.
  CPU is that of all threads of the process, after they came to rest. `nobody` compares no tracing
  with no tracing: what it shows is the noise, and a difference smaller than that says nothing.
- **Ours in parts.** "Empty hooks" call straight through to LiteLLM: what it takes to be in the way,
  before anything is recorded.
- **The cheapest honest exporter.** OpenTelemetry's tracers and ours "in memory" throw finished
  spans away; `trace_litellm` redacts secrets and writes each span to its spool on disk, as
  `autolog()` does; ddtrace drops them where it would send them; Langfuse uses the HTTP mock that
  LiteLLM has for it; MLflow writes to SQLite, as it knows no other way on one machine.

`python -m nox -s bench -- --quick` takes three minutes. One case is measured in twenty seconds by
`python bench/caller.py --case "completion, 2 KB"`. What must not get slower unnoticed is guarded
by counts of instructions, which need no clock: see `bench/instructions.py`.
"""


def _cases(calls: Results) -> list[str]:
    return list(dict.fromkeys(case for by_case in calls.values() for case in by_case))


def _case(case: str, calls: Results) -> str:
    rows = []
    ours = calls.get("trace_litellm", {}).get(case)
    for tracer, by_case in calls.items():
        if (one := by_case.get(case)) is None:
            rows.append([tracer, *["failed"] * 8])
            continue
        added, off, on = one["added"], one["off"]["wall"], one["on"]["wall"]
        times = f"{added['thread'] / ours['added']['thread']:.1f}x" if ours else ""
        rows.append([
            tracer,
            f"{added['thread']:+,.1f} ± {one['error']['thread']:,.1f}",
            _percent(added["thread"], one["off"]["thread"]["p50"]),
            "" if tracer == "nobody" else times,
            f"{added['wall']:+,.1f}",
            f"{added['cpu']:+,.1f}",
            *(f"{off[p]:,.0f} → {on[p]:,.0f}" for p in ("p50", "p95", "p99")),
        ])  # fmt: skip
    head = ["added, µs", "caller's thread", "of LiteLLM's", "to ours", "wall", "CPU",
            "wall p50, off → on", "p95", "p99"]  # fmt: skip
    return f"### {case}\n\n" + table(head, rows)


def _instructions(counted: Results, chunk: Results | None) -> str:
    text = INSTRUCTIONS
    for case, by_tracer in counted.items():
        head = [f"added to a {case}", "caller's thread", "of LiteLLM's", "simulated, µs",
                "of LiteLLM's", "all threads"]  # fmt: skip
        text += table(head, [_counted(tracer, one) for tracer, one in by_tracer.items()])
        found = [one for one in by_tracer.values() if one]
        text += (
            f"LiteLLM itself takes {median(one['without'] for one in found) / 1e6:.1f} million "
            f"for it, or {median(one['microseconds_without'] for one in found):,.0f} µs.\n\n"
        )
    if chunk:
        text += f"A chunk of a stream takes {chunk['caller']:,} instructions of ours.\n\n"
    return text


def _counted(tracer: str, one: Results | None) -> list[str]:
    if one is None:
        return [tracer, *["failed"] * 5]
    return [
        tracer,
        f"{one['caller']:+,}",
        _percent(one["caller"], one["without"]),
        f"{one['microseconds']:+,.0f}",
        _percent(one["microseconds"], one["microseconds_without"]),
        f"{one['all']:+,}",
    ]


def _percent(part: float, whole: float) -> str:
    return f"{100 * part / whole:+.1f}%"


def _imports(imports: Results) -> str:
    rows = [[t, f"{one['cpu_ms']:,.0f}", f"{one['wall_ms']:,.0f}", f"{one['mib']:,.0f}"]
            for t, one in imports.items()]  # fmt: skip
    head = ["import, after LiteLLM's", "CPU, ms", "wall, ms", "MiB"]
    return "## Import\n\n" + table(head, rows)


def _memory(memory: Results, pending: Results | None) -> str:
    rows = [
        [tracer, f"{one['calls']:,}", f"{one['mib'][0]:,.0f}", f"{one['mib'][-1]:,.0f}",
         f"{one['mib'][-1] - one['mib'][0]:+.1f}"]
        for tracer, one in memory.items() if one
    ]  # fmt: skip
    head = ["memory, MiB", "calls", "after the first 1,000", "after all", "drift"]
    text = "## Memory\n\n" + table(head, rows)
    if pending:
        text += (
            f"An open span takes {pending['bytes']:,.0f} bytes beside the {pending['payload']:,} "
            "of its messages, which it shares with the program.\n\n"
        )
    return text


def _delivery(growth: Results, through: Results) -> str:
    rows = [[f"{one['spans']:,.0f}", f"{one['cpu_us']:.1f}", f"{one['wall_us']:.1f}"]
            for one in growth.values()]  # fmt: skip
    head = ["spans, through redaction and spool", "CPU of a span, µs", "wall, µs"]
    text = "## Delivery\n\n" + table(head, rows)
    rows = [[to, f"{one['per_second']:,.0f}", f"{one['cpu_us']:,.0f}"]
            for to, one in through.items() if one]  # fmt: skip
    return text + table(["spans of 2 KB to", "spans/s", "CPU of a span, µs"], rows)


def page(results: Results) -> str:
    """Write the page.

    Args:
        results: What ``run.py`` measured, in parts.

    Returns:
        Markdown.
    """
    text = HEAD.format(**{"settings": "no call timed", **results})
    if counted := results.get("instructions"):
        text += _instructions(counted, results.get("chunk"))
    if calls := results.get("calls"):
        text += "## Calls\n\nMicroseconds for a call; in streams, for a chunk.\n\n"
        text += "".join(_case(case, calls) for case in _cases(calls))
    if imports := results.get("imports"):
        text += _imports(imports)
    if memory := results.get("memory"):
        text += _memory(memory, results.get("pending"))
    if growth := results.get("growth"):
        text += _delivery(growth, results["throughput"])
    if proxy := results.get("proxy"):
        text += proxies(proxy)
    if program := results.get("program"):
        text += programs(program)
    return text + METHOD


SMALL = "completion, 2 KB"
BAR, LEFT, WIDTH = 20, 210, 420


def plot(results: Results) -> str:
    """Draw how many instructions each tracer adds to a call, of the caller's and of all threads.

    Returns:
        An SVG. A bar much longer than all others is cut off; its number says how long it is.
    """
    found = {
        tracer: one for tracer, one in results.get("instructions", {}).get(SMALL, {}).items() if one
    }
    *others, _ = sorted([1, 1, *(one["all"] for one in found.values())])
    longest = 1.15 * others[-1]
    height = 50 + len(found) * (2 * BAR + 8)
    parts = [
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="760" height="{height}" '
            'font-family="sans-serif" font-size="13">'
        ),
        f'<rect width="760" height="{height}" fill="white"/>',
        (
            '<text x="10" y="22" font-weight="bold">Instructions added to a completion of 2 KB, '
            'thousands (<tspan fill="#1f6feb">caller\'s thread</tspan>, '
            '<tspan fill="#8c959f">all threads</tspan>)</text>'
        ),
    ]
    for number, (tracer, one) in enumerate(found.items()):
        top = 40 + number * (2 * BAR + 8)
        parts.append(f'<text x="10" y="{top + BAR + 4}">{escape(tracer)}</text>')
        for row, (key, colour) in enumerate((("caller", "#1f6feb"), ("all", "#8c959f"))):
            width = min(1.0, max(0.0, one[key] / longest)) * WIDTH
            y = top + row * BAR
            parts.append(
                f'<rect x="{LEFT}" y="{y}" width="{width:.1f}" height="{BAR - 3}" '
                f'fill="{colour}"/><text x="{LEFT + width + 6:.1f}" y="{y + 13}">'
                f"{one[key] / 1e3:,.0f}{' (cut off)' if one[key] > longest else ''}</text>"
            )
    return "\n".join([*parts, "</svg>"]) + "\n"
