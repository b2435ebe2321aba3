"""The scripts of release/, which are no package, for the tests of releases."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture(scope="module", autouse=True)
def scripts() -> Iterator[None]:
    """Let the scripts be imported, where a module of tests imports this by name."""
    sys.path.insert(0, str(ROOT / "release"))
    yield
    sys.path.remove(str(ROOT / "release"))


def module(name: str) -> ModuleType:
    """Import one of the scripts."""
    return importlib.import_module(name)
