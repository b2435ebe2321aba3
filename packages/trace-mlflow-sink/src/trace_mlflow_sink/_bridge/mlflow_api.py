"""The parts of MLflow that the bridge uses, many of them private.

A use is wrapped in `guarded`: where a version of MLflow has moved a part, nesting or a default is
lost and logged once, but no span. Nothing here imports MLflow before the program has.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import Any, Final, ParamSpec, TypeVar

from trace_core import failure, log_once

P = ParamSpec("P")
R = TypeVar("R")
D = TypeVar("D")

SAMPLED: Final = 1
"""The OpenTelemetry trace flag."""


def guarded(default: D) -> Callable[[Callable[P, R]], Callable[P, R | D]]:
    """Make a function return a default, and log once, when it raises.

    Args:
        default: What to return.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R | D]:
        @functools.wraps(function)
        def guarded_function(*args: P.args, **kwargs: P.kwargs) -> R | D:
            try:
                return function(*args, **kwargs)
            except failure() as error:
                log_once(
                    f"bridge:{function.__name__}:{type(error).__name__}",
                    "tracing: MLflow is not as expected, %s is left out: %s: %s",
                    *(function.__name__, type(error).__name__, error),
                    error=error,
                )
                return default

        return guarded_function

    return decorate


class MlflowApi:
    """The parts of a fully imported MLflow."""

    def __init__(self) -> None:
        import mlflow
        from mlflow.tracing import fluent as tracing_fluent
        from mlflow.tracing import provider
        from mlflow.tracing.trace_manager import InMemoryTraceManager
        from mlflow.tracking import fluent as tracking_fluent
        from mlflow.tracking import is_tracking_uri_set
        from mlflow.utils.autologging_utils import get_autologging_config
        from opentelemetry import trace as otel

        self.mlflow: Any = mlflow
        self.provider: Any = provider
        # MLflow 3.12 and newer; as an attribute, ``mlflow.tracing.context`` is a function
        self.context: Any = sys.modules.get("mlflow.tracing.context")
        self.tracing_fluent: Any = tracing_fluent
        self.tracking_fluent: Any = tracking_fluent
        self.is_tracking_uri_set: Callable[[], bool] = is_tracking_uri_set
        self.autologging_config: Any = get_autologging_config
        self.otel: Any = otel
        self.client: Any = getattr(sys.modules.get("mlflow.tracing.client"), "TracingClient", None)
        self.manager: Any = InMemoryTraceManager.get_instance
        self.no_span: Any = otel.INVALID_SPAN
        self.mirror: Any = _mirror_class(otel)
        self.current: Any = provider.get_current_otel_span
        """Returns MLflow's current OpenTelemetry span, `no_span` if there is none."""

    def tracking_uri(self) -> str | None:
        """Return the tracking URI if one is set. Does no I/O."""
        return str(self.mlflow.get_tracking_uri()) if self.is_tracking_uri_set() else None

    def live_trace(self, otel_trace_id: int) -> str | None:
        """Return MLflow's id of a trace that is open in this process; ``None`` if it is not."""
        found: str | None = self.manager().get_mlflow_trace_id_from_otel_id(otel_trace_id)
        return found


def _mirror_class(otel: Any) -> Any:
    """Return the class of the spans that represent ours in MLflow's context."""

    class Mirror(otel.NonRecordingSpan):  # type: ignore[misc]  # its base is known at run time only
        """Calls a function when MLflow starts a span below it, which needs its trace."""

        stands_for_ours = True
        """For the OpenTelemetry bridge, where MLflow shares its context."""

        def __init__(self, context: Any, needed: Callable[[int], None]) -> None:
            super().__init__(context)
            self._needed: Callable[[int], None] | None = needed

        def get_span_context(self) -> Any:
            context = super().get_span_context()
            needed, self._needed = self._needed, None
            if needed is not None:
                needed(context.trace_id)
            return context

    return Mirror


class Importer:
    """Returns the parts of MLflow once the program has imported it."""

    def __init__(self) -> None:
        self.found: MlflowApi | None = None
        """The parts, once they have been asked for and found."""
        self._failed = False

    def __call__(self) -> MlflowApi | None:
        """Return the parts; ``None`` while MLflow is not imported or if parts are missing."""
        if self.found is not None or self._failed:
            return self.found
        module = sys.modules.get("mlflow")
        if module is None or getattr(module.__spec__, "_initializing", False):
            return None  # not imported, or another thread is importing it now
        self.found = _load()
        self._failed = self.found is None
        return self.found


@guarded(None)
def _load() -> MlflowApi:
    return MlflowApi()
