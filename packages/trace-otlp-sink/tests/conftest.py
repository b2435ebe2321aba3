"""A collector for the tests, and an environment without OpenTelemetry's variables."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from support.collector import Collector


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of whoever runs the tests."""
    for name in [name for name in os.environ if name.startswith("OTEL_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def collector() -> Iterator[Collector]:
    """A collector that takes everything, and must have had nothing to object to."""
    with Collector() as running:
        yield running
    assert running.faults == []
