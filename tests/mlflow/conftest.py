"""What the tests of the whole system with MLflow share."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest

from support.mlflow_server import MlflowServer, shared_server
from support.provider import Provider

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # importing LiteLLM asks the network otherwise


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
