"""A program may import MLflow whenever it likes, also while the sink does."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from pathlib import Path

PROGRAM = """
import litellm, trace_litellm
trace_litellm.autolog()
litellm.completion("openai/gpt-4o-mini", [{"role": "user", "content": "hi"}], mock_response="x")
import mlflow
print(mlflow.__version__)
"""


def test_the_programs_own_import_of_mlflow_works(tmp_path: Path) -> None:
    """Right after a call, when the sink imports it on a thread of its own; the span is stored."""
    patient = {**os.environ, "TRACE_EXIT_TIMEOUT": "120"}  # two imports at once, on a busy machine
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        cwd=tmp_path,
        env=patient,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    with sqlite3.connect(tmp_path / "mlflow.db") as database:
        assert database.execute("select count(*) from spans").fetchone() == (1,)
