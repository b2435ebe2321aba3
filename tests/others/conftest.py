"""What these tests share: LiteLLM, and nothing left patched."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # importing LiteLLM asks the network otherwise
os.environ["LITELLM_LOCAL_ANTHROPIC_BETA_HEADERS"] = "True"  # else the first call of messages does
os.environ["LITELLM_LOG"] = "CRITICAL"


@pytest.fixture(scope="session")
def litellm() -> Any:
    """LiteLLM, imported once: it takes seconds."""
    import litellm

    litellm.suppress_debug_info = True
    return litellm


@pytest.fixture(autouse=True)
def nothing_left_patched() -> Iterator[None]:
    """Turn tracing off after each test, whatever happened in it."""
    yield
    import trace_litellm

    trace_litellm.autolog(disable=True)
