"""What the tests of all packages share: how Hypothesis searches, and which tests start servers."""

from __future__ import annotations

import gc
import os

import pytest
from hypothesis import HealthCheck, settings

SERVERS = {"broker", "server"}
"""Fixtures that start a server: a test that uses one is marked ``server``."""

settings.register_profile(
    "ours",
    deadline=None,  # nothing fails because the machine is busy
    suppress_health_check=[HealthCheck.too_slow],
    derandomize="CI" in os.environ,  # there, a change fails for what it changes; here, search on
    print_blob=True,
)
settings.register_profile("quick", settings.get_profile("ours"), max_examples=20)
settings.load_profile("ours")


@pytest.fixture(scope="module", autouse=True)
def what_others_left() -> None:
    """Have the collections of a module's tests pass over what is there before, such as MLflow."""
    gc.collect()
    gc.freeze()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that start a server, so that ``nox -s quick`` leaves them out.

    Skip those of POSIX where it is not, or is hidden: see ``support.without_posix``.
    """
    for item in items:
        if not hasattr(os, "geteuid") and item.get_closest_marker("posix"):
            item.add_marker(pytest.mark.skip(reason="there is no POSIX here"))
        if SERVERS.intersection(getattr(item, "fixturenames", ())):
            item.add_marker("server")
