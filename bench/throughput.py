"""How many traces a second one program gets into one MLflow server, and at what cost to itself.

Each way writes the same traces of 4 spans, 2 KB asked and 1 KB answered in each, into the same
server, in a process of its own: MLflow's own spans, delivered in the background (its default, and
its fastest) and at once, and ours without and with redaction and spool. All are counted in the
server's database afterwards.

Run: python bench/throughput.py [TRACES]
"""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

CHILDREN = 3
PROMPT = {"messages": [{"role": "user", "content": "word " * 400}], "model": "gpt-4o-mini"}
ANSWER = {"choices": [{"message": {"role": "assistant", "content": "word " * 200}}]}
USED = {"input_tokens": 20, "output_tokens": 10, "total_tokens": 30}
WARM_UP = 20
WAYS = ("native", "native-sync", "ours", "ours-durable")
SLOW = 4
"""MLflow's own way gets so many times fewer traces to write: a rate is a rate."""


def native() -> tuple[Callable[[], None], Callable[[], None]]:
    """MLflow's fluent spans: what makes a trace, and what waits for delivery."""
    import mlflow

    mlflow.set_experiment("native")

    def trace() -> None:
        with mlflow.start_span("agent") as root:
            root.set_inputs(PROMPT)
            root.set_outputs(ANSWER)
            for _ in range(CHILDREN):
                with mlflow.start_span("chat", span_type="CHAT_MODEL") as span:
                    span.set_inputs(PROMPT)
                    span.set_outputs(ANSWER)
                    span.set_attribute("mlflow.chat.tokenUsage", USED)

    return trace, mlflow.flush_trace_async_logging


def ours(kind: str) -> tuple[Callable[[], None], Callable[[], None]]:
    """The same with a tracer of ours."""
    from trace_core import Background, SpanKind, TokenUsage, Tracer, durable
    from trace_mlflow_sink import MlflowSink

    sink = MlflowSink(os.environ["MLFLOW_TRACKING_URI"], kind)
    durably = kind == "ours-durable"
    tracer = Tracer(durable(sink) if durably else Background(sink), redacted=durably)
    used = TokenUsage(input=20, output=10, total=30)

    def trace() -> None:
        with tracer.span("agent", kind=SpanKind.AGENT, inputs=PROMPT) as root:
            root.set(outputs=ANSWER)
            for _ in range(CHILDREN):
                with tracer.span("chat", kind=SpanKind.LLM, inputs=PROMPT) as span:
                    span.set(outputs=ANSWER, usage=used)

    def wait() -> None:
        if not tracer.flush(120):
            raise SystemExit("not all was delivered")

    return trace, wait


def run(kind: str, count: int) -> None:
    """Write traces in one way, in this process, and print what it took."""
    trace, wait = native() if kind.startswith("native") else ours(kind)
    for _ in range(WARM_UP):
        trace()
    wait()
    wall, cpu = time.perf_counter(), time.process_time()
    for _ in range(count):
        trace()
    wait()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    print(json.dumps({"traces_per_s": count / wall, "cpu_ms": 1e3 * cpu / count}))


def measure(kind: str, count: int, url: str, folder: str) -> dict[str, float]:
    """Do it in a process of its own, and count what the server has of it."""
    told = {"MLFLOW_TRACKING_URI": url, "XDG_STATE_HOME": folder}
    if kind == "native-sync":
        told["MLFLOW_ENABLE_ASYNC_TRACE_LOGGING"] = "false"
    done = subprocess.run(
        [sys.executable, __file__, kind, str(count)],
        env={**os.environ, **told},
        stdout=subprocess.PIPE,
        check=True,
    )
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    """Measure all ways, and print a table."""
    from support.mlflow_server import MlflowServer

    count = int(sys.argv[1]) if len(sys.argv) > 1 else 400
    with tempfile.TemporaryDirectory() as folder, MlflowServer(Path(folder)) as server:
        results = {}
        for kind in WAYS:
            number = count // SLOW if kind.startswith("native") else count
            before = _spans(folder)
            results[kind] = measure(kind, number, server.url, folder)
            missing = (number + WARM_UP) * (CHILDREN + 1) - (_spans(folder) - before)
            results[kind]["missing_spans"] = missing
    best = max((results["native"], results["native-sync"]), key=lambda way: way["traces_per_s"])
    print(f"{'':14}{'traces/s':>10}{'times':>8}{'client ms':>11}{'1 in':>8}{'missing':>9}")
    for kind, way in results.items():
        rate, cpu = way["traces_per_s"], way["cpu_ms"]
        times, part = rate / best["traces_per_s"], best["cpu_ms"] / cpu
        missing = way["missing_spans"]
        print(f"{kind:14}{rate:10.1f}{times:8.1f}{cpu:11.2f}{part:8.1f}{missing:9.0f}")


def _spans(folder: str) -> int:
    with sqlite3.connect(f"{folder}/server.db") as database:
        return int(database.execute("select count(*) from spans").fetchone()[0])


if __name__ == "__main__":
    if len(sys.argv) == 3:
        run(sys.argv[1], int(sys.argv[2]))
    else:
        main()
