"""``mlflow.litellm.autolog()`` leaves out what we record, for as long as we record."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest

from trace_mlflow_sink._bridge.autolog_guard import AutologGuard


class Logger:
    """MLflow's logger of LiteLLM's calls, as far as the guard knows it."""

    seen: list[str]

    def __init__(self) -> None:
        self.seen = []

    def _handle_success(self, kwargs, *rest):
        self.seen.append(kwargs["litellm_call_id"])

    def _handle_failure(self, kwargs, *rest):
        self.seen.append(kwargs["litellm_call_id"])


@pytest.fixture
def logger(monkeypatch):
    """A class of its own for each test, where LiteLLM has its."""
    made = type("MlflowLogger", (), dict(vars(Logger)))
    module = SimpleNamespace(MlflowLogger=made)
    monkeypatch.setitem(sys.modules, "litellm.integrations.mlflow", module)
    return made


class User:
    """Somebody who records calls."""


def test_a_call_that_is_recorded_is_left_out(logger):
    """Successes and failures; every other call is MLflow's own affair."""
    guard, user = AutologGuard(), User()
    guard.record(user, "ours")
    one = logger()
    for handle in (one._handle_success, one._handle_failure):
        handle({"litellm_call_id": "ours"}, None)
        handle({"litellm_call_id": "theirs"}, None)
    assert one.seen == ["theirs", "theirs"]


def test_the_logger_is_wrapped_once_and_restored_by_the_last_user(logger):
    """However often tracing is switched on."""
    before = dict(vars(logger))
    guard, users = AutologGuard(), [User() for _ in range(5)]
    for user in users:
        guard.record(user, "c")
    assert logger._handle_success.__wrapped__ is before["_handle_success"]
    for user in users:
        assert dict(vars(logger)) != before
        guard.release(user)
    assert dict(vars(logger)) == before
    guard.record(users[0], "again")
    guard.release(users[0])
    guard.release(users[0])
    assert dict(vars(logger)) == before


def test_a_wrapper_on_top_of_ours_stays_and_sees_every_call(logger):
    """What another tool has put there is not taken away."""
    guard, user = AutologGuard(), User()
    guard.record(user, "ours")
    ours = logger._handle_success

    def on_top(self, kwargs, *rest):
        return ours(self, kwargs, *rest)

    logger._handle_success = on_top
    guard.release(user)
    assert logger._handle_success is on_top
    one = logger()
    one._handle_success({"litellm_call_id": "ours"})
    assert one.seen == ["ours"]
    guard.record(user, "later")
    one._handle_success({"litellm_call_id": "later"})
    assert one.seen == ["ours"]


def test_without_litellms_logger_nothing_is_wrapped(monkeypatch):
    """A program that does not import it does not get it."""
    monkeypatch.delitem(sys.modules, "litellm.integrations.mlflow", raising=False)
    guard, user = AutologGuard(), User()
    guard.record(user, "c")
    guard.release(user)
    assert "litellm.integrations.mlflow" not in sys.modules
