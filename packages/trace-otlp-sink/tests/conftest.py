"""A collector for the tests, and an environment without OpenTelemetry's variables."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from support.collector import Collector
from support.fixtures import no_opentelemetry_variables

__all__ = ["no_opentelemetry_variables"]


@pytest.fixture
def collector() -> Iterator[Collector]:
    """A collector that takes everything, and must have had nothing to object to."""
    with Collector() as running:
        yield running
    assert running.faults == []
