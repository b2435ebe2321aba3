"""Fixtures that the tests of several folders share; a ``conftest.py`` imports what it needs."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.provider import Provider

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # importing LiteLLM asks the network otherwise
os.environ["LITELLM_LOCAL_ANTHROPIC_BETA_HEADERS"] = "True"  # else the first call of messages does
os.environ["LITELLM_LOG"] = "CRITICAL"


@pytest.fixture(scope="session")
def provider() -> Iterator[Provider]:
    """A provider on loopback; use lanes and models of your own."""
    with Provider() as running:
        yield running


@pytest.fixture(scope="session")
def litellm() -> Any:
    """LiteLLM, imported once: it takes seconds."""
    import litellm

    litellm.suppress_debug_info = True
    gc.collect()
    gc.freeze()  # a test that collects looks at its own objects, not at a million of imported ones
    return litellm


@pytest.fixture(autouse=True)
def nothing_left_to_collect() -> Iterator[None]:
    """Collect what a test has left, and have later tests' collections pass over what stays.

    LiteLLM loads much when it is first needed: each collection would take half a second.
    """
    yield
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def nothing_left_patched() -> Iterator[None]:
    """Turn tracing off after each test, whatever happened in it."""
    yield
    import trace_litellm

    trace_litellm.autolog(disable=True)


@pytest.fixture(autouse=True)
def spools_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep a test from delivering what others left for servers that are no more."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


@pytest.fixture(autouse=True)
def no_opentelemetry_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide the variables of whoever runs the tests, so that each says all it depends on."""
    for name in [name for name in os.environ if name.startswith("OTEL_")]:
        monkeypatch.delenv(name)
