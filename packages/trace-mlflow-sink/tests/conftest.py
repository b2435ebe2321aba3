"""What the sink's tests share: a database, a server, and an environment that says nothing."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from support.mlflow_server import MlflowServer, database, shared_server

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"


@pytest.fixture(autouse=True)
def nothing_configured(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide MLflow's variables, so that each test says all it depends on."""
    for name in list(os.environ):
        if name.startswith("MLFLOW_"):
            monkeypatch.delenv(name)


@pytest.fixture
def database_uri(tmp_path: Path) -> str:
    """An empty MLflow database."""
    return database(tmp_path)


@pytest.fixture(scope="session")
def server() -> MlflowServer:
    """A real MLflow server; use experiments of your own."""
    return shared_server()
