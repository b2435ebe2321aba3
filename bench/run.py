"""Put every tracer beside every other: ``nox -s bench``, or ``nox -s bench -- --quick``.

Each tracer has an environment of its own and is measured in fresh processes, which take turns
with those of the others, round after round. The result is a page with a table and a plot.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path
from typing import Any

from report import page, plot
from tracers import TRACERS

HERE = Path(__file__).parent
PARTS = ("calls", "instructions", "footprint", "delivery", "proxy", "program")
SLOW_PARTS = {"instructions", "proxy", "program"}
"""Left out when quick."""
OURS = "trace_litellm"
TWO_WORKERS = "8, 2 KB"
PARTLY = ("trace_litellm, empty hooks", "trace_litellm, in memory")
"""Ours without all that belongs to it, which the table of calls explains it by."""
SIMULATED = ("completion, 2 KB", "completion, 50 KB", "completion, 1 MB image")
SLOWER = 40  # so many times what they should take: MLflow writes to its database all the while
Results = dict[str, Any]


def environment(tracer: str, folder: Path, litellm: str) -> Path:
    """Make the environment of a peer, once; ours is the one this runs in.

    Returns:
        Its Python.
    """
    packages = TRACERS[tracer].packages
    if not packages:
        return Path(sys.executable)
    venv = folder / "".join(c if c.isalnum() else "-" for c in tracer)
    python = venv / "bin" / "python"
    if not (venv / "ready").exists():
        subprocess.run(
            ("uv", "venv", "-q", "--clear", "--python", sys.executable, venv), check=True
        )
        install = ("uv", "pip", "install", "-q", "-p", python, f"litellm=={litellm}", *packages)
        subprocess.run(install, check=True)
        (venv / "ready").touch()
    return python


def ask(python: Path, *arguments: str, limit: float = 300) -> Any:
    """Run one of the measuring programs in a process of its own.

    Returns:
        What it printed, or ``None`` if it failed, which is told.
    """
    environ = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    environ |= {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "MLFLOW_DISABLE_TELEMETRY": "true"}
    command = (str(python), str(HERE / arguments[0]), *arguments[1:])
    with tempfile.TemporaryDirectory() as folder:
        try:
            done = subprocess.run(
                command,
                env={**environ, "XDG_STATE_HOME": folder},
                cwd=folder,
                text=True,
                capture_output=True,
                timeout=limit,
                check=True,
            )
            return json.loads(done.stdout.splitlines()[-1])
        except subprocess.SubprocessError as error:
            text = getattr(error, "stderr", None) or str(error)
            print(f"failed: {' '.join(arguments)}: {str(text)[-600:]}", file=sys.stderr)
            return None


def callers(pythons: dict[str, Path], rounds: int, seconds: float, cases: list[str]) -> Results:
    """Measure what each tracer adds to each kind of call, round after round."""
    found: dict[str, dict[str, list[Any]]] = {tracer: {} for tracer in pythons}
    for number in range(rounds):
        for tracer, python in pythons.items():
            print(f"round {number + 1} of {rounds}: {tracer}", file=sys.stderr, flush=True)
            chosen = [part for case in cases for part in ("--case", case)]
            arguments = ("--tracer", tracer, *chosen, "--seconds", str(seconds), "--json")
            limit = 60 + SLOWER * seconds * len(cases)
            one = ask(python, "caller.py", *arguments, limit=limit) or {tracer: {}}
            for case, measured in one[tracer].items():
                found[tracer].setdefault(case, []).append(measured)
    return {
        tracer: {case: middle(each) for case, each in by_case.items()}
        for tracer, by_case in found.items()
    }


def middle(rounds: list[Any]) -> Any:
    """Take the median of the rounds, number by number."""
    first = rounds[0]
    if isinstance(first, dict):
        return {key: middle([one[key] for one in rounds]) for key in first}
    return statistics.median(rounds)


def footprints(pythons: dict[str, Path], repeats: int, calls: int) -> tuple[Results, Results]:
    """Measure import and memory of each tracer."""
    imports: Results = {}
    memory: Results = {}
    for tracer, python in pythons.items():
        if tracer in PARTLY:
            continue
        arguments = ("footprint.py", "import", "--tracer", tracer)
        ask(python, *arguments)  # compiles
        taken = [one for _ in range(repeats) if (one := ask(python, *arguments))]
        if taken and tracer != "nobody":
            imports[tracer] = middle(taken)
        if calls:
            memory[tracer] = memory_after(python, tracer, calls)
    return imports, memory


def add_footprints(results: Results, pythons: dict[str, Path], *, quick: bool) -> None:
    """Measure import, memory and an open span, and add them to what is known."""
    imports, memory = footprints(pythons, 1 if quick else 5, 0 if quick else 10_000)
    results.setdefault("imports", {}).update(imports)
    results.setdefault("memory", {}).update(memory if quick else {**memory, **lasting(100_000)})
    results["pending"] = ask(Path(sys.executable), "footprint.py", "pending")


def memory_after(python: Path, tracer: str, calls: int) -> Any:
    """Measure the memory of so many calls."""
    number = ("--calls", str(calls))
    return ask(python, "footprint.py", "memory", "--tracer", tracer, *number, limit=1_800)


def lasting(calls: int) -> Results:
    """Measure the memory of many calls, with our tracing and without any."""
    return {
        f"{tracer}, for long": memory_after(Path(sys.executable), tracer, calls)
        for tracer in ("nobody", OURS)
    }


def instructions(pythons: dict[str, Path]) -> Results:
    """Count the instructions that each tracer adds to a call, two tracers at a time.

    Returns:
        Them, and those of a chunk of a stream, of ours.
    """
    if shutil.which("valgrind") is None:
        print("no valgrind here: no instructions are counted", file=sys.stderr)
        return {}

    def counted(case: str, tracer: str) -> Any:
        chosen = ("--tracer", tracer, "--case", case)
        return ask(pythons[tracer], "instructions.py", "call", *chosen, limit=1_000)

    pairs = list(product(SIMULATED, pythons))
    with ThreadPoolExecutor(2) as pool:
        all_counted = list(pool.map(lambda pair: counted(*pair), pairs))
    found: dict[str, Results] = {case: {} for case in SIMULATED}
    for (case, tracer), one in zip(pairs, all_counted, strict=True):
        found[case][tracer] = one
    chunk = ask(
        Path(sys.executable), "instructions.py", "chunk", "--tracer", PARTLY[1], limit=1_000
    )
    return {"instructions": found, "chunk": chunk}


def add_instructions(results: Results, pythons: dict[str, Path]) -> None:
    """Count instructions, and add them to what is known."""
    counted = instructions(pythons)
    for case, by_tracer in counted.get("instructions", {}).items():
        results.setdefault("instructions", {}).setdefault(case, {}).update(by_tracer)
    results["chunk"] = counted.get("chunk")


def deliveries(quick: bool) -> tuple[Results, Results]:
    """Measure how fast our spans are delivered, and whether that depends on how many there are."""
    here = Path(sys.executable)
    sizes = (1_000, 10_000) if quick else (1_000, 10_000, 100_000)
    growth = {}
    for size in sizes:
        rounds = [
            ask(here, "delivery.py", "growth", "--spans", str(size))
            for _ in range(1 if size > 10_000 else 3)
        ]
        growth[str(size)] = middle([one for one in rounds if one])
    more = ("mlflow-sqlite", "mlflow-server", "otlp", "otlp-gzip")
    targets = ("jsonl", "spool", *(() if quick else more))
    spans = {"mlflow-sqlite": "2000", "mlflow-server": "2000"}
    through = {
        to: ask(here, "delivery.py", "throughput", "--to", to, "--spans", spans.get(to, "20000"))
        for to in targets
    }
    return growth, through


def proxies() -> Results:
    """Measure LiteLLM's proxy, in all settings with one worker and in one with two."""
    here = Path(sys.executable)
    found = ask(here, "proxy.py", limit=7_200) or {}
    two = ("--workers", "2", "--setting", TWO_WORKERS)
    both = ask(here, "proxy.py", *two, limit=1_800) or {}
    return found | {f"{setting}, two workers": one for setting, one in both.items()}


