"""What a call cost, from LiteLLM's own prices; on the sink's thread. Unknown stays unknown."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator, Mapping
from typing import Any, Final

import attrs

from trace_core import Cost, TokenUsage, UsageSource, Value

_CLOSE: Final = 0.01


@attrs.define
class Priced:
    """What a price depends on besides the usage.

    Args:
        models: Names the price may be listed under: as LiteLLM sent it, as the caller said it,
            as the provider answered.
        provider: LiteLLM's name of the provider.
        told: What LiteLLM says the call cost, if it does.
        cache_hit: Whether the answer came from LiteLLM's cache, and so cost nothing.
        custom: Prices the caller gave: ``input_cost_per_token``, ``output_cost_per_token``.
        usage: The usage in the provider's own words; some prices depend on what only it tells.
        tier: The service tier, which some providers price apart.
    """

    models: tuple[str, ...]
    provider: str | None
    told: float | None
    cache_hit: bool
    custom: Mapping[str, Value]
    usage: Mapping[str, Value] | None = None
    tier: Value = None


def cost_of(usage: TokenUsage | None, priced: Priced) -> Cost | None:
    """Work out what a call cost.

    Args:
        usage: Its tokens.
        priced: What else the price depends on.

    Returns:
        The cost, 0 with ``saved`` for a cache hit; ``None`` where no price is known.
    """
    total = priced.told or _by_litellm(usage, priced)
    if total is None and not priced.cache_hit:
        return None
    if priced.cache_hit:
        return Cost(input=0.0, output=0.0, total=0.0, saved=total)
    split = _split(usage, total or 0.0, priced)
    return Cost(input=split[0], output=split[1], total=total)


def _by_litellm(usage: TokenUsage | None, priced: Priced) -> float | None:
    """Ask LiteLLM for the price of a response, as for streams, where it tells none itself."""
    if usage is None:
        return None
    costs = (_cost_as(model, usage, priced) for model in priced.models)
    return next((cost for cost in costs if cost), None)


def _cost_as(model: str, usage: TokenUsage, priced: Priced) -> float | None:
    exact = {"model": model, "usage": _mutable(priced.usage), "service_tier": priced.tier}
    cost = _completion_cost(exact, model, priced) if priced.usage else None
    return cost or _completion_cost(_response(usage, model), model, priced)


def _completion_cost(response: Any, model: str, priced: Priced) -> float | None:
    try:
        cost = _litellm("cost_calculator").completion_cost(
            completion_response=response,
            model=model,
            custom_llm_provider=priced.provider,
            custom_cost_per_token=_custom(priced.custom),
        )
    except Exception:  # its way of saying that the model has no price
        return None
    return float(cost) if cost else None


def _litellm(module: str) -> Any:
    """Import a module of LiteLLM's: attributes of ``litellm`` itself are made on first use."""
    return importlib.import_module(f"litellm.{module}")


def _response(usage: TokenUsage, model: str) -> Any:
    """Make a response that LiteLLM can price out of token counts."""
    types = _litellm("types.utils")
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


def _mutable(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _mutable(item) for name, item in value.items()}
    if isinstance(value, tuple):
        return [_mutable(item) for item in value]
    return value


def _custom(prices: Mapping[str, Value]) -> dict[str, float] | None:
    names = ("input_cost_per_token", "output_cost_per_token")
    given = {n: float(v) for n in names if isinstance(v := prices.get(n), (int, float))}
    return {"input_cost_per_token": 0.0, "output_cost_per_token": 0.0, **given} if given else None


def _split(
    usage: TokenUsage | None, total: float, priced: Priced
) -> tuple[float | None, float | None]:
    """Divide a cost into input and output, if simple prices per token explain all of it."""
    prices = priced.custom or _listed(priced)
    per_input, per_output = (
        prices.get("input_cost_per_token"),
        prices.get("output_cost_per_token"),
    )
    if usage is None or not isinstance(per_input, (int, float)):
        return None, None
    output = (usage.output or 0) * float(per_output if isinstance(per_output, (int, float)) else 0)
    cached = usage.cache_read or 0
    per_cached = prices.get("cache_read_input_token_cost")
    price_cached = float(per_cached if isinstance(per_cached, (int, float)) else per_input)
    whole = ((usage.input or 0) - cached) * float(per_input) + cached * price_cached
    if abs(whole + output - total) > _CLOSE * total:
        return None, None
    return total - output, output


def _listed(priced: Priced) -> Mapping[str, Any]:
    litellm: Any = sys.modules.get("litellm")
    listed: Mapping[str, Any] = getattr(litellm, "model_cost", {})
    for model in priced.models:
        for name in (model, model.partition("/")[2], f"{priced.provider}/{model}"):
            prices: Mapping[str, Any] = listed.get(name) or {}
            if prices.get("input_cost_per_token") is not None:  # a Router lists all deployments
                return prices
    return {}


_SAID: Final = frozenset({"content", "reasoning_content", "text", "thinking"})
_ASKED: Final = ("contents", "input", "instructions", "prompt", "system")


def estimated_usage(inputs: Value, outputs: Value) -> TokenUsage | None:
    """Count the tokens of a stream whose provider told none.

    Always with OpenAI's tokenizer, which LiteLLM ships: others are fetched from the network.

    Args:
        inputs: What was asked.
        outputs: What was answered.

    Returns:
        The estimate, marked as one; ``None`` where there is nothing to count.
    """
    texts = list(_texts(outputs))
    if not texts or not isinstance(inputs, Mapping):
        return None
    try:
        asked = _tokens_asked(inputs)
        made = _tokens(text="".join(texts))
    except Exception:  # content that LiteLLM's counter does not know, such as a new message part
        return None
    return TokenUsage(input=asked, output=made, total=asked + made, source=UsageSource.ESTIMATED)


def _tokens_asked(given: Mapping[str, Value]) -> int:
    messages = given.get("messages")
    if isinstance(messages, tuple):
        return _tokens(messages=[_mutable(message) for message in messages])
    asked = [given[name] for name in _ASKED if name in given]
    return _tokens(text="\n".join(text for value in asked for text in _texts({"text": value})))


def _tokens(**what: Any) -> int:
    encoding = _litellm("litellm_core_utils.default_encoding").encoding
    tokenizer = {"type": "openai_tokenizer", "tokenizer": encoding}
    return int(_litellm("utils").token_counter(model="", custom_tokenizer=tokenizer, **what))


def _texts(value: Value, *, said: bool = False) -> Iterator[str]:
    """Find what was said in a request or response of any family."""
    if isinstance(value, str):
        if said:
            yield value
    elif isinstance(value, tuple):
        for item in value:
            yield from _texts(item, said=said)
    elif isinstance(value, Mapping):
        for name, item in value.items():
            yield from _texts(item, said=name in _SAID)
