"""From the record of a call to the fields of its span, on the writer's thread."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any, Final

import attrs

from trace_core import Cost, OpenSpan, SpanKind, StatusCode, TokenUsage, UsageSource, Value, semconv
from trace_litellm._reading import requests as _requests
from trace_litellm._reading import responses as _responses
from trace_litellm._reading.endpoints import FAMILIES
from trace_litellm._reading.hidden_params import (
    CACHED,
    is_cache_hit,
    known,
    param_attributes,
    price_names,
)
from trace_litellm._reading.own_counts import KEPT, marked_by_original
from trace_litellm._reading.pricing import Priced, cost_in_proportion, cost_of
from trace_litellm._reading.privacy import REDACTED_TEXT, without_content
from trace_litellm._reading.record import CallRecord
from trace_litellm._reading.responses import CALL_ID
from trace_litellm._reading.tokens import as_amount
from trace_litellm._reading.units import Units, cost_by_units
from trace_litellm._reading.usage import (
    completed_usage,
    has_counts_of,
    prompt_usage,
    usage_in,
    usage_of,
)

_NOTHING: Final[Mapping[str, Value]] = {}
_PROVIDER: Final = UsageSource.PROVIDER
_ERROR: Final = StatusCode.ERROR
_ASKED_ALONE: Final = frozenset({SpanKind.EMBEDDING, SpanKind.RERANKER})
"""Kinds of calls whose answer is no text, so that all tokens are the prompt's."""


def complete(record: CallRecord, span: OpenSpan) -> None:
    """Set the fields of an ended span that its caller did not wait for.

    Args:
        record: What the call left behind.
        span: Its span, whose outputs are the copied response, if there was one.
    """
    try:
        _fill_in(record, span)
    finally:  # what is private stays so, whatever an answer makes the rest raise
        _hide(record, span)


def _hide(record: CallRecord, span: OpenSpan) -> None:
    """Leave out what LiteLLM must not log, which a call below it may have told."""
    if record.hides_outputs and span.outputs is not None:
        span.outputs = REDACTED_TEXT
    if record.hides_inputs:
        span.inputs = without_content(record.parameters)


def _fill_in(record: CallRecord, span: OpenSpan) -> None:
    partly = record.partly_kept
    record.hidden = known(_told(record) if partly is None else partly.params)
    record.kept = is_cache_hit(record.hidden) or any(map(is_cache_hit, record.sources))
    outputs = _outputs(record, span)
    span.outputs = outputs
    for event in record.resent:
        span.add_event(event)
    failed = span.status is not None and span.status.code is _ERROR
    span.attributes = {**_attributes(record, outputs, failed=failed), **span.attributes}
    if not record.parent:
        _count(record, span, span.attributes, failed=failed)


def _told(record: CallRecord) -> Mapping[str, Any]:
    """Return the hidden parameters; of a translated answer what the translation leaves out."""
    if len(record.sources) != 1:
        return record.hidden
    own = {name: value for name, value in record.hidden.items() if value is not None}
    return {**record.sources[0], **own}


def _outputs(record: CallRecord, span: OpenSpan) -> Value:
    """Make the outputs, and note a failure that was returned and not raised."""
    family, deltas = FAMILIES[record.family], record.deltas
    outputs = family.outputs(span.outputs) if deltas is None else deltas.outputs()
    failure = family.failure(outputs)
    if failure is not None and not record.error:
        span.status, record.error = failure.status, failure.attributes
    return outputs


def _attributes(record: CallRecord, outputs: Value, *, failed: bool) -> dict[str, Value]:
    asked = without_content(record.parameters) if record.hides_inputs else record.parameters
    attributes: dict[str, Value] = {
        **_requests.request_attributes(asked),
        **_responses.provider_attributes(_provider(record), _text(record.parameters.get("model"))),
        **_responses.response_attributes(outputs),
        **_responses.endpoint_attributes(_url(record)),
        **param_attributes(record.hidden),
        **record.error,
        CALL_ID: record.call_id,
    }
    answering = record.hidden.get("provider_response_model")
    if record.deltas is not None and answering is not None:
        attributes[semconv.RESPONSE_MODEL] = answering
    if record.watch is not None:
        attributes.update(record.watch.statistics())
    if record.answer is not None:
        answer = record.answer
        attributes[_responses.ANSWER_CLASS] = f"{answer.__module__}.{answer.__qualname__}"
    if record.replayed:
        attributes[semconv.REPLAYED] = True
    if record.requests:
        attributes[_responses.REQUESTS] = record.requests
    if record.resent:
        attributes[_responses.SDK_RETRIES] = len(record.resent)
    if not failed and not record.parent:
        attributes[semconv.CACHE_HIT] = record.kept
    return attributes


def _url(record: CallRecord) -> str | None:
    requested = record.parameters.get("api_base") or record.parameters.get("base_url")
    used = str(record.endpoint) if record.endpoint else record.hidden.get("api_base")
    return used if used and isinstance(used, str) else _text(requested)


