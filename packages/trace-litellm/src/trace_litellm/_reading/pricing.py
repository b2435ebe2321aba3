"""What a call cost, from LiteLLM's own prices; on the writer's thread. Unknown stays unknown."""

from __future__ import annotations

import importlib
import inspect
import math
import sys
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, Final

import attrs

from trace_core import Cost, TokenUsage, UsageSource, Value, log_once
from trace_litellm._reading.tokens import as_amount, mutable

_CLOSE: Final = 0.01
_MILLISECONDS: Final = 1_000
_TOKEN_PRICES: Final = ("input_cost_per_token", "output_cost_per_token")
_ASKED_FOR_PRICES: Final = frozenset({"ollama", "ollama_chat"})
"""Providers whose server some releases of LiteLLM ask for the price of a model."""
_CACHE_PRICES: Final = ("cache_read_input_token_cost", "cache_creation_input_token_cost")


@attrs.define
class Priced:
    """What a price depends on besides the token counts.

    Args:
        models: Names the price may be listed under: as LiteLLM sent it, as the caller named it,
            as the provider answered.
        provider: LiteLLM's name of the provider.
        reported: The cost that LiteLLM or the provider reported.
        cache_hit: Whether the answer came from LiteLLM's cache or a recording, and so cost nothing.
        prices: The user's own prices, of the call or of the deployment.
        usage: The usage in the provider's own words; some prices depend on details of it.
        tier: The service tier, which some providers price apart.
        pricing: What `pricing_params` returned for a stream.
        seconds: The duration of the call, for prices per second.
        answered: The model that the provider named in its answer.
        known_as: Those of the names that people know, so not the id of a deployment.
    """

    models: tuple[str, ...]
    provider: str | None
    reported: float | None
    cache_hit: bool
    prices: Mapping[str, Value]
    usage: Mapping[str, Value] | None = None
    tier: Value = None
    pricing: Mapping[str, Value] = attrs.field(factory=dict)
    seconds: float = 0.0
    answered: str | None = None
    known_as: tuple[str, ...] = ()


def cost_of(usage: TokenUsage | None, priced: Priced) -> Cost | None:
    """Compute what a call cost.

    Args:
        usage: Its tokens.
        priced: What else the price depends on.

    Returns:
        The cost, 0 with ``saved`` for an answer that was kept; ``None`` where no price is known.
    """
    total = priced.reported
    free = total == 0 and not priced.cache_hit and _is_free(usage, priced, *priced.models)
    if not total and not free:  # LiteLLM says 0 of an answer that it kept
        total = _by_litellm(usage, priced)
    if priced.cache_hit:
        return Cost(input=0.0, output=0.0, total=0.0, saved=total)
    if total is None:
        return None
    split = _split(usage, total, priced)
    return Cost(input=split[0], output=split[1], total=total)


def cost_in_proportion(
    cost: Cost, usage: TokenUsage | None, other: TokenUsage | None
) -> float | None:
    """Compute what other tokens of a prompt cost, at the price that some cost.

    Args:
        cost: What some cost.
        usage: Those.
        other: The others.
    """
    if cost.total is None or usage is None or other is None or not usage.input:
        return None
    return cost.total / usage.input * (other.input or 0)


def _is_free(usage: TokenUsage | None, priced: Priced, *models: str) -> bool:
    """Return whether a cost of 0 is a price: the user's, the provider's, or a listed one.

    LiteLLM computes 0 also for a model of which it only knows the name, without usage, and, in some
    releases, for a whole API.
    """
    if priced.prices:
        return all(price == 0 for price in priced.prices.values())
    if (priced.usage or {}).get("cost") is not None:
        return True
    listed = _listed(priced, *models)
    if not listed or usage is None or usage.total is None:
        return False
    return usage.total == 0 or not any(listed.get(name) for name in _TOKEN_PRICES)


def _by_litellm(usage: TokenUsage | None, priced: Priced) -> float | None:
    """Ask LiteLLM for the price of a response, as it does itself at the end of a stream."""
    if usage is None or usage.source is UsageSource.MISSING:
        return None
    if _are_simple(priced) and not _are_prepared(priced):
        return _by_own_prices(usage, {**_listed(priced, *priced.models), **priced.prices})
    if priced.provider in _ASKED_FOR_PRICES and not priced.prices:
        listed = _listed(priced, *priced.models)
        return _by_own_prices(usage, listed) if listed else None
    errors: dict[str, Exception] = {}
    for model, answered in _names(priced):
        cost = _cost_as(model, answered, usage, priced, errors)
        if cost or (cost == 0 and _is_free(usage, priced, model, answered)):
            return cost
    known = priced.known_as or priced.models
    for error in [errors[model] for model in known if model in errors][:1]:
        log_once(
            f"no price of {known}",
            "LiteLLM has no price for %s, so spans of it have no cost: %s: %s",
            *(" or ".join(known), type(error).__name__, error),
        )
    return None


def _are_simple(priced: Priced) -> bool:
    """Return whether the user's prices are those per token of prompt, answer and cache alone."""
    names = priced.prices.keys()
    return not names.isdisjoint(_TOKEN_PRICES) and names <= {*_TOKEN_PRICES, *_CACHE_PRICES}


def _are_prepared(priced: Priced) -> bool:
    """Return whether LiteLLM can be asked with the user's prices: for a stream, mostly.

    Of one that it kept it notes the prices, but makes nothing of them that its calculator takes.
    """
    if priced.provider in _ASKED_FOR_PRICES:
        return False
    if priced.cache_hit:
        return any(name.startswith("custom_") for name in priced.pricing)
    return bool(priced.pricing)


