"""What the sink's tests share: a database, a server, and an environment that says nothing."""

from __future__ import annotations

import os
from pathlib import Path
from queue import Queue
from typing import Any

import pytest

from support.mlflow_server import MlflowServer, database, shared_server

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"


@pytest.fixture(autouse=True)
def nothing_configured(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide MLflow's variables, so that each test says all it depends on."""
    for name in list(os.environ):
        if name.startswith("MLFLOW_"):
            monkeypatch.delenv(name)


class HastyQueue(Queue[Any]):
    """One whose readers look every tenth of a second whether they are to end, not every second."""

    def get(self, block: bool = True, timeout: float | None = None) -> Any:
        """Return the next item; raise ``queue.Empty`` after a moment."""
        return super().get(block, timeout and min(timeout, 0.1))


@pytest.fixture
def hasty_mlflow(monkeypatch: pytest.MonkeyPatch) -> Any:
    """MLflow, whose exporter ends a tenth of a second after it is told to: each flush waits."""
    import mlflow
    from mlflow.tracing.export import async_export_queue

    monkeypatch.setattr(async_export_queue, "Queue", HastyQueue)
    return mlflow


@pytest.fixture
def database_uri(tmp_path: Path) -> str:
    """An empty MLflow database."""
    return database(tmp_path)


@pytest.fixture(scope="session")
def server() -> MlflowServer:
    """A real MLflow server; use experiments of your own."""
    return shared_server()
