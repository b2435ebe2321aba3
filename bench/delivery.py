"""How fast finished spans of 2 KB get where they are stored, and whether that stays so.

    python bench/delivery.py growth --spans 10000         through redaction and spool
    python bench/delivery.py throughput --to jsonl        or spool, mlflow-sqlite,
                                                          mlflow-server, otlp, otlp-gzip

Each prints JSON: CPU and wall time of a span in microseconds, from its hand-off to the
acknowledgement of its delivery.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tracers import Discard

from trace_core import JsonLinesSink, Sink, Span, SpanContext, SpanKind, TokenUsage, durable
from trace_core import load_sink as named

BATCH = 100
START_NS = 1_700_000_000_000_000_000
WORDS = "some words of prose, as a prompt has them. "


def span(number: int) -> Span:
    """Make a finished span of 2 KB, of a trace of its own."""
    messages = ({"role": "user", "content": (WORDS * 50)[:1_800]},)
    return Span(
        SpanContext(f"{number + 1:032x}", f"{number + 1:016x}"),
        None,
        "chat bench",
        SpanKind.LLM,
        START_NS,
        START_NS + 10**9,
        inputs={"messages": messages},
        outputs={"choices": ({"message": {"role": "assistant", "content": "fine"}},)},
        usage=TokenUsage(400, 1, 401),
    )


def deliver(sink: Any, count: int, limit: float) -> dict[str, Any]:
    """Hand over so many spans and wait for the last to be delivered.

    Batches are handed over no faster than they are taken, so that none is dropped.
    """
    sink.write([span(count)])
    sink.flush(limit)
    cpu, wall = time.process_time(), time.perf_counter()
    for first in range(0, count, BATCH):
        sink.write([span(number) for number in range(first, first + BATCH)])
        if first % (20 * BATCH) == 0:
            sink.flush(limit)
    assert sink.flush(limit), "not delivered in time"
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    sink.close(30)
    return {
        "spans": count,
        "cpu_us": cpu * 1e6 / count,
        "wall_us": wall * 1e6 / count,
        "per_second": count / wall,
    }


@contextlib.contextmanager
def collector() -> Iterator[str]:
    """Run an OpenTelemetry collector in a process of its own."""
    program = Path(__file__).parents[1] / "tests" / "support" / "collector.py"
    with subprocess.Popen(
        [sys.executable, str(program)], stdout=subprocess.PIPE, text=True
    ) as running:
        assert running.stdout is not None
        try:
            yield running.stdout.readline().strip()
        finally:
            running.kill()


@contextlib.contextmanager
def target(name: str, folder: Path) -> Iterator[Sink]:
    """Make the sink that is measured."""
    if name == "jsonl":
        yield JsonLinesSink(str(folder / "traces.jsonl"))
    elif name == "spool":
        yield durable(Discard(), spool_dir=str(folder), environ={})
    elif name == "mlflow-sqlite":
        yield named(f"mlflow:sqlite:///{folder}/mlflow.db?experiment=bench")
    elif name.startswith("otlp"):
        with collector() as url:
            options = "compression=gzip" if name == "otlp-gzip" else "dialect=genai"
            yield durable(named(f"otlp:{url}?{options}"), spool_dir=str(folder), environ={})
            with urllib.request.urlopen(url) as answer:
                found = json.load(answer)
            assert not found["faults"], found["faults"]
            print(f"the collector has {found['different']} spans", file=sys.stderr)
    else:
        sys.path.append(str(Path(__file__).parents[1] / "tests"))
        from support.mlflow_server import MlflowServer

        with MlflowServer(folder) as server:
            yield named(f"mlflow:{server.url}?experiment=bench")


TARGETS = ("jsonl", "spool", "mlflow-sqlite", "mlflow-server", "otlp", "otlp-gzip")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=("growth", "throughput"))
    parser.add_argument("--spans", type=int, default=10_000)
    parser.add_argument("--to", choices=TARGETS, default="spool")
    options = parser.parse_args()
    to = "spool" if options.what == "growth" else options.to
    with tempfile.TemporaryDirectory() as folder, target(to, Path(folder)) as sink:
        print(json.dumps(deliver(sink, options.spans, 170)))


if __name__ == "__main__":
    main()
