"""What the adapter's tests share: LiteLLM, a provider on loopback, and nothing left patched."""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path

import pytest

from support.fixtures import litellm, nothing_left_patched, nothing_left_to_collect, provider

__all__ = ["litellm", "nothing_left_patched", "nothing_left_to_collect", "provider"]

_found = find_spec("litellm")
for _folder in (_found and _found.submodule_search_locations) or ():
    # 1.80 asks the network for a tokenizer that it brings itself, unless told where that is.
    os.environ["TIKTOKEN_CACHE_DIR"] = str(Path(_folder, "litellm_core_utils", "tokenizers"))


@pytest.fixture(autouse=True)
def own_spool(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Keep spools out of the state folder of whoever runs the tests."""
    monkeypatch.setenv("TRACE_SPOOL_DIR", str(tmp_path_factory.mktemp("spool")))
