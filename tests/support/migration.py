"""What each way to trace LiteLLM records of the same calls, as docs/how-to/migrate.md tells it.

Each tracer runs the same program in a process of its own, against a provider on loopback. A row
asks whether a value that only one call has is in what was recorded of that call.

Run: migration.py PAGE          rewrites the table in the page
     migration.py TRACER FILE   traces the program, in this process
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from support.provider import Provider, Scenario, ToolCall, Usage

TRACERS = {
    "trace_litellm": "trace-litellm",
    "mlflow": "mlflow",
    "openinference": "openinference-instrumentation-litellm",
    "otel": "litellm",
}
HEADINGS = (
    "`trace_litellm.autolog()`",
    "`mlflow.litellm.autolog()`",
    "OpenInference's LiteLLM instrumentor",
    'LiteLLM\'s `callbacks = ["otel"]`',
)
SECRET = "sk-that-nobody-records-4711"
ROWS: tuple[tuple[str, str, str], ...] = (
    ("the answer of a call", "plain", "An answer in full"),
    ("tokens as the provider counted them", "plain", "4711"),
    ("of these, from the provider's cache", "plain", "1234"),
    ("`temperature`", "plain", r"0\.123"),
    ("the tool's arguments", "tool", "Reykjavik"),
    ("the error message of a failed call", "failing", "no such model here"),
    ("the answer of a stream read to its end", "stream", "the-very-last-word"),
    (
        "tokens of that stream, which the provider does not send",
        "stream",
        r"total(_tokens)?\W+[1-9]",
    ),
    ("a stream left by `break`", "broken", "the-first-word"),
    ("an async call", "async", "An answer in full"),
    ("that a task was cancelled", "dropped", "[Cc]ancel"),
    ("an async call right before the program's end", "last", "An answer in full"),
)


def trace_with_ours(file: str) -> None:
    """Turn on our own tracer."""
    import trace_litellm

    trace_litellm.autolog(f"jsonl:{file}")


def trace_with_mlflow(file: str) -> None:
    """Turn on MLflow's."""
    import mlflow

    mlflow.set_tracking_uri(f"sqlite:///{file}.db")
    mlflow.litellm.autolog()


def _exporter(file: str) -> Any:
    """Return an OpenTelemetry exporter that writes a line of JSON per span."""
    from opentelemetry.sdk.trace.export import ConsoleSpanExporter

    return ConsoleSpanExporter(
        out=Path(file).open("a"),
        formatter=lambda span: json.dumps(json.loads(span.to_json())) + "\n",
    )


def trace_with_openinference(file: str) -> None:
    """Turn on OpenInference's."""
    from openinference.instrumentation.litellm import LiteLLMInstrumentor
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor

    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(_exporter(file)))
    LiteLLMInstrumentor().instrument(tracer_provider=provider)


def trace_with_otel(file: str) -> None:
    """Turn on LiteLLM's own callback for OpenTelemetry."""
    import litellm
    from litellm.integrations.opentelemetry import OpenTelemetry, OpenTelemetryConfig

    litellm.callbacks = [OpenTelemetry(config=OpenTelemetryConfig(exporter=_exporter(file)))]


def program(base: str) -> None:
    """Make the calls."""
    import litellm

    litellm.suppress_debug_info = True

    def options(name: str) -> dict[str, Any]:
        messages = [{"role": "user", "content": f"Question of {name}"}]
        return {
            "model": f"openai/mig-{name}",
            "messages": messages,
            "api_base": base,
            "api_key": SECRET,
        }

    litellm.completion(**options("plain"), temperature=0.123)
    weather = {"type": "function", "function": {"name": "weather", "parameters": {}}}
    litellm.completion(**options("tool"), tools=[weather])
    with contextlib.suppress(litellm.BadRequestError):
        litellm.completion(**options("failing"))
    for _ in litellm.completion(**options("stream"), stream=True):
        pass
    for chunk in litellm.completion(**options("broken"), stream=True):
        if chunk.choices[0].delta.content:
            break

    async def some() -> None:
        await litellm.acompletion(**options("async"))
        task = asyncio.ensure_future(litellm.acompletion(**options("dropped")))
        await asyncio.sleep(1.0)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        await asyncio.sleep(3.0)  # a program that goes on: callbacks have their time

    asyncio.run(some())
    asyncio.run(litellm.acompletion(**options("last")))


