"""From the record of a call to the fields of its span, on the writer's thread."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any, Final

import attrs

from trace_core import Cost, OpenSpan, StatusCode, TokenUsage, UsageSource, Value, semconv
from trace_litellm._reading import requests as _requests
from trace_litellm._reading import responses as _responses
from trace_litellm._reading.pricing import Priced, cost_of, estimated_usage
from trace_litellm._reading.record import CallRecord
from trace_litellm._reading.responses import CALL_ID, FAMILIES

_PRICES: Final = ("input_cost_per_token", "output_cost_per_token")
_CACHED: Final = "cached_response"


def complete(record: CallRecord, span: OpenSpan) -> None:
    """Set the fields of an ended span that its caller did not wait for.

    Args:
        record: What the call left behind.
        span: Its span, whose outputs are the copied response, if there was one.
    """
    record.hidden = _responses.told(record.hidden)
    outputs = _outputs(record, span)
    span.outputs = outputs
    for event in record.resent:
        span.add_event(event)
    failed = span.status is not None and span.status.code is StatusCode.ERROR
    attributes = {**_attributes(record, outputs, failed=failed), **span.attributes}
    if not record.parent:
        _count(record, span, attributes, failed=failed)
    span.attributes = attributes


def _outputs(record: CallRecord, span: OpenSpan) -> Value:
    """Make the outputs, and note a failure that was returned and not raised."""
    family, deltas = FAMILIES[record.family], record.deltas
    outputs = family.outputs(span.outputs) if deltas is None else deltas.outputs()
    failure = family.failure(outputs)
    if failure is not None:
        span.status, record.error = failure.status, failure.attributes
    return outputs


def _attributes(record: CallRecord, outputs: Value, *, failed: bool) -> dict[str, Value]:
    attributes: dict[str, Value] = {
        **_requests.request_attributes(record.parameters),
        **_responses.provider_attributes(_provider(record), record.parameters.get("model")),
        **_responses.response_attributes(outputs),
        **_responses.endpoint_attributes(_url(record)),
        **_responses.told_attributes(record.hidden),
        **record.error,
        CALL_ID: record.call_id,
    }
    if record.watch is not None:
        attributes.update(record.watch.statistics())
    if record.requests:
        attributes[_responses.REQUESTS] = record.requests
    if record.resent:
        attributes[_responses.SDK_RETRIES] = len(record.resent)
    if not failed and not record.parent:
        attributes[semconv.CACHE_HIT] = _is_cache_hit(record)
    return attributes


def _url(record: CallRecord) -> str | None:
    requested = record.parameters.get("api_base") or record.parameters.get("base_url")
    used = str(record.endpoint) if record.endpoint else None
    return used or _text(record.hidden.get("api_base")) or _text(requested)


def _is_cache_hit(record: CallRecord) -> bool:
    hidden = record.hidden
    return hidden.get("cache_hit") is True or hidden.get("custom_llm_provider") == _CACHED


def _provider(record: CallRecord) -> str | None:
    hidden = _text(record.hidden.get("custom_llm_provider"))
    used = _text(record.provider)
    return used or (hidden if hidden != _CACHED else None) or _guessed_provider(record)


def _guessed_provider(record: CallRecord) -> str | None:
    """Look up which provider serves a model, where no request was made: a cache hit.

    LiteLLM is not asked, because it prints a line to stdout for a model it does not know.
    """
    named = _text(record.parameters.get("custom_llm_provider"))
    model = _text(record.parameters.get("model"))
    litellm: Any = sys.modules.get("litellm")
    if named is not None or model is None or record.parent or litellm is None:
        return named
    listed = getattr(litellm, "model_cost", {}).get(model) or {}
    candidates = (model.partition("/")[0], listed.get("litellm_provider"))
    known = getattr(litellm, "provider_list", ())
    return next((str(one) for one in candidates if one in known), None)


def _count(
    record: CallRecord, span: OpenSpan, attributes: dict[str, Value], *, failed: bool
) -> None:
    """Set tokens and cost, and the speed of a stream."""
    usage, span.outputs = _usage(record, span, failed=failed)
    span.usage, span.cost = usage, _cost(record, usage, span.outputs, attributes)
    if usage is not None and record.watch is not None:
        speed = record.watch.tokens_per_second(usage.output)
        if speed is not None:
            attributes[semconv.STREAM_TOKENS_PER_SECOND] = speed


def _usage(record: CallRecord, span: OpenSpan, *, failed: bool) -> tuple[TokenUsage | None, Value]:
    """Return the tokens, and the outputs with what the provider reported of them."""
    outputs, hidden = span.outputs, record.hidden
    kept = hidden.get("usage")
    usage = _responses.usage_of(outputs)
    passed_on = usage is not None and hidden.get("translated")
    if kept is not None and isinstance(outputs, Mapping) and not passed_on:
        outputs = {**outputs, "usage": kept}
        usage = _responses.usage_of(outputs)
    if usage is not None and kept is None and hidden.get("keeps_chunks"):
        usage = attrs.evolve(usage, source=UsageSource.ESTIMATED)  # LiteLLM made it up
    if record.deltas is not None and (usage is None or _counted_too_early(record, outputs)):
        usage = _with_estimate(usage, estimated_usage(span.inputs, outputs))
    if usage is None and not failed:
        usage = TokenUsage(source=UsageSource.MISSING)
    return usage, outputs


def _counted_too_early(record: CallRecord, outputs: Value) -> bool:
    """Return whether a stream was cut off before its count.

    Anthropic sends one with the first event, which counts nothing yet.
    """
    if record.family != "messages" and _provider(record) != "anthropic":
        return False
    finished = _responses.response_attributes(outputs).get(semconv.RESPONSE_FINISH_REASONS)
    return not finished and not (isinstance(outputs, Mapping) and outputs.get("stop_reason"))


def _with_estimate(usage: TokenUsage | None, estimate: TokenUsage | None) -> TokenUsage | None:
    """Count at least what has arrived."""
    if usage is None or estimate is None or (estimate.output or 0) <= (usage.output or 0):
        return usage or estimate
    total = (usage.input or 0) + (estimate.output or 0)
    return attrs.evolve(usage, output=estimate.output, total=total, source=UsageSource.ESTIMATED)


def _cost(
    record: CallRecord, usage: TokenUsage | None, outputs: Value, attributes: Mapping[str, Value]
) -> Cost | None:
    parameters, hidden = record.parameters, record.hidden
    reported = hidden.get("response_cost")
    custom: dict[str, Value] = {n: parameters[n] for n in _PRICES if n in parameters}
    words = _responses.usage_in(outputs) or {}
    if record.deltas is not None:  # LiteLLM's note is its guess from before the first chunk
        reported = words.get("cost") if not custom else None
    if not isinstance(reported, float):
        reported = None
    if reported is None and (usage is None or usage.source is UsageSource.MISSING):
        return None
    exact = words if usage is not None and usage.source is UsageSource.PROVIDER else None
    provider = _text(attributes.get(_responses.PROVIDER))
    tier = _service_tier(parameters, words, outputs)
    models = _models(record, attributes.get(semconv.RESPONSE_MODEL))
    priced = Priced(models, provider, reported, _is_cache_hit(record), custom, exact, tier)
    return cost_of(usage, priced)


def _models(record: CallRecord, answered: Value) -> tuple[str, ...]:
    """Return the names that the price may be listed under."""
    hidden = record.hidden
    own = (hidden.get(name) for name in ("model_id", "base_model", "litellm_model_name"))
    names = (*own, record.parameters.get("model"), answered)
    return tuple(dict.fromkeys([name for name in names if isinstance(name, str)]))


def _service_tier(
    parameters: Mapping[str, Value], usage: Mapping[str, Value], outputs: Value
) -> Value:
    """Return the tier that was served, or else the one that was requested."""
    served = outputs.get("service_tier") if isinstance(outputs, Mapping) else None
    return served or usage.get("service_tier") or parameters.get("service_tier")


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
