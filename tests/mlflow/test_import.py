"""A program may import MLflow whenever it likes, also while the sink does."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from support.program import run_program

PROGRAM = """
import litellm, trace_litellm
trace_litellm.autolog()
litellm.completion("openai/gpt-4o-mini", [{"role": "user", "content": "hi"}], mock_response="x")
import mlflow
print(mlflow.__version__)
"""


def test_the_programs_own_import_of_mlflow_works(tmp_path: Path) -> None:
    """Right after a call, when the sink imports it on a thread of its own; the span is stored."""
    done = run_program(PROGRAM, tmp_path, TRACE_EXIT_TIMEOUT="120")  # two imports at once
    with sqlite3.connect(tmp_path / "mlflow.db") as database:
        assert database.execute("select count(*) from spans").fetchone() == (1,), done.stderr
