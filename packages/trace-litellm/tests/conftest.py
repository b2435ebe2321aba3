"""What the adapter's tests share: LiteLLM, a provider on loopback, and nothing left patched."""

from __future__ import annotations

import os
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from support.provider import Provider

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # importing LiteLLM asks the network otherwise
os.environ["LITELLM_LOCAL_ANTHROPIC_BETA_HEADERS"] = "True"  # else the first call of messages does
os.environ["LITELLM_LOG"] = "CRITICAL"

_found = find_spec("litellm")
for _folder in (_found and _found.submodule_search_locations) or ():
    # 1.80 asks the network for a tokenizer that it brings itself, unless told where that is.
    os.environ["TIKTOKEN_CACHE_DIR"] = str(Path(_folder, "litellm_core_utils", "tokenizers"))


@pytest.fixture(scope="session")
def litellm() -> Any:
    """LiteLLM, imported once: it takes seconds."""
    import litellm

    litellm.suppress_debug_info = True
    return litellm


@pytest.fixture(scope="session")
def provider() -> Iterator[Provider]:
    """A provider for the whole session; tests use lanes of their own."""
    with Provider() as running:
        yield running


@pytest.fixture(autouse=True)
def own_spool(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Keep spools out of the state folder of whoever runs the tests."""
    monkeypatch.setenv("TRACE_SPOOL_DIR", str(tmp_path_factory.mktemp("spool")))


@pytest.fixture(autouse=True)
def nothing_left_patched() -> Iterator[None]:
    """Turn tracing off after each test, whatever happened in it."""
    yield
    import trace_litellm

    trace_litellm.autolog(disable=True)