def _by_own_prices(usage: TokenUsage, prices: Mapping[str, Any]) -> float:
    """Compute a cost from the user's own prices, with listed ones for the cache where none is.

    LiteLLM counts cached tokens twice where it is given such prices and no name that they are
    registered under, as for the answers of Anthropic's and Google's own interfaces.
    """
    asked, answered = (as_amount(prices.get(name)) or 0.0 for name in _TOKEN_PRICES)
    cost = (usage.output or 0) * answered
    rest = usage.input or 0
    for name, count in zip(_CACHE_PRICES, (usage.cache_read, usage.cache_creation), strict=True):
        price = as_amount(prices.get(name))
        cost += (count or 0) * (asked if price is None else price)
        rest -= count or 0
    return cost + max(rest, 0) * asked


def _names(priced: Priced) -> Iterator[tuple[str, str]]:
    """Yield the names to ask a price for: of the model that was asked, and that answered.

    LiteLLM weighs both, first as it does itself; older releases know the price of one of them.
    """
    sent = priced.pricing.get("model")
    if priced.answered and isinstance(sent, str) and not priced.prices:
        yield sent, priced.answered
    for model in priced.models:
        yield model, model


def _cost_as(
    model: str, answered: str, usage: TokenUsage, priced: Priced, errors: dict[str, Exception]
) -> float | None:
    exact = {"model": answered, "usage": mutable(priced.usage), "service_tier": priced.tier}
    cost = None
    for response in (exact, None) if priced.usage else (None,):
        try:
            cost = float(_calculated(response or _response(usage, answered), model, priced))
        except Exception as error:  # mostly its way to say that a model has no price
            errors[model] = error
        if cost:
            return cost
    return cost


def _calculated(response: Any, model: str, priced: Priced) -> Any:
    """Call LiteLLM's function for prices with the parameters that it has in this release."""
    function, parameters = _calculator()
    pricing, custom = mutable(priced.pricing), bool(priced.prices)
    options = {
        "completion_response": response,
        "model": model,
        "custom_llm_provider": priced.provider,
        "custom_cost_per_token": pricing.get("custom_cost_per_token") or _per_token(priced),
        "custom_cost_per_second": pricing.get("custom_cost_per_second"),
        "requested_model_info_override": pricing.get("custom_model_info") if custom else None,
        "custom_pricing": custom or None,
        "base_model": pricing.get("base_model"),
        "router_model_id": pricing.get("id"),
        "total_time": priced.seconds * _MILLISECONDS,
        "service_tier": priced.tier,
    }
    return function(**{k: v for k, v in options.items() if v is not None and k in parameters})


@lru_cache(maxsize=1)
def _calculator() -> tuple[Any, frozenset[str]]:
    """Return LiteLLM's function for prices, and the parameters that it has in this release."""
    function = importlib.import_module("litellm.cost_calculator").completion_cost
    return function, frozenset(inspect.signature(function).parameters)


def _response(usage: TokenUsage, model: str) -> Any:
    """Make a response of token counts, for LiteLLM to price."""
    types = importlib.import_module("litellm.types.utils")
    counted = types.Usage(
        prompt_tokens=usage.input or 0,
        completion_tokens=usage.output or 0,
        total_tokens=usage.total or 0,
        reasoning_tokens=usage.reasoning,
        prompt_tokens_details={
            "cached_tokens": usage.cache_read or 0,
            "audio_tokens": usage.audio_input or 0,
        },
        cache_creation_input_tokens=usage.cache_creation or 0,
        cache_read_input_tokens=usage.cache_read or 0,
    )
    return types.ModelResponse(model=model, usage=counted)


def _per_token(priced: Priced) -> dict[str, float] | None:
    """Return the user's prices per token, where LiteLLM did not register them under a name."""
    names = (*_TOKEN_PRICES, *_CACHE_PRICES)
    prices = {n: v for n in names if (v := as_amount(priced.prices.get(n))) is not None}
    if priced.pricing or prices.keys().isdisjoint(_TOKEN_PRICES):
        return None
    return {"input_cost_per_token": 0.0, "output_cost_per_token": 0.0, **prices}


def _split(
    usage: TokenUsage | None, total: float, priced: Priced
) -> tuple[float | None, float | None]:
    """Divide a cost into input and output, if simple prices per token explain all of it."""
    prices = priced.prices or _listed(priced, *priced.models)
    per_input = prices.get("input_cost_per_token")
    if usage is None or not isinstance(per_input, (int, float)):
        return None, None
    output = (usage.output or 0) * (as_amount(prices.get("output_cost_per_token")) or 0.0)
    asked = (usage.input or 0) * per_input
    if usage.cache_read:
        per_cached = as_amount(prices.get("cache_read_input_token_cost"))
        if per_cached is not None:
            asked += usage.cache_read * (per_cached - per_input)
    if abs(asked + output - total) > _CLOSE * total:
        return None, None
    return (asked if math.isclose(asked + output, total) else total - output), output


def _listed(priced: Priced, *models: str) -> Mapping[str, Any]:
    """Return the first entry of LiteLLM's price list that has a price."""
    listed: Mapping[str, Any] = getattr(sys.modules.get("litellm"), "model_cost", {})
    for model in models:
        for name in _names_of(model, priced.provider):
            prices: Mapping[str, Any] | None = listed.get(name)
            # a Router lists all deployments
            if prices and prices.get("input_cost_per_token") is not None:
                return prices
    return {}


@lru_cache(256)
def _names_of(model: str, provider: str | None) -> tuple[str, ...]:
    """Return what LiteLLM may list a model as."""
    return model, model.partition("/")[2], f"{provider}/{model}"
