"""What a newcomer gets who installs the wheels and writes five lines in an empty folder."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import os
import re
import sqlite3
import subprocess
import sys
import textwrap
import time
import zipfile
from collections.abc import Mapping
from pathlib import Path

import attr
import pytest

from support.provider import COMPLETION_TOKENS, PROMPT_TOKENS, TEXT, Provider

WHEELS = os.environ.get("TRACE_WHEELS")
pytestmark = pytest.mark.skipif(
    WHEELS is None, reason="tests what is installed from wheels: run `nox -s tests`"
)
NEEDS_MLFLOW = pytest.mark.skipif(
    importlib.util.find_spec("trace_mlflow_sink") is None, reason="the MLflow sink is not here"
)
WITHOUT_MLFLOW = pytest.mark.skipif(
    importlib.util.find_spec("trace_mlflow_sink") is not None,
    reason="for environments without the MLflow sink: run `nox -s compat`",
)
AT_EXIT_HOWEVER_BUSY = {"TRACE_EXIT_TIMEOUT": "600"}
"""MLflow's import and its new database take seconds, and on a busy machine minutes."""
SERVER_EXIT_SECONDS = 60.0
"""Far less than waiting for a server for as long as connecting to it may take."""

FIVE_LINES = """
    import trace_litellm
    trace_litellm.autolog()
    from litellm import completion
    response = completion("gpt-4o-mini", [{"role": "user", "content": "Say hello."}])
    print(response.choices[0].message.content)
"""


def clean(provider: Provider, **more: str) -> Mapping[str, str]:
    """An environment with nothing of ours in it but the way to a provider."""
    kept = {
        k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW_", "PYTHON", "TRACE_"))
    }
    base = provider.openai_base
    told = {
        "OPENAI_API_KEY": "sk-loopback",
        "OPENAI_API_BASE": base,  # what older LiteLLM releases read
        "OPENAI_BASE_URL": base,
    }
    return {**kept, **told, "LITELLM_LOCAL_MODEL_COST_MAP": "True", **more}


def run(code: str, folder: Path, environment: Mapping[str, str]) -> tuple[str, str, float]:
    """Run a program as a newcomer would, who has nothing left over from earlier ones.

    Returns:
        What it printed, what it warned of, and how many seconds it took to end after its last line.
    """
    timed = f"{textwrap.dedent(code)}\nimport time\nprint(time.time())"
    program = [sys.executable, "-c", timed]
    done = subprocess.run(
        program,
        cwd=folder,
        env={**environment, "XDG_STATE_HOME": str(folder / "state")},
        capture_output=True,
        check=False,
        text=True,
        timeout=300,
    )
    ended = time.time()
    assert done.returncode == 0, done.stderr
    *printed, last_line = done.stdout.splitlines()
    return "\n".join(printed), done.stderr, ended - float(last_line)


def test_what_is_tested_is_installed():
    """Not the sources, which are out of reach; and the version is that of the wheel."""
    for name in ("trace_core", "trace_litellm"):
        spec = importlib.util.find_spec(name)
        assert spec is not None
        assert spec.origin is not None
        assert "site-packages" in spec.origin
        wheel = next(Path(str(WHEELS)).glob(f"{name}-*.whl"))
        assert importlib.metadata.version(name) == wheel.name.split("-")[1]


def test_importing_is_cheap(tmp_path, provider):
    """Neither LiteLLM nor MLflow is imported, and nothing is patched, until it is asked for."""
    code = """
        import sys, trace_litellm
        heavy = ("litellm", "mlflow", "pydantic", "httpx", "openai")
        print([name for name in heavy if name in sys.modules])
    """
    printed, _, _ = run(code, tmp_path, clean(provider))
    assert printed == "[]"


