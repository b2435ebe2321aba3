"""What the tests of the whole system with MLflow share."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.mlflow_server import MlflowServer, shared_server
from support.provider import Provider

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # importing LiteLLM asks the network otherwise


@pytest.fixture(autouse=True)
def spools_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep a test from delivering first what others left for servers that are no more."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


@pytest.fixture(scope="session")
def server() -> MlflowServer:
    """A real MLflow server; use experiments of your own."""
    return shared_server()


@pytest.fixture(scope="session")
def provider() -> Iterator[Provider]:
    """A provider on loopback; use models of your own."""
    with Provider() as running:
        yield running


@pytest.fixture
def litellm() -> Iterator[Any]:
    """LiteLLM, not traced any more afterwards."""
    import litellm

    import trace_litellm

    litellm.suppress_debug_info = True
    yield litellm
    trace_litellm.autolog(disable=True)
