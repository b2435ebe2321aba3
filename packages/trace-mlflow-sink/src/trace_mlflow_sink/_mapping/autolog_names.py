"""Gives spans of LiteLLM's calls the names, types and attributes of ``mlflow.litellm.autolog()``.

For searches and dashboards that were made for it.
"""

from __future__ import annotations

from typing import Final

import attrs

from trace_core import Span, SpanKind, Value, semconv
from trace_mlflow_sink._mapping import names

_CALL_TYPES: Final = {"chat": "completion", "embeddings": "embedding"}
"""LiteLLM's word for an operation, where OpenTelemetry has another."""


def renamed(span: Span) -> Span:
    """Return the span of a call of LiteLLM's as MLflow's autologging names it.

    Args:
        span: Any span; others are returned as they are.
    """
    call_id = span.attributes.get(names.LITELLM_CALL_ID)
    if call_id is None or not span.scope.name.startswith(names.AUTOMATIC):
        return span
    operation = span.name.partition(" ")[0]
    call_type = _CALL_TYPES.get(operation, operation)
    found: dict[str, Value] = {
        "litellm_call_id": call_id,
        "call_type": call_type,
        "model": span.attributes.get(semconv.REQUEST_MODEL),
        "custom_llm_provider": span.attributes.get(semconv.PROVIDER_NAME),
        "api_base": span.attributes.get(semconv.URL_FULL),
        "cache_hit": span.attributes.get(semconv.CACHE_HIT),
        "response_cost": span.cost.total if span.cost is not None else None,
        names.TYPE: "LLM" if span.kind is SpanKind.LLM else None,
    }
    known = {key: value for key, value in found.items() if value is not None}
    return attrs.evolve(span, name=f"litellm-{call_type}", attributes={**span.attributes, **known})