def programs() -> Results:
    """Measure what a whole program feels of our tracing: event loop, memory, start and exit."""
    here = Path(sys.executable)
    loops = {tracer: ask(here, "event_loop.py", "--tracer", tracer) for tracer in ("nobody", OURS)}
    long = {
        tracer: ask(here, "memory.py", "calls", "--tracer", tracer, limit=1_800)
        for tracer in ("nobody", OURS)
    }
    outage = ask(here, "memory.py", "outage", "--seconds", "600", limit=1_800)
    short = ask(here, "short_program.py", limit=3_600)
    backlog = ask(here, "backlog.py", limit=600)
    return {"loops": loops, "long": long, "outage": outage, "short": short, "backlog": backlog}


WHOLE = {"proxy": proxies, "program": programs}
"""The parts that measure whole programs, none of which depends on what the others found."""


def main() -> None:
    """Measure, and write table and plot."""
    from cases import cases

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="3 minutes instead of two hours")
    parser.add_argument("--tracer", action="append", choices=TRACERS)
    parser.add_argument("--case", action="append", choices=cases())
    parser.add_argument("--part", action="append", choices=PARTS)
    parser.add_argument("--rounds", type=int, help="of processes; 2, or 1 when quick")
    parser.add_argument("--seconds", type=float, help="for a case in a round; 3, or 2 when quick")
    parser.add_argument("--litellm", required=True, help="release")
    parser.add_argument("--venvs", type=Path, required=True, help="folder for environments")
    parser.add_argument("--results", type=Path, required=True, help="JSON, added to if there")
    parser.add_argument("--page", type=Path, help="Markdown to write")
    parser.add_argument("--image", type=Path, help="SVG to write")
    options = parser.parse_args()
    quick = options.quick
    parts = options.part or (set(PARTS) - SLOW_PARTS if quick else PARTS)
    tracers = options.tracer or list(TRACERS)
    pythons = {one: environment(one, options.venvs.resolve(), options.litellm) for one in tracers}
    results: Results = {}
    if options.results.exists():
        results = json.loads(options.results.read_text())
    chosen = options.case or (["completion, 2 KB"] if quick else list(cases()))
    if "calls" in parts:
        rounds, seconds = options.rounds or (1 if quick else 2), options.seconds or 3 - quick
        results["settings"] = f"each case measured for {seconds} s in {rounds} round(s)"
        new = callers(pythons, rounds, seconds, chosen)
        for tracer, by_case in new.items():
            results.setdefault("calls", {}).setdefault(tracer, {}).update(by_case)
    if "instructions" in parts:
        add_instructions(results, pythons)
    if "footprint" in parts:
        add_footprints(results, pythons, quick=quick)
    if "delivery" in parts:
        results["growth"], results["throughput"] = deliveries(quick)
    for part in WHOLE.keys() & set(parts):
        results[part] = WHOLE[part]()
    results["litellm"], results["when"] = options.litellm, time.strftime("%Y-%m")
    results["python"] = sys.version.split()[0]
    options.results.write_text(json.dumps(results, indent=1))
    text = page(results)
    if options.page:
        options.page.write_text(text)
    else:
        print(text)
    if options.image:
        options.image.write_text(plot(results))


if __name__ == "__main__":
    main()
