"""Programs that tests write and run, in a folder and an environment of their own."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path


def plain_environment() -> dict[str, str]:
    """Return the environment without what steers MLflow and us.

    MLflow writes the experiment in use to the environment, for any program started later.
    """
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW_", "TRACE_"))}
    quiet = {"DO_NOT_TRACK": "true", "MLFLOW_DISABLE_TELEMETRY": "true"}
    return {**kept, **quiet, "LITELLM_LOCAL_MODEL_COST_MAP": "True"}


def run_program(
    code: str, folder: Path, *arguments: str, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run a program to its end, which must be a good one.

    Args:
        code: The program.
        folder: Where it runs.
        arguments: What it finds in ``sys.argv[1:]``.
        environment: More environment variables.

    Returns:
        What it printed.
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), *arguments],
        cwd=folder,
        env={**plain_environment(), **environment},
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done
