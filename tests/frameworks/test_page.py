"""docs/how-to/trace-frameworks.md: its programs make the traces that it shows."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from support.provider import PROMPT_TOKENS, Provider, Scenario, ToolCall

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "trace-frameworks.md"
FRAMEWORK = os.environ.get("TRACE_FRAMEWORK", "")

BLOCK = re.compile(r"^```(python|text)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PARENTS_BY_MLFLOW = re.compile(r"^(mlflow\..*|os\.environ\[.*)\n", re.MULTILINE)
MARK = """
import time as _time, trace_litellm as _ours
assert _ours.autolog().flush(120)
open("marks", "a").write(f"{_time.time_ns()}\\n")
"""
IN_A_SPAN = """
import trace_litellm
with trace_litellm.autolog().tracer.span("run", kind="AGENT"):
"""

WARM = Scenario(text="It is warm.")
WITH_A_TOOL = [Scenario(tool_calls=(ToolCall("get_weather"),)), WARM]
WITH_CODE = [
    Scenario(text='<code>\nprint(get_weather("Paris"))\n</code>'),
    Scenario(text='<code>\nfinal_answer("warm")\n</code>'),
]
WITH_A_WRONG_ANSWER = [Scenario(text='{"name": 5}'), Scenario(text='{"name": "Ann"}')]
REASONED = "[[ ## reasoning ## ]]\nIt is June.\n\n[[ ## answer ## ]]\nwarm\n\n[[ ## completed ## ]]"
ANSWERS = {
    "dspy": [Scenario(text=REASONED)],
    "instructor": WITH_A_WRONG_ANSWER * 2,
    "smolagents": WITH_CODE * 2,
}


def steps() -> list[tuple[str, str]]:
    """The programs of this framework's section, each with the traces it makes."""
    section = PAGE.read_text().partition(f"\n## {FRAMEWORK}\n")[2].partition("\n## ")[0]
    found = [(kind, text) for kind, text in BLOCK.findall(section)]
    assert [kind for kind, _ in found] == ["python", "text"] * (len(found) // 2)
    texts = [text for _, text in found]
    return list(zip(texts[::2], texts[1::2], strict=True))


@dataclass(frozen=True)
class Laboratory:
    """Where programs run, and where their traces go."""

    folder: Path
    provider: Provider

    @property
    def store(self) -> str:
        return f"sqlite:///{self.folder / 'mlflow.db'}"

    def run(self, name: str, *blocks: str) -> list[list[Any]]:
        """Run the blocks as one program; return the traces that each of them made."""
        self.provider.script("gpt-4o-mini", *ANSWERS.get(FRAMEWORK, WITH_A_TOOL))
        here = self.folder / name
        here.mkdir()
        (here / "program.py").write_text("".join(block + MARK for block in blocks))
        done = subprocess.run(
            [sys.executable, "program.py"],
            cwd=here,
            env=self._environment(name, silent="mlflow.openai.autolog" not in "".join(blocks)),
            capture_output=True,
            check=False,
            text=True,
            timeout=600,
        )
        assert done.returncode == 0, done.stderr
        marks = [int(mark) for mark in (here / "marks").read_text().split()]
        return self._traces_by_block(name, marks)

    def _environment(self, name: str, *, silent: bool) -> dict[str, str]:
        foreign = ("MLFLOW_", "OTEL_", "TRACE_")
        kept = {k: v for k, v in os.environ.items() if not k.startswith(foreign)}
        return kept | {
            "HOME": str(self.folder / name),
            # With it, openai-agents makes no traces, not even for MLflow.
            "OPENAI_AGENTS_DISABLE_TRACING": str(silent).lower(),
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "MLFLOW_EXPERIMENT_NAME": name,
            "MLFLOW_TRACKING_URI": self.store,
            "OPENAI_API_KEY": "sk-loopback",
            "OPENAI_API_BASE": self.provider.openai_base,
            "OPENAI_BASE_URL": self.provider.openai_base,
            "XDG_STATE_HOME": str(self.folder / name / "state"),
        }

    def _traces_by_block(self, name: str, marks: list[int]) -> list[list[Any]]:
        from mlflow import MlflowClient

        client = MlflowClient(tracking_uri=self.store)
        experiment = client.get_experiment_by_name(name)
        assert experiment is not None
        traces = client.search_traces(locations=[experiment.experiment_id])
        traces = sorted(traces, key=lambda trace: spans_of(trace)[0].start_time_ns)
        found: list[list[Any]] = [[] for _ in marks]
        for trace in traces:
            start = spans_of(trace)[0].start_time_ns
            found[next(i for i, mark in enumerate(marks) if start < mark)].append(trace)
        return found


@pytest.fixture(scope="module")
def laboratory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Laboratory]:
    with Provider() as provider:
        yield Laboratory(tmp_path_factory.mktemp("laboratory"), provider)


