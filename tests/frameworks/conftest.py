"""Which framework is installed here, and what the tests of each need."""

from __future__ import annotations

import os

import pytest

FRAMEWORK = os.environ.get("TRACE_FRAMEWORK", "")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip all where no framework was installed."""
    if not FRAMEWORK:
        for item in items:
            if "frameworks" in item.path.parent.name:
                item.add_marker(pytest.mark.skip(reason="nox -s frameworks runs them"))


@pytest.fixture(autouse=True)
def no_telemetry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the frameworks from telling their makers."""
    monkeypatch.setenv("CREWAI_DISABLE_TELEMETRY", "true")
    monkeypatch.setenv("OPENAI_AGENTS_DISABLE_TRACING", "true")
