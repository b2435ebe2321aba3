"""What the tests of the whole system with a collector share."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.provider import Provider

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # importing LiteLLM asks the network otherwise
os.environ["LITELLM_LOCAL_ANTHROPIC_BETA_HEADERS"] = "True"  # else the first call of messages does


@pytest.fixture(autouse=True)
def spools_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep a test from delivering what others left, and from the environment of who runs it."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    for name in [name for name in os.environ if name.startswith("OTEL_")]:
        monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def provider() -> Iterator[Provider]:
    """A provider on loopback; use lanes of your own."""
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
