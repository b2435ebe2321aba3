"""What a call cost, from LiteLLM's own prices; on the sink's thread. Unknown stays unknown."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any, Final

import attrs

from trace_core import Cost, Span, TokenUsage, UsageSource, Value

_CLOSE: Final = 0.01


@attrs.frozen
class Priced:
    """What a price depends on besides the usage.

    Args:
        model: The model that LiteLLM sent the request to.
        provider: LiteLLM's name of the provider.
        told: What LiteLLM says the call cost, if it does.
        cache_hit: Whether the answer came from LiteLLM's cache, and so cost nothing.
        custom: Prices the caller gave: ``input_cost_per_token``, ``output_cost_per_token``.
    """

    model: str | None
    provider: str | None
    told: float | None
    cache_hit: bool
    custom: Mapping[str, Value]


def cost_of(usage: TokenUsage | None, outputs: Value, priced: Priced) -> Cost | None:
    """Work out what a call cost.

    Args:
        usage: Its tokens.
        outputs: The copied response, for what LiteLLM prices by more than tokens.
        priced: What else the price depends on.

    Returns:
        The cost, 0 with ``saved`` for a cache hit; ``None`` where no price is known.
    """
    total = priced.told or _by_litellm(usage, outputs, priced)
    if total is None and not priced.cache_hit:
        return None
    if priced.cache_hit:
        return Cost(input=0.0, output=0.0, total=0.0, saved=total)
    split = _split(usage, total or 0.0, priced)
    return Cost(input=split[0], output=split[1], total=total)


def _by_litellm(usage: TokenUsage | None, outputs: Value, priced: Priced) -> float | None:
    """Ask LiteLLM for the price of a response, as for streams, where it tells none itself."""
    litellm: Any = sys.modules.get("litellm")
    if litellm is None or usage is None or priced.model is None:
        return None
    try:
        cost = litellm.completion_cost(
            completion_response=_response(litellm, usage, outputs, priced.model),
            model=priced.model,
            custom_llm_provider=priced.provider,
            custom_cost_per_token=_custom(priced.custom),
        )
    except Exception:  # its way of saying that the model has no price
        return None
    return float(cost) if cost else None


def _response(litellm: Any, usage: TokenUsage, outputs: Value, model: str) -> Any:
    told = outputs.get("usage") if isinstance(outputs, Mapping) else None
    if not isinstance(told, Mapping) or usage.source is UsageSource.ESTIMATED:
        told = {
            "prompt_tokens": usage.input or 0,
            "completion_tokens": usage.output or 0,
            "total_tokens": usage.total or 0,
        }
    return litellm.ModelResponse(model=model, usage=litellm.Usage(**_mutable(told)))


def _mutable(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _mutable(item) for name, item in value.items()}
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
    prices: Mapping[str, Any] = getattr(litellm, "model_cost", {})
    model = priced.model or ""
    for name in (model, model.partition("/")[2], f"{priced.provider}/{model}"):
        if name in prices:
            return prices[name]  # type: ignore[no-any-return]
    return {}


def estimated_usage(span: Span, model: str | None) -> TokenUsage | None:
    """Count the tokens of a stream whose provider told none.

    Always with OpenAI's tokenizer, which LiteLLM ships: others are fetched from the network.

    Args:
        span: A finished span with a chat request and a chat response.
        model: The model.

    Returns:
        The estimate, marked as one; ``None`` where there is nothing to count.
    """
    litellm: Any = sys.modules.get("litellm")
    texts = _texts(span.outputs)
    messages = span.inputs.get("messages") if isinstance(span.inputs, Mapping) else None
    if litellm is None or not texts or not isinstance(messages, tuple):
        return None
    tokenizer = {"type": "openai_tokenizer", "tokenizer": litellm.encoding}
    count = litellm.token_counter
    try:
        given = count(
            model=model or "", custom_tokenizer=tokenizer, messages=[_mutable(m) for m in messages]
        )
        made = count(model=model or "", custom_tokenizer=tokenizer, text="".join(texts))
    except Exception:  # content that LiteLLM's counter does not know, such as a new message part
        return None
    return TokenUsage(input=given, output=made, total=given + made, source=UsageSource.ESTIMATED)


def _texts(outputs: Value) -> list[str]:
    choices = outputs.get("choices") if isinstance(outputs, Mapping) else None
    if not isinstance(choices, tuple):
        return []
    messages = [c.get("message") for c in choices if isinstance(c, Mapping)]
    return [
        text
        for message in messages
        if isinstance(message, Mapping)
        for name in ("content", "reasoning_content")
        if isinstance(text := message.get(name), str)
    ]