@NEEDS_MLFLOW
def test_five_lines_store_a_trace(tmp_path, provider):
    """Prompt, answer, tokens, cost, latency and endpoint are in mlflow.db, read without MLflow."""
    environment = clean(provider, **AT_EXIT_HOWEVER_BUSY)
    printed, _, _ = run(FIVE_LINES, tmp_path, environment)
    assert printed == TEXT
    with sqlite3.connect(tmp_path / "mlflow.db") as database:
        database.row_factory = sqlite3.Row
        (trace,) = database.execute("select * from trace_info").fetchall()
        (span,) = database.execute("select * from spans").fetchall()
    assert trace["status"] == "OK"
    assert trace["request_preview"] == "Say hello."
    assert trace["response_preview"] == TEXT
    assert trace["execution_time_ms"] > 0
    attributes = {k: json.loads(v) for k, v in json.loads(span["content"])["attributes"].items()}
    inputs, outputs = (attributes[f"mlflow.span{side}"] for side in ("Inputs", "Outputs"))
    assert inputs["messages"] == [{"role": "user", "content": "Say hello."}]
    assert outputs["choices"][0]["message"]["content"] == TEXT
    assert attributes["mlflow.chat.tokenUsage"]["input_tokens"] == PROMPT_TOKENS
    assert attributes["mlflow.chat.tokenUsage"]["output_tokens"] == COMPLETION_TOKENS
    assert span["total_cost"] == pytest.approx(
        PROMPT_TOKENS * 0.15e-6 + COMPLETION_TOKENS * 0.60e-6
    )
    assert span["duration_ns"] > 0
    assert attributes["url.full"].startswith(provider.openai_base)
    assert span["model_name"] == "gpt-4o-mini"
    assert span["model_provider"] == "openai"
    assert "sk-loopback" not in span["content"]


@NEEDS_MLFLOW
def test_an_unreachable_server_holds_nothing_up(tmp_path, provider):
    """MLflow's address leads nowhere: the call works, the program ends, its span waits on disk."""
    environment = clean(provider, MLFLOW_TRACKING_URI="http://127.0.0.1:9")
    printed, _, seconds = run(FIVE_LINES, tmp_path, environment)
    assert printed == TEXT
    assert seconds < SERVER_EXIT_SECONDS
    waiting = [path.read_bytes() for path in (tmp_path / "state").rglob("*") if path.is_file()]
    assert any(TEXT.encode() in content for content in waiting)


@WITHOUT_MLFLOW
def test_without_mlflow_traces_go_to_a_file_and_it_says_so(tmp_path, provider):
    """Nothing is missing to begin with: one line of JSON per span, and a hint."""
    printed, warned, seconds = run(FIVE_LINES, tmp_path, clean(provider))
    assert printed == TEXT
    assert seconds < SERVER_EXIT_SECONDS
    assert "traces go to traces.jsonl" in warned
    assert "trace-litellm[mlflow]" in warned
    (line,) = (tmp_path / "traces.jsonl").read_text().splitlines()
    span = json.loads(line)
    assert span["usage"]["input"] == PROMPT_TOKENS
    assert span["outputs"]["choices"][0]["message"]["content"] == TEXT


def test_trace_core_needs_attrs_alone(tmp_path):
    """Its wheel works in an interpreter that has attrs and nothing else."""
    wheel = next(Path(str(WHEELS)).glob("trace_core-*.whl"))
    zipfile.ZipFile(wheel).extractall(tmp_path)
    attrs = Path(attr.__file__).parent
    for package in (attrs, attrs.with_name("attrs")):
        (tmp_path / package.name).symlink_to(package)
    code = f"""
        import sys
        sys.path.append({str(tmp_path)!r})
        import trace_core
        sink = trace_core.MemorySink()
        with trace_core.Tracer(sink).span("alone", inputs="in") as span:
            span.set(outputs="out")
        print(sink.spans[0].name, trace_core.sink_names())
    """
    isolated = [sys.executable, "-I", "-S", "-c", textwrap.dedent(code)]
    done = subprocess.run(isolated, capture_output=True, check=False, text=True, timeout=60)
    assert done.stdout.split("(")[0] == "alone ", done.stderr
    names = re.findall(r"\w+", done.stdout.split("(")[1])
    assert names == ["console", "jsonl", "memory"]
