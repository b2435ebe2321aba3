"""Reads what MLflow is set to when a call is made: experiment, run, model, and whether at all."""

from __future__ import annotations

import os
from typing import Any, Final

from trace_core import Value
from trace_mlflow_sink._bridge import span_processors
from trace_mlflow_sink._bridge.mlflow_api import SAMPLED, MlflowApi, guarded
from trace_mlflow_sink._mapping import names

_MODEL_VARIABLES: Final = ("MLFLOW_ACTIVE_MODEL_ID", "_MLFLOW_ACTIVE_MODEL_ID")


@guarded(None)
def add_context(api: MlflowApi, current: Any, found: dict[str, Value]) -> None:
    """Add what ``mlflow.tracing.context(...)`` declares, and whether tracing is switched off.

    Args:
        api: MLflow.
        current: Its current span.
        found: Attributes to add to.
    """
    if _is_off(api, current):
        found[names.DISABLED] = True
    if api.autologging_config("mlflow", "disable", False):  # a positional argument there
        found[names.AUTOLOG_DISABLED] = True
    processors = span_processors.name_in_force()
    if processors is not None:
        found[names.SPAN_PROCESSORS] = processors
    declared = api.context and api.context._USER_TRACE_CONTEXT.get()  # noqa: SLF001
    if not declared:
        return
    if declared.enabled is False:
        found[names.DISABLED] = True
    if declared.metadata:
        found[names.METADATA] = dict(declared.metadata)
    if declared.tags:
        found[names.TAGS] = dict(declared.tags)


def _is_off(api: MlflowApi, current: Any) -> bool:
    """Return whether ``mlflow.tracing.disable()`` is in force or the current trace is unsampled."""
    if isinstance(api.provider.provider.get(), api.otel.NoOpTracerProvider):
        return True
    if current is api.no_span or type(current) is api.mirror:
        return False
    context = current.get_span_context()
    return bool(context.is_valid and not context.trace_flags & SAMPLED)


@guarded(default=False)
def add_live_trace(api: MlflowApi, current: Any, found: dict[str, Value]) -> bool:
    """Add the trace of MLflow's that the call is in; return whether its experiment is known.

    Args:
        api: MLflow.
        current: Its current span.
        found: Attributes to add to.
    """
    if current is api.no_span:
        return False
    if type(current) is not api.mirror:
        found[names.LIVE] = True  # even if the trace has ended, or is another process's
    trace_id = api.live_trace(current._context.trace_id)  # noqa: SLF001  # a mirror would register
    if trace_id is None:
        return False
    with api.manager().get_trace(trace_id) as trace:
        if trace is None or trace.is_remote_trace:
            return False
        found[names.LIVE] = True
        found[names.EXPERIMENT_ID] = str(trace.info.experiment_id)
        if getattr(trace, "workspace", None):
            found[names.WORKSPACE] = str(trace.workspace)
    return True


@guarded(None)
def add_experiment(api: MlflowApi, found: dict[str, Value]) -> None:
    """Add experiment, run and model as MLflow would choose them, without asking a server.

    Args:
        api: MLflow.
        found: Attributes to add to.
    """
    run = _active_run(api)
    if run is not None:
        found[names.RUN_ID] = str(run.info.run_id)
    _add_model(api, found)
    destination = api.provider._MLFLOW_TRACE_USER_DESTINATION.get()  # noqa: SLF001
    chosen = (
        getattr(destination, "experiment_id", None)
        or (run.info.experiment_id if run is not None else None)
        or api.tracking_fluent._active_experiment_id  # noqa: SLF001
    )
    if chosen is not None:
        found[names.EXPERIMENT_ID] = str(chosen)


@guarded(None)
def _add_model(api: MlflowApi, found: dict[str, Value]) -> None:
    """Add the model of ``mlflow.set_active_model``; MLflow before 3.0 has none."""
    fluent = api.tracking_fluent
    active = fluent._ACTIVE_MODEL_CONTEXT.get_all_thread_values().values()  # noqa: SLF001
    by_variable = any(name in os.environ for name in _MODEL_VARIABLES)
    if not by_variable and not any(context.model_id for context in active):
        return  # what MLflow asks for costs more than all the rest here
    model_id = fluent._get_active_model_id_global()  # noqa: SLF001
    if model_id is not None:
        found[names.MODEL_ID] = str(model_id)


def _active_run(api: MlflowApi) -> Any:
    """Return this thread's run, else the only run of all threads.

    MLflow takes the latest run of any thread, which links traces to unrelated runs.
    """
    run = api.mlflow.active_run()
    if run is not None:
        return run
    stacks = api.tracking_fluent._active_run_stack.get_all_thread_values()  # noqa: SLF001
    active = [stack for stack in stacks.values() if stack]
    return active[0][-1] if len(active) == 1 else None