def spans_of(trace: Any) -> list[Any]:
    return sorted(trace.data.spans, key=lambda span: span.start_time_ns)


def drawn(trace: Any) -> str:
    """A trace as the page shows it: a line per span, indented under its parent."""
    spans = spans_of(trace)
    known = {span.span_id for span in spans}

    def lines(parent: str | None, depth: int) -> Iterator[str]:
        for span in spans:
            if span.parent_id == parent:
                yield f"{'  ' * depth}{span.name}\n"
                yield from lines(span.span_id, depth + 1)

    orphans = [span.name for span in spans if span.parent_id not in known | {None}]
    assert orphans == []
    return "".join(lines(None, 0))


def calls_of(trace: Any) -> list[Any]:
    """The spans of ours that are calls to a model."""
    return [span for span in trace.data.spans if span.name.startswith("chat ")]


def test_the_traces_are_those_of_the_page(laboratory: Laboratory) -> None:
    """Names and parents of all spans; tokens count once, whoever else tells them."""
    programs = steps()
    found = laboratory.run("page", *(program for program, _ in programs))
    assert ["".join(map(drawn, traces)) for traces in found] == [tree for _, tree in programs]
    for trace in [trace for traces in found for trace in traces]:
        assert trace.info.state == "OK"
        counted = (trace.info.token_usage or {}).get("input_tokens", 0)
        assert counted == PROMPT_TOKENS * len(calls_of(trace))


def test_alone_each_call_is_a_trace(laboratory: Laboratory) -> None:
    """Without MLflow's or the framework's own spans, there is nothing but calls."""
    program, tree = steps()[0]
    if "tracer.span(" in program:
        pytest.skip("the page's program has a span of ours")
    (traces,) = laboratory.run("alone", PARENTS_BY_MLFLOW.sub("", program))
    assert len(traces) == tree.count("chat ")
    assert {drawn(trace) for trace in traces} == {"chat openai/gpt-4o-mini\n"}


def test_calls_are_below_a_span_of_ours_around_the_run(laboratory: Laboratory) -> None:
    """Whatever threads and tasks the framework uses in between."""
    program, tree = steps()[0]
    inside = textwrap.indent(PARENTS_BY_MLFLOW.sub("", program), "    ")
    ((trace,),) = laboratory.run("inside", IN_A_SPAN + inside)
    assert spans_of(trace)[0].name == "run"
    assert drawn(trace).count("  chat ") == tree.count("chat ")


def test_instructor_tells_what_was_wrong(laboratory: Laboratory) -> None:
    """The error of an attempt is an event of the span around them all."""
    if FRAMEWORK != "instructor":
        pytest.skip("of instructor alone")
    (_, (trace,)) = laboratory.run("events", *(program for program, _ in steps()))
    (event,) = spans_of(trace)[0].events
    assert event.name == "parse:error"
    assert "name" in event.attributes["message"]
