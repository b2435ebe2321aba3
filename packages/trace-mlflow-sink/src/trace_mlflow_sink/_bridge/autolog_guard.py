"""Stops ``mlflow.litellm.autolog()`` from recording a call that we record as well."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Mapping
from typing import Any, Final

from trace_core import Value, log_once
from trace_mlflow_sink._bridge.wrapped_methods import WrappedMethods

_MODULE: Final = "litellm.integrations.mlflow"
"""LiteLLM's module with the class that ``mlflow.litellm.autolog()`` records with."""
_METHODS: Final = ("_handle_success", "_handle_failure")
_MOST_CALLS: Final = 10_000


class AutologGuard:
    """Wraps two methods of MLflow's logger while at least one user is registered.

    No list of callbacks is changed: the logger records every call that is not ours. Thread-safe.
    """

    def __init__(self) -> None:
        self._recorded: dict[Value, None] = {}  # LiteLLM's ids of our last calls, oldest first
        self._methods: WrappedMethods[object] = WrappedMethods(_METHODS, self._skipping)

    def record(self, user: object, call_id: Value) -> None:
        """Leave a call out of MLflow's own record.

        Args:
            user: Who records the call; `release` takes the same object.
            call_id: LiteLLM's id of the call.
        """
        if call_id is None or _MODULE not in sys.modules:
            return
        if user not in self._methods.users:
            self._methods.add(user, sys.modules[_MODULE].MlflowLogger)
        self._recorded[call_id] = None
        while len(self._recorded) > _MOST_CALLS:
            self._recorded.pop(next(iter(self._recorded), None), None)

    def release(self, user: object) -> None:
        """Unregister a user; restore MLflow's logger if it was the last one.

        A method that somebody else has wrapped after us stays, and skips no call any more.

        Args:
            user: A user; unknown ones are ignored.
        """
        if self._methods.release(user):
            self._recorded.clear()

    def _skipping(self, original: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(original)
        def handle(logger: object, kwargs: Mapping[str, Any], *rest: object) -> None:
            if kwargs.get("litellm_call_id") not in self._recorded:
                original(logger, kwargs, *rest)
                return
            log_once(
                "mlflow.litellm.autolog",
                "tracing: mlflow.litellm.autolog() is on as well; each call is recorded once, by "
                "trace_litellm. Remove mlflow.litellm.autolog(), or call trace_litellm.autolog("
                "disable=True) to have MLflow's record instead",
            )

        return handle


guard: Final = AutologGuard()
"""The guard of this process, because MLflow's logger is one class per process."""