def _provider(record: CallRecord) -> str | None:
    for used in (record.provider, record.hidden.get("custom_llm_provider")):
        if used and isinstance(used, str) and used != CACHED:
            return used
    return _guessed_provider(record)


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
    """Set tokens and cost; of an answer that is partly kept those of what the provider answered."""
    partly, told = record.partly_kept, span.outputs
    if partly is None or not isinstance(told, Mapping):
        _count_answer(record, span, attributes, failed=failed)
        return
    span.outputs = {**told, "usage": partly.usage}
    _count_answer(record, span, attributes, failed=failed)
    span.outputs = told
    attributes[_responses.KEPT] = partly.number
    if span.cost is not None:
        saved = cost_in_proportion(span.cost, span.usage, usage_of({"usage": partly.kept}))
        span.cost = attrs.evolve(span.cost, saved=saved)


def _count_answer(
    record: CallRecord, span: OpenSpan, attributes: dict[str, Value], *, failed: bool
) -> None:
    """Set tokens and cost of an answer, and the speed of a stream."""
    ending = attributes.get(semconv.STREAM_ENDING) if record.deltas is not None else None
    if span.kind in _ASKED_ALONE:
        usage = prompt_usage(span.outputs, failed=failed)
        sources: dict[str, Value] = {}
    else:
        usage, sources, span.outputs = completed_usage(
            record.parameters, span.outputs, record.hidden, ending=ending, failed=failed
        )
    if record.original is not None and usage is not None and usage.source is _PROVIDER:
        usage, sources = marked_by_original(usage, record.original)
    if record.kept:
        usage, sources = KEPT.as_new(record.parameters, span.outputs, usage, sources)
    elif record.deltas is not None:
        KEPT.keep(record.parameters, span.outputs, usage, sources)
    span.usage = usage
    attributes.update(sources)
    span.cost = _cost(record, span, attributes)
    if span.usage is not None and record.watch is not None:
        speed = record.watch.tokens_per_second(span.usage.output)
        if speed is not None:
            attributes[semconv.STREAM_TOKENS_PER_SECOND] = speed


def _cost(record: CallRecord, span: OpenSpan, attributes: Mapping[str, Value]) -> Cost | None:
    usage, parameters = span.usage, record.parameters
    pricing = record.hidden.get("pricing")
    pricing = pricing if isinstance(pricing, dict) else _NOTHING
    deployment = pricing.get("prices")
    prices = {**deployment} if isinstance(deployment, dict) else {}
    prices.update({name: parameters[name] for name in price_names(tuple(parameters))})
    words = usage_in(span.outputs) or {}
    reported, hit = record.hidden.get("response_cost"), record.kept
    if record.deltas is not None:  # LiteLLM's note is its guess from before the first chunk
        same = has_counts_of(usage, span.outputs)
        reported = words.get("cost") if same and not prices else None
    ids = _names((record.hidden.get("model_id"), attributes.get(_responses.MODEL_ID)))
    models = _models(record, pricing, attributes)
    priced = Priced(
        models=_names((*ids, *models)),
        known_as=models,
        answered=_text(attributes.get(semconv.RESPONSE_MODEL)),
        provider=_text(attributes.get(_responses.PROVIDER)),
        reported=as_amount(reported),
        cache_hit=record.replayed or hit,
        prices=prices,
        usage=words if _is_told(usage, span.outputs, kept=hit) else None,
        tier=_service_tier(parameters, words, span.outputs),
        pricing=pricing,
        seconds=(span.end_ns - span.start_ns) / 1e9,
    )
    if prices and not priced.reported:  # which may also be of what has no tokens
        by_units = cost_by_units(Units(span.kind, parameters, span.outputs, record.hidden), prices)
        priced.reported = priced.reported if by_units is None else by_units
    return cost_of(usage, priced)


def _is_told(usage: TokenUsage | None, outputs: Value, *, kept: bool) -> bool:
    """Return whether an answer tells counts, and they are the provider's: a kept one may not."""
    if usage is None or usage.source is not _PROVIDER:
        return False
    return not kept or has_counts_of(usage, outputs)


def _models(
    record: CallRecord, pricing: Mapping[str, Value], attributes: Mapping[str, Value]
) -> tuple[str, ...]:
    """Return the models that the price may be listed under, each once."""
    given = (
        *(pricing.get("base_model"), record.hidden.get("litellm_model_name")),
        *(pricing.get("model"), record.parameters.get("model")),
    )
    return _names((*given, attributes.get(semconv.RESPONSE_MODEL)))


def _names(names: tuple[object, ...]) -> tuple[str, ...]:
    """Return those that are texts, each once."""
    return tuple(dict.fromkeys([name for name in names if type(name) is str]))


def _service_tier(
    parameters: Mapping[str, Value], usage: Mapping[str, Value], outputs: Value
) -> Value:
    """Return the tier that was served, or else the one that was requested."""
    served = outputs.get("service_tier") if isinstance(outputs, dict) else None
    return served or usage.get("service_tier") or parameters.get("service_tier")


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
