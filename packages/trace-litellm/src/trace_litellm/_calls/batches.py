"""Finds the calls that LiteLLM makes for a batch, on threads of its own."""

from __future__ import annotations

from typing import Any

from trace_litellm._calls.call import Call, OpenCalls
from trace_litellm._calls.nesting import new_call_id
from trace_litellm._reading.call_details import call_id_in


def adopt(batch: Call, kwargs: dict[str, Any]) -> None:
    """Make a batch the parent of the calls that LiteLLM makes for it, on threads of its own.

    LiteLLM hands the keyword arguments of a batch on to each of its calls, so an id in them says
    which batch made a call.

    Args:
        batch: The batch.
        kwargs: Its keyword arguments.
    """
    handed_on = kwargs
    if "deployments" in kwargs:  # LiteLLM copies the rest into the caller's deployments
        handed_on = kwargs["kwargs"] = dict(kwargs.get("kwargs") or {})
    batch.requested_id = handed_on.get("litellm_call_id")
    batch.batch_id = handed_on["litellm_call_id"] = new_call_id()
    batch.calls.batches[batch.batch_id] = batch


def batch_of(calls: OpenCalls, kwargs: dict[str, Any]) -> Call | None:
    """Return the batch that a call is made for, and take its id out of the keyword arguments.

    Args:
        calls: The calls in progress.
        kwargs: The keyword arguments of the call.
    """
    batch = calls.batches.get(call_id_in(kwargs))
    if batch is None:
        return None
    del kwargs["litellm_call_id"]
    if batch.requested_id is not None:
        kwargs["litellm_call_id"] = batch.requested_id
    return batch