def script(provider: Provider) -> None:
    """Tell the provider what to answer."""
    usage = Usage(prompt=4711, completion=815, cached=1234)
    answer = Scenario(text="An answer in full", usage=usage)
    for name in ("plain", "async", "last"):
        provider.script(f"mig-{name}", answer)
    provider.script(
        "mig-tool", Scenario(tool_calls=(ToolCall("weather", '{"city": "Reykjavik"}'),))
    )
    provider.script(
        "mig-failing", Scenario(status=400, error_body={"error": {"message": "no such model here"}})
    )
    provider.script("mig-stream", Scenario(chunks=("Some ", "words, ", "the-very-last-word")))
    provider.script("mig-broken", Scenario(chunks=("the-first-word ", "and ", "more")))
    provider.script("mig-dropped", Scenario(text="too late", first_chunk_delay=30.0))


def recorded(tracer: str, file: Path) -> list[str]:
    """Return what a tracer recorded, a text a span."""
    if tracer != "mlflow":
        return file.read_text().splitlines() if file.exists() else []
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{file}.db")
    traces = client.search_traces(locations=["0"])
    return [json.dumps(span.to_dict()) for trace in traces for span in trace.data.spans]


def found(tracer: str, base: str, folder: Path) -> list[str]:
    """Run the program under a tracer, and return the cells of its column."""
    file = folder / f"{tracer}.jsonl"
    told = {
        **os.environ,
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "MIGRATION_BASE": base,
        "XDG_STATE_HOME": str(folder),
    }
    subprocess.run(
        [sys.executable, __file__, tracer, str(file)], cwd=folder, env=told, timeout=180, check=True
    )
    spans = recorded(tracer, file)
    cells = [_cell(spans, name, wanted) for _, name, wanted in ROWS]
    keeps_out = SECRET not in "".join(spans)
    return [*cells, "kept out" if keeps_out else "**recorded**"]


def _cell(spans: list[str], name: str, wanted: str) -> str:
    of_call = [text for text in spans if f"mig-{name}" in text or f"Question of {name}" in text]
    if not of_call:
        return "no span"
    plain = "".join(of_call).replace("\\", "")
    return "yes" if re.search(wanted, plain) else "no"


def table(columns: list[list[str]]) -> str:
    """Return the table in Markdown."""
    names = [what for what, _, _ in ROWS] + ["the API key"]
    rows = [[name, *cells] for name, cells in zip(names, zip(*columns, strict=True), strict=True)]
    lines = [["", *HEADINGS], ["---"] * (len(HEADINGS) + 1), *rows]
    releases = ", ".join(f"{name} {version(name)}" for name in sorted(set(TRACERS.values())))
    made = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return f"{made}\n\nBy {releases}."


def main() -> None:
    """Rewrite the table between its two marks."""
    page = Path(sys.argv[1])
    with Provider() as provider, tempfile.TemporaryDirectory() as folder:
        script(provider)
        base = provider.openai_base
        columns = [found(tracer, base, Path(folder)) for tracer in TRACERS]
    marked = re.compile(r"(<!-- made by.*?-->\n).*?(\n<!-- end -->)", re.DOTALL)
    text = page.read_text()
    page.write_text(marked.sub(lambda match: f"{match[1]}\n{table(columns)}\n{match[2]}", text))


if __name__ == "__main__":
    if sys.argv[1] in TRACERS:
        start = {
            "trace_litellm": trace_with_ours,
            "mlflow": trace_with_mlflow,
            "openinference": trace_with_openinference,
            "otel": trace_with_otel,
        }[sys.argv[1]]
        start(sys.argv[2])
        program(os.environ["MIGRATION_BASE"])
    else:
        main()
