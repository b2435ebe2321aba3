"""What a program of one call takes from start to exit, and what tracing adds to it.

    python bench/short_program.py --repeats 5
    python bench/short_program.py --way "ours, server" --repeats 3

Each program is a process of its own, and they take turns: untraced, ours into a file, a new SQLite
database, an MLflow server, and one that is away, and `mlflow.litellm.autolog` into both. LiteLLM
answers by its own `mock_response`. Prints JSON: CPU and wall seconds, whole and of each step
(``import`` of the tracer after LiteLLM's own, ``on``, ``call``, and ``exit``, which is all after
the call, the interpreter's own end too), and ``added``, to the untraced program beside it.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parents[1] / "tests"))
PROGRAM = """
import time
t0 = time.process_time()
import litellm
t1 = time.process_time()
{turn_on}
t2 = time.process_time()
litellm.completion("gpt-4o-mini", [{{"role": "user", "content": "hi"}}], mock_response="hello")
print(t1 - t0, t2 - t1, time.process_time() - t2, time.process_time())
"""
OURS = "import trace_litellm; trace_litellm.autolog({sink!r})"
THEIRS = "import mlflow; mlflow.set_tracking_uri({uri!r}); mlflow.litellm.autolog()"
AWAY = "http://127.0.0.1:9"
LIMIT = 600
STEPS = ("litellm", "on", "call")


def ways(database: str, server: str) -> dict[str, str]:
    """Return how tracing is turned on, for the URIs of a database and of a server."""
    return {
        "untraced": "",
        "ours, file": OURS.format(sink="jsonl:spans.jsonl"),
        "ours, SQLite": OURS.format(sink=f"mlflow:{database}"),
        "ours, server": OURS.format(sink=f"mlflow:{server}"),
        "ours, server away": OURS.format(sink=f"mlflow:{AWAY}"),
        "mlflow.litellm.autolog, SQLite": THEIRS.format(uri=database),
        "mlflow.litellm.autolog, server": THEIRS.format(uri=server),
    }


def run(turn_on: str) -> dict[str, float]:
    """Run a program, in a folder and with a spool of its own."""
    with tempfile.TemporaryDirectory() as folder:
        told = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "MLFLOW_DISABLE_TELEMETRY": "true"}
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("TRACE_", "OTEL_"))}
        before, wall = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        done = subprocess.run(
            (sys.executable, "-c", PROGRAM.format(turn_on=turn_on)),
            cwd=folder,
            env={**kept, **told, "XDG_STATE_HOME": folder},
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            timeout=LIMIT,
            check=True,
        )
        wall = time.perf_counter() - wall
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    *steps, called = map(float, done.stdout.split())
    spent = dict(zip(STEPS, steps, strict=True))
    return {**spent, "exit": cpu - called, "cpu": cpu, "wall": wall}


def take_turns(programs: dict[str, str], repeats: int) -> dict[str, Any]:
    """Run all programs so often, after once for nothing; return medians."""
    found: dict[str, list[dict[str, float]]] = {name: [] for name in programs}
    for number in range(repeats + 1):
        for name, turn_on in programs.items():
            one = run(turn_on)
            if number:  # the first compiles, and makes the database
                found[name].append(one)
    medians = {name: _middle(each) for name, each in found.items()}
    base = found.get("untraced")
    for name, each in found.items() if base else ():
        pairs = zip(each, base or (), strict=True)
        medians[name]["added"] = statistics.median(a["cpu"] - b["cpu"] for a, b in pairs)
    return medians


def _middle(rounds: list[dict[str, float]]) -> dict[str, float]:
    return {key: statistics.median(one[key] for one in rounds) for key in rounds[0]}


@contextlib.contextmanager
def targets() -> Iterator[tuple[str, str]]:
    """Run an MLflow server, and name a database beside it."""
    from support.mlflow_server import MlflowServer

    with tempfile.TemporaryDirectory() as folder, MlflowServer(Path(folder)) as server:
        yield f"sqlite:///{folder}/mlflow.db", server.url


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--way", action="append", choices=ways("", ""))
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    with targets() as (database, server):
        chosen = options.way or list(ways("", ""))
        programs = {n: on for n, on in ways(database, server).items() if n in chosen}
        print(json.dumps(take_turns(programs, options.repeats)))


if __name__ == "__main__":
    main()
