"""What the tests of the whole system with MLflow share."""

from __future__ import annotations

import pytest

from support.fixtures import litellm, nothing_left_patched, spools_of_its_own
from support.mlflow_server import MlflowServer, shared_server

__all__ = ["litellm", "nothing_left_patched", "spools_of_its_own"]


@pytest.fixture(scope="session")
def server() -> MlflowServer:
    """A real MLflow server; use experiments of your own."""
    return shared_server()
