"""The page's part on whole programs: LiteLLM's proxy, an event loop, memory, one call and exit."""

from __future__ import annotations

from typing import Any

from table import table

Results = dict[str, Any]
PROXY = """## LiteLLM's proxy

`python bench/proxy.py`. One worker on one processor, unless it says two; its provider, MLflow
server and the load, of so many connections, have the others. All proxies run at once and take
turns. "Of untraced" is the median of the ratios of each round; where the machine is shared, CPU of
a request says more than requests a second.

"""
LOOP = """## An event loop

`python bench/event_loop.py`. 200 calls in flight, of a provider that answers in 50 to 500 ms: how
late a task wakes that sleeps 5 ms, in milliseconds. "Added" is the median difference of a round.

"""
SHORT = """## A program of one call

`python bench/short_program.py`. CPU seconds of all threads, start to exit, a process for each.
"Added" is the median difference to the untraced program that ran beside it.

"""


def proxies(settings: Results) -> str:
    """Make the tables of the proxy."""
    text = PROXY
    for setting, by_way in settings.items():
        head = [f"{setting}", "requests/s", "of untraced", "p50, ms", "p99, ms", "of untraced",
                "CPU of a request, ms", "of untraced", "MiB", "failed"]  # fmt: skip
        text += table(head, [_proxy(way, one) for way, one in by_way.items()])
    return text


def _proxy(way: str, one: Results) -> list[str]:
    return [
        way, f"{one['per_second']:.1f}", f"{one.get('ratio', 0):.2f}", f"{one['p50_ms']:,.0f}",
        f"{one['p99_ms']:,.0f}", f"{one.get('p99_ratio', 0):.2f}", f"{one['cpu_ms']:.1f}",
        f"{one.get('cpu_ratio', 0):.2f}", f"{one['mib']:,.0f}", f"{one['failed']:,.0f}",
    ]  # fmt: skip


def programs(found: Results) -> str:
    """Make the tables of what `run.programs` measured; a part that failed is left out."""
    return (
        _loops(found.get("loops") or {})
        + _short(found.get("short") or {})
        + _memory(found.get("long") or {}, found.get("outage"))
        + _backlog(found.get("backlog"))
    )


def _loops(loops: Results) -> str:
    rows = [
        [tracer, *(f"{one['off'][p]:.1f} → {one['on'][p]:.1f}" for p in ("p50_ms", "p99_ms")),
         f"{one['added']['p99_ms']:+.1f}", f"{one['added']['cpu_ms']:+.2f}"]
        for tracer, one in loops.items() if one
    ]  # fmt: skip
    head = ["lateness, ms", "p50, off → on", "p99, off → on", "p99 added", "CPU of a call added"]
    return LOOP + table(head, rows) if rows else ""


def _short(ways: Results) -> str:
    rows = [
        [way, *(f"{one[key]:.2f}" for key in ("litellm", "on", "call", "exit", "cpu")),
         f"{one.get('added', 0):+.2f}", f"{one['wall']:.1f}"]
        for way, one in ways.items()
    ]  # fmt: skip
    head = ["CPU, s", "import of LiteLLM", "turning on", "call", "exit", "all", "added", "wall"]
    return SHORT + table(head, rows) if rows else ""


def _memory(long: Results, outage: Results | None) -> str:
    rows = [
        [f"{tracer}, {one['calls']:,} calls", *_mib(one), ""]
        for tracer, one in long.items() if one
    ]  # fmt: skip
    if outage:
        what = f"trace_litellm, sink away for {outage['seconds']:,.0f} s, {outage['calls']:,} calls"
        rows.append([what, *_mib(outage), f"{outage['calls'] - outage['delivered']:,}"])
    head = ["MiB, messages of 20 KB", "after the first 1,000", "at the most", "at the end", "lost"]
    return "## Memory of a program, and over an outage\n\n" + table(head, rows) if rows else ""


def _mib(one: Results) -> list[str]:
    return [f"{one[key]:,.0f}" for key in ("first_mib", "most_mib", "end_mib")]


def _backlog(one: Results | None) -> str:
    if not one:
        return ""
    return (
        f"{one['spans']:,} spans of 2 KB that waited for a sink: the first arrives "
        f"{one['first_s']:.1f} s after it is back, then {one['per_second']:,.0f} a second, for "
        f"{one['cpu_s']:.1f} s of CPU; spans made meanwhile take {one['live_s']:.2f} s (median), "
        f"{one['live_longest_s']:.2f} s at the most; memory {one['mib']:,.0f} MiB before, "
        f"{one['waiting_mib']:,.0f} while they wait, {one['end_mib']:,.0f} at the end.\n\n"
    )
