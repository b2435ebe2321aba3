"""The files in deploy/ are read by the programs they are for; docker itself is not run."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("compose", reason="nox -s scale installs Docker Compose")

from scale.cluster import DEPLOY

COMPOSE = Path(sys.executable).parent / "docker-compose"


def test_compose_reads_the_file_and_asks_for_secrets(tmp_path: Path) -> None:
    """Docker Compose takes it once passwords are given, and names those that are missing."""
    command = [str(COMPOSE), "-f", str(DEPLOY / "docker-compose.yml"), "config", "--format", "json"]
    refused = subprocess.run(command, env={}, capture_output=True, text=True, check=False)
    assert refused.stdout == "", "the wheel's wrapper does not pass the exit status on"
    assert "choose a" in refused.stderr
    told = {"POSTGRES_PASSWORD": "p", "S3_SECRET_KEY": "s", "HOME": str(tmp_path)}
    done = subprocess.run(command, env=told, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    services = json.loads(done.stdout)["services"]
    assert set(services) == {"mlflow-1", "mlflow-2", "nginx", "postgres", "store"}
    jobs = {name: services[name]["environment"] for name in ("mlflow-1", "mlflow-2")}
    flags = {name: told["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] for name, told in jobs.items()}
    assert flags == {"mlflow-1": "true", "mlflow-2": "false"}, "one server archives"
    assert [port["host_ip"] for port in services["nginx"]["ports"]] == ["127.0.0.1"]


def test_mlflow_reads_the_archival_file() -> None:
    """Retention and place are what MLflow makes of them."""
    from mlflow.tracing.trace_archival_config import load_trace_archival_server_config

    config = load_trace_archival_server_config(DEPLOY / "archival.yaml")
    assert (config.enabled, config.location, config.retention) == (
        True, "s3://mlflow/archive", "30d"
    )  # fmt: skip
